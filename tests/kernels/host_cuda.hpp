// Runs the text of CUDA kernels on the host, thread by thread, so that they are tested without a
// device. A CTA's threads are contexts of their own on one core; each runs until it meets a
// barrier, in rising or in falling order, so that a missing barrier changes a result. Shared memory
// is filled with rubbish before a CTA begins.
#pragma once
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("shared_memory")))
extern "C" char __start_shared_memory[] __attribute__((visibility("hidden")));
extern "C" char __stop_shared_memory[] __attribute__((visibility("hidden")));

namespace host {

struct Index {
  unsigned x;
};

enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  State state;
};

constexpr size_t STACK = 64 << 10;
constexpr unsigned LANES = 32;
inline std::vector<Thread> threads;
inline ucontext_t scheduler;
inline unsigned current;
inline uint64_t exchanged[1024];
inline std::function<void()> body;

inline void wait(State state) {
  threads[current].state = state;
  swapcontext(&threads[current].context, &scheduler);
}

}  // namespace host

inline host::Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

inline void begin() {
  body();
  threads[current].state = DONE;
  swapcontext(&threads[current].context, &scheduler);
}

[[noreturn]] inline void fail(const char* why) {
  std::fprintf(stderr, "%s, CTA %u\n", why, blockIdx.x);
  std::abort();
}

// Lets the threads of `first`..`last` go on if all of them wait at such a barrier.
inline bool released(unsigned first, unsigned last, State barrier) {
  for (unsigned t = first; t < last; t++)
    if (threads[t].state != barrier) return false;
  for (unsigned t = first; t < last; t++) threads[t].state = READY;
  return true;
}

inline void run_cta(bool falling) {
  const unsigned n = threads.size();
  std::memset(__start_shared_memory, 0xA5, __stop_shared_memory - __start_shared_memory);
  for (Thread& thread : threads) {
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = STACK;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, begin, 0);
    thread.state = READY;
  }
  for (bool moved = true; moved;) {
    moved = false;
    for (unsigned i = 0; i < n; i++) {
      current = falling ? n - 1 - i : i;
      if (threads[current].state != READY) continue;
      threadIdx.x = current;
      swapcontext(&scheduler, &threads[current].context);
      moved = true;
    }
    for (unsigned warp = 0; warp < n; warp += LANES)
      moved |= released(warp, warp + LANES, AT_WARP);
    moved |= released(0, n, AT_BLOCK);
  }
  for (const Thread& thread : threads)
    if (thread.state != DONE) fail("a barrier that not all threads reach");
}

template <class... A, size_t... I>
void run(void (*kernel)(A...), unsigned grid, unsigned block, void** arguments, bool falling,
         std::index_sequence<I...>) {
  std::tuple<A...> own{*static_cast<A*>(arguments[I])...};
  body = [&] { kernel(std::get<I>(own)...); };
  while (threads.size() < block) threads.push_back({{}, std::make_unique<char[]>(STACK), DONE});
  threads.resize(block);
  gridDim.x = grid;
  blockDim.x = block;
  for (unsigned i = 0; i < grid; i++) {
    blockIdx.x = falling ? grid - 1 - i : i;
    run_cta(falling);
  }
}

// As cuLaunchKernel: an address for each argument.
template <class... A>
void launch(void (*kernel)(A...), unsigned grid, unsigned block, void** arguments, int falling) {
  run(kernel, grid, block, arguments, falling != 0, std::index_sequence_for<A...>{});
}

// The sizes of a kernel's arguments, and their number.
template <class... A>
int widths(void (*)(A...), int* out) {
  ((*out++ = sizeof(A)), ...);
  return sizeof...(A);
}

template <class T>
T exchange(T value, unsigned from) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "a value of 64 bits at most");
  const unsigned warp = threadIdx.x / LANES * LANES;
  std::memcpy(&exchanged[threadIdx.x], &value, sizeof(T));
  wait(AT_WARP);
  std::memcpy(&value, &exchanged[warp + from], sizeof(T));
  wait(AT_WARP);
  return value;
}

}  // namespace host

inline void __syncthreads() { host::wait(host::AT_BLOCK); }

template <class T>
T __shfl_sync(unsigned, T value, unsigned lane) {
  return host::exchange(value, lane);
}

template <class T>
T __shfl_up_sync(unsigned, T value, unsigned distance) {
  const unsigned lane = threadIdx.x % host::LANES;
  return host::exchange(value, lane >= distance ? lane - distance : lane);
}

template <class T>
T atomicAdd(T* at, T more) {
  const T before = *at;
  *at += more;
  return before;
}

inline unsigned atomicOr(unsigned* at, unsigned bits) {
  const unsigned before = *at;
  *at |= bits;
  return before;
}

template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
