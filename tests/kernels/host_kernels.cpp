// All kernels for one pair of types, and the functions of one element, as a library for Python.
#include "host_cuda.hpp"

// after the host's CUDA
#include "averages.cu"
#include "fisher.cu"
#include "prior.cu"
#include "quantile.cu"
#include "restore.cu"

#define LAUNCH(kernel)                                                                         \
  extern "C" void launch_##kernel(unsigned grid, unsigned block, void** arguments, int falling) { \
    host::launch(kernel, grid, block, arguments, falling);                                       \
  }                                                                                              \
  extern "C" int widths_##kernel(int* widths) { return host::widths(kernel, widths); }

LAUNCH(average)
LAUNCH(average_restore)
LAUNCH(restore)
LAUNCH(restore_where)
LAUNCH(count_digits)
LAUNCH(choose_digit)
LAUNCH(fisher_restore)
LAUNCH(fisher_restore_twice)
LAUNCH(masked_average)
LAUNCH(prior)
LAUNCH(prior_sum)

extern "C" void element_philox(const u32* counter, const u32* key, u32* out) {
  const Words words = philox({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]);
  for (int k = 0; k < 4; k++) out[k] = words.w[k];
}

extern "C" void element_gaps(const u32* words, i64 n, const u32* thresholds, const u16* guide,
                             int* out) {
  for (i64 i = 0; i < n; i++) out[i] = gap(words[i], thresholds, guide);
}

extern "C" void element_widened(const STUDENT* x, i64 n, ELEMENT* out) {
  for (i64 i = 0; i < n; i++) out[i] = widened(x[i]);
}

extern "C" void element_keys(const ELEMENT* g, i64 n, u64* keys, ELEMENT* values) {
  for (i64 i = 0; i < n; i++) {
    keys[i] = square_key(g[i]);
    key_value(keys[i], values[i]);
  }
}

extern "C" void element_moved(const ELEMENT* teacher, const ELEMENT* student, i64 n, ELEMENT decay,
                              ELEMENT rest, ELEMENT* out) {
  for (i64 i = 0; i < n; i++) out[i] = moved(teacher[i], student[i], decay, rest);
}
