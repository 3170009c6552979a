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

/* Runs the statement once for each row of windows, with its axes d and h and the number t of its first window. */
#define FOR_EACH_ROW(p)                                                                                                \
  for (long t = 0, td = 0; td < (p)->top[0]; td++)                                                                     \
    for (struct window_axis d = window_axis(p, 0, td), *once = &d; once; once = 0)                                     \
      for (long th = 0; th < (p)->top[1]; th++, t += (p)->top[2])                                                      \
        for (struct window_axis h = window_axis(p, 1, th), *once1 = &h; once1; once1 = 0)

/* The place in the plane of the first element of window tw of the row. */
#define FIRST_PLACE(p, tw)                                                                                             \
  ((d.start * (p)->bottom[1] + h.start) * (p)->bottom[2] + (tw) * (p)->stride[2] - (p)->pad[2])

/* Runs the statement for each real element of the window, with its place `at` in the plane. */
#define FOR_EACH_ELEMENT(p)                                                                                            \
  for (long z = d.from; z < d.to; z++)                                                                                 \
    for (long y = h.from; y < h.to; y++)                                                                               \
      for (long x = w.from, at = (z * (p)->bottom[1] + y) * (p)->bottom[2] + x; x < w.to; x++, at++)

/* The number of element (z, y, x) in its window. */
#define PLACE_IN_WINDOW(p)                                                                                             \
  (int32_t)(((z - d.start) * (p)->kernel[1] + (y - h.start)) * (p)->kernel[2] + (x - w.start))

/* The windows of a row that are squares of 2 x 2 or 3 x 3 real elements, [from, to); none for other windows. These, the
   usual ones, are done by loops that the compiler unrolls. */
struct whole_windows {
  long size, from, to;
};

MTL_INLINE struct whole_windows whole_windows(const mtl_pooling *p, struct window_axis d, struct window_axis h) {
  long size = p->kernel[2], stride = p->stride[2];
  bool suits = p->kernel[0] == 1 && d.to - d.from == 1 && p->kernel[1] == size && h.to - h.from == size &&
               (size == 2 || size == 3) && p->bottom[2] >= size;
  if (!suits) return (struct whole_windows){0, 0, 0};
  long from = (p->pad[2] + stride - 1) / stride;
  long to = (p->bottom[2] + p->pad[2] - size) / stride + 1;
  if (to > p->top[2]) to = p->top[2];
  return (struct whole_windows){size, from, to > from ? to : from};
}
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

/* Takes `value` for the maximum when it is larger. A NaN beats every number, and of several maxima or NaNs the first
   stays. */
MTL_INLINE void MTL_JOIN(take_larger, W)(floats value, int32_t number, floats *most, ints *place) {
  ints better = ~(value <= *most) & (*most == *most);
  *most = better ? value : *most;
  *place = better ? (ints)number : *place;
}

/* Of several values; the maximum first and then its place, which are shorter chains of instructions than one value after
   the other. */
MTL_INLINE void MTL_JOIN(max_of_values, W)(const floats *values, int count, floats *most, ints *place) {
  ints is_nan = 0;
#pragma clang loop unroll(full)
  for (int i = 0; i < count; i++) is_nan |= values[i] != values[i];
  *most = values[0];
#pragma clang loop unroll(full)
  for (int i = 1; i < count; i++) *most = values[i] > *most ? values[i] : *most;
  *place = 0;
#pragma clang loop unroll(full)
  for (int i = count - 1; i >= 0; i--) *place = values[i] == *most ? (ints)i : *place;
  if (__builtin_reduce_or(is_nan)) {
    *most = values[0];
    *place = 0;
    for (int i = 1; i < count; i++) MTL_JOIN(take_larger, W)(values[i], i, most, place);
  }
}

MTL_INLINE void MTL_JOIN(max_of_square, W)(
    const float *first, long row, long bp, int size, floats *most, ints *place) {
  floats values[9];
#pragma clang loop unroll(full)
  for (int i = 0; i < size * size; i++) values[i] = load(first + i / size * row + i % size * bp);
  MTL_JOIN(max_of_values, W)(values, size * size, most, place);
}

/* A window of any form; an empty one gives 0. */
MTL_INLINE void MTL_JOIN(max_of_window, W)(
    const mtl_pooling *p, struct window_axis d, struct window_axis h, struct window_axis w, const float *bottom,
    floats *most, ints *place) {
  bool is_empty = true;
  FOR_EACH_ELEMENT(p) {
    floats value = load(bottom + at * p->bottom_order.pitch);
    if (is_empty) {
      *most = value;
      *place = PLACE_IN_WINDOW(p);
      is_empty = false;
    } else {
      MTL_JOIN(take_larger, W)(value, PLACE_IN_WINDOW(p), most, place);
    }
  }
}

MTL_INLINE void MTL_JOIN(pool_max_plane, W)(
    const mtl_pooling *p, bool wide, const float *bottom, float *top, void *which, long which_offset) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch, row = p->bottom[2] * bp, step = p->stride[2] * bp;
#define MTL_KEEP(t)                                                                                                    \
  store(top + (t) * tp, most);                                                                                         \
  if (which) MTL_JOIN(store_which, W)(which, which_offset + (t) * tp, wide, place);
#define MTL_SQUARES(size)                                                                                              \
  for (; tw < whole.to; tw++, square += step) {                                                                        \
    floats most;                                                                                                       \
    ints place;                                                                                                        \
    MTL_JOIN(max_of_square, W)(square, row, bp, size, &most, &place);                                                  \
    MTL_KEEP(t + tw)                                                                                                   \
  }
  FOR_EACH_ROW(p) {
    struct whole_windows whole = whole_windows(p, d, h);
    const float *square = bottom + FIRST_PLACE(p, whole.from) * bp;
    for (long tw = 0; tw < p->top[2]; tw++) {
      if (tw == whole.from) {
        if (whole.size == 3) {
          MTL_SQUARES(3)
        } else {
          MTL_SQUARES(2)
        }
        if (tw == p->top[2]) break;
      }
      floats most = 0;
      ints place = wide ? -1 : 255;
      MTL_JOIN(max_of_window, W)(p, d, h, window_axis(p, 2, tw), bottom, &most, &place);
      MTL_KEEP(t + tw)
    }
  }
#undef MTL_KEEP
#undef MTL_SQUARES
}

MTL_INLINE void MTL_JOIN(clear_plane, W)(const mtl_pooling *p, float *dbottom) {
  long count = p->bottom[0] * p->bottom[1] * p->bottom[2], bp = p->bottom_order.pitch;
  for (long i = 0; i < count; i++) store(dbottom + i * bp, (floats)0);
}

MTL_INLINE void MTL_JOIN(add_where, W)(floats gradient, ints chosen, float *element) {
  store(element, load(element) + (chosen ? gradient : (floats)0));
}

MTL_INLINE void MTL_JOIN(max_of_square_backward, W)(
    floats gradient, ints place, long row, long bp, int size, float *first) {
#pragma clang loop unroll(full)
  for (int i = 0; i < size * size; i++)
    MTL_JOIN(add_where, W)(gradient, place == i, first + i / size * row + i % size * bp);
}

MTL_INLINE void MTL_JOIN(pool_max_plane_backward, W)(
    const mtl_pooling *p, bool wide, const float *dtop, const void *which, long which_offset, float *dbottom) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch, row = p->bottom[2] * bp, step = p->stride[2] * bp;
  MTL_JOIN(clear_plane, W)(p, dbottom);
#define MTL_SQUARES(size)                                                                                              \
  for (; tw < whole.to; tw++, square += step) {                                                                        \
    ints place = MTL_JOIN(load_which, W)(which, which_offset + (t + tw) * tp, wide);                                   \
    MTL_JOIN(max_of_square_backward, W)(load(dtop + (t + tw) * tp), place, row, bp, size, square);                     \
  }
  FOR_EACH_ROW(p) {
    struct whole_windows whole = whole_windows(p, d, h);
    float *square = dbottom + FIRST_PLACE(p, whole.from) * bp;
    for (long tw = 0; tw < p->top[2]; tw++) {
      if (tw == whole.from) {
        if (whole.size == 3) {
          MTL_SQUARES(3)
        } else {
          MTL_SQUARES(2)
        }
        if (tw == p->top[2]) break;
      }
      struct window_axis w = window_axis(p, 2, tw);
      floats gradient = load(dtop + (t + tw) * tp);
      ints place = MTL_JOIN(load_which, W)(which, which_offset + (t + tw) * tp, wide);
      FOR_EACH_ELEMENT(p) MTL_JOIN(add_where, W)(gradient, place == PLACE_IN_WINDOW(p), dbottom + at * bp);
    }
  }
#undef MTL_SQUARES
}

MTL_INLINE void MTL_JOIN(pool_average_plane, W)(const mtl_pooling *p, const float *bottom, float *top) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch;
  FOR_EACH_ROW(p) {
    for (long tw = 0; tw < p->top[2]; tw++) {
      struct window_axis w = window_axis(p, 2, tw);
      floats total = 0;
      FOR_EACH_ELEMENT(p) total += load(bottom + at * bp);
      long count = counted(p, 0, d) * counted(p, 1, h) * counted(p, 2, w);
      bool is_empty = d.from >= d.to || h.from >= h.to || w.from >= w.to;
      store(top + (t + tw) * tp, is_empty ? (floats)0 : total / (float)count);
    }
  }
}

MTL_INLINE void MTL_JOIN(pool_average_plane_backward, W)(const mtl_pooling *p, const float *dtop, float *dbottom) {
  long bp = p->bottom_order.pitch, tp = p->top_order.pitch;
  MTL_JOIN(clear_plane, W)(p, dbottom);
  FOR_EACH_ROW(p) {
    for (long tw = 0; tw < p->top[2]; tw++) {
      struct window_axis w = window_axis(p, 2, tw);
      long count = counted(p, 0, d) * counted(p, 1, h) * counted(p, 2, w);
      floats gradient = load(dtop + (t + tw) * tp) / (float)count;
      FOR_EACH_ELEMENT(p) {
        float *element = dbottom + at * bp;
        store(element, load(element) + gradient);
      }
    }
  }
}

#undef floats
#undef ints
#undef bytes
#undef load
#undef store
