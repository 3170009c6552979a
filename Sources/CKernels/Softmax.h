/* Softmax over the middle axis of outer x channels x inner. With `inner` 1 a tile is a row, otherwise it is up to 16
   neighbouring positions, one to a lane. A NaN makes its whole row NaN. */

MTL_INLINE float add_lanes(floats16 v) {
  floats8 eight = v.lo + v.hi;
  floats4 four = eight.lo + eight.hi;
  return (four[0] + four[2]) + (four[1] + four[3]);
}

static void softmax_row(long channels, const float *x, float *y) {
  float most = x[0];
  for (long c = 1; c < channels; c++) most = x[c] > most ? x[c] : most;
  floats16 totals = 0;
  long c = 0;
  for (; c + 16 <= channels; c += 16) {
    floats16 e = exponential16(load16(x + c) - most);
    store16(y + c, e);
    totals += e;
  }
  float total = add_lanes(totals);
  for (; c < channels; c++) {
    store1(y + c, exponential1(load1(x + c) - most));
    total += y[c];
  }
  float factor = 1 / total;
  for (c = 0; c < channels; c++) y[c] *= factor;
}

static void softmax_row_backward(long channels, const float *y, const float *dy, float *dx) {
  floats16 totals = 0;
  long c = 0;
  for (; c + 16 <= channels; c += 16) totals += load16(y + c) * load16(dy + c);
  float total = add_lanes(totals);
  for (; c < channels; c++) total += y[c] * dy[c];
  for (c = 0; c < channels; c++) dx[c] = (dy[c] - total) * y[c];
}

/* The place of a tile's first element and how many positions it has. */
MTL_INLINE long softmax_tile(long tile, long channels, long inner, long *width) {
  long tiles = (inner + MTL_TILE - 1) / MTL_TILE;
  long start = tile % tiles * MTL_TILE;
  *width = inner - start < MTL_TILE ? inner - start : MTL_TILE;
  return tile / tiles * channels * inner + start;
}

static void softmax(long from, long to, long channels, long inner, const float *x, float *y) {
  for (long tile = from; tile < to; tile++) {
    long width;
    long place = softmax_tile(tile, channels, inner, &width);
    if (inner == 1) {
      softmax_row(channels, x + place, y + place);
    } else if (width == MTL_TILE) {
      softmax_tile16(channels, inner, x + place, y + place);
    } else {
      for (long i = 0; i < width; i++) softmax_tile1(channels, inner, x + place + i, y + place + i);
    }
  }
}

static void softmax_backward(
    long from, long to, long channels, long inner, const float *y, const float *dy, float *dx) {
  for (long tile = from; tile < to; tile++) {
    long width;
    long p = softmax_tile(tile, channels, inner, &width);
    if (inner == 1) {
      softmax_row_backward(channels, y + p, dy + p, dx + p);
    } else if (width == MTL_TILE) {
      softmax_tile_backward16(channels, inner, y + p, dy + p, dx + p);
    } else {
      for (long i = 0; i < width; i++) softmax_tile_backward1(channels, inner, y + p + i, dy + p + i, dx + p + i);
    }
  }
}
