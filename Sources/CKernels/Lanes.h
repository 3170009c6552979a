/* Vectors of W floats and the functions of one argument on them. Included once for each W. */

typedef float MTL_JOIN(floats, W) __attribute__((ext_vector_type(W), aligned(4), may_alias));
typedef int32_t MTL_JOIN(ints, W) __attribute__((ext_vector_type(W), aligned(4), may_alias));
typedef uint8_t MTL_JOIN(bytes, W) __attribute__((ext_vector_type(W), aligned(1), may_alias));

#define floats MTL_JOIN(floats, W)
#define ints MTL_JOIN(ints, W)

MTL_INLINE floats MTL_JOIN(load, W)(const float *p) { return *(const floats *)p; }
MTL_INLINE void MTL_JOIN(store, W)(float *p, floats v) { *(floats *)p = v; }

MTL_INLINE floats MTL_JOIN(as_floats, W)(ints v) {
  floats f;
  __builtin_memcpy(&f, &v, sizeof f);
  return f;
}

MTL_INLINE ints MTL_JOIN(as_ints, W)(floats v) {
  ints i;
  __builtin_memcpy(&i, &v, sizeof i);
  return i;
}

/* e^x = 2^n e^r with |r| <= ln 2 / 2; e^r = 1 + r + r^2 p(r), p a minimax polynomial (relative error 3.4e-9).
   2^n is multiplied in two steps so that results below the normal range are rounded once and not lost. */
MTL_INLINE floats MTL_JOIN(exponential, W)(floats x) {
  const float magic = 0x1.8p23f; /* adding it rounds to an integer and leaves that in the low bits */
  floats clamped = x > 104.0f ? (floats)104.0f : x;
  clamped = clamped < -150.0f ? (floats)-150.0f : clamped;
  floats shifted;
  floats n;
  {
#pragma clang fp contract(off) reassociate(off)
    shifted = clamped * 0x1.715476p+0f + magic;
    n = shifted - magic;
  }
  floats r = clamped - n * 0x1.62ep-1f; /* ln 2 in two parts, the first exact when multiplied by n */
  r = r - n * 0x1.0bfbe8p-15f;
  floats p = 0x1.6a6cfep-10f * r + 0x1.123f7cp-7f;
  p = p * r + 0x1.55589cp-5f;
  p = p * r + 0x1.55548ap-3f;
  p = p * r + 0x1.fffffcp-2f;
  floats e = (p * r) * r + r + 1.0f;
  ints exponent = MTL_JOIN(as_ints, W)(shifted) - 0x4b400000;
  ints half = exponent >> 1;
  floats first = MTL_JOIN(as_floats, W)((half + 127) << 23);
  floats second = MTL_JOIN(as_floats, W)((exponent - half + 127) << 23);
  floats result = e * first * second;
  return x == x ? result : x;
}

/* ln x = k ln 2 + ln(1 + f), 1 + f in [sqrt(1/2), sqrt(2)); ln(1 + f) = f - f^2 / 2 + f^3 p(f), p a minimax polynomial
   (relative error 5.9e-9). */
MTL_INLINE floats MTL_JOIN(logarithm, W)(floats x) {
  ints tiny = x < 0x1p-126f;
  floats scaled = tiny ? x * 0x1p25f : x;
  ints bits = MTL_JOIN(as_ints, W)(scaled);
  ints k = (bits - 0x3f3504f3) >> 23;
  floats f = MTL_JOIN(as_floats, W)(bits - (k << 23)) - 1.0f;
  floats count = __builtin_convertvector(k + (tiny ? (ints)-25 : (ints)0), floats);
  floats p = -0x1.38d4ccp-4f * f + 0x1.057664p-3f;
  p = p * f - 0x1.0d8b4p-3f;
  p = p * f + 0x1.22d6a6p-3f;
  p = p * f - 0x1.54716ap-3f;
  p = p * f + 0x1.99a02cp-3f;
  p = p * f - 0x1.00022ap-2f;
  p = p * f + 0x1.555554p-2f;
  floats square = f * f;
  floats low = square * (f * p - 0.5f) + count * 0x1.0bfbe8p-15f;
  floats result = count * 0x1.62ep-1f + (f + low);
  result = x == 0.0f ? (floats)-__builtin_inff() : result;
  result = x < 0.0f ? (floats)__builtin_nanf("") : result;
  return x < __builtin_inff() ? result : x; /* infinity and NaN */
}

#undef floats
#undef ints
