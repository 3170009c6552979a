/* The backward passes of Patches.h for gradients of which most is zero: behind a maximum pooling one position of a window
   has all of it, behind a rectifier half of the positions have none. What is not zero is listed once for each piece of
   positions, and the products run over the lists. A zero times a value that is no number counts as nothing here. */

#define floats MTL_JOIN(floats, MTL_WIDTH)
#define load MTL_JOIN(load, MTL_WIDTH)
#define store MTL_JOIN(store, MTL_WIDTH)

/* A bit for each of up to 64 values: whether it is not zero. */
MTL_INLINE uint64_t patch_bits(const float *values, long count) {
  uint64_t bits = 0;
  for (long i = 0; i < count; i += 16)
    bits |= (uint64_t)nonzero16(load_lanes(values + i, count - i < 16 ? count - i : 16)) << i;
  return bits;
}

/* c[r][i] (+)= the sum over the listed s of a[r * a_row + s] * b[places[s] + i], for `rows` rows and `columns` vectors. */
MTL_INLINE void listed_block(
    int rows, int columns, long count, const int32_t *places, const float *a, long a_row, const float *b, bool adds,
    float *c, long c_row) {
  floats sums[ROWS][2 * COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) sums[r][i] = adds ? load(c + r * c_row + i * MTL_WIDTH) : (floats)0;
  }
  for (long s = 0; s < count; s++) {
    const float *from = b + places[s];
    floats values[2 * COLUMNS];
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) values[i] = load(from + i * MTL_WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      float factor = a[r * a_row + s];
#pragma clang loop unroll(full)
      for (int i = 0; i < columns; i++) sums[r][i] += factor * values[i];
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < columns; i++) store(c + r * c_row + i * MTL_WIDTH, sums[r][i]);
  }
}

/* Floats in a block of one row, which leaves registers for more columns. */
enum { WIDE_SPAN = 2 * SPAN };

#define LISTED(rows, columns) \
  listed_block(rows, columns, count, places, a + r * a_row, a_row, b, adds, c + r * c_row, c_row)
#define LISTED_ROWS(columns)                                                                                           \
  do {                                                                                                                 \
    long r = 0;                                                                                                        \
    for (; r + ROWS <= rows; r += ROWS) LISTED(ROWS, columns);                                                         \
    for (; r + 3 <= rows; r += 3) LISTED(3, columns);                                                                  \
    for (; r + 2 <= rows; r += 2) LISTED(2, columns);                                                                  \
    if (r < rows) LISTED(1, columns);                                                                                  \
  } while (0)

/* All rows of up to WIDE_SPAN columns, whole vectors. */
static void listed_rows(
    long rows, long width, long count, const int32_t *places, const float *a, long a_row, const float *b, bool adds,
    float *c, long c_row) {
  if (rows == 1 && width == WIDE_SPAN) {
    long r = 0;
    LISTED(1, 2 * COLUMNS);
    return;
  }
  for (; width >= SPAN; width -= SPAN, b += SPAN, c += SPAN) LISTED_ROWS(COLUMNS);
  for (; width >= 2 * MTL_WIDTH; width -= 2 * MTL_WIDTH, b += 2 * MTL_WIDTH, c += 2 * MTL_WIDTH) LISTED_ROWS(2);
  for (; width > 0; width -= MTL_WIDTH, b += MTL_WIDTH, c += MTL_WIDTH) LISTED_ROWS(1);
}

/* What is not zero in a piece: lists with the places of what it is multiplied with and its values. */
struct patch_lists {
  int32_t *counts, *places;
  float *values;
  /* Behind them. */
  float *end;
};

static struct patch_lists patch_lists(const mtl_patches *p, long tasks, float *memory) {
  struct patch_lists lists;
  lists.counts = (int32_t *)memory;
  lists.places = lists.counts + mtl_patch_list_count(p);
  lists.values = (float *)(lists.places + p->top_channels * PATCH_SPAN);
  lists.end = lists.values + tasks * p->top_channels * PATCH_SPAN;
  return lists;
}

/* Whether lists are less work than whole matrices for `count` positions from `start` on. With few taps they never are. */
static bool patch_is_sparse(const mtl_patches *p, long tasks, const float *const *dtops, long start, long count) {
  if (mtl_patch_taps(p) < MTL_PATCH_LISTED_TAPS || p->kernel[1] > WIDE_SPAN) return false;
  long positions = p->top[0] * p->top[1], listed = 0;
  for (long k = 0; k < p->top_channels; k++, start += positions) {
    uint64_t bits = 0;
    for (long t = 0; t < tasks; t++) bits |= patch_bits(dtops[t] + start, count);
    listed += __builtin_popcountll(bits);
  }
  return 2 * listed < p->top_channels * count;
}

/* For each channel the positions that have a gradient, of any task, with the values of all tasks. A list has room for
   PATCH_SPAN. */
static void patch_list_positions(
    const mtl_patches *p, long tasks, const float *const *dtops, long start, long count, struct patch_lists *lists) {
  long positions = p->top[0] * p->top[1], row = mtl_patch_row(p);
  int32_t *places = lists->places;
  float *values = lists->values;
  for (long k = 0; k < p->top_channels; k++, start += positions, places += PATCH_SPAN, values += tasks * PATCH_SPAN) {
    uint64_t bits = 0;
    for (long t = 0; t < tasks; t++) bits |= patch_bits(dtops[t] + start, count);
    long n = 0;
    for (; bits; bits &= bits - 1, n++) {
      long i = __builtin_ctzll(bits);
      places[n] = (int32_t)(i * row);
      for (long t = 0; t < tasks; t++) values[t * PATCH_SPAN + n] = dtops[t][start + i];
    }
    lists->counts[k] = (int32_t)n;
  }
}

/* For each position the channels that have a gradient. A list has room for all. */
static void patch_list_channels(const mtl_patches *p, const float *dtop, long count, struct patch_lists *lists) {
  long positions = p->top[0] * p->top[1], channels = p->top_channels;
  memset(lists->counts, 0, (size_t)count * sizeof *lists->counts);
  for (long k = 0; k < channels; k++, dtop += positions)
    for (uint64_t bits = patch_bits(dtop, count); bits; bits &= bits - 1) {
      long i = __builtin_ctzll(bits), at = i * channels + lists->counts[i]++;
      lists->places[at] = (int32_t)(k * WIDE_SPAN);
      lists->values[at] = dtop[i];
    }
}

/* Taps in a block: as many rows of the window as fill WIDE_SPAN. */
MTL_INLINE long patch_block(const mtl_patches *p) { return WIDE_SPAN / p->kernel[1] * p->kernel[1]; }

/* The weights in blocks, so that a block of all channels stays in the first cache. */
static void patch_pack(const mtl_patches *p, const float *weights, float *packed) {
  long taps = mtl_patch_taps(p), block = patch_block(p);
  for (long tap = 0; tap < taps; tap += block) {
    long width = taps - tap < block ? taps - tap : block;
    for (long k = 0; k < p->top_channels; k++, packed += WIDE_SPAN) {
      memcpy(packed, weights + k * taps + tap, (size_t)width * sizeof *packed);
      memset(packed + width, 0, (size_t)(WIDE_SPAN - width) * sizeof *packed);
    }
  }
}

/* Adds `count` floats; up to 8 of zero are added behind them. */
MTL_INLINE void patch_add(float *to, const float *from, long count) {
  const ints8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
  long i = 0;
  for (; i + 8 <= count; i += 8) store8(to + i, load8(to + i) + load8(from + i));
  if (i < count) {
    floats8 rest = lane < (int32_t)(count - i) ? load8(from + i) : (floats8)0;
    store8(to + i, load8(to + i) + rest);
  }
}

/* A position's block of taps back to where its window lies: `lines` rows of windows `width` wide, from row `line` of all
   channels' on. */
MTL_INLINE void patch_scatter_block(
    const mtl_patches *p, long width, long line, long lines, const float *from, float *corner) {
  long pitch = mtl_patch_width(p), plane = mtl_patch_plane(p), height = p->kernel[0];
  float *to = corner + line / height * plane + line % height * pitch;
  for (long y = line % height; lines > 0; lines--, from += width) {
    patch_add(to, from, width);
    y++;
    to += y < height ? pitch : plane - (height - 1) * pitch;
    if (y == height) y = 0;
  }
}

/* Adds to the padded gradient of the bottom what `count` positions from `start` on have: the listed channels' weights times
   their values. */
static void patch_listed_data(
    const mtl_patches *p, long start, long count, const struct patch_lists *lists, const float *packed, float *padded) {
  enum { GROUP = 8 };
  float tile[GROUP * WIDE_SPAN + 8];
  long taps = mtl_patch_taps(p), block = patch_block(p), channels = p->top_channels, pitch = mtl_patch_width(p);
  for (long tap = 0; tap < taps; tap += block, packed += channels * WIDE_SPAN) {
    long used = taps - tap < block ? taps - tap : block, width = (used + MTL_WIDTH - 1) / MTL_WIDTH * MTL_WIDTH;
    long line = tap / p->kernel[1], lines = used / p->kernel[1];
    for (long first = 0; first < count; first += GROUP) {
      long group = count - first < GROUP ? count - first : GROUP;
      for (long i = first; i < first + group; i++)
        listed_rows(
            1, width, lists->counts[i], lists->places + i * channels, lists->values + i * channels, 0, packed, false,
            tile + (i - first) * WIDE_SPAN, 0);
      for (long i = 0; i < group; i++) {
        long place = start + first + i;
        float *corner = padded + place / p->top[1] * pitch + place % p->top[1];
        const float *from = tile + i * WIDE_SPAN;
        switch (p->kernel[1]) {
        case 3: patch_scatter_block(p, 3, line, lines, from, corner); break;
        case 5: patch_scatter_block(p, 5, line, lines, from, corner); break;
        default: patch_scatter_block(p, p->kernel[1], line, lines, from, corner);
        }
      }
    }
  }
}

/* Adds to the gradients of the weights, of all tasks, from rows of all taps for each position. */
static void patch_listed_weights(
    const mtl_patches *p, long tasks, const struct patch_lists *lists, const float *rows, float *dweights) {
  long row = mtl_patch_row(p), columns = whole_vectors(mtl_patch_taps(p)), channels = p->top_channels;
  long span = tasks == 1 ? WIDE_SPAN : SPAN;
  for (long block = 0; block < columns; block += span) {
    long width = columns - block < span ? columns - block : span;
    for (long k = 0; k < channels; k++)
      listed_rows(
          tasks, width, lists->counts[k], lists->places + k * PATCH_SPAN, lists->values + k * tasks * PATCH_SPAN,
          PATCH_SPAN, rows + block, true, dweights + k * row + block, channels * row);
  }
}

#undef LISTED_ROWS
#undef LISTED
#undef floats
#undef load
#undef store
