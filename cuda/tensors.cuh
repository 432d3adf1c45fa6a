// Walking over the elements of a sequence of tensors in logical order: one tensor after the other,
// row by row, no padding. A block is 4,096 consecutive elements; it may span several tensors.
#pragma once
#include "numbers.cuh"

constexpr int BLOCK = 4096;
constexpr int THREADS = 256;
constexpr int WARP = 32;

// Two reads of 16 bytes a thread and tensor are in flight; with these numbers of resident CTAs that
// is more than a memory's latency holds, and no register is spilled.
#define KERNEL \
  extern "C" __global__ void __launch_bounds__(THREADS, sizeof(ELEMENT) == 8 ? 2 : 4)

// Where the tensors lie in logical order.
struct Layout {
  const i64* starts;  // [tensors + 1], the last one is the number of elements
  const int* first;   // [blocks], the tensor of a block's first element
  i64 total;
};

// Tells the compiler what it cannot see: a pointer out of a table is one to global memory.
template <class T>
HD T* global(T* pointer) {
#ifdef __CUDA_ARCH__
  __builtin_assume(__isGlobal(pointer));
#endif
  return pointer;
}

// N neighbours, read or written with one instruction.
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T x[N];
};

template <int N, class T>
HD Pack<T, N> read(const T* at) {
  return *reinterpret_cast<const Pack<T, N>*>(global(at));
}

template <int N, class T>
HD void write(T* at, Pack<T, N> values) {
  *reinterpret_cast<Pack<T, N>*>(global(at)) = values;
}

// Whether four neighbours can be read at once, from an index that is a multiple of four.
template <class T>
HD bool by_fours(const T* base) {
  return reinterpret_cast<u64>(base) % alignof(Pack<T, 4>) == 0;
}

// The threads of a CTA share `n` elements of one tensor, `offset` into it; two fours of each thread
// are read before the first is written.
template <class Body>
__device__ __forceinline__ void visit_part(Body& body, i64 offset, int n) {
  const int head = body.fours ? min(n, int(-offset & 3)) : n;
  const int fours = (n - head) / 4, tail = head + 4 * fours;
  for (int i = threadIdx.x; i < head + n - tail; i += THREADS) {
    const int at = i < head ? i : i - head + tail;
    typename Body::template Held<1> one;
    body.load(one, at);
    body.store(one, at);
  }
  for (int i = threadIdx.x; i < fours; i += 2 * THREADS) {
    typename Body::template Held<4> now, then;
    const int at = head + 4 * i, later = at + 4 * THREADS;
    const bool two = i + THREADS < fours;
    body.load(now, at);
    if (two) body.load(then, later);
    body.store(now, at);
    if (two) body.store(then, later);
  }
}

// All elements of a block. The body is told of each tensor: its number, where in it the block's
// part begins, and where that part lies in the block.
template <class Body>
__device__ __forceinline__ void visit_block(const Layout& layout, i64 block, Body& body) {
  const i64 begin = block * BLOCK, end = min(begin + BLOCK, layout.total);
  i64 at = begin;
  for (int tensor = layout.first[block]; at < end; tensor++) {
    const i64 stop = min(layout.starts[tensor + 1], end), offset = at - layout.starts[tensor];
    if (stop <= at) continue;  // an empty tensor
    body.enter(tensor, offset, int(at - begin));
    visit_part(body, offset, int(stop - at));
    at = stop;
  }
}
