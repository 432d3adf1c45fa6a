// Numbers: integer types, sums and products rounded one by one, narrow floats, keys of squares.
// No standard header: NVRTC, nvcc and g++ (-ffp-contract=off) read the same text.
#pragma once

#ifdef __CUDACC__
#define HD __host__ __device__ __forceinline__
#else
#define HD inline
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// The compiler may contract a product and a sum of plain operators; these it must not.
#ifdef __CUDA_ARCH__
HD float mul(float a, float b) { return __fmul_rn(a, b); }
HD float add(float a, float b) { return __fadd_rn(a, b); }
HD float sub(float a, float b) { return __fsub_rn(a, b); }
HD double mul(double a, double b) { return __dmul_rn(a, b); }
HD double add(double a, double b) { return __dadd_rn(a, b); }
HD double sub(double a, double b) { return __dsub_rn(a, b); }
#else
HD float mul(float a, float b) { return a * b; }
HD float add(float a, float b) { return a + b; }
HD float sub(float a, float b) { return a - b; }
HD double mul(double a, double b) { return a * b; }
HD double add(double a, double b) { return a + b; }
HD double sub(double a, double b) { return a - b; }
#endif

template <class To, class From>
HD To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  union {
    From from;
    To to;
  } either = {from};
  return either.to;
}

struct bfloat16 {
  u16 bits;
};

struct float16 {
  u16 bits;
};

HD float widened(float x) { return x; }
HD double widened(double x) { return x; }
HD float widened(bfloat16 x) { return same_bits<float>(u32(x.bits) << 16); }

HD float widened(float16 x) {
  const u32 sign = u32(x.bits & 0x8000) << 16, rest = x.bits & 0x7fff;
  if (rest >= 0x7c00)  // infinity, or not a number
    return same_bits<float>(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  if (rest >= 0x0400)  // the exponents differ by 127 - 15
    return same_bits<float>(sign | ((rest << 13) + (112u << 23)));
  const float subnormal = mul(float(rest), 5.9604644775390625e-8f);  // 2^-24
  return same_bits<float>(sign | same_bits<u32>(subnormal));
}

// A square's bits without the sign rise with its value, and a NaN, which may carry one, comes last.
HD u32 square_key(float g) { return same_bits<u32>(mul(g, g)) & 0x7fffffffu; }
HD u64 square_key(double g) { return same_bits<u64>(mul(g, g)) & 0x7fffffffffffffffull; }
HD void key_value(u64 key, float& value) { value = same_bits<float>(u32(key)); }
HD void key_value(u64 key, double& value) { value = same_bits<double>(key); }
