/* Inner products of a batch for processors that multiply bfloats (AVX512_BF16): the factors are rounded to bfloat, the
   sums and what is written are floats. Weights are rounded on their way from memory, which holds them as floats.

   An instruction multiplies two pairs and adds both products to a float. Factors lie in pairs of steps: a step's even
   half first. What is missing of a pair, or of a row up to its padded length, is zero.

   Weights are read once, piece by piece, and a piece is used right after it was rounded: while it is, the next one is
   asked for, since nothing else would be read then. */
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("arch=x86-64-v4,avx512bf16"))), apply_to = function)

enum {
  /* What a block of registers holds, in rows and in vectors. */
  ROWS = 6,
  COLUMNS = 4,
  SPAN = COLUMNS * 16,
  /* Pairs of steps that are rounded at once, to stay in the first cache: 16 KiB. */
  PAIRS = 64,
  /* Steps of an inner product that are rounded at once, in 4 rows: 16 KiB. */
  RUN = 2048
};

#define MTL_INLINE static inline __attribute__((always_inline))

MTL_INLINE __mmask16 lanes(long left) { return left >= 16 ? 0xffff : (__mmask16)((1u << (left > 0 ? left : 0)) - 1); }

long mtl_bfloat_row(long steps) { return (steps + 31) / 32 * 32; }
long mtl_bfloat_pairs(long steps) { return (steps + 1) / 2; }
long mtl_bfloat_span(long columns) { return (columns + SPAN - 1) / SPAN * SPAN; }

/* 32 floats, those beyond `left` 0, in their order. */
MTL_INLINE __m512i round32(const float *x, long left) {
  __m512 low = _mm512_maskz_loadu_ps(lanes(left), x), high = _mm512_maskz_loadu_ps(lanes(left - 16), x + 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* 16 pairs of an element of `even` and one of `odd`. */
MTL_INLINE __m512i round_pairs(__m512 even, __m512 odd) {
  const __m512i order = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16,
      0);
  return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}

void mtl_bfloat_rows(long from, long to, long steps, const float *x, uint16_t *y) {
  long row = mtl_bfloat_row(steps);
  for (long r = from; r < to; r++)
    for (long s = 0; s < row; s += 32)
      _mm512_storeu_si512(y + r * row + s, round32(x + r * steps + s, steps - s));
}

void mtl_bfloat_columns(long from, long to, long steps, long columns, const float *x, uint32_t *y) {
  long row = mtl_bfloat_span(columns);
  for (long pair = from; pair < to; pair++) {
    const float *even = x + 2 * pair * columns, *odd = even + columns;
    bool has_odd = 2 * pair + 1 < steps;
    for (long i = 0; i < row; i += 16) {
      __mmask16 mask = lanes(columns - i);
      __m512 second = has_odd ? _mm512_maskz_loadu_ps(mask, odd + i) : _mm512_setzero_ps();
      _mm512_storeu_si512(y + pair * row + i, round_pairs(_mm512_maskz_loadu_ps(mask, even + i), second));
    }
  }
}

void mtl_bfloat_turned(long from, long to, long steps, long columns, const float *x, uint32_t *y) {
  long pairs = mtl_bfloat_pairs(steps);
  for (long i = from; i < to; i++)
    for (long pair = 0; pair < pairs; pair++) {
      const float *even = x + 2 * pair * columns + i;
      __m128 odd = 2 * pair + 1 < steps ? _mm_load_ss(even + columns) : _mm_setzero_ps();
      __m128i both = (__m128i)_mm_cvtneps_pbh(_mm_unpacklo_ps(_mm_load_ss(even), odd));
      y[i * pairs + pair] = (uint32_t)_mm_cvtsi128_si32(both);
    }
}

/* ---- Inner: rows of A times rows of B ---- */

MTL_INLINE void inner_block(
    int rows, int columns, long steps, const uint16_t *a, long a_row, const uint16_t *b, const float *next, bool adds,
    float *c, long c_row) {
  __m512 sums[ROWS][COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) sums[r][i] = _mm512_setzero_ps();
  }
  for (long s = 0; s < steps; s += 32) {
    __m512bh values[COLUMNS];
    __builtin_prefetch(next + s);
    __builtin_prefetch(next + s + 16);
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) values[i] = (__m512bh)_mm512_loadu_si512(b + i * RUN + s);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      __m512bh factor = (__m512bh)_mm512_loadu_si512(a + r * a_row + s);
#pragma clang loop unroll(full)
      for (int i = 0; i < columns; i++) sums[r][i] = _mm512_dpbf16_ps(sums[r][i], factor, values[i]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) {
      float total = _mm512_reduce_add_ps(sums[r][i]);
      c[r * c_row + i] = adds ? c[r * c_row + i] + total : total;
    }
  }
}

/* Each block of rows asks for one of the rows of B, `b_row` apart, that come `next`. */
static void inner_rows(
    long rows, int columns, long steps, const uint16_t *a, long a_row, const uint16_t *b, const float *next, long b_row,
    bool adds, float *c, long c_row) {
  long r = 0;
  if (columns == COLUMNS)
    for (; r + ROWS <= rows; r += ROWS)
      inner_block(
          ROWS, COLUMNS, steps, a + r * a_row, a_row, b, next + r / ROWS % COLUMNS * b_row, adds, c + r * c_row, c_row);
  for (; r < rows; r++)
    for (int i = 0; i < columns; i++)
      inner_block(1, 1, steps, a + r * a_row, a_row, b + i * RUN, next, adds, c + r * c_row + i, c_row);
}

void mtl_bfloat_inner(
    long from, long to, long rows, long steps, const uint16_t *a, const float *b, bool adds, float *c, long c_row) {
  uint16_t tile[COLUMNS * RUN];
  long a_row = mtl_bfloat_row(steps);
  for (long column = from; column < to; column += COLUMNS) {
    int columns = (int)(to - column < COLUMNS ? to - column : COLUMNS);
    for (long start = 0; start < steps; start += RUN) {
      long left = steps - start, count = left < RUN ? mtl_bfloat_row(left) : RUN;
      const float *here = b + column * steps + start;
      for (int i = 0; i < columns; i++)
        for (long s = 0; s < count; s += 32)
          _mm512_storeu_si512(tile + i * RUN + s, round32(here + i * steps + s, left - s));
      const float *next = left > RUN ? here + RUN : b + (column + COLUMNS) * steps;
      inner_rows(rows, columns, count, a + start, a_row, tile, next, steps, adds || start > 0, c + column, c_row);
    }
  }
}

/* ---- Outer: pairs of columns of A times pairs of rows of B ---- */

MTL_INLINE void outer_block(
    int rows, long pairs, const uint32_t *a, long a_row, const uint32_t *b, long b_row, const float *next,
    long next_row, bool adds, long width, float *c, long c_row) {
  __m512 sums[ROWS][COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < COLUMNS; i++) {
      sums[r][i] = _mm512_setzero_ps();
      __builtin_prefetch(c + r * c_row + i * 16, 1);
    }
  }
  for (long s = 0; s < pairs; s++, b += b_row) {
    __m512bh values[COLUMNS];
    __builtin_prefetch(next + 2 * s * next_row);
    __builtin_prefetch(next + (2 * s + 1) * next_row);
#pragma clang loop unroll(full)
    for (int i = 0; i < COLUMNS; i++) values[i] = (__m512bh)_mm512_loadu_si512(b + i * 16);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      __m512bh factor = (__m512bh)_mm512_set1_epi32((int)a[r * a_row + s]);
#pragma clang loop unroll(full)
      for (int i = 0; i < COLUMNS; i++) sums[r][i] = _mm512_dpbf16_ps(sums[r][i], factor, values[i]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < COLUMNS; i++) {
      float *out = c + r * c_row + i * 16;
      __mmask16 mask = lanes(width - i * 16);
      __m512 total = adds ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), sums[r][i]) : sums[r][i];
      _mm512_mask_storeu_ps(out, mask, total);
    }
  }
}

/* Each block of rows asks for 16 columns of what comes `next`, rows of floats `next_row` apart. */
MTL_INLINE void outer_rows(
    long rows, long pairs, const uint32_t *a, long a_row, const uint32_t *b, long b_row, const float *next,
    long next_row, bool adds, long width, float *c, long c_row) {
  long r = 0;
  for (; r + ROWS <= rows; r += ROWS)
    outer_block(
        ROWS, pairs, a + r * a_row, a_row, b, b_row, next + r / ROWS % COLUMNS * 16, next_row, adds, width, c + r * c_row,
        c_row);
  for (; r < rows; r++)
    outer_block(1, pairs, a + r * a_row, a_row, b, b_row, next, next_row, adds, width, c + r * c_row, c_row);
}

void mtl_bfloat_outer(
    long from, long to, long rows, long steps, const uint16_t *a, const float *b, long columns, float *c) {
  uint32_t tile[PAIRS * SPAN];
  long a_row = mtl_bfloat_row(steps) / 2;
  const uint32_t *a_pairs = (const uint32_t *)a;
  for (long start = 0; start < steps; start += 2 * PAIRS) {
    long left = steps - start, pairs = left < 2 * PAIRS ? mtl_bfloat_pairs(left) : PAIRS;
    for (long column = from; column < to; column += SPAN) {
      long width = to - column < SPAN ? to - column : SPAN;
      const float *here = b + start * columns + column;
      for (long pair = 0; pair < pairs; pair++) {
        const float *even = here + 2 * pair * columns, *odd = even + columns;
        bool has_odd = 2 * pair + 1 < left;
        for (long i = 0; i < SPAN; i += 16) {
          __mmask16 mask = lanes(width - i);
          __m512 second = has_odd ? _mm512_maskz_loadu_ps(mask, odd + i) : _mm512_setzero_ps();
          _mm512_storeu_si512(tile + pair * SPAN + i, round_pairs(_mm512_maskz_loadu_ps(mask, even + i), second));
        }
      }
      outer_rows(
          rows, pairs, a_pairs + start / 2, a_row, tile, SPAN, here + SPAN, columns, start > 0, width, c + column,
          columns);
    }
  }
}

void mtl_bfloat_gradient(
    long from, long to, long steps, const uint32_t *a, const uint32_t *b, long columns, bool adds, float *c) {
  long pairs = mtl_bfloat_pairs(steps), b_row = mtl_bfloat_span(columns);
  for (long row = from; row < to; row += ROWS) {
    long rows = to - row < ROWS ? to - row : ROWS;
    for (long column = 0; column < columns; column += SPAN) {
      float *out = c + row * columns + column;
      outer_rows(
          rows, pairs, a + row * pairs, pairs, b + column, b_row, out, 0, adds, columns - column, out, columns);
    }
  }
}

#pragma clang attribute pop
#else
/* Never called, since `mtl_has_bfloat` is false. */
long mtl_bfloat_row(long steps) { __builtin_trap(); }
long mtl_bfloat_pairs(long steps) { __builtin_trap(); }
long mtl_bfloat_span(long columns) { __builtin_trap(); }
void mtl_bfloat_rows(long from, long to, long steps, const float *x, uint16_t *y) { __builtin_trap(); }
void mtl_bfloat_columns(long from, long to, long steps, long columns, const float *x, uint32_t *y) { __builtin_trap(); }
void mtl_bfloat_turned(long from, long to, long steps, long columns, const float *x, uint32_t *y) { __builtin_trap(); }
void mtl_bfloat_inner(
    long from, long to, long rows, long steps, const uint16_t *a, const float *b, bool adds, float *c, long c_row) {
  __builtin_trap();
}
void mtl_bfloat_outer(
    long from, long to, long rows, long steps, const uint16_t *a, const float *b, long columns, float *c) {
  __builtin_trap();
}
void mtl_bfloat_gradient(
    long from, long to, long steps, const uint32_t *a, const uint32_t *b, long columns, bool adds, float *c) {
  __builtin_trap();
}
#endif
