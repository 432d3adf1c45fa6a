// Updates that depend on whether an element's squared gradient is below a threshold on the device.
#include "elements.cuh"
#include "tensors.cuh"

enum Kind { RESTORE, RESTORE_TWICE, MASKED };

template <int N>
struct Weights {
  Pack<ELEMENT, N> teacher, student, gradient;
};

template <Kind KIND>
struct Fisher {
  ELEMENT* const* teachers;
  ELEMENT* const* students;
  const ELEMENT* const* sources;    // unused by MASKED
  const ELEMENT* const* gradients;  // null: zeros
  ELEMENT threshold, decay, rest;
  ELEMENT* teacher;
  ELEMENT* student;
  const ELEMENT* source;
  const ELEMENT* gradient;
  bool fours;

  template <int N>
  using Held = Weights<N>;

  __device__ void enter(int tensor, i64 offset, int) {
    fours = by_fours(teachers[tensor]) && by_fours(students[tensor]) &&
            by_fours(gradients[tensor]);
    teacher = global(teachers[tensor]) + offset;
    student = global(students[tensor]) + offset;
    if (KIND != MASKED) source = global(sources[tensor]) + offset;
    gradient = gradients[tensor] ? gradients[tensor] + offset : nullptr;
  }

  template <int N>
  __device__ void load(Weights<N>& held, int at) const {
    held.teacher = read<N>(teacher + at);
    held.student = read<N>(student + at);
    if (gradient)
      held.gradient = read<N>(gradient + at);
    else
      held.gradient = {};
  }

  template <int N>
  __device__ void store(Weights<N>& held, int at) const {
    for (int k = 0; k < N; k++) {
      const bool below = is_below(held.gradient.x[k], threshold);
      ELEMENT& mine = held.teacher.x[k];
      const ELEMENT theirs = held.student.x[k];
      if (KIND == MASKED) {
        mine = moved_where(mine, theirs, below, decay, rest);
        continue;
      }
      const ELEMENT back = below ? source[at + k] : theirs;
      if (below) student[at + k] = back;
      mine = KIND == RESTORE ? moved(mine, theirs, decay, rest)
                             : moved_twice(mine, theirs, back, below, decay, rest);
    }
    write(teacher + at, held.teacher);
  }
};

KERNEL fisher_restore(const i64* starts, const int* first, i64 total, ELEMENT* const* teachers,
                      ELEMENT* const* students, const ELEMENT* const* sources,
                      const ELEMENT* const* gradients, const ELEMENT* threshold, ELEMENT decay,
                      ELEMENT rest) {
  Fisher<RESTORE> body = {teachers, students, sources, gradients, *threshold, decay, rest};
  visit_block({starts, first, total}, blockIdx.x, body);
}

KERNEL fisher_restore_twice(const i64* starts, const int* first, i64 total,
                            ELEMENT* const* teachers, ELEMENT* const* students,
                            const ELEMENT* const* sources, const ELEMENT* const* gradients,
                            const ELEMENT* threshold, ELEMENT decay, ELEMENT rest) {
  Fisher<RESTORE_TWICE> body = {teachers, students, sources, gradients, *threshold, decay, rest};
  visit_block({starts, first, total}, blockIdx.x, body);
}

KERNEL masked_average(const i64* starts, const int* first, i64 total, ELEMENT* const* teachers,
                      ELEMENT* const* students, const ELEMENT* const* gradients,
                      const ELEMENT* threshold, ELEMENT decay, ELEMENT rest) {
  Fisher<MASKED> body = {teachers, students, nullptr, gradients, *threshold, decay, rest};
  visit_block({starts, first, total}, blockIdx.x, body);
}
