/* Matrix products with few rows, as inner products of a batch have them: C (rows x columns) = A B, or added to C.

   Libraries rearrange both factors first, which pays for large products. Here the weights, much the largest of the
   three, are read or written just once and in their own order. A block of ROWS x COLUMNS vectors of C is kept in
   registers. The order of additions depends on the shapes alone. */

#define floats MTL_JOIN(floats, MTL_WIDTH)
#define load MTL_JOIN(load, MTL_WIDTH)
#define store MTL_JOIN(store, MTL_WIDTH)

enum {
  ROWS = MTL_BLOCK_ROWS,
  COLUMNS = MTL_BLOCK_COLUMNS,
  /* Floats in a block's row. */
  SPAN = MTL_BLOCK_COLUMNS * MTL_WIDTH,
  /* Steps whose rows of B are gathered at once, to lie one behind the other in the first cache. */
  STEPS = 64
};

/* c[r][i] (+)= the sum over s of a[r * a_row + s * a_step] * b[s * b_step + i], for `rows` rows and `columns` vectors. */
MTL_INLINE void outer_block(
    int rows, int columns, long steps, const float *a, long a_row, long a_step, const float *b, long b_step, bool adds,
    float *c, long c_row) {
  floats sums[ROWS][COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) {
      sums[r][i] = 0;
      __builtin_prefetch(c + r * c_row + i * MTL_WIDTH, 1);
    }
  }
  for (long s = 0; s < steps; s++, a += a_step, b += b_step) {
    floats values[COLUMNS];
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) values[i] = load(b + i * MTL_WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      float factor = a[r * a_row];
#pragma clang loop unroll(full)
      for (int i = 0; i < columns; i++) sums[r][i] += factor * values[i];
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) {
      float *out = c + r * c_row + i * MTL_WIDTH;
      store(out, adds ? load(out) + sums[r][i] : sums[r][i]);
    }
  }
}

/* The same for what is left of a row, one element at a time. */
static void outer_rest(
    long rows, long width, long steps, const float *a, long a_row, long a_step, const float *b, long b_step, bool adds,
    float *c, long c_row) {
  for (long r = 0; r < rows; r++) {
    for (long i = 0; i < width; i++) {
      float total = 0;
      for (long s = 0; s < steps; s++) total += a[r * a_row + s * a_step] * b[s * b_step + i];
      c[r * c_row + i] = adds ? c[r * c_row + i] + total : total;
    }
  }
}

#define OUTER_ROWS(columns)                                                                                            \
  do {                                                                                                                 \
    long r = 0;                                                                                                        \
    for (; r + ROWS <= rows; r += ROWS)                                                                                \
      outer_block(ROWS, columns, steps, a + r * a_row, a_row, a_step, b, b_step, adds, c + r * c_row, c_row);          \
    for (; r + 2 <= rows; r += 2)                                                                                      \
      outer_block(2, columns, steps, a + r * a_row, a_row, a_step, b, b_step, adds, c + r * c_row, c_row);             \
    for (; r < rows; r++)                                                                                              \
      outer_block(1, columns, steps, a + r * a_row, a_row, a_step, b, b_step, adds, c + r * c_row, c_row);             \
  } while (0)

/* All rows of up to SPAN columns. */
static void outer_rows(
    long rows, long width, long steps, const float *a, long a_row, long a_step, const float *b, long b_step, bool adds,
    float *c, long c_row) {
  if (width == SPAN) {
    OUTER_ROWS(COLUMNS);
    return;
  }
  for (; COLUMNS > 2 && width >= 2 * MTL_WIDTH; width -= 2 * MTL_WIDTH, b += 2 * MTL_WIDTH, c += 2 * MTL_WIDTH)
    OUTER_ROWS(2);
  for (; width >= MTL_WIDTH; width -= MTL_WIDTH, b += MTL_WIDTH, c += MTL_WIDTH) OUTER_ROWS(1);
  outer_rest(rows, width, steps, a, a_row, a_step, b, b_step, adds, c, c_row);
}

/* `count` rows of `width` floats, at most SPAN, one behind the other. The next ones to the right are asked for. */
static void gather(long count, long width, const float *b, long b_step, float *tile) {
  for (long s = 0; s < count; s++) {
    memcpy(tile + s * SPAN, b + s * b_step, (size_t)width * sizeof *b);
    for (long i = 0; i < SPAN; i += 16) __builtin_prefetch(b + s * b_step + SPAN + i);
  }
}

static void product_outer(
    long from, long to, long rows, long steps, const float *a, long a_row, long a_step, const float *b, long b_row,
    bool adds, float *c, long c_row) {
  float tile[STEPS * SPAN];
  /* Gathering pays when more than one block of rows reads it. */
  bool gathers = rows > ROWS;
  for (long start = 0; start < steps; start += STEPS) {
    long count = steps - start < STEPS ? steps - start : STEPS;
    for (long column = from; column < to; column += SPAN) {
      long width = to - column < SPAN ? to - column : SPAN;
      const float *place = b + start * b_row + column;
      if (gathers) gather(count, width, place, b_row, tile);
      outer_rows(
          rows, width, count, a + start * a_step, a_row, a_step, gathers ? tile : place, gathers ? SPAN : b_row,
          adds || start > 0, c + column, c_row);
    }
  }
}

MTL_INLINE float add_all(floats v) {
#pragma clang loop unroll(full)
  for (int half = MTL_WIDTH / 2; half > 0; half /= 2) {
#pragma clang loop unroll(full)
    for (int i = 0; i < half; i++) v[i] += v[i + half];
  }
  return v[0];
}

/* c[r][i] += the sum over s of a[r * a_row + s] * b[i * b_row + s]; steps is a multiple of the width. */
MTL_INLINE void dot_block(
    int rows, int columns, long steps, const float *a, long a_row, const float *b, long b_row, float *c, long c_row) {
  floats sums[ROWS][COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) sums[r][i] = 0;
  }
  for (long s = 0; s < steps; s += MTL_WIDTH) {
    floats values[COLUMNS];
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) values[i] = load(b + i * b_row + s);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      floats factor = load(a + r * a_row + s);
#pragma clang loop unroll(full)
      for (int i = 0; i < columns; i++) sums[r][i] += factor * values[i];
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) c[r * c_row + i] += add_all(sums[r][i]);
  }
}

#define DOT_ROWS(columns)                                                                                              \
  do {                                                                                                                 \
    long r = 0;                                                                                                        \
    for (; r + ROWS <= rows; r += ROWS)                                                                                \
      dot_block(ROWS, columns, whole, a + r * a_row, a_row, b, b_row, c + r * c_row, c_row);                           \
    for (; r + 2 <= rows; r += 2) dot_block(2, columns, whole, a + r * a_row, a_row, b, b_row, c + r * c_row, c_row);  \
    for (; r < rows; r++) dot_block(1, columns, whole, a + r * a_row, a_row, b, b_row, c + r * c_row, c_row);          \
  } while (0)

/* Adds the products over `steps` steps to `columns` columns of C, at most COLUMNS. */
static void dot_rows(
    long rows, long columns, long steps, const float *a, long a_row, const float *b, long b_row, float *c, long c_row) {
  long whole = steps / MTL_WIDTH * MTL_WIDTH;
  if (whole < steps) {
    for (long r = 0; r < rows; r++)
      for (long i = 0; i < columns; i++)
        for (long s = whole; s < steps; s++) c[r * c_row + i] += a[r * a_row + s] * b[i * b_row + s];
  }
  if (columns == COLUMNS) {
    DOT_ROWS(COLUMNS);
    return;
  }
  for (; columns > 0; columns--, b += b_row, c++) DOT_ROWS(1);
}

/* The rows of A are taken in runs that stay in the second cache. */
static void product_inner(
    long from, long to, long rows, long steps, const float *a, const float *b, float *c, long c_row) {
  long run = 65536 / (rows > 0 ? rows : 1) / 64 * 64;
  if (run < 64) run = 64;
  for (long start = 0; start < steps; start += run) {
    long count = steps - start < run ? steps - start : run;
    for (long column = from; column < to; column += COLUMNS) {
      long columns = to - column < COLUMNS ? to - column : COLUMNS;
      dot_rows(rows, columns, count, a + start, steps, b + column * steps + start, steps, c + column, c_row);
    }
  }
}

#undef OUTER_ROWS
#undef DOT_ROWS
#undef floats
#undef load
#undef store
