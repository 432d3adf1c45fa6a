// Moving averages of a teacher, alone or with the restoration of its student in the same pass.
// ELEMENT: type of the teacher; STUDENT: the same, bfloat16 or float16.
#include "draw.cuh"
#include "elements.cuh"

template <int N>
struct Pair {
  Pack<ELEMENT, N> teacher;
  Pack<STUDENT, N> student;
};

struct Average {
  ELEMENT* const* teachers;
  STUDENT* const* students;
  const ELEMENT* decays;  // [tensors, 2]: decay and its complement of each; null: one for all
  ELEMENT decay, rest;
  ELEMENT* teacher;
  STUDENT* student;
  bool fours;

  template <int N>
  using Held = Pair<N>;

  __device__ void enter(int tensor, i64 offset, int) {
    fours = by_fours(teachers[tensor]) && by_fours(students[tensor]);
    teacher = global(teachers[tensor]) + offset;
    student = global(students[tensor]) + offset;
    if (decays) {
      decay = decays[2 * tensor];
      rest = decays[2 * tensor + 1];
    }
  }

  template <int N>
  __device__ void load(Pair<N>& held, int at) const {
    held.teacher = read<N>(teacher + at);
    held.student = read<N>(student + at);
  }

  template <int N>
  __device__ void store(Pair<N>& held, int at) const {
    for (int k = 0; k < N; k++)
      held.teacher.x[k] =
          moved(held.teacher.x[k], ELEMENT(widened(held.student.x[k])), decay, rest);
    write(teacher + at, held.teacher);
  }
};

struct AverageRestore : Average {
  const STUDENT* const* starts;
  const u32* chosen;  // a bit an element of the block
  const STUDENT* start;
  int place;

  __device__ void enter(int tensor, i64 offset, int in_block) {
    Average::enter(tensor, offset, in_block);
    start = global(starts[tensor]) + offset;
    place = in_block;
  }

  template <int N>
  __device__ void store(Pair<N>& held, int at) const {
    Average::store(held, at);
    for (int k = 0; k < N; k++) {
      const u32 bit = place + at + k;
      if (chosen[bit / 32] >> bit % 32 & 1) student[at + k] = start[at + k];
    }
  }
};

KERNEL average(const i64* starts, const int* first, i64 total, ELEMENT* const* teachers,
               STUDENT* const* students, const ELEMENT* decays, ELEMENT decay, ELEMENT rest) {
  Average body = {teachers, students, decays, decay, rest};
  visit_block({starts, first, total}, blockIdx.x, body);
}

KERNEL average_restore(const i64* starts, const int* first, i64 total, ELEMENT* const* teachers,
                       STUDENT* const* students, const STUDENT* const* sources,
                       const ELEMENT* decays, ELEMENT decay, ELEMENT rest, u32 step, u32 stream,
                       u32 key0, u32 key1, const u32* thresholds, const u16* guide, u64 below) {
  __shared__ u32 chosen[BLOCK / 32];
  if (threadIdx.x < BLOCK / 32) chosen[threadIdx.x] = 0;
  __syncthreads();
  if (threadIdx.x < WARP) {
    const Draw draw = {step, stream, key0, key1, thresholds, guide, below};
    const i64 left = total - i64(blockIdx.x) * BLOCK;
    draw_block(draw, blockIdx.x, int(min(left, i64(BLOCK))),
               [&](int at) { atomicOr(&chosen[at / 32], 1u << at % 32); });
  }
  __syncthreads();
  AverageRestore body;
  body.teachers = teachers;
  body.students = students;
  body.decays = decays;
  body.decay = decay;
  body.rest = rest;
  body.starts = sources;
  body.chosen = chosen;
  visit_block({starts, first, total}, blockIdx.x, body);
}
