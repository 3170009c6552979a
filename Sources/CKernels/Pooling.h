/* Pooling of W neighbouring channels over one plane, for planes of one to three axes. Included once for each W.

   `bp` and `tp` are the distances between neighbouring elements of bottom and top. */

#define floats MTL_JOIN(floats, W)
#define ints MTL_JOIN(ints, W)
#define bytes MTL_JOIN(bytes, W)
#define load MTL_JOIN(load, W)
#define store MTL_JOIN(store, W)

#ifndef MTL_POOLING_WINDOWS
#define MTL_POOLING_WINDOWS
/* One axis of a window: its start in the bottom's coordinates and its real elements [from, to). */
struct window_axis {
  long start, from, to;
};

MTL_INLINE struct window_axis window_axis(const mtl_pooling *p, int axis, long index) {
  long start = index * p->stride[axis] - p->pad[axis];
  long end = start + p->kernel[axis];
  return (struct window_axis){start, start < 0 ? 0 : start, end < p->bottom[axis] ? end : p->bottom[axis]};
}

/* The elements that an axis of an average counts: those up to the end of the far padding. */
MTL_INLINE long counted(const mtl_pooling *p, int axis, struct window_axis w) {
  if (p->excludes_padding) return w.to - w.from;
  long end = w.start + p->kernel[axis], limit = p->bottom[axis] + p->pad[axis];
  return (end < limit ? end : limit) - w.start;
}

/* Runs the statement once for each window, with its axes d, h, w and its number t. */
#define FOR_EACH_WINDOW(p)                                                                                             \
  for (long t = 0, td = 0; td < (p)->top[0]; td++)                                                                     \
    for (struct window_axis d = window_axis(p, 0, td), *once = &d; once; once = 0)                                     \
      for (long th = 0; th < (p)->top[1]; th++)                                                                        \
        for (struct window_axis h = window_axis(p, 1, th), *once1 = &h; once1; once1 = 0)                              \
          for (long tw = 0; tw < (p)->top[2]; tw++, t++)                                                               \
            for (struct window_axis w = window_axis(p, 2, tw), *once2 = &w; once2; once2 = 0)

/* Runs the statement for each real element of the window, with its place `at` in the plane. */
#define FOR_EACH_ELEMENT(p)                                                                                            \
  for (long z = d.from; z < d.to; z++)                                                                                 \
    for (long y = h.from; y < h.to; y++)                                                                               \
      for (long x = w.from, at = (z * (p)->bottom[1] + y) * (p)->bottom[2] + x; x < w.to; x++, at++)

/* The number of element (z, y, x) in its window. */
#define PLACE_IN_WINDOW(p)                                                                                             \
  (int32_t)(((z - d.start) * (p)->kernel[1] + (y - h.start)) * (p)->kernel[2] + (x - w.start))
#endif

MTL_INLINE void MTL_JOIN(store_which, W)(void *which, long offset, bool wide, ints place) {
  if (wide)
    *(ints *)((int32_t *)which + offset) = place;
  else
    *(bytes *)((uint8_t *)which + offset) = __builtin_convertvector(place, bytes);
}

MTL_INLINE ints MTL_JOIN(load_which, W)(const void *which, long offset, bool wide) {
  if (wide) return *(const ints *)((const int32_t *)which + offset);
  return __builtin_convertvector(*(const bytes *)((const uint8_t *)which + offset), ints);
}

/* A NaN beats every number, and of several maxima or NaNs the first is taken. */
MTL_INLINE void MTL_JOIN(pool_max_plane, W)(
    const mtl_pooling *p, bool wide, const float *bottom, float *top, void *which, long which_offset) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch;
  FOR_EACH_WINDOW(p) {
    floats most = -__builtin_inff();
    ints place = wide ? -1 : 255;
    bool is_empty = true;
    FOR_EACH_ELEMENT(p) {
      floats value = load(bottom + at * bp);
      ints better = is_empty ? (ints)-1 : ~(value <= most) & (most == most);
      most = better ? value : most;
      place = better ? (ints)PLACE_IN_WINDOW(p) : place;
      is_empty = false;
    }
    store(top + t * tp, is_empty ? (floats)0 : most);
    if (which) MTL_JOIN(store_which, W)(which, which_offset + t * tp, wide, place);
  }
}

MTL_INLINE void MTL_JOIN(clear_plane, W)(const mtl_pooling *p, float *dbottom) {
  long count = p->bottom[0] * p->bottom[1] * p->bottom[2], bp = p->bottom_order.pitch;
  for (long i = 0; i < count; i++) store(dbottom + i * bp, (floats)0);
}

MTL_INLINE void MTL_JOIN(pool_max_plane_backward, W)(
    const mtl_pooling *p, bool wide, const float *dtop, const void *which, long which_offset, float *dbottom) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch;
  MTL_JOIN(clear_plane, W)(p, dbottom);
  FOR_EACH_WINDOW(p) {
    floats gradient = load(dtop + t * tp);
    ints place = MTL_JOIN(load_which, W)(which, which_offset + t * tp, wide);
    FOR_EACH_ELEMENT(p) {
      ints chosen = place == PLACE_IN_WINDOW(p);
      float *element = dbottom + at * bp;
      store(element, load(element) + (chosen ? gradient : (floats)0));
    }
  }
}

MTL_INLINE void MTL_JOIN(pool_average_plane, W)(const mtl_pooling *p, const float *bottom, float *top) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch;
  FOR_EACH_WINDOW(p) {
    floats total = 0;
    FOR_EACH_ELEMENT(p) total += load(bottom + at * bp);
    long count = counted(p, 0, d) * counted(p, 1, h) * counted(p, 2, w);
    bool is_empty = d.from >= d.to || h.from >= h.to || w.from >= w.to;
    store(top + t * tp, is_empty ? (floats)0 : total / (float)count);
  }
}

MTL_INLINE void MTL_JOIN(pool_average_plane_backward, W)(const mtl_pooling *p, const float *dtop, float *dbottom) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch;
  MTL_JOIN(clear_plane, W)(p, dbottom);
  FOR_EACH_WINDOW(p) {
    floats gradient = load(dtop + t * tp) / (float)(counted(p, 0, d) * counted(p, 1, h) * counted(p, 2, w));
    FOR_EACH_ELEMENT(p) {
      float *element = dbottom + at * bp;
      store(element, load(element) + gradient);
    }
  }
}

#undef floats
#undef ints
#undef bytes
#undef load
#undef store
