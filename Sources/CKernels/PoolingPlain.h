/* Pooling of one channel whose elements lie one behind the other: 16, 8 or 4 windows of a row at a time where all of
   their elements are real. */

/* The windows of a row that can be done so: [from, to). */
struct plain_windows {
  long from, to;
};

MTL_INLINE struct plain_windows plain_windows(const mtl_pooling *p, struct window_axis d, struct window_axis h) {
  long stride = p->stride[2];
  /* The element that is read after the last one must not lie behind the plane. */
  bool is_end = d.to == p->bottom[0] && h.to == p->bottom[1];
  long room = p->bottom[2] + p->pad[2] - p->kernel[2] - (stride == 2 && is_end);
  long from = (p->pad[2] + stride - 1) / stride;
  if (d.from >= d.to || h.from >= h.to || room < 0) return (struct plain_windows){0, 0};
  long to = room / stride + 1;
  if (to > p->top[2]) to = p->top[2];
  return (struct plain_windows){from, to > from ? to : from};
}

/* Runs the statement for each row of windows with the macro `several(width)` for as many windows as can be done at
   once, and `single` for one. */
#define FOR_EACH_PLAIN(p, several, single)                                                                             \
  FOR_EACH_ROW(p) {                                                                                                    \
    struct plain_windows plain = plain_windows(p, d, h);                                                               \
    for (long tw = 0; tw < (p)->top[2];) {                                                                             \
      long left = tw < plain.from ? 0 : plain.to - tw;                                                                 \
      if (left >= 16) {                                                                                                \
        several(16);                                                                                                   \
        tw += 16;                                                                                                      \
      } else if (left >= 8) {                                                                                          \
        several(8);                                                                                                    \
        tw += 8;                                                                                                       \
      } else if (left >= 4) {                                                                                          \
        several(4);                                                                                                    \
        tw += 4;                                                                                                       \
      } else {                                                                                                         \
        single;                                                                                                        \
        tw++;                                                                                                          \
      }                                                                                                                \
    }                                                                                                                  \
  }

/* Whether all windows are squares of 2 x 2 that lie side by side and cover the plane. */
MTL_INLINE bool is_quartered(const mtl_pooling *p) {
  return p->kernel[0] == 1 && p->kernel[1] == 2 && p->kernel[2] == 2 && p->stride[0] == 1 && p->stride[1] == 2 &&
         p->stride[2] == 2 && !p->pad[0] && !p->pad[1] && !p->pad[2] && p->top[0] == p->bottom[0] &&
         2 * p->top[1] == p->bottom[1] && 2 * p->top[2] == p->bottom[2];
}

/* Runs `several(width)` for the squares of the plane, `first` the place of the first of them in the bottom. */
#define FOR_EACH_SQUARE(p, several, single)                                                                            \
  for (long t = 0, line = 0; line < (p)->top[0] * (p)->top[1]; line++, t += (p)->top[2]) {                             \
    long row = (p)->bottom[2], first = 2 * line * row, tw = 0;                                                         \
    for (; tw + 16 <= (p)->top[2]; tw += 16) several(16);                                                              \
    for (; tw + 8 <= (p)->top[2]; tw += 8) several(8);                                                                 \
    for (; tw + 4 <= (p)->top[2]; tw += 4) several(4);                                                                 \
    for (; tw < (p)->top[2]; tw++) single;                                                                             \
  }

static void pool_max_quartered(const mtl_pooling *p, const float *bottom, float *top, uint8_t *which) {
#define MTL_SEVERAL(width)                                                                                             \
  do {                                                                                                                 \
    floats##width most;                                                                                                \
    ints##width place;                                                                                                 \
    max_of_squares##width(bottom + first + 2 * tw, row, &most, &place);                                                \
    store##width(top + t + tw, most);                                                                                  \
    if (which) store_which##width(which, t + tw, false, place);                                                        \
  } while (0)
#define MTL_SINGLE                                                                                                     \
  do {                                                                                                                 \
    floats1 most;                                                                                                      \
    ints1 place;                                                                                                       \
    max_of_square1(bottom + first + 2 * tw, row, 1, 2, &most, &place);                                                 \
    store1(top + t + tw, most);                                                                                        \
    if (which) store_which1(which, t + tw, false, place);                                                              \
  } while (0)
  FOR_EACH_SQUARE(p, MTL_SEVERAL, MTL_SINGLE)
#undef MTL_SEVERAL
#undef MTL_SINGLE
}

static void pool_max_quartered_backward(
    const mtl_pooling *p, const float *dtop, const uint8_t *which, float *dbottom) {
#define MTL_SEVERAL(width)                                                                                             \
  max_of_squares_backward##width(                                                                                      \
      load##width(dtop + t + tw), load_which##width(which, t + tw, false), dbottom + first + 2 * tw, row)
#define MTL_SINGLE                                                                                                     \
  for (long i = 0; i < 4; i++) dbottom[first + 2 * tw + i / 2 * row + i % 2] = which[t + tw] == i ? dtop[t + tw] : 0
  FOR_EACH_SQUARE(p, MTL_SEVERAL, MTL_SINGLE)
#undef MTL_SEVERAL
#undef MTL_SINGLE
}

static void pool_max_plain(const mtl_pooling *p, bool wide, const float *bottom, float *top, void *which, long offset) {
  if (is_quartered(p)) {
    pool_max_quartered(p, bottom, top, which ? (uint8_t *)which + offset : NULL);
    return;
  }
#define MTL_SEVERAL(width)                                                                                             \
  floats##width most;                                                                                                  \
  ints##width place;                                                                                                   \
  max_of_windows##width(p, d, h, tw, bottom, &most, &place);                                                           \
  store##width(top + t + tw, most);                                                                                    \
  if (which) store_which##width(which, offset + t + tw, wide, place)
#define MTL_SINGLE                                                                                                     \
  floats1 most = 0;                                                                                                    \
  ints1 place = wide ? -1 : 255;                                                                                       \
  max_of_window1(p, d, h, window_axis(p, 2, tw), bottom, &most, &place);                                               \
  store1(top + t + tw, most);                                                                                          \
  if (which) store_which1(which, offset + t + tw, wide, place)
  FOR_EACH_PLAIN(p, MTL_SEVERAL, MTL_SINGLE)
#undef MTL_SEVERAL
#undef MTL_SINGLE
}

/* One element takes the gradient of a window, and its place leads to it. */
static void pool_max_plain_backward(
    const mtl_pooling *p, bool wide, const float *dtop, const void *which, long offset, float *dbottom) {
  if (is_quartered(p)) {
    pool_max_quartered_backward(p, dtop, (const uint8_t *)which + offset, dbottom);
    return;
  }
  long row = p->bottom[2], plane = p->bottom[1] * row;
  memset(dbottom, 0, (size_t)(p->bottom[0] * plane) * sizeof *dbottom);
  FOR_EACH_ROW(p) {
    for (long tw = 0; tw < p->top[2]; tw++) {
      long place = wide ? ((const int32_t *)which)[offset + t + tw] : ((const uint8_t *)which)[offset + t + tw];
      if (place == (wide ? -1 : 255)) continue;
      long line = place / p->kernel[2];
      dbottom[FIRST_PLACE(p, tw) + line / p->kernel[1] * plane + line % p->kernel[1] * row + place % p->kernel[2]] +=
          dtop[t + tw];
    }
  }
}

static void pool_average_plain(const mtl_pooling *p, const float *bottom, float *top) {
#define MTL_COUNT(w) (float)(counted(p, 0, d) * counted(p, 1, h) * counted(p, 2, w))
#define MTL_SEVERAL(width)                                                                                             \
  store##width(top + t + tw, sum_of_windows##width(p, d, h, tw, bottom) / MTL_COUNT(window_axis(p, 2, tw)))
#define MTL_SINGLE                                                                                                     \
  struct window_axis w = window_axis(p, 2, tw);                                                                        \
  float total = 0;                                                                                                     \
  FOR_EACH_ELEMENT(p) total += bottom[at];                                                                             \
  bool is_empty = d.from >= d.to || h.from >= h.to || w.from >= w.to;                                                  \
  top[t + tw] = is_empty ? 0 : total / MTL_COUNT(w)
  FOR_EACH_PLAIN(p, MTL_SEVERAL, MTL_SINGLE)
#undef MTL_COUNT
#undef MTL_SEVERAL
#undef MTL_SINGLE
}
