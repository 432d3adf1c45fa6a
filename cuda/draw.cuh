// Which elements of a block a draw chooses; the law is that of ctta/kernels/draws.py.
#pragma once
#include "philox.cuh"
#include "tensors.cuh"

constexpr int GAPS = BLOCK;
constexpr int GUIDE_BITS = 12;

struct Draw {
  u32 step, stream, key0, key1;
  const u32* thresholds;  // [4096]: of the gaps; null: a word an element
  const u16* guide;       // [4096]: the gap less one of the smallest word with these upper 12 bits
  u64 below;              // of the dense form

  HD Words words(u32 block, u32 quad) const {
    return philox({{block, quad, step, stream}}, key0, key1);
  }
};

// 1 plus the number of thresholds that are not above the word; 4097 at most.
HD int gap(u32 word, const u32* thresholds, const u16* guide) {
  const u32 upper = word >> (32 - GUIDE_BITS);
  int low = guide[upper];
  int high = upper + 1 < (1u << GUIDE_BITS) ? guide[upper + 1] : GAPS;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (thresholds[middle] <= word)
      low = middle + 1;
    else
      high = middle;
  }
  return low + 1;
}

// One warp calls `choose(position)` for each chosen element among the block's first `n`. A lane
// takes four consecutive words, and a sum over the lanes before it tells where its gaps begin.
template <class Choose>
__device__ __forceinline__ void draw_block(const Draw& draw, u32 block, int n, Choose choose) {
  const int lane = threadIdx.x % WARP;
  if (!draw.thresholds) {
    for (int quad = lane; 4 * quad < n; quad += WARP) {
      const Words words = draw.words(block, quad);
      for (int k = 0; k < 4; k++)
        if (words.w[k] < draw.below && 4 * quad + k < n) choose(4 * quad + k);
    }
    return;
  }
  int reached = -1;  // by the words of the rounds before
  for (int quad = lane; reached < n; quad += WARP) {
    const Words words = draw.words(block, quad);
    int gaps[4], own = 0;
    for (int k = 0; k < 4; k++) own += gaps[k] = gap(words.w[k], draw.thresholds, draw.guide);
    int upto = own;
    for (int distance = 1; distance < WARP; distance *= 2) {
      const int before = __shfl_up_sync(0xffffffffu, upto, distance);
      if (lane >= distance) upto += before;
    }
    int position = reached + upto - own;
    for (int k = 0; k < 4; k++) {
      position += gaps[k];
      if (position < n) choose(position);
    }
    reached += __shfl_sync(0xffffffffu, upto, WARP - 1);
  }
}
