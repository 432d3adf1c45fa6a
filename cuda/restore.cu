// Restoration alone: elements are copied as bits, so ELEMENT may be any type of their width.
#include "draw.cuh"

// A warp a block; only the chosen elements are touched.
KERNEL restore(const i64* starts, const int* first, i64 total, ELEMENT* const* parameters,
               const ELEMENT* const* sources, u32 step, u32 stream, u32 key0, u32 key1,
               const u32* thresholds, const u16* guide, u64 below) {
  const i64 block = (i64(blockIdx.x) * THREADS + threadIdx.x) / WARP, begin = block * BLOCK;
  if (begin >= total) return;
  const Draw draw = {step, stream, key0, key1, thresholds, guide, below};
  int tensor = first[block];  // of the lane's last element; its elements rise
  draw_block(draw, u32(block), int(min(total - begin, i64(BLOCK))), [&](int at) {
    while (starts[tensor + 1] <= begin + at) tensor++;
    const i64 i = begin + at - starts[tensor];
    parameters[tensor][i] = sources[tensor][i];
  });
}

template <int N>
struct Mask {
  Pack<unsigned char, N> chosen;
};

struct RestoreWhere {
  ELEMENT* const* parameters;
  const ELEMENT* const* sources;
  const unsigned char* const* masks;
  ELEMENT* parameter;
  const ELEMENT* source;
  const unsigned char* mask;
  bool fours;

  template <int N>
  using Held = Mask<N>;

  __device__ void enter(int tensor, i64 offset, int) {
    fours = by_fours(masks[tensor]);
    parameter = global(parameters[tensor]) + offset;
    source = global(sources[tensor]) + offset;
    mask = global(masks[tensor]) + offset;
  }

  template <int N>
  __device__ void load(Mask<N>& held, int at) const {
    held.chosen = read<N>(mask + at);
  }

  template <int N>
  __device__ void store(Mask<N>& held, int at) const {
    for (int k = 0; k < N; k++)
      if (held.chosen.x[k]) parameter[at + k] = source[at + k];
  }
};

KERNEL restore_where(const i64* starts, const int* first, i64 total, ELEMENT* const* parameters,
                     const ELEMENT* const* sources, const unsigned char* const* masks) {
  RestoreWhere body = {parameters, sources, masks};
  visit_block({starts, first, total}, blockIdx.x, body);
}
