/* What Winograd's algorithm makes of tiles (see Winograd.h): for step 1, 4x4 positions of the top, which are 6x6 of the
   bottom. */

enum { WINOGRAD_POINTS = 36, WINOGRAD_CHUNK = MTL_WINOGRAD_CHUNK };

/* B' of six elements that lie `step` apart, in place. */
MTL_INLINE void winograd_bottom(floats16 *v, long step) {
  floats16 d0 = v[0], d1 = v[step], d2 = v[2 * step], d3 = v[3 * step], d4 = v[4 * step], d5 = v[5 * step];
  floats16 even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1, near = d4 - d2, far = 2.0f * (d3 - d1);
  v[0] = 4.0f * (d0 - d2) + near;
  v[step] = even + odd;
  v[2 * step] = even - odd;
  v[3 * step] = near + far;
  v[4 * step] = near - far;
  v[5 * step] = 4.0f * (d1 - d3) + (d5 - d3);
}

/* A' of six elements. */
MTL_INLINE void winograd_top(const floats16 *m, long step, floats16 *y, long y_step) {
  floats16 m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], m4 = m[4 * step];
  floats16 sum = m1 + m2, difference = m1 - m2, far_sum = m3 + m4, far_difference = m3 - m4;
  y[0] = m[0] + sum + far_sum;
  y[y_step] = difference + 2.0f * far_difference;
  y[2 * y_step] = sum + 4.0f * far_sum;
  y[3 * y_step] = difference + 8.0f * far_difference + m[5 * step];
}

/* A of four elements. */
MTL_INLINE void winograd_slopes(const floats16 *y, long y_step, floats16 *m, long step) {
  floats16 y0 = y[0], y1 = y[y_step], y2 = y[2 * y_step], y3 = y[3 * y_step];
  floats16 even = y0 + y2, odd = y1 + y3, far_even = y0 + 4.0f * y2, far_odd = 2.0f * y1 + 8.0f * y3;
  m[0] = y0;
  m[step] = even + odd;
  m[2 * step] = even - odd;
  m[3 * step] = far_even + far_odd;
  m[4 * step] = far_even - far_odd;
  m[5 * step] = y3;
}

/* G of three elements. */
MTL_INLINE void winograd_kernel(const floats16 *g, long g_step, floats16 *u, long step) {
  floats16 g0 = g[0], g1 = g[g_step], g2 = g[2 * g_step];
  floats16 ends = (g0 + g2) * (1 / -6.0f), middle = g1 * (1 / -6.0f);
  floats16 far_ends = g0 * (1 / 24.0f) + g2 * (1 / 6.0f), far_middle = g1 * (1 / 12.0f);
  u[0] = g0 * 0.25f;
  u[step] = ends + middle;
  u[2 * step] = ends - middle;
  u[3 * step] = far_ends + far_middle;
  u[4 * step] = far_ends - far_middle;
  u[5 * step] = g2;
}

/* G' of six elements. */
MTL_INLINE void winograd_kernel_slopes(const floats16 *u, long step, floats16 *g, long g_step) {
  floats16 sum = (u[step] + u[2 * step]) * (1 / -6.0f), far_sum = u[3 * step] + u[4 * step];
  g[0] = u[0] * 0.25f + sum + far_sum * (1 / 24.0f);
  g[g_step] = (u[2 * step] - u[step]) * (1 / 6.0f) + (u[3 * step] - u[4 * step]) * (1 / 12.0f);
  g[2 * g_step] = sum + far_sum * (1 / 6.0f) + u[5 * step];
}

/* Where a tile lies: its image and its first row and column in the top, or, with step 2, in the smaller plane. */
struct winograd_tile {
  long image, y, x;
};

MTL_INLINE struct winograd_tile winograd_tile(const mtl_winograd *w, long tile) {
  const long *plane = mtl_winograd_plane(w);
  long across = (plane[1] + 3) / 4, down = (plane[0] + 3) / 4, place = tile % (across * down);
  return (struct winograd_tile){tile / (across * down), place / across * 4, place % across * 4};
}

/* A size x size square of 16 channels of the plane that begins at element `plane`; zeros where it is out of the plane. */
MTL_INLINE void winograd_load(
    const void *blob, bool is_half, long plane, long height, long width, long y, long x, int size, floats16 *square) {
  if (y >= 0 && x >= 0 && y + size <= height && x + size <= width) {
    long corner = plane + (y * width + x) * 16;
#pragma clang loop unroll(full)
    for (int i = 0; i < size; i++) {
#pragma clang loop unroll(full)
      for (int j = 0; j < size; j++) square[i * size + j] = read_channels(blob, is_half, corner + (i * width + j) * 16);
    }
    return;
  }
  for (int i = 0; i < size; i++) {
    for (int j = 0; j < size; j++) {
      bool is_real = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width;
      long at = plane + ((y + i) * width + x + j) * 16;
      square[i * size + j] = is_real ? read_channels(blob, is_half, at) : (floats16)0;
    }
  }
}

/* Rows of V, `row` floats each and `matrix` floats to a matrix, for the tiles [from, to), beginning with row 0. */
MTL_INLINE void winograd_gather_bottom_of(
    long from, long to, const mtl_winograd *w, bool is_half, const void *bottom, float *v, long row, long matrix) {
  long plane = w->bottom[0] * w->bottom[1] * 16;
  for (long tile = from; tile < to; tile++, v += row) {
    struct winograd_tile at = winograd_tile(w, tile);
    for (long c = 0; c < w->bottom_blocks; c++) {
      floats16 d[WINOGRAD_POINTS];
      winograd_load(
          bottom, is_half, at.image * w->bottom_stride + c * plane, w->bottom[0], w->bottom[1], at.y - w->pad[0],
          at.x - w->pad[1], 6, d);
#pragma clang loop unroll(full)
      for (int j = 0; j < 6; j++) winograd_bottom(d + j, 6);
#pragma clang loop unroll(full)
      for (int i = 0; i < 6; i++) {
        winograd_bottom(d + 6 * i, 1);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) store16(v + (6 * i + j) * matrix + c * 16, d[6 * i + j]);
      }
    }
  }
}

static void winograd_gather_bottom(
    long from, long to, const mtl_winograd *w, const void *bottom, float *v, long row, long matrix) {
  if (w->is_half)
    winograd_gather_bottom_of(from, to, w, true, bottom, v, row, matrix);
  else
    winograd_gather_bottom_of(from, to, w, false, bottom, v, row, matrix);
}

/* The same for the top's gradient. */
MTL_INLINE void winograd_gather_top_of(
    long from, long to, const mtl_winograd *w, bool is_half, const void *dtop, float *m, long row, long matrix) {
  long plane = w->top[0] * w->top[1] * 16;
  for (long tile = from; tile < to; tile++, m += row) {
    struct winograd_tile at = winograd_tile(w, tile);
    for (long k = 0; k < w->top_blocks; k++) {
      floats16 y[16], half[24], all[WINOGRAD_POINTS];
      winograd_load(
          dtop, is_half, at.image * w->top_stride + k * plane, w->top[0], w->top[1], at.y, at.x, 4, y);
#pragma clang loop unroll(full)
      for (int j = 0; j < 4; j++) winograd_slopes(y + j, 4, half + j, 4);
#pragma clang loop unroll(full)
      for (int i = 0; i < 6; i++) {
        winograd_slopes(half + 4 * i, 1, all + 6 * i, 1);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) store16(m + (6 * i + j) * matrix + k * 16, all[6 * i + j]);
      }
    }
  }
}

static void winograd_gather_top(
    long from, long to, const mtl_winograd *w, const void *dtop, float *m, long row, long matrix) {
  if (w->is_half)
    winograd_gather_top_of(from, to, w, true, dtop, m, row, matrix);
  else
    winograd_gather_top_of(from, to, w, false, dtop, m, row, matrix);
}

/* Writes a sum into the top. */
MTL_INLINE void winograd_write_top(void *top, bool is_half, const mtl_epilogue *epilogue, long at, floats16 v) {
  if (epilogue->addend) v += read_channels(epilogue->addend, is_half, at);
  if (epilogue->rectifies) v = v < 0.0f ? (floats16)0.0f : v;
  write_channels(top, is_half, at, v);
}

/* Writes the top from a chunk's M. */
MTL_INLINE void winograd_scatter_top_of(
    long from, long to, const mtl_winograd *w, bool is_half, long block, long blocks, const float *m, long row,
    long matrix, const mtl_epilogue *epilogue, void *top) {
  long plane = w->top[0] * w->top[1] * 16;
  for (long tile = from; tile < to; tile++, m += row) {
    struct winograd_tile at = winograd_tile(w, tile);
    long rows = w->top[0] - at.y < 4 ? w->top[0] - at.y : 4, columns = w->top[1] - at.x < 4 ? w->top[1] - at.x : 4;
    for (long k = 0; k < blocks; k++) {
      floats16 all[WINOGRAD_POINTS], half[24], y[16];
      floats16 shift = 0;
      if (epilogue->bias) {
        long left = w->top_channels - (block + k) * 16;
        shift = load_lanes(epilogue->bias + (block + k) * 16, left < 16 ? left : 16);
      }
#pragma clang loop unroll(full)
      for (int i = 0; i < WINOGRAD_POINTS; i++) all[i] = load16(m + i * matrix + k * 16);
#pragma clang loop unroll(full)
      for (int j = 0; j < 6; j++) winograd_top(all + j, 6, half + j, 6);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) winograd_top(half + 6 * i, 1, y + 4 * i, 1);
      long corner = at.image * w->top_stride + (block + k) * plane + (at.y * w->top[1] + at.x) * 16;
      if (rows == 4 && columns == 4) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++)
          winograd_write_top(top, is_half, epilogue, corner + (i / 4 * w->top[1] + i % 4) * 16, y[i] + shift);
      } else {
        for (long i = 0; i < rows; i++)
          for (long j = 0; j < columns; j++)
            winograd_write_top(top, is_half, epilogue, corner + (i * w->top[1] + j) * 16, y[4 * i + j] + shift);
      }
    }
  }
}

static void winograd_scatter_top(
    long from, long to, const mtl_winograd *w, long block, long blocks, const float *m, long row, long matrix,
    const mtl_epilogue *epilogue, void *top) {
  if (w->is_half)
    winograd_scatter_top_of(from, to, w, true, block, blocks, m, row, matrix, epilogue, top);
  else
    winograd_scatter_top_of(from, to, w, false, block, blocks, m, row, matrix, epilogue, top);
}

