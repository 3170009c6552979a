/* Elementwise functions and reductions: 16 elements at a time, then one by one. */

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
