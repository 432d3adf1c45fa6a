// The exact quantile of all squared gradients by radix selection: for each digit of the keys, from
// the leading one, count (count_digits) and choose (choose_digit). Two neighbouring ranks are
// followed; they share their counts until their digits part. The second pass keeps the keys that
// agree with the first digits, a small part as a rule, so that the gradients are read twice; if the
// room does not do, they are read by every pass.
#include "elements.cuh"
#include "tensors.cuh"

constexpr int BINS = 1 << 11;
constexpr int SLOTS = 4;  // counters of a bin, in neighbouring banks, so that lanes collide less
constexpr int ROOM = 1024;  // kept keys of a block

enum Pass { LEADING, SECOND, LATER };

using Key = decltype(square_key(ELEMENT()));

// How far the two ranks have come: the digits chosen so far, and the rank among the keys with them.
struct Ranks {
  u64 left[2], key[2];
};

template <int N>
struct Gradients {
  Pack<ELEMENT, N> gradient;
};

struct Count {
  const ELEMENT* const* gradients;  // null: zeros
  u32* counts;
  u64 first_key, second_key;
  int shift, width;
  Pass pass;
  Key* kept;  // of the block, in the second pass
  u32* n_kept;
  const ELEMENT* gradient;
  bool fours;

  template <int N>
  using Held = Gradients<N>;

  __device__ void enter(int tensor, i64 offset, int) {
    fours = by_fours(gradients[tensor]);
    gradient = gradients[tensor] ? gradients[tensor] + offset : nullptr;
  }

  template <int N>
  __device__ void load(Gradients<N>& held, int at) const {
    if (gradient)
      held.gradient = read<N>(gradient + at);
    else
      held.gradient = {};
  }

  // The counter of a key; -1 if it has other leading digits than both ranks.
  __device__ int counter(u64 key) const {
    const int digit = int(key >> shift) & ((1 << width) - 1);
    if (pass == LEADING) return SLOTS * digit + threadIdx.x % SLOTS;
    const u64 before = key >> (shift + width);
    const int half = threadIdx.x % (SLOTS / 2);
    if (before == first_key >> (shift + width)) return SLOTS * digit + half;
    if (before == second_key >> (shift + width)) return SLOTS * digit + SLOTS / 2 + half;
    return -1;
  }

  // Equal neighbours, as zeros come, are counted together.
  template <int N>
  __device__ void store(Gradients<N>& held, int) const {
    int place = -1, n = 0;
    for (int k = 0; k < N; k++) {
      const Key key = square_key(held.gradient.x[k]);
      const int next = counter(key);
      if (pass == SECOND && next >= 0) {
        const u32 i = atomicAdd(n_kept, 1u);
        if (i < ROOM) kept[i] = key;
      }
      if (next != place) {
        if (place >= 0) atomicAdd(&counts[place], u32(n));
        place = next;
        n = 0;
      }
      n++;
    }
    if (place >= 0) atomicAdd(&counts[place], u32(n));
  }
};

// Adds to counts [2, BINS]: of the keys that agree with the first rank, and of those that agree
// with the second where that has parted from it. A CTA takes many blocks. `kept` has room for
// `room` keys; a larger `n_kept` says that it did not do.
KERNEL count_digits(const i64* starts, const int* first, i64 total, const ELEMENT* const* gradients,
                    const Ranks* ranks, u64* counts, Key* kept, u64* n_kept, u64 room, int shift,
                    int width, int number) {
  __shared__ u32 own[SLOTS * BINS];
  __shared__ Key block_kept[ROOM];
  __shared__ u32 n_block_kept, n_moved;
  __shared__ u64 place;
  const Pass pass = number == 0 ? LEADING : number == 1 ? SECOND : LATER;
  for (int i = threadIdx.x; i < SLOTS * BINS; i += THREADS) own[i] = 0;
  if (threadIdx.x == 0) n_block_kept = 0;
  __syncthreads();
  Count body = {gradients, own,  ranks->key[0], ranks->key[1], shift,
                width,     pass, block_kept,    &n_block_kept};
  const Layout layout = {starts, first, total};
  if (pass == LATER && *n_kept <= room) {
    const i64 n = *n_kept, step = i64(gridDim.x) * THREADS;
    for (i64 i = i64(blockIdx.x) * THREADS + threadIdx.x; i < n; i += step) {
      const int at = body.counter(kept[i]);
      if (at >= 0) atomicAdd(&own[at], 1u);
    }
  } else {
    for (i64 block = blockIdx.x; block * BLOCK < total; block += gridDim.x) {
      visit_block(layout, block, body);
      if (pass != SECOND) continue;
      __syncthreads();
      if (threadIdx.x == 0) {
        n_moved = min(n_block_kept, u32(ROOM));
        place = atomicAdd(n_kept, n_block_kept > ROOM ? room + 1 : u64(n_block_kept));
        n_block_kept = 0;
      }
      __syncthreads();
      for (u32 i = threadIdx.x; i < n_moved; i += THREADS)
        if (place + i < room) kept[place + i] = block_kept[i];
      __syncthreads();
    }
  }
  __syncthreads();
  for (int bin = threadIdx.x; bin < BINS; bin += THREADS) {
    const u32* slot = own + SLOTS * bin;
    const u64 low = u64(slot[0]) + slot[1], high = u64(slot[2]) + slot[3];
    const u64 agree = pass == LEADING ? low + high : low;
    if (agree) atomicAdd(&counts[bin], agree);
    if (pass != LEADING && high) atomicAdd(&counts[BINS + bin], high);
  }
}

// One CTA finds the digit of both ranks and, after the last one, what lies between them.
KERNEL choose_digit(Ranks* ranks, const u64* counts, int shift, int leading, u64 low, u64 high,
                    ELEMENT fraction, ELEMENT* result) {
  constexpr int EACH = BINS / THREADS;
  __shared__ u64 upto[THREADS];
  __shared__ Ranks chosen;
  const Ranks before = leading ? Ranks{{low, high}, {0, 0}} : *ranks;
  const int thread = threadIdx.x;
  for (int rank = 0; rank < 2; rank++) {
    const bool apart = rank == 1 && before.key[0] != before.key[1];
    const u64* own = counts + (apart ? BINS : 0) + EACH * thread;
    u64 sum = 0;
    for (int k = 0; k < EACH; k++) sum += own[k];
    upto[thread] = sum;
    __syncthreads();
    for (int distance = 1; distance < THREADS; distance *= 2) {
      const u64 more = thread >= distance ? upto[thread - distance] : 0;
      __syncthreads();
      upto[thread] += more;
      __syncthreads();
    }
    const u64 left = before.left[rank];
    if (left < upto[thread] && left >= upto[thread] - sum) {
      u64 passed = upto[thread] - sum;
      int k = 0;
      while (left >= passed + own[k]) passed += own[k++];
      chosen.left[rank] = left - passed;
      chosen.key[rank] = before.key[rank] | u64(EACH * thread + k) << shift;
    }
    __syncthreads();
  }
  if (thread) return;
  *ranks = chosen;
  if (shift) return;
  ELEMENT first, second;
  key_value(chosen.key[0], first);
  key_value(chosen.key[1], second);
  *result = low == high ? first : between(first, second, fraction);
}
