/* The backward passes of a convolution over images in blocks of 16 channels, for gradients of the top of which most is zero,
   as behind a maximum pooling. A window's taps are kept in registers, 16 bottom channels each, and the products run over what
   is not zero. A zero times a value that is no number counts as nothing. */

#define floats MTL_JOIN(floats, MTL_WIDTH)
#define load MTL_JOIN(load, MTL_WIDTH)
#define store MTL_JOIN(store, MTL_WIDTH)

enum {
  /* Rows of a window whose taps fit in the registers. */
  WINDOW_ROWS = MTL_WIDTH == 16 ? 5 : 2,
  /* Tasks whose windows of 3x3 do. */
  WINDOW_TASKS = MTL_WIDTH == 16 ? 3 : 1
};

/* Of the padded image: floats of a row, and of a block of channels. */
MTL_INLINE long sparse_pitch(const mtl_sparse *s) { return 16 * (s->bottom[1] + s->pad_before[1] + s->pad_after[1]); }
MTL_INLINE long sparse_plane(const mtl_sparse *s) {
  return sparse_pitch(s) * (s->bottom[0] + s->pad_before[0] + s->pad_after[0]);
}
MTL_INLINE long sparse_taps(const mtl_sparse *s) { return s->kernel * s->kernel; }

/* sums[tap] += the sum over the listed windows of a value times what the tap sees, for `tasks` tasks. Their values and sums
   are `value_step` and `sum_step` floats from each other. */
MTL_INLINE void window_gather(
    int tasks, int rows, int width, long count, const int32_t *places, const float *values, long value_step,
    const float *x, long pitch, float *sums, long sum_step) {
  for (long lane = 0; lane < 16; lane += MTL_WIDTH) {
    floats totals[WINDOW_TASKS][WINDOW_ROWS][5];
#pragma clang loop unroll(full)
    for (int t = 0; t < tasks; t++) {
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < width; i++) totals[t][r][i] = load(sums + t * sum_step + (r * width + i) * 16 + lane);
      }
    }
    for (long n = 0; n < count; n++) {
      const float *from = x + places[n] + lane;
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < width; i++) {
          floats seen = load(from + r * pitch + i * 16);
#pragma clang loop unroll(full)
          for (int t = 0; t < tasks; t++) totals[t][r][i] += values[t * value_step + n] * seen;
        }
      }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tasks; t++) {
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < width; i++) store(sums + t * sum_step + (r * width + i) * 16 + lane, totals[t][r][i]);
      }
    }
  }
}

/* What the taps see += the sum over the channels in `bits` of a value times their weights. */
MTL_INLINE void window_scatter(
    int rows, int width, uint32_t bits, const float *values, const float *weights, long step, float *x, long pitch) {
  for (long lane = 0; lane < 16; lane += MTL_WIDTH) {
    floats totals[WINDOW_ROWS][5];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
      for (int i = 0; i < width; i++) totals[r][i] = load(x + r * pitch + i * 16 + lane);
    }
    for (uint32_t rest = bits; rest; rest &= rest - 1) {
      long k = __builtin_ctz(rest);
      const float *from = weights + k * step + lane;
      float value = values[k];
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
        for (int i = 0; i < width; i++) totals[r][i] += value * load(from + (r * width + i) * 16);
      }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
#pragma clang loop unroll(full)
      for (int i = 0; i < width; i++) store(x + r * pitch + i * 16 + lane, totals[r][i]);
    }
  }
}

/* All rows of a window of `size` x `size`. */
#define WINDOW_PARTS(size, call)                                                                                       \
  do {                                                                                                                 \
    int row = 0;                                                                                                       \
    for (; row + WINDOW_ROWS < size; row += WINDOW_ROWS) call(WINDOW_ROWS, size);                                      \
    call((size - 1) % WINDOW_ROWS + 1, size);                                                                          \
  } while (0)
#define WINDOW_SIZES(call)                                                                                             \
  switch (s->kernel) {                                                                                                 \
  case 2: WINDOW_PARTS(2, call); break;                                                                                \
  case 3: WINDOW_PARTS(3, call); break;                                                                                \
  case 4: WINDOW_PARTS(4, call); break;                                                                                \
  case 5: WINDOW_PARTS(5, call); break;                                                                                \
  }

static long sparse_count(const mtl_sparse *s, const void *dtop, long image) {
  long count = 0, positions = s->groups * s->top_blocks * s->top[0] * s->top[1];
  for (long i = 0; i < positions; i++)
    count += __builtin_popcount(nonzero16(read_channels(dtop, s->is_half, 16 * (image * positions + i))));
  return count;
}

/* Where the window of a position begins in a padded block. */
MTL_INLINE long sparse_corner(const mtl_sparse *s, long y, long x) {
  return y * s->stride[0] * sparse_pitch(s) + x * s->stride[1] * 16;
}

/* Blocks of channels from an image to a padded one of floats, or back. */
static void sparse_pad(const mtl_sparse *s, const void *bottom, long at, float *padded) {
  long blocks = s->groups * s->bottom_blocks, pitch = sparse_pitch(s), plane = sparse_plane(s), row = 16 * s->bottom[1];
  if (plane > s->bottom[0] * row) memset(padded, 0, (size_t)(blocks * plane) * sizeof *padded);
  for (long block = 0; block < blocks; block++, padded += plane)
    for (long y = 0; y < s->bottom[0]; y++) {
      float *to = padded + (y + s->pad_before[0]) * pitch + 16 * s->pad_before[1];
      for (long x = 0; x < row; x += 16, at += 16) store16(to + x, read_channels(bottom, s->is_half, at));
    }
}

static void sparse_unpad(const mtl_sparse *s, const float *padded, void *bottom, long at) {
  long blocks = s->groups * s->bottom_blocks, pitch = sparse_pitch(s), plane = sparse_plane(s), row = 16 * s->bottom[1];
  for (long block = 0; block < blocks; block++, padded += plane)
    for (long y = 0; y < s->bottom[0]; y++) {
      const float *from = padded + (y + s->pad_before[0]) * pitch + 16 * s->pad_before[1];
      for (long x = 0; x < row; x += 16, at += 16) write_channels(bottom, s->is_half, at, load16(from + x));
    }
}

/* For each block of top channels and of bottom channels of its group: channel by channel the taps, 16 bottom channels each.
   Units are blocks of the top. */
static void sparse_pack(long from, long to, const mtl_sparse *s, const float *weights, float *packed) {
  long taps = sparse_taps(s);
  for (long block = from; block < to; block++) {
    float *out = packed + block * s->bottom_blocks * 256 * taps;
    for (long other = 0; other < s->bottom_blocks; other++)
      for (long k = 0; k < 16; k++)
        for (long tap = 0; tap < taps; tap++, out += 16)
          for (long c = 0; c < 16; c++) {
            long channel = block % s->top_blocks * 16 + k, input = other * 16 + c;
            bool exists = channel < s->top_channels && input < s->bottom_channels;
            long place = ((block / s->top_blocks * s->top_channels + channel) * s->bottom_channels + input) * taps + tap;
            out[c] = exists ? weights[place] : 0;
          }
  }
}

/* Units are images. */
static void sparse_backward_data(
    long from, long to, const mtl_sparse *s, const void *dtop, const float *packed, void *dbottom, float *scratch) {
  long taps = sparse_taps(s), pitch = sparse_pitch(s), plane = sparse_plane(s);
  long positions = s->top[0] * s->top[1], blocks = s->groups * s->bottom_blocks;
  float *padded = scratch;
  for (long image = from; image < to; image++) {
    memset(padded, 0, (size_t)(blocks * plane) * sizeof *padded);
    for (long block = 0; block < s->groups * s->top_blocks; block++) {
      for (long other = 0; other < s->bottom_blocks; other++) {
        const float *weights = packed + (block * s->bottom_blocks + other) * 256 * taps;
        float *target = padded + (block / s->top_blocks * s->bottom_blocks + other) * plane;
        long at = (image * s->groups * s->top_blocks + block) * positions * 16;
        for (long y = 0; y < s->top[0]; y++)
          for (long x = 0; x < s->top[1]; x++, at += 16) {
            floats16 slopes = read_channels(dtop, s->is_half, at);
            uint32_t bits = nonzero16(slopes);
            if (!bits) continue;
            float values[16];
            store16(values, slopes);
            float *corner = target + sparse_corner(s, y, x);
#define SCATTER(rows, width)                                                                                           \
  window_scatter(rows, width, bits, values, weights + row * width * 16, 16 * taps, corner + row * pitch, pitch)
            WINDOW_SIZES(SCATTER)
#undef SCATTER
          }
      }
    }
    sparse_unpad(s, padded, dbottom, image * blocks * s->bottom[0] * s->bottom[1] * 16);
  }
}

/* Lists for each of 16 channels the corners of the windows that have a gradient, of any task, with the values of all tasks. A
   list has room for all positions. */
MTL_INLINE void sparse_list(
    const mtl_sparse *s, long tasks, const void *const *dtops, long at, long *counts, int32_t *places, float *values) {
  long positions = s->top[0] * s->top[1];
  memset(counts, 0, 16 * sizeof *counts);
  for (long y = 0; y < s->top[0]; y++)
    for (long x = 0; x < s->top[1]; x++, at += 16) {
      int32_t corner = (int32_t)sparse_corner(s, y, x);
      uint32_t bits = 0;
      for (long t = 0; t < tasks; t++) bits |= nonzero16(read_channels(dtops[t], s->is_half, at));
      for (; bits; bits &= bits - 1) {
        long k = __builtin_ctz(bits), n = counts[k]++;
        places[k * positions + n] = corner;
        for (long t = 0; t < tasks; t++) values[(k * tasks + t) * positions + n] = read_value(dtops[t], s->is_half, at + k);
      }
    }
}

static void sparse_add_bias(const mtl_sparse *s, const void *dtop, long at, float *dbias) {
  floats16 total = load16(dbias);
  for (long i = 0; i < s->top[0] * s->top[1]; i++) total += read_channels(dtop, s->is_half, at + 16 * i);
  store16(dbias, total);
}

/* Units are images, whose gradients are added to `dweights`, which lie as the packed weights, task after task, and to
   `dbias`, in blocks of 16 channels. */
static void sparse_backward_weights(
    long from, long to, const mtl_sparse *s, const void *bottom, long tasks, const void *const *dtops, float *dweights,
    float *dbias, float *scratch) {
  long taps = sparse_taps(s), pitch = sparse_pitch(s), plane = sparse_plane(s), positions = s->top[0] * s->top[1];
  long blocks = s->groups * s->bottom_blocks, top_blocks = s->groups * s->top_blocks;
  long sum_step = top_blocks * s->bottom_blocks * 256 * taps;
  float *padded = scratch, *values = padded + blocks * plane;
  int32_t *places = (int32_t *)(values + 16 * tasks * positions);
  long counts[16];
  for (long image = from; image < to; image++) {
    sparse_pad(s, bottom, image * blocks * s->bottom[0] * s->bottom[1] * 16, padded);
    for (long block = 0; block < top_blocks; block++) {
      long at = (image * top_blocks + block) * positions * 16;
      if (tasks == 1)
        sparse_list(s, 1, dtops, at, counts, places, values);
      else
        sparse_list(s, tasks, dtops, at, counts, places, values);
      for (long t = 0; t < tasks; t++) sparse_add_bias(s, dtops[t], at, dbias + (t * top_blocks + block) * 16);
      for (long other = 0; other < s->bottom_blocks; other++) {
        float *sums = dweights + (block * s->bottom_blocks + other) * 256 * taps;
        const float *source = padded + (block / s->top_blocks * s->bottom_blocks + other) * plane;
        for (long k = 0; k < 16; k++, sums += 16 * taps) {
          if (!counts[k]) continue;
          long t = 0;
#define GATHER_TASKS(some, rows, width)                                                                                \
  window_gather(                                                                                                       \
      some, rows, width, counts[k], places + k * positions, values + (k * tasks + t) * positions, positions,           \
      source + row * pitch, pitch, sums + t * sum_step + row * width * 16, sum_step)
#define GATHER(rows, width) GATHER_TASKS(1, rows, width)
          if (s->kernel == 3 && WINDOW_TASKS > 1) {
            int row = 0;
            for (; t + WINDOW_TASKS <= tasks; t += WINDOW_TASKS) GATHER_TASKS(WINDOW_TASKS, 3, 3);
            for (; t + 2 <= tasks; t += 2) GATHER_TASKS(2, 3, 3);
          }
          for (; t < tasks; t++) WINDOW_SIZES(GATHER)
#undef GATHER
#undef GATHER_TASKS
        }
      }
    }
  }
}

/* Adds the gradients of `parts` threads, `step` floats from each other, to the weights' own, or overwrites those. Units are
   top channels. */
static void sparse_finish(
    long from, long to, const mtl_sparse *s, long parts, long step, const float *sums, bool adds, float *dweights) {
  long taps = sparse_taps(s);
  for (long k = from; k < to; k++) {
    long group = k / s->top_channels, channel = k % s->top_channels, block = group * s->top_blocks + channel / 16;
    float *out = dweights + k * s->bottom_channels * taps;
    for (long c = 0; c < s->bottom_channels; c++) {
      const float *own = sums + (((block * s->bottom_blocks + c / 16) * 16 + channel % 16) * taps) * 16 + c % 16;
      for (long tap = 0; tap < taps; tap++, out++) {
        float total = adds ? *out : 0;
        for (long part = 0; part < parts; part++) total += own[part * step + tap * 16];
        *out = total;
      }
    }
  }
}

#undef WINDOW_SIZES
#undef WINDOW_PARTS
#undef floats
#undef load
#undef store
