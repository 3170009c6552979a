/* W neighbouring windows of a row of one channel, whose elements lie one behind the other. Included for W of 16, 8 and
   4. */

#define floats MTL_JOIN(floats, W)
#define ints MTL_JOIN(ints, W)
#define load MTL_JOIN(load, W)
#define store MTL_JOIN(store, W)

/* p[0], p[stride], p[2 * stride], ...; with a stride of 2 the element after the last is read too. */
MTL_INLINE floats MTL_JOIN(load_strided, W)(const float *p, long stride) {
  if (stride == 1) return load(p);
  if (stride == 2) {
    floats low = load(p), high = load(p + W), v;
    v.lo = low.even;
    v.hi = high.even;
    return v;
  }
  floats v;
  for (int i = 0; i < W; i++) v[i] = p[i * stride];
  return v;
}

/* The first element of window tw in line y of layer z. */
#define WINDOW_LINE(p) (bottom + (z * (p)->bottom[1] + y) * (p)->bottom[2] + tw * (p)->stride[2] - (p)->pad[2])

MTL_INLINE void MTL_JOIN(max_of_windows, W)(
    const mtl_pooling *p, struct window_axis d, struct window_axis h, long tw, const float *bottom, floats *most,
    ints *place) {
  *most = MTL_JOIN(load_strided, W)(
      bottom + (d.from * p->bottom[1] + h.from) * p->bottom[2] + tw * p->stride[2] - p->pad[2], p->stride[2]);
  *place = (int32_t)(((d.from - d.start) * p->kernel[1] + (h.from - h.start)) * p->kernel[2]);
  for (long z = d.from; z < d.to; z++) {
    for (long y = h.from; y < h.to; y++) {
      const float *line = WINDOW_LINE(p);
      int32_t number = (int32_t)(((z - d.start) * p->kernel[1] + (y - h.start)) * p->kernel[2]);
      /* The very first element is compared with itself. */
      for (long x = 0; x < p->kernel[2]; x++)
        MTL_JOIN(take_larger, W)(
            MTL_JOIN(load_strided, W)(line + x, p->stride[2]), number + (int32_t)x, most, place);
    }
  }
}

MTL_INLINE floats MTL_JOIN(sum_of_windows, W)(
    const mtl_pooling *p, struct window_axis d, struct window_axis h, long tw, const float *bottom) {
  floats total = 0;
  for (long z = d.from; z < d.to; z++) {
    for (long y = h.from; y < h.to; y++) {
      const float *line = WINDOW_LINE(p);
      for (long x = 0; x < p->kernel[2]; x++) total += MTL_JOIN(load_strided, W)(line + x, p->stride[2]);
    }
  }
  return total;
}

/* W squares of 2 x 2 side by side; the second line of elements lies `row` floats behind the first. */
MTL_INLINE void MTL_JOIN(max_of_squares, W)(const float *first, long row, floats *most, ints *place) {
  floats values[4];
#pragma clang loop unroll(full)
  for (int line = 0; line < 2; line++) {
    floats low = load(first + line * row), high = load(first + line * row + W);
    values[2 * line].lo = low.even;
    values[2 * line].hi = high.even;
    values[2 * line + 1].lo = low.odd;
    values[2 * line + 1].hi = high.odd;
  }
  MTL_JOIN(max_of_values, W)(values, 4, most, place);
}

/* Writes all elements of W squares: the gradient where the maximum was, 0 elsewhere. */
MTL_INLINE void MTL_JOIN(max_of_squares_backward, W)(floats gradient, ints place, float *first, long row) {
#pragma clang loop unroll(full)
  for (int line = 0; line < 2; line++) {
    floats even = place == 2 * line ? gradient : (floats)0, odd = place == 2 * line + 1 ? gradient : (floats)0;
    floats low, high;
    low.even = even.lo;
    low.odd = odd.lo;
    high.even = even.hi;
    high.odd = odd.hi;
    store(first + line * row, low);
    store(first + line * row + W, high);
  }
}

#undef WINDOW_LINE
#undef floats
#undef ints
#undef load
#undef store
