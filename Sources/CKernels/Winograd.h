/* 3x3 convolutions by Winograd's algorithm in tiles of 4x4 positions of the top (Lavin and Gray, Fast algorithms for
   convolutional neural networks, CVPR 2016): with y the tile of the top, d that of the bottom and g the kernel,
   y = A' [(G g G') (B' d B)] A, where the product in the middle is element by element: 36 products of matrices over the
   channels instead of 144 multiplications for each pair of channels. Backward is the transposed of the same.

   With step 2 an axis falls into two: every other element of the bottom meets two taps, the rest meet the middle one. The
   former are done by Winograd's algorithm with 5 products for 4 positions, the latter as they are: 9 instead of 12, and 81
   instead of 144 over both axes. The four elements of the rest meet the same tap, so their rows lie in one matrix.

   Images lie in blocks of 16 channels. Buffers are named as in the paper: U the kernels, V tiles of the bottom, M those of
   the top; of each there are 36 matrices, a row for each tile (of U: for each bottom channel), or with step 2 for each of
   up to 16 copies of a tile. Top channels are taken in chunks of up to 64, each a matrix of its own: what a chunk's matrix
   holds stays in the caches. */

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

MTL_INLINE void winograd_kernel_of(const mtl_winograd *w, const floats16 *g, long g_step, floats16 *u, long step) {
  if (w->step == 2)
    steps_kernel(g, g_step, u, step);
  else
    winograd_kernel(g, g_step, u, step);
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
        for (int j = 0; j < 3; j++) winograd_kernel_of(w, g + j, 3, half + j, 3);
#pragma clang loop unroll(full)
        for (int i = 0; i < 6; i++) {
          winograd_kernel_of(w, half + 3 * i, 1, all + 6 * i, 1);
#pragma clang loop unroll(full)
          for (int j = 0; j < 6; j++) store16(out + (6 * i + j) * matrix, all[6 * i + j]);
        }
      }
    }
  }
}

/* Units are runs of tiles. */
static void winograd_forward(
    long from, long to, const mtl_winograd *w, const void *bottom, const float *u, const mtl_epilogue *epilogue, void *top,
    float *scratch) {
  long channels = w->bottom_blocks * 16, tiles = mtl_winograd_tiles(w), run = mtl_winograd_run(w);
  long chunks = mtl_winograd_chunks(w), chunk_blocks = WINOGRAD_CHUNK / 16;
  float *v = scratch, *m = scratch + mtl_winograd_bottom_size(w, run);
  for (long unit = from; unit < to; unit++) {
    long first = unit * run, last = first + run < tiles ? first + run : tiles;
    if (w->step == 2)
      steps_gather_bottom(first, last, first, run, w, bottom, v);
    else
      winograd_gather_bottom(first, last, w, bottom, v, channels, mtl_winograd_matrix(run, w->bottom_blocks));
    for (long chunk = 0; chunk < chunks; chunk++) {
      long width = mtl_winograd_width(w, chunk);
      const float *b = u + mtl_winograd_chunk(w, chunk);
      long b_matrix = mtl_winograd_matrix(channels, width / 16);
      for (long point = 0; point < WINOGRAD_POINTS; point++)
        winograd_product(
            (last - first) * mtl_winograd_copies(w, point), width, channels, channels,
            v + mtl_winograd_place(w, point, run, w->bottom_blocks), channels, 1, b + point * b_matrix, width, false,
            m + mtl_winograd_place(w, point, run, chunk_blocks), WINOGRAD_CHUNK);
      long block = chunk * chunk_blocks;
      if (w->step == 2)
        steps_scatter_top(first, last, run, w, block, width / 16, m, epilogue, top);
      else
        winograd_scatter_top(
            first, last, w, block, width / 16, m, WINOGRAD_CHUNK, mtl_winograd_matrix(run, chunk_blocks),
            epilogue, top);
    }
  }
}

/* V and M of the tiles from `first` on, of which `count` have room. Units are tiles, counted from there. */
static void winograd_gather(
    long from, long to, const mtl_winograd *w, long first, long count, const void *bottom, const void *dtop, float *v,
    float *m) {
  if (w->step == 2) {
    steps_gather_bottom(first + from, first + to, first, count, w, bottom, v);
    steps_gather_top(first + from, first + to, first, count, w, dtop, m);
    return;
  }
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
        channels, width, used * mtl_winograd_copies(w, point), 64,
        v + mtl_winograd_place(w, point, count, w->bottom_blocks), 1, channels,
        m + mtl_winograd_place(w, point, count, w->top_blocks) + chunk * WINOGRAD_CHUNK, row, adds,
        du + mtl_winograd_chunk(w, chunk) + point * mtl_winograd_matrix(channels, width / 16), width);
  }
}

/* Adds to `dbias` what those tiles say: the sum over a tile is an element of M. */
static void winograd_add_bias(const mtl_winograd *w, long count, long used, const float *m, float *dbias) {
  m += mtl_winograd_place(w, 7, count, w->top_blocks);
  for (long k = 0; k < w->top_blocks; k++) {
    long lanes = w->top_channels - k * 16 < 16 ? w->top_channels - k * 16 : 16;
    floats16 total = load_lanes(dbias + k * 16, lanes);
    for (long tile = 0; tile < used; tile++) total += load16(m + tile * w->top_blocks * 16 + k * 16);
    store_lanes(dbias + k * 16, total, lanes);
  }
}

MTL_INLINE void winograd_kernel_slopes_of(const mtl_winograd *w, const floats16 *u, long step, floats16 *g, long g_step) {
  if (w->step == 2)
    steps_kernel_slopes(u, step, g, g_step);
  else
    winograd_kernel_slopes(u, step, g, g_step);
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
        for (int j = 0; j < 6; j++) winograd_kernel_slopes_of(w, all + j, 6, half + j, 6);
#pragma clang loop unroll(full)
        for (int i = 0; i < 3; i++) winograd_kernel_slopes_of(w, half + 6 * i, 1, g + 3 * i, 1);
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
