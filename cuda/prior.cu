// The quadratic prior, its sum and its gradient in one pass; the order of the sum depends on the
// sizes alone.
#include "elements.cuh"
#include "tensors.cuh"

template <int N>
struct Four {
  Pack<ELEMENT, N> gradient, parameter, mean, weight;
};

struct Prior {
  ELEMENT* const* gradients;
  const ELEMENT* const* parameters;
  const ELEMENT* const* means;
  const ELEMENT* const* weights;
  ELEMENT slope;
  ELEMENT* terms;  // of the block
  ELEMENT* gradient;
  const ELEMENT* parameter;
  const ELEMENT* mean;
  const ELEMENT* weight;
  int place;
  bool fours;

  template <int N>
  using Held = Four<N>;

  __device__ void enter(int tensor, i64 offset, int in_block) {
    fours = by_fours(gradients[tensor]) && by_fours(parameters[tensor]) &&
            by_fours(means[tensor]) && by_fours(weights[tensor]);
    gradient = global(gradients[tensor]) + offset;
    parameter = global(parameters[tensor]) + offset;
    mean = global(means[tensor]) + offset;
    weight = global(weights[tensor]) + offset;
    place = in_block;
  }

  template <int N>
  __device__ void load(Four<N>& held, int at) const {
    held.gradient = read<N>(gradient + at);
    held.parameter = read<N>(parameter + at);
    held.mean = read<N>(mean + at);
    held.weight = read<N>(weight + at);
  }

  template <int N>
  __device__ void store(Four<N>& held, int at) const {
    for (int k = 0; k < N; k++) {
      const ELEMENT away = sub(held.parameter.x[k], held.mean.x[k]), own = held.weight.x[k];
      held.gradient.x[k] = prior_gradient(held.gradient.x[k], away, own, slope);
      terms[place + at + k] = prior_term(away, own);
    }
    write(gradient + at, held.gradient);
  }
};

// Adds the upper half of the CTA's sums to the lower half until one is left.
__device__ __forceinline__ double halved(double own, double* sums) {
  const int thread = threadIdx.x;
  sums[thread] = own;
  for (int half = THREADS / 2; half; half /= 2) {
    __syncthreads();
    if (thread < half) sums[thread] = add(sums[thread], sums[thread + half]);
  }
  return sums[0];  // what thread 0 has written itself
}

KERNEL prior(const i64* starts, const int* first, i64 total, ELEMENT* const* gradients,
             const ELEMENT* const* parameters, const ELEMENT* const* means,
             const ELEMENT* const* weights, ELEMENT slope, double* partial) {
  __shared__ ELEMENT terms[BLOCK];
  __shared__ double sums[THREADS];
  Prior body = {gradients, parameters, means, weights, slope, terms};
  visit_block({starts, first, total}, blockIdx.x, body);
  __syncthreads();
  const i64 n = min(total - i64(blockIdx.x) * BLOCK, i64(BLOCK));
  double own = 0;
  for (int at = threadIdx.x; at < n; at += THREADS) own = add(own, double(terms[at]));
  const double sum = halved(own, sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One CTA; the blocks' sums in the same order.
KERNEL prior_sum(const double* partial, i64 n, double* result) {
  __shared__ double sums[THREADS];
  double own = 0;
  for (i64 at = threadIdx.x; at < n; at += THREADS) own = add(own, partial[at]);
  const double sum = halved(own, sums);
  if (threadIdx.x == 0) *result = sum;
}
