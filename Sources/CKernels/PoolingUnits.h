/* Pooling over units: (image, group of channels), a group in pieces of 16, 8, 4 and 1 channels. */

/* The offset of a unit's first element. */
MTL_INLINE long unit_offset(const mtl_channel_order *order, long unit) {
  return unit / order->groups * order->image_stride + unit % order->groups * order->group_stride;
}

MTL_INLINE long unit_lanes(const mtl_channel_order *order, long unit) {
  return unit % order->groups == order->groups - 1 ? order->last_lanes : order->lanes;
}

/* `plane(width, lane)` handles `width` channels from `lane` on. */
#define FOR_EACH_PIECE(order, unit, plane)                                                                             \
  for (long lane = 0, left = unit_lanes(order, unit); left > 0;) {                                                     \
    if (left >= 16) {                                                                                                  \
      plane(16, lane);                                                                                                 \
      lane += 16, left -= 16;                                                                                          \
    } else if (left >= 8) {                                                                                            \
      plane(8, lane);                                                                                                  \
      lane += 8, left -= 8;                                                                                            \
    } else if (left >= 4) {                                                                                            \
      plane(4, lane);                                                                                                  \
      lane += 4, left -= 4;                                                                                            \
    } else {                                                                                                           \
      plane(1, lane);                                                                                                  \
      lane += 1, left -= 1;                                                                                            \
    }                                                                                                                  \
  }

static void pool_max(long from, long to, const mtl_pooling *p, const float *bottom, float *top, void *which) {
  bool wide = mtl_pool_is_wide(p);
  for (long unit = from; unit < to; unit++) {
    long b = unit_offset(&p->bottom_order, unit), t = unit_offset(&p->top_order, unit);
    if (p->top_order.lanes == 1) {
      pool_max_plain(p, wide, bottom + b, top + t, which, t);
      continue;
    }
#define MTL_PLANE(width, lane)                                                                                         \
  pool_max_plane##width(p, wide, bottom + b + lane, top + t + lane, which, t + lane)
    FOR_EACH_PIECE(&p->top_order, unit, MTL_PLANE)
#undef MTL_PLANE
  }
}

static void pool_max_backward(
    long from, long to, const mtl_pooling *p, const float *dtop, const void *which, float *dbottom) {
  bool wide = mtl_pool_is_wide(p);
  for (long unit = from; unit < to; unit++) {
    long b = unit_offset(&p->bottom_order, unit), t = unit_offset(&p->top_order, unit);
    if (p->top_order.lanes == 1) {
      pool_max_plain_backward(p, wide, dtop + t, which, t, dbottom + b);
      continue;
    }
#define MTL_PLANE(width, lane)                                                                                         \
  pool_max_plane_backward##width(p, wide, dtop + t + lane, which, t + lane, dbottom + b + lane)
    FOR_EACH_PIECE(&p->top_order, unit, MTL_PLANE)
#undef MTL_PLANE
  }
}

static void pool_average(long from, long to, const mtl_pooling *p, const float *bottom, float *top) {
  for (long unit = from; unit < to; unit++) {
    long b = unit_offset(&p->bottom_order, unit), t = unit_offset(&p->top_order, unit);
    if (p->top_order.lanes == 1) {
      pool_average_plain(p, bottom + b, top + t);
      continue;
    }
#define MTL_PLANE(width, lane) pool_average_plane##width(p, bottom + b + lane, top + t + lane)
    FOR_EACH_PIECE(&p->top_order, unit, MTL_PLANE)
#undef MTL_PLANE
  }
}

static void pool_average_backward(long from, long to, const mtl_pooling *p, const float *dtop, float *dbottom) {
  for (long unit = from; unit < to; unit++) {
    long b = unit_offset(&p->bottom_order, unit), t = unit_offset(&p->top_order, unit);
#define MTL_PLANE(width, lane) pool_average_plane_backward##width(p, dtop + t + lane, dbottom + b + lane)
    FOR_EACH_PIECE(&p->top_order, unit, MTL_PLANE)
#undef MTL_PLANE
  }
}
