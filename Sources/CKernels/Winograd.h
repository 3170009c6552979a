/* 3x3 convolutions of step 1 by Winograd's algorithm in tiles of 4x4 positions of the top, which are 6x6 of the bottom
   (Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016): with y the tile of the top, d that of
   the bottom and g the kernel, y = A' [(G g G') (B' d B)] A, where the product in the middle is element by element: 36
   products of matrices over the channels instead of 144 multiplications for each pair of channels. Backward is the
   transposed of the same.

   Images lie in blocks of 16 channels. Buffers are named as in the paper: U the kernels, V tiles of the bottom, M those of
   the top; of each there are 36 matrices, a row for each tile (of U: for each bottom channel). Top channels are taken in
   chunks of up to 64, each a matrix of its own: what a chunk's matrix holds stays in the caches. */

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

/* Where a tile lies: its image and its first row and column in the top. */
struct winograd_tile {
  long image, y, x;
};

MTL_INLINE struct winograd_tile winograd_tile(const mtl_winograd *w, long tile) {
  long across = (w->top[1] + 3) / 4, down = (w->top[0] + 3) / 4, place = tile % (across * down);
  return (struct winograd_tile){tile / (across * down), place / across * 4, place % across * 4};
}

/* 16 channels at element `at` of a blob, which is of floats or of bfloats. */
MTL_INLINE floats16 winograd_read(const void *blob, bool is_half, long at) {
  return is_half ? widen16(*(const halves16 *)((const uint16_t *)blob + at)) : load16((const float *)blob + at);
}

MTL_INLINE void winograd_write(void *blob, bool is_half, long at, floats16 v) {
  if (is_half)
    *(halves16 *)((uint16_t *)blob + at) = halve16(v);
  else
    store16((float *)blob + at, v);
}

/* A size x size square of 16 channels of the plane that begins at element `plane`; zeros where it is out of the plane. */
MTL_INLINE void winograd_load(
    const void *blob, bool is_half, long plane, long height, long width, long y, long x, int size, floats16 *square) {
  if (y >= 0 && x >= 0 && y + size <= height && x + size <= width) {
    long corner = plane + (y * width + x) * 16;
#pragma clang loop unroll(full)
    for (int i = 0; i < size; i++) {
#pragma clang loop unroll(full)
      for (int j = 0; j < size; j++) square[i * size + j] = winograd_read(blob, is_half, corner + (i * width + j) * 16);
    }
    return;
  }
  for (int i = 0; i < size; i++) {
    for (int j = 0; j < size; j++) {
      bool is_real = y + i >= 0 && y + i < height && x + j >= 0 && x + j < width;
      long at = plane + ((y + i) * width + x + j) * 16;
      square[i * size + j] = is_real ? winograd_read(blob, is_half, at) : (floats16)0;
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

/* Writes the top from a chunk's M. */
MTL_INLINE void winograd_scatter_top_of(
    long from, long to, const mtl_winograd *w, bool is_half, long block, long blocks, const float *m, long row,
    long matrix, const float *bias, void *top) {
  long plane = w->top[0] * w->top[1] * 16;
  for (long tile = from; tile < to; tile++, m += row) {
    struct winograd_tile at = winograd_tile(w, tile);
    long rows = w->top[0] - at.y < 4 ? w->top[0] - at.y : 4, columns = w->top[1] - at.x < 4 ? w->top[1] - at.x : 4;
    for (long k = 0; k < blocks; k++) {
      floats16 all[WINOGRAD_POINTS], half[24], y[16];
      floats16 shift = 0;
      if (bias) {
        long left = w->top_channels - (block + k) * 16;
        shift = load_lanes(bias + (block + k) * 16, left < 16 ? left : 16);
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
          winograd_write(top, is_half, corner + (i / 4 * w->top[1] + i % 4) * 16, y[i] + shift);
      } else {
        for (long i = 0; i < rows; i++)
          for (long j = 0; j < columns; j++)
            winograd_write(top, is_half, corner + (i * w->top[1] + j) * 16, y[4 * i + j] + shift);
      }
    }
  }
}

static void winograd_scatter_top(
    long from, long to, const mtl_winograd *w, long block, long blocks, const float *m, long row, long matrix,
    const float *bias, void *top) {
  if (w->is_half)
    winograd_scatter_top_of(from, to, w, true, block, blocks, m, row, matrix, bias, top);
  else
    winograd_scatter_top_of(from, to, w, false, block, blocks, m, row, matrix, bias, top);
}

/* C (rows x width) = A B, or added to C, in runs of `run` steps; see outer_block. */
static void winograd_product(
    long rows, long width, long steps, long run, const float *a, long a_row, long a_step, const float *b, long b_step,
    bool adds, float *c, long c_row) {
  for (long start = 0; start < steps; start += run) {
    long count = steps - start < run ? steps - start : run;
    for (long column = 0; column < width; column += SPAN) {
      long columns = width - column < SPAN ? width - column : SPAN;
      outer_rows(
          rows, columns, count, a + start * a_step, a_row, a_step, b + start * b_step + column, b_step,
          adds || start > 0, c + column, c_row);
    }
  }
}

/* The kernels of 16 x 16 channels, from or to a buffer that stays in the first cache: those of one channel lie far
   apart, often a multiple of the cache's size. */
enum { WINOGRAD_KERNELS = 16 * 9 };

/* Element [lane][channel][tap], or [channel][lane][tap] when turned. */
static void winograd_fetch(
    const mtl_winograd *w, long channel, long channels, long lane, long lanes, const float *weights, float *kernels) {
  if (channels < 16 || lanes < 16) memset(kernels, 0, 16 * WINOGRAD_KERNELS * sizeof *kernels);
  long rows = w->is_turned ? channels : lanes, length = w->is_turned ? lanes : channels;
  const float *first = weights + lane * w->top_step + channel * w->bottom_step;
  for (long row = 0; row < rows; row++)
    memcpy(
        kernels + row * WINOGRAD_KERNELS, first + row * (w->is_turned ? w->bottom_step : w->top_step),
        (size_t)length * 9 * sizeof *kernels);
}

/* Units are blocks of 16 bottom channels. */
static void winograd_weights(long from, long to, const mtl_winograd *w, const float *weights, float *u) {
  long channels = w->bottom_blocks * 16;
  float kernels[16 * WINOGRAD_KERNELS];
  long channel_step = w->is_turned ? WINOGRAD_KERNELS : 9, lane_step = w->is_turned ? 9 : WINOGRAD_KERNELS;
  for (long block = from; block < to; block++) {
    long left = w->bottom_channels - block * 16;
    for (long k = 0; k < w->top_blocks; k++) {
      long chunk = k * 16 / WINOGRAD_CHUNK, width = mtl_winograd_width(w, chunk);
      long matrix = mtl_winograd_matrix(channels, width / 16), rest = w->top_channels - k * 16;
      float *out = u + mtl_winograd_chunk(w, chunk) + k * 16 % WINOGRAD_CHUNK + block * 16 * width;
      winograd_fetch(w, block * 16, left < 16 ? left : 16, k * 16, rest < 16 ? rest : 16, weights, kernels);
      for (long c = 0; c < 16; c++, out += width) {
        float taps[9][16];
        const float *first = kernels + c * channel_step;
        for (long lane = 0; lane < 16; lane++)
          for (int tap = 0; tap < 9; tap++) taps[tap][lane] = first[lane * lane_step + (w->is_turned ? 8 - tap : tap)];
        floats16 g[9], half[18], all[WINOGRAD_POINTS];
#pragma clang loop unroll(full)
        for (int tap = 0; tap < 9; tap++) g[tap] = load16(taps[tap]);
#pragma clang loop unroll(full)
        for (int j = 0; j < 3; j++) winograd_kernel(g + j, 3, half + j, 3);
#pragma clang loop unroll(full)
        for (int i = 0; i < 6; i++) {
          winograd_kernel(half + 3 * i, 1, all + 6 * i, 1);
#pragma clang loop unroll(full)
          for (int j = 0; j < 6; j++) store16(out + (6 * i + j) * matrix, all[6 * i + j]);
        }
      }
    }
  }
}

/* Units are runs of MTL_WINOGRAD_TILES tiles. */
static void winograd_forward(
    long from, long to, const mtl_winograd *w, const void *bottom, const float *u, const float *bias, void *top,
    float *scratch) {
  long channels = w->bottom_blocks * 16, tiles = mtl_winograd_tiles(w);
  long v_matrix = mtl_winograd_matrix(MTL_WINOGRAD_TILES, w->bottom_blocks);
  long m_matrix = mtl_winograd_matrix(MTL_WINOGRAD_TILES, WINOGRAD_CHUNK / 16);
  long chunks = mtl_winograd_chunks(w);
  float *v = scratch, *m = scratch + WINOGRAD_POINTS * v_matrix;
  for (long unit = from; unit < to; unit++) {
    long first = unit * MTL_WINOGRAD_TILES, last = first + MTL_WINOGRAD_TILES < tiles ? first + MTL_WINOGRAD_TILES : tiles;
    winograd_gather_bottom(first, last, w, bottom, v, channels, v_matrix);
    for (long chunk = 0; chunk < chunks; chunk++) {
      long width = mtl_winograd_width(w, chunk);
      const float *b = u + mtl_winograd_chunk(w, chunk);
      long b_matrix = mtl_winograd_matrix(channels, width / 16);
      for (long point = 0; point < WINOGRAD_POINTS; point++)
        winograd_product(
            last - first, width, channels, channels, v + point * v_matrix, channels, 1, b + point * b_matrix, width,
            false, m + point * m_matrix, WINOGRAD_CHUNK);
      winograd_scatter_top(
          first, last, w, chunk * WINOGRAD_CHUNK / 16, width / 16, m, WINOGRAD_CHUNK, m_matrix, bias, top);
    }
  }
}

/* V and M of the tiles from `first` on, of which `count` have room. Units are tiles, counted from there. */
static void winograd_gather(
    long from, long to, const mtl_winograd *w, long first, long count, const void *bottom, const void *dtop, float *v,
    float *m) {
  long row = w->bottom_blocks * 16, top_row = w->top_blocks * 16;
  winograd_gather_bottom(
      first + from, first + to, w, bottom, v + from * row, row, mtl_winograd_matrix(count, w->bottom_blocks));
  winograd_gather_top(
      first + from, first + to, w, dtop, m + from * top_row, top_row, mtl_winograd_matrix(count, w->top_blocks));
}

/* Adds to the gradient of U (or, for the first tiles, writes it) what `used` of those tiles say. Units are (chunk,
   matrix). */
static void winograd_add(
    long from, long to, const mtl_winograd *w, long count, long used, bool adds, const float *v, const float *m,
    float *du) {
  long channels = w->bottom_blocks * 16, row = w->top_blocks * 16;
  for (long unit = from; unit < to; unit++) {
    long chunk = unit / WINOGRAD_POINTS, point = unit % WINOGRAD_POINTS, width = mtl_winograd_width(w, chunk);
    /* The rows of M that are read again and again stay in the first cache. */
    winograd_product(
        channels, width, used, 64, v + point * mtl_winograd_matrix(count, w->bottom_blocks), 1, channels,
        m + point * mtl_winograd_matrix(count, w->top_blocks) + chunk * WINOGRAD_CHUNK, row, adds,
        du + mtl_winograd_chunk(w, chunk) + point * mtl_winograd_matrix(channels, width / 16), width);
  }
}

/* Adds to `dbias` what those tiles say: the sum over a tile is an element of M. */
static void winograd_add_bias(const mtl_winograd *w, long count, long used, const float *m, float *dbias) {
  m += 7 * mtl_winograd_matrix(count, w->top_blocks);
  for (long k = 0; k < w->top_blocks; k++) {
    long lanes = w->top_channels - k * 16 < 16 ? w->top_channels - k * 16 : 16;
    floats16 total = load_lanes(dbias + k * 16, lanes);
    for (long tile = 0; tile < used; tile++) total += load16(m + tile * w->top_blocks * 16 + k * 16);
    store_lanes(dbias + k * 16, total, lanes);
  }
}

/* Writes or adds to the gradient of the weights. Units are blocks of 16 bottom channels. */
static void winograd_finish(
    long from, long to, const mtl_winograd *w, bool adds, const float *du, float *dweights) {
  long channels = w->bottom_blocks * 16;
  float kernels[16 * WINOGRAD_KERNELS];
  for (long block = from; block < to; block++) {
    long left = w->bottom_channels - block * 16, count = left < 16 ? left : 16;
    for (long k = 0; k < w->top_blocks; k++) {
      long chunk = k * 16 / WINOGRAD_CHUNK, width = mtl_winograd_width(w, chunk);
      long matrix = mtl_winograd_matrix(channels, width / 16), rest = w->top_channels - k * 16;
      const float *in = du + mtl_winograd_chunk(w, chunk) + k * 16 % WINOGRAD_CHUNK + block * 16 * width;
      for (long c = 0; c < count; c++, in += width) {
        float taps[9][16];
        floats16 all[WINOGRAD_POINTS], half[18], g[9];
#pragma clang loop unroll(full)
        for (int i = 0; i < WINOGRAD_POINTS; i++) all[i] = load16(in + i * matrix);
#pragma clang loop unroll(full)
        for (int j = 0; j < 6; j++) winograd_kernel_slopes(all + j, 6, half + j, 6);
#pragma clang loop unroll(full)
        for (int i = 0; i < 3; i++) winograd_kernel_slopes(half + 6 * i, 1, g + 3 * i, 1);
#pragma clang loop unroll(full)
        for (int tap = 0; tap < 9; tap++) store16(taps[tap], g[tap]);
        for (long lane = 0; lane < 16; lane++)
          for (int tap = 0; tap < 9; tap++) kernels[lane * WINOGRAD_KERNELS + c * 9 + tap] = taps[tap][lane];
      }
      for (long lane = 0; lane < rest && lane < 16; lane++)
        axpby(
            count * 9, 1, kernels + lane * WINOGRAD_KERNELS, adds ? 1 : 0,
            dweights + (k * 16 + lane) * w->top_step + block * WINOGRAD_KERNELS);
    }
  }
}
