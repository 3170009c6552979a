/* W neighbouring windows of a row of one channel, whose elements lie one behind the other. Included for W of 16, 8 and
   4. */

#define floats MTL_JOIN(floats, W)
#define ints MTL_JOIN(ints, W)
#define load MTL_JOIN(load, W)

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

#undef WINDOW_LINE
#undef floats
#undef ints
#undef load
