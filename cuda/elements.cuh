// What the updates do to one element. `below`: its squared gradient is under the threshold.
#pragma once
#include "numbers.cuh"

template <class T>
HD T moved(T teacher, T student, T decay, T rest) {
  return add(mul(decay, teacher), mul(rest, student));
}

template <class T>
HD bool is_below(T gradient, T threshold) {
  return mul(gradient, gradient) < threshold;
}

// `student` before and `back` after the restoration; a teacher that is put back takes the latter.
template <class T>
HD T moved_twice(T teacher, T student, T back, bool below, T decay, T rest) {
  return below ? back : moved(moved(teacher, student, decay, rest), back, decay, rest);
}

template <class T>
HD T moved_where(T teacher, T student, bool below, T decay, T rest) {
  return below ? moved(teacher, student, decay, rest) : teacher;
}

template <class T>
HD T prior_gradient(T gradient, T away, T weight, T slope) {
  return add(gradient, mul(mul(weight, slope), away));
}

template <class T>
HD T prior_term(T away, T weight) {
  return mul(weight, mul(away, away));
}

template <class T>
HD T between(T first, T second, T fraction) {
  return add(first, mul(fraction, sub(second, first)));
}
