/* Convolutions of one group and step 1 over two axes as products of the weights and the patches that windows see, for
   channels that would leave blocks of 16 half empty. Images are plain. Patches are gathered piece by piece, so that they
   stay in the second cache: for the top and the bottom's gradient a row for each tap and a column for each position, for
   the weights' gradient the other way round.

   Copies are of 16 floats and run over their end, where what comes next is written later; products are of whole vectors.
   Buffers have room for both. */

/* Taps whose products are added at once: their patches stay in the first cache. */
enum { PATCH_TAPS = MTL_PATCH_TAPS, PATCH_SPAN = MTL_PATCH_SPAN };

MTL_INLINE long whole_vectors(long count) { return (count + 15) / 16 * 16; }

#include "SparsePatches.h"

/* An image with its padding. */
static void patch_pad(const mtl_patches *p, const float *bottom, float *padded) {
  long width = mtl_patch_width(p), plane = mtl_patch_plane(p), bytes = p->bottom[1] * (long)sizeof *bottom;
  if (p->pad[0] || p->pad[1]) memset(padded, 0, (size_t)(p->bottom_channels * plane) * sizeof *padded);
  for (long c = 0; c < p->bottom_channels; c++)
    for (long y = 0; y < p->bottom[0]; y++, bottom += p->bottom[1])
      memcpy(padded + c * plane + (y + p->pad[0]) * width + p->pad[1], bottom, (size_t)bytes);
}

/* A run of positions in one row of the top: where it begins in the piece and in the padded image, and its length. */
struct patch_run {
  long column, place, length;
};

/* The runs of `count` positions from `start` on. */
static long patch_runs(const mtl_patches *p, long start, long count, struct patch_run *runs) {
  long n = 0;
  for (long done = 0; done < count; n++) {
    long y = (start + done) / p->top[1], x = (start + done) % p->top[1];
    long length = p->top[1] - x < count - done ? p->top[1] - x : count - done;
    runs[n] = (struct patch_run){done, y * mtl_patch_width(p) + x, length};
    done += length;
  }
  return n;
}

/* Where a tap begins in the padded image. */
MTL_INLINE long patch_tap_place(const mtl_patches *p, long tap) {
  long x = tap % p->kernel[1], y = tap / p->kernel[1] % p->kernel[0], c = tap / (p->kernel[0] * p->kernel[1]);
  return c * mtl_patch_plane(p) + y * mtl_patch_width(p) + x;
}

MTL_INLINE void patch_copy(float *to, const float *from, long count) {
  if (count <= 8)
    store8(to, load8(from));
  else
    for (long i = 0; i < count; i += 16) store16(to + i, load16(from + i));
}

static void patch_gather(
    const mtl_patches *p, long from, long to, const struct patch_run *runs, long count, const float *padded,
    float *rows) {
  for (long tap = from; tap < to; tap++, rows += PATCH_SPAN) {
    const float *source = padded + patch_tap_place(p, tap);
    for (long r = 0; r < count; r++) patch_copy(rows + runs[r].column, source + runs[r].place, runs[r].length);
  }
}

/* C (rows x columns) = A B, or added to C, `columns` a multiple of 16; A and B as in `outer_rows`. */
MTL_INLINE void patch_product(
    long rows, long columns, long steps, const float *a, long a_row, long a_step, const float *b, long b_step, bool adds,
    float *c, long c_row) {
  for (long column = 0; column < columns; column += SPAN) {
    long width = columns - column < SPAN ? columns - column : SPAN;
    outer_rows(rows, width, steps, a, a_row, a_step, b + column, b_step, adds, c + column, c_row);
  }
}

static void patch_finish(
    const mtl_patches *p, long columns, const mtl_epilogue *epilogue, const float *from, long from_row, float *top,
    long place, long to_row) {
  for (long k = 0; k < p->top_channels; k++, from += from_row, place += to_row) {
    float shift = epilogue->bias ? epilogue->bias[k] : 0, *to = top + place;
    const float *addend = epilogue->addend ? (const float *)epilogue->addend + place : NULL;
    if (addend)
      for (long i = 0; i < columns; i++) to[i] = from[i] + shift + addend[i];
    else
      for (long i = 0; i < columns; i++) to[i] = from[i] + shift;
    if (epilogue->rectifies)
      for (long i = 0; i < columns; i++) to[i] = to[i] < 0 ? 0 : to[i];
  }
}

/* Units are pieces of positions, numbered image by image. */
static void patches_forward(
    long from, long to, const mtl_patches *p, const float *bottom, const float *weights, const mtl_epilogue *epilogue,
    float *top, float *scratch) {
  long positions = p->top[0] * p->top[1], taps = mtl_patch_taps(p), pieces = mtl_patch_pieces(p), known = -1;
  float *padded = scratch, *rows = padded + mtl_patch_padded(p), *tile = rows + MTL_PATCH_ROWS;
  struct patch_run runs[PATCH_SPAN];
  for (long piece = from; piece < to; piece++) {
    long image = piece / pieces, start = piece % pieces * PATCH_SPAN;
    long columns = positions - start < PATCH_SPAN ? positions - start : PATCH_SPAN;
    if (image != known) patch_pad(p, bottom + image * p->bottom_channels * p->bottom[0] * p->bottom[1], padded);
    known = image;
    long count = patch_runs(p, start, columns, runs);
    for (long tap = 0; tap < taps; tap += PATCH_TAPS) {
      long steps = taps - tap < PATCH_TAPS ? taps - tap : PATCH_TAPS;
      patch_gather(p, tap, tap + steps, runs, count, padded, rows);
      patch_product(
          p->top_channels, whole_vectors(columns), steps, weights + tap, taps, 1, rows, PATCH_SPAN, tap > 0, tile,
          PATCH_SPAN);
    }
    patch_finish(
        p, columns, epilogue, tile, PATCH_SPAN, top, image * p->top_channels * positions + start, positions);
  }
}

static void patch_scatter(
    const mtl_patches *p, long from, long to, const struct patch_run *runs, long count, const float *rows,
    float *padded) {
  for (long tap = from; tap < to; tap++, rows += PATCH_SPAN) {
    float *target = padded + patch_tap_place(p, tap);
    for (long r = 0; r < count; r++) {
      const float *source = rows + runs[r].column;
      float *out = target + runs[r].place;
      long i = 0;
      for (; i + 16 <= runs[r].length; i += 16) store16(out + i, load16(out + i) + load16(source + i));
      if (i + 8 <= runs[r].length) {
        store8(out + i, load8(out + i) + load8(source + i));
        i += 8;
      }
      if (i + 4 <= runs[r].length) {
        store4(out + i, load4(out + i) + load4(source + i));
        i += 4;
      }
      for (; i < runs[r].length; i++) out[i] += source[i];
    }
  }
}

/* The gradient of the bottom of one piece, by products of whole matrices. */
static void patch_dense_data(
    const mtl_patches *p, long start, long columns, const float *slopes, const float *weights, float *padded,
    float *scratch) {
  long positions = p->top[0] * p->top[1], taps = mtl_patch_taps(p);
  float *rows = scratch, *tile = rows + MTL_PATCH_ROWS;
  struct patch_run runs[PATCH_SPAN];
  long count = patch_runs(p, start, columns, runs);
  for (long k = 0; k < p->top_channels; k++)
    memcpy(tile + k * PATCH_SPAN, slopes + k * positions + start, (size_t)columns * sizeof *tile);
  for (long tap = 0; tap < taps; tap += PATCH_TAPS) {
    long height = taps - tap < PATCH_TAPS ? taps - tap : PATCH_TAPS;
    patch_product(
        height, whole_vectors(columns), p->top_channels, weights + tap, 1, taps, tile, PATCH_SPAN, false, rows,
        PATCH_SPAN);
    patch_scatter(p, tap, tap + height, runs, count, rows, padded);
  }
}

/* Units are images. */
static void patches_backward_data(
    long from, long to, const mtl_patches *p, const float *dtop, const float *weights, float *dbottom, float *scratch) {
  long positions = p->top[0] * p->top[1], plane = mtl_patch_plane(p);
  float *padded = scratch;
  struct patch_lists lists = patch_lists(p, 1, padded + mtl_patch_padded(p));
  float *packed = lists.end, *rows = packed + mtl_patch_packed(p);
  bool is_packed = false;
  for (long image = from; image < to; image++) {
    memset(padded, 0, (size_t)(p->bottom_channels * plane) * sizeof *padded);
    const float *slopes = dtop + image * p->top_channels * positions;
    for (long start = 0; start < positions; start += PATCH_SPAN) {
      long columns = positions - start < PATCH_SPAN ? positions - start : PATCH_SPAN;
      if (!patch_is_sparse(p, 1, &slopes, start, columns)) {
        patch_dense_data(p, start, columns, slopes, weights, padded, rows);
        continue;
      }
      if (!is_packed) patch_pack(p, weights, packed);
      is_packed = true;
      patch_list_channels(p, slopes + start, columns, &lists);
      patch_listed_data(p, start, columns, &lists, packed, padded);
    }
    for (long c = 0; c < p->bottom_channels; c++)
      for (long y = 0; y < p->bottom[0]; y++)
        memcpy(
            dbottom + ((image * p->bottom_channels + c) * p->bottom[0] + y) * p->bottom[1],
            padded + c * plane + (y + p->pad[0]) * mtl_patch_width(p) + p->pad[1],
            (size_t)p->bottom[1] * sizeof *dbottom);
  }
}

/* A row of all taps for each of `count` positions from `start` on. */
static void patch_gather_rows(const mtl_patches *p, long start, long count, const float *padded, float *rows) {
  long width = mtl_patch_width(p), plane = mtl_patch_plane(p), row = mtl_patch_row(p);
  for (long i = 0; i < count; i++) {
    const float *corner = padded + (start + i) / p->top[1] * width + (start + i) % p->top[1];
    float *out = rows + i * row;
    for (long c = 0; c < p->bottom_channels; c++, corner += plane)
      for (long y = 0; y < p->kernel[0]; y++, out += p->kernel[1])
        patch_copy(out, corner + y * width, p->kernel[1]);
  }
}

static float patch_total(const float *values, long count) {
  floats16 lanes = 0;
  for (long i = 0; i < count; i += 16) lanes += load_lanes(values + i, count - i < 16 ? count - i : 16);
  float total = 0;
  for (long lane = 0; lane < 16; lane++) total += lanes[lane];
  return total;
}

/* Units are images, whose gradients are added to `dweights`, for each task the top's channels with rows of mtl_patch_row
   floats, and to `dbias`. */
static void patches_backward_weights(
    long from, long to, const mtl_patches *p, const float *bottom, long tasks, const float *const *dtops,
    float *dweights, float *dbias, float *scratch) {
  long positions = p->top[0] * p->top[1], row = mtl_patch_row(p), columns = whole_vectors(mtl_patch_taps(p));
  long channels = p->top_channels;
  float *padded = scratch;
  struct patch_lists lists = patch_lists(p, tasks, padded + mtl_patch_padded(p));
  float *rows = lists.end;
  for (long image = from; image < to; image++) {
    patch_pad(p, bottom + image * p->bottom_channels * p->bottom[0] * p->bottom[1], padded);
    long own = image * channels * positions;
    for (long start = 0; start < positions; start += PATCH_SPAN) {
      long count = positions - start < PATCH_SPAN ? positions - start : PATCH_SPAN;
      patch_gather_rows(p, start, count, padded, rows);
      if (patch_is_sparse(p, tasks, dtops, own + start, count)) {
        patch_list_positions(p, tasks, dtops, own + start, count, &lists);
        patch_listed_weights(p, tasks, &lists, rows, dweights);
      } else {
        for (long t = 0; t < tasks; t++)
          patch_product(
              channels, columns, count, dtops[t] + own + start, positions, 1, rows, row, true,
              dweights + t * channels * row, row);
      }
    }
    for (long t = 0; t < tasks; t++)
      for (long k = 0; k < channels; k++)
        dbias[t * channels + k] += patch_total(dtops[t] + own + k * positions, positions);
  }
}
