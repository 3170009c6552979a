/* What Winograd's algorithm makes of tiles with step 2 (see Winograd.h). On an axis, with g the three taps, d the elements
   at odd places of the bottom (2 i - 1) and e those at even ones (2 i):

     y[i] = g[0] d[i] + g[2] d[i + 1] + g[1] e[i],   i = 0 ... 3

   The first two terms are products at the points 0, 1, -1, 2 and infinity, the third one is computed as it is. Backward,
   dbottom[2 i] = g[1] dy[i] and dbottom[2 i + 1] = g[2] dy[i] + g[0] dy[i + 1], which is the same with the taps turned. */

enum { STEPS_SIDE = 9, STEPS_ALL = STEPS_SIDE * STEPS_SIDE };

/* From the elements of an axis (9, or backward 5) to 5 points and 4 elements. */
MTL_INLINE void steps_bottom(const floats16 *x, long step, bool is_back, floats16 *v, long v_step) {
  long each = is_back ? step : 2 * step;
  const floats16 *rest = is_back ? x : x + step;
  floats16 d1 = x[each], d2 = x[2 * each], d3 = x[3 * each], twice = 2.0f * d1 - d2;
  v[0] = 2.0f * (x[0] - d2) + (d3 - d1);
  v[v_step] = d3 - d2 - 2.0f * d1;
  v[2 * v_step] = d3 + twice - 2.0f * d2;
  v[3 * v_step] = d3 - d1;
  v[4 * v_step] = twice - 2.0f * d3 + x[4 * each];
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) v[(5 + i) * v_step] = rest[i * each];
}

/* Back from those to the top (4), or backward to the bottom's gradient (8). */
MTL_INLINE void steps_top(const floats16 *m, long step, bool is_back, floats16 *y, long y_step) {
  floats16 m1 = m[step], m2 = m[2 * step], m3 = m[3 * step], sum = m1 + m2, difference = m1 - m2;
  floats16 far[4] = {m[0] + sum + m3, difference + 2.0f * m3, sum + 4.0f * m3, difference + 8.0f * m3 + m[4 * step]};
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    floats16 near = m[(5 + i) * step];
    if (is_back) {
      y[2 * i * y_step] = near;
      y[(2 * i + 1) * y_step] = far[i];
    } else {
      y[i * y_step] = far[i] + near;
    }
  }
}

/* The transposed of `steps_top` to the top. */
MTL_INLINE void steps_slopes(const floats16 *y, long y_step, floats16 *m, long step) {
  floats16 y0 = y[0], y1 = y[y_step], y2 = y[2 * y_step], y3 = y[3 * y_step], even = y0 + y2, odd = y1 + y3;
  m[0] = y0;
  m[step] = even + odd;
  m[2 * step] = even - odd;
  m[3 * step] = y0 + 2.0f * y1 + 4.0f * (y2 + 2.0f * y3);
  m[4 * step] = y3;
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) m[(5 + i) * step] = y[i * y_step];
}

/* Three taps at the points, the last one being that of the four elements. */
MTL_INLINE void steps_kernel(const floats16 *g, long g_step, floats16 *u, long step) {
  floats16 g0 = g[0], g2 = g[2 * g_step];
  u[0] = 0.5f * g0;
  u[step] = -0.5f * (g0 + g2);
  u[2 * step] = (g2 - g0) * (1 / 6.0f);
  u[3 * step] = (g0 + 2.0f * g2) * (1 / 6.0f);
  u[4 * step] = g2;
  u[5 * step] = g[g_step];
}

/* The transposed of it. */
MTL_INLINE void steps_kernel_slopes(const floats16 *u, long step, floats16 *g, long g_step) {
  floats16 u1 = 0.5f * u[step], u2 = u[2 * step] * (1 / 6.0f), u3 = u[3 * step] * (1 / 6.0f);
  g[0] = 0.5f * u[0] - u1 - u2 + u3;
  g[g_step] = u[5 * step];
  g[2 * g_step] = u2 - u1 + 2.0f * u3 + u[4 * step];
}

/* Where the 81 elements of a tile lie: where those of the first tile are, and how far it is to the next. */
struct steps_places {
  long first[STEPS_ALL], next[STEPS_ALL];
};

static void steps_place(const mtl_winograd *w, long count, long blocks, struct steps_places *places) {
  long row = blocks * 16;
  for (int element = 0; element < STEPS_ALL; element++) {
    int y = element / STEPS_SIDE, x = element % STEPS_SIDE;
    long point = (y < 5 ? y : 5) * 6 + (x < 5 ? x : 5), copies = mtl_winograd_copies(w, point);
    long copy = (y < 5 ? 0 : y - 5) * (x < 5 ? 1 : 4) + (x < 5 ? 0 : x - 5);
    places->first[element] = mtl_winograd_place(w, point, count, blocks) + copy * row;
    places->next[element] = copies * row;
  }
}

/* V of the tiles [from, to), of `count` that begin with `first`. */
MTL_INLINE void steps_gather_bottom_of(
    long from, long to, long first, long count, const mtl_winograd *w, bool is_back, bool is_half, const void *bottom,
    float *v) {
  const int size = is_back ? 5 : STEPS_SIDE;
  long plane = w->bottom[0] * w->bottom[1] * 16, scale = is_back ? 1 : 2, before = is_back ? 0 : 1;
  struct steps_places places;
  steps_place(w, count, w->bottom_blocks, &places);
  for (long tile = from; tile < to; tile++) {
    struct winograd_tile at = winograd_tile(w, tile);
    for (long c = 0; c < w->bottom_blocks; c++) {
      floats16 d[STEPS_ALL], half[STEPS_ALL], row[STEPS_SIDE];
      winograd_load(
          bottom, is_half, at.image * w->bottom_stride + c * plane, w->bottom[0], w->bottom[1], scale * at.y - before,
          scale * at.x - before, size, d);
      for (int j = 0; j < size; j++) steps_bottom(d + j, size, is_back, half + j, size);
      for (int i = 0; i < STEPS_SIDE; i++) {
        steps_bottom(half + i * size, 1, is_back, row, 1);
        for (int j = 0; j < STEPS_SIDE; j++) {
          int element = i * STEPS_SIDE + j;
          store16(v + places.first[element] + (tile - first) * places.next[element] + c * 16, row[j]);
        }
      }
    }
  }
}

/* M of them. */
MTL_INLINE void steps_gather_top_of(
    long from, long to, long first, long count, const mtl_winograd *w, bool is_half, const void *dtop, float *m) {
  long plane = w->top[0] * w->top[1] * 16;
  struct steps_places places;
  steps_place(w, count, w->top_blocks, &places);
  for (long tile = from; tile < to; tile++) {
    struct winograd_tile at = winograd_tile(w, tile);
    for (long k = 0; k < w->top_blocks; k++) {
      floats16 y[16], half[4 * STEPS_SIDE], row[STEPS_SIDE];
      winograd_load(
          dtop, is_half, at.image * w->top_stride + k * plane, w->top[0], w->top[1], at.y, at.x, 4, y);
      for (int j = 0; j < 4; j++) steps_slopes(y + j, 4, half + j, 4);
      for (int i = 0; i < STEPS_SIDE; i++) {
        steps_slopes(half + 4 * i, 1, row, 1);
        for (int j = 0; j < STEPS_SIDE; j++) {
          int element = i * STEPS_SIDE + j;
          store16(m + places.first[element] + (tile - first) * places.next[element] + k * 16, row[j]);
        }
      }
    }
  }
}

/* Writes `blocks` blocks of the top, or backward of the bottom's gradient, from a chunk's M of `count` tiles. */
MTL_INLINE void steps_scatter_top_of(
    long from, long to, long count, const mtl_winograd *w, bool is_back, bool is_half, long block, long blocks,
    const float *m, const mtl_epilogue *epilogue, void *top) {
  const int size = is_back ? 8 : 4;
  long plane = w->top[0] * w->top[1] * 16;
  struct steps_places places;
  steps_place(w, count, WINOGRAD_CHUNK / 16, &places);
  for (long tile = from; tile < to; tile++) {
    struct winograd_tile at = winograd_tile(w, tile);
    long y0 = at.y * size / 4, x0 = at.x * size / 4;
    long rows = w->top[0] - y0 < size ? w->top[0] - y0 : size, columns = w->top[1] - x0 < size ? w->top[1] - x0 : size;
    for (long k = 0; k < blocks; k++) {
      floats16 all[STEPS_ALL], half[8 * STEPS_SIDE], y[8], shift = 0;
      if (epilogue->bias) {
        long left = w->top_channels - (block + k) * 16;
        shift = load_lanes(epilogue->bias + (block + k) * 16, left < 16 ? left : 16);
      }
      for (int i = 0; i < STEPS_ALL; i++)
        all[i] = load16(m + places.first[i] + (tile - from) * places.next[i] + k * 16);
      for (int j = 0; j < STEPS_SIDE; j++) steps_top(all + j, STEPS_SIDE, is_back, half + j, STEPS_SIDE);
      long corner = at.image * w->top_stride + (block + k) * plane + (y0 * w->top[1] + x0) * 16;
      for (long i = 0; i < rows; i++) {
        steps_top(half + i * STEPS_SIDE, 1, is_back, y, 1);
        for (long j = 0; j < columns; j++)
          winograd_write_top(top, is_half, epilogue, corner + (i * w->top[1] + j) * 16, y[j] + shift);
      }
    }
  }
}

/* Each is compiled for forward and backward, floats and bfloats. */
#define STEPS_CHOOSE(call)                                                                                             \
  if (w->is_turned) {                                                                                                  \
    if (w->is_half) call(true, true) else call(true, false)                                                            \
  } else {                                                                                                             \
    if (w->is_half) call(false, true) else call(false, false)                                                          \
  }

static void steps_gather_bottom(
    long from, long to, long first, long count, const mtl_winograd *w, const void *bottom, float *v) {
#define STEPS_CALL(is_back, is_half)                                                                                   \
  { steps_gather_bottom_of(from, to, first, count, w, is_back, is_half, bottom, v); }
  STEPS_CHOOSE(STEPS_CALL)
#undef STEPS_CALL
}

static void steps_gather_top(
    long from, long to, long first, long count, const mtl_winograd *w, const void *dtop, float *m) {
  if (w->is_half)
    steps_gather_top_of(from, to, first, count, w, true, dtop, m);
  else
    steps_gather_top_of(from, to, first, count, w, false, dtop, m);
}

static void steps_scatter_top(
    long from, long to, long count, const mtl_winograd *w, long block, long blocks, const float *m,
    const mtl_epilogue *epilogue, void *top) {
#define STEPS_CALL(is_back, is_half)                                                                                   \
  { steps_scatter_top_of(from, to, count, w, is_back, is_half, block, blocks, m, epilogue, top); }
  STEPS_CHOOSE(STEPS_CALL)
#undef STEPS_CALL
}

#undef STEPS_CHOOSE
