/* Elementwise functions and reductions: 16 elements at a time, then one by one. */

/* The first `lanes` of 16 floats, the others 0. */
MTL_INLINE floats16 load_lanes(const float *p, long lanes) {
  if (lanes == 16) return load16(p);
  floats16 v = 0;
  for (long i = 0; i < lanes; i++) v[i] = p[i];
  return v;
}

MTL_INLINE void store_lanes(float *p, floats16 v, long lanes) {
  if (lanes == 16) {
    store16(p, v);
  } else {
    for (long i = 0; i < lanes; i++) p[i] = v[i];
  }
}

static void axpby(long count, float a, const float *x, float b, float *y) {
  if (b == 0) {
    for (long i = 0; i < count; i++) y[i] = a * x[i];
  } else if (b == 1) {
    for (long i = 0; i < count; i++) y[i] = a * x[i] + y[i];
  } else {
    for (long i = 0; i < count; i++) y[i] = a * x[i] + b * y[i];
  }
}

static void multiply(long count, const float *x, const float *y, float *z) {
  for (long i = 0; i < count; i++) z[i] = x[i] * y[i];
}

static void exponential(long count, const float *x, float *y) {
  long i = 0;
  for (; i + 16 <= count; i += 16) store16(y + i, exponential16(load16(x + i)));
  for (; i < count; i++) store1(y + i, exponential1(load1(x + i)));
}

static void logarithm(long count, const float *x, float *y) {
  long i = 0;
  for (; i + 16 <= count; i += 16) store16(y + i, logarithm16(load16(x + i)));
  for (; i < count; i++) store1(y + i, logarithm1(load1(x + i)));
}

typedef double doubles16 __attribute__((ext_vector_type(16)));

/* Sums `term(i)`, a vector of 16 doubles from element i on, and `single(i)` of what is left. */
#define MTL_REDUCE(term, single)                                                                                       \
  doubles16 first = 0, second = 0;                                                                                     \
  long i = 0;                                                                                                          \
  for (; i + 32 <= count; i += 32) {                                                                                   \
    first += term(i);                                                                                                  \
    second += term(i + 16);                                                                                            \
  }                                                                                                                    \
  if (i + 16 <= count) {                                                                                               \
    first += term(i);                                                                                                  \
    i += 16;                                                                                                           \
  }                                                                                                                    \
  first += second;                                                                                                     \
  double total = 0;                                                                                                    \
  for (int lane = 0; lane < 16; lane++) total += first[lane];                                                          \
  for (; i < count; i++) total += single(i);                                                                           \
  return total;

static double dot(long count, const float *x, const float *y) {
#define MTL_TERM(i) (__builtin_convertvector(load16(x + (i)), doubles16) *                                             \
                     __builtin_convertvector(load16(y + (i)), doubles16))
#define MTL_SINGLE(i) ((double)x[i] * y[i])
  MTL_REDUCE(MTL_TERM, MTL_SINGLE)
#undef MTL_TERM
#undef MTL_SINGLE
}

static double sum(long count, const float *x) {
#define MTL_TERM(i) __builtin_convertvector(load16(x + (i)), doubles16)
#define MTL_SINGLE(i) (double)x[i]
  MTL_REDUCE(MTL_TERM, MTL_SINGLE)
#undef MTL_TERM
#undef MTL_SINGLE
}

static double absolute_sum(long count, const float *x) {
#define MTL_TERM(i) __builtin_convertvector(__builtin_elementwise_abs(load16(x + (i))), doubles16)
#define MTL_SINGLE(i) __builtin_fabs((double)x[i])
  MTL_REDUCE(MTL_TERM, MTL_SINGLE)
#undef MTL_TERM
#undef MTL_SINGLE
}

static bool is_finite(long count, const float *x) {
  const int32_t exponent = 0x7f800000;
  long i = 0;
  while (i + 16 <= count) {
    /* In blocks, so that a bad value ends it early. */
    long end = count - 15 < i + 4096 ? count - 15 : i + 4096;
    ints16 bad = 0;
    for (; i < end; i += 16) bad |= (as_ints16(load16(x + i)) & exponent) == exponent;
    if (__builtin_reduce_or(bad)) return false;
  }
  for (; i < count; i++)
    if (!(__builtin_fabsf(x[i]) < __builtin_inff())) return false;
  return true;
}

static void set_rows(long rows, long columns, const float *bias, float *y) {
  for (long row = 0; row < rows; row++) memcpy(y + row * columns, bias, (size_t)columns * sizeof *y);
}

static void sum_rows(long rows, long columns, const float *x, bool adds, float *y) {
  long i = 0;
  for (; i + 16 <= columns; i += 16) {
    floats16 total = adds ? load16(y + i) : (floats16)0;
    for (long row = 0; row < rows; row++) total += load16(x + row * columns + i);
    store16(y + i, total);
  }
  for (; i < columns; i++) {
    float total = adds ? y[i] : 0;
    for (long row = 0; row < rows; row++) total += x[row * columns + i];
    y[i] = total;
  }
}

static void rectify(long count, float slope, const float *x, float *y) {
  if (slope == 0) {
    for (long i = 0; i < count; i++) y[i] = x[i] < 0 ? 0 : x[i];
  } else {
    for (long i = 0; i < count; i++) y[i] = x[i] < 0 ? slope * x[i] : x[i];
  }
}

static void rectify_backward(long count, float slope, const float *reference, const float *dy, float *dx) {
  for (long i = 0; i < count; i++) dx[i] = reference[i] > 0 ? dy[i] : slope * dy[i];
}

/* (1 - e^-2|x|) / (1 + e^-2|x|), and near 0, where that loses digits, the series
   x - x^3/3 + 2 x^5/15 - 17 x^7/315 + 62 x^9/2835. */
MTL_INLINE floats16 hyperbolic_tangent16(floats16 x) {
  floats16 q = x * x;
  floats16 p = 0x1.664f48p-6f * q - 0x1.ba1ba2p-5f;
  p = p * q + 0x1.111112p-3f;
  p = p * q - 0x1.555556p-2f;
  floats16 series = x + x * (q * p);
  floats16 e = exponential16(-2.0f * __builtin_elementwise_abs(x));
  floats16 magnitude = (1.0f - e) / (1.0f + e);
  return q < 0.0625f ? series : x < 0.0f ? -magnitude : magnitude;
}

static void hyperbolic_tangent(long count, const float *x, float *y) {
  long i = 0;
  for (; i + 16 <= count; i += 16) store16(y + i, hyperbolic_tangent16(load16(x + i)));
  if (i < count) store_lanes(y + i, hyperbolic_tangent16(load_lanes(x + i, count - i)), count - i);
}

static void hyperbolic_tangent_backward(long count, const float *y, const float *dy, float *dx) {
  for (long i = 0; i < count; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
}

MTL_INLINE floats16 absolute_backward16(floats16 x, floats16 dy) {
  floats16 signed_dy = as_floats16(as_ints16(dy) ^ (as_ints16(x) & INT32_MIN));
  floats16 product = x * dy; /* 0 at 0, and a NaN goes on */
  signed_dy = x == 0.0f ? product : signed_dy;
  return x == x ? signed_dy : product;
}

static void absolute_backward(long count, const float *x, const float *dy, float *dx) {
  long i = 0;
  for (; i + 16 <= count; i += 16) store16(dx + i, absolute_backward16(load16(x + i), load16(dy + i)));
  if (i < count) {
    floats16 value = absolute_backward16(load_lanes(x + i, count - i), load_lanes(dy + i, count - i));
    store_lanes(dx + i, value, count - i);
  }
}

typedef uint16_t halves16 __attribute__((ext_vector_type(16), aligned(2), may_alias));

MTL_INLINE floats16 widen16(halves16 v) { return as_floats16(__builtin_convertvector(v, ints16) << 16); }

/* To the nearest, ties to even; a NaN stays one. */
MTL_INLINE halves16 halve16(floats16 v) {
  ints16 bits = as_ints16(v);
  ints16 rounded = bits + 0x7fff + ((bits >> 16) & 1);
  rounded = v == v ? rounded : (bits | 0x400000);
  return __builtin_convertvector(rounded >> 16, halves16);
}

/* 16 channels at element `at` of a blob, which is of floats or of bfloats. */
MTL_INLINE floats16 read_channels(const void *blob, bool is_half, long at) {
  return is_half ? widen16(*(const halves16 *)((const uint16_t *)blob + at)) : load16((const float *)blob + at);
}

MTL_INLINE void write_channels(void *blob, bool is_half, long at, floats16 v) {
  if (is_half)
    *(halves16 *)((uint16_t *)blob + at) = halve16(v);
  else
    store16((float *)blob + at, v);
}

/* Element `at` of such a blob. */
MTL_INLINE float read_value(const void *blob, bool is_half, long at) {
  return is_half ? as_floats1((ints1)((int32_t)((const uint16_t *)blob)[at] << 16))[0] : ((const float *)blob)[at];
}

/* A bit for each channel: whether it is not zero. NaN is not. */
MTL_INLINE uint32_t nonzero16(floats16 v) {
  typedef bool bools16 __attribute__((ext_vector_type(16)));
  bools16 differs = __builtin_convertvector(v != 0, bools16);
  uint16_t bits;
  memcpy(&bits, &differs, sizeof bits);
  return bits;
}
