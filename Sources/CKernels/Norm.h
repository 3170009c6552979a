/* Normalisation of channels with scale, shift and rectifier: y = (x - mean) factor + shift, at least 0 when it
   rectifies. The channels' constants are arrays with an entry for each lane of each group, 0 for lanes that fill up.

   Where the lanes of a group lie side by side, an image's part of a group is one run of floats, and vectors of 16 take
   several positions at once; the constants then repeat. */

/* A group's part of an image as vectors. */
struct norm_walk {
  /* Vectors, floats from one to the next, floats that count in each; then floats in one more vector. */
  long vectors, step, lanes, rest;
};

MTL_INLINE struct norm_walk norm_walk_of(const mtl_norm *n, long group) {
  const mtl_channel_order *order = &n->order;
  long real = group == order->groups - 1 ? order->last_lanes : order->lanes;
  if (order->pitch != order->lanes || real != order->lanes)
    return (struct norm_walk){n->positions, order->pitch, real, 0};
  long length = n->positions * order->lanes;
  return (struct norm_walk){length / 16, 16, 16, length % 16};
}

MTL_INLINE floats16 norm_constant(const mtl_norm *n, const float *values, long group) {
  long lanes = n->order.lanes;
  const float *p = values + group * lanes;
  if (lanes == 16) return load16(p);
  floats16 v;
  for (long i = 0; i < 16; i++) v[i] = p[i % lanes];
  return v;
}

/* The images of a unit: units are (group, run of images), numbered group by group. */
MTL_INLINE void norm_unit(const mtl_norm *n, long unit, long *group, long *first, long *last) {
  *group = unit / n->runs;
  *first = unit % n->runs * n->images / n->runs;
  *last = (unit % n->runs + 1) * n->images / n->runs;
}

/* What a group's two sums have come to. In floats for a while, then in doubles. */
struct norm_sums {
  floats16 first[2], second[2];
  doubles16 total[2];
};

MTL_INLINE void norm_flush(struct norm_sums *sums) {
  for (int i = 0; i < 2; i++) {
    floats16 both = i == 0 ? sums->first[0] + sums->first[1] : sums->second[0] + sums->second[1];
    sums->total[i] += __builtin_convertvector(both, doubles16);
  }
  sums->first[0] = sums->first[1] = sums->second[0] = sums->second[1] = 0;
}

/* Adds up the lanes of one channel: result[0][channel of the group], result[1][...]. */
static void norm_fold(const mtl_norm *n, const struct norm_sums *sums, double *result) {
  long lanes = n->order.lanes;
  for (int i = 0; i < 2; i++) {
    double *out = result + i * MTL_NORM_LANES;
    for (long lane = 0; lane < MTL_NORM_LANES; lane++) out[lane] = 0;
    for (long lane = 0; lane < 16; lane++) out[lane % lanes] += sums->total[i][lane];
  }
}

/* Vectors between two flushes. */
enum { NORM_RUN = 128 };

MTL_INLINE floats16 norm_load(bool full, const float *p, long lanes) { return full ? load16(p) : load_lanes(p, lanes); }

/* Lanes beyond `lanes` become 0. */
MTL_INLINE floats16 norm_keep(bool full, floats16 v, long lanes) {
  if (!full)
    for (long i = lanes; i < 16; i++) v[i] = 0;
  return v;
}

/* ---- Statistics ---- */

MTL_INLINE void norm_add_moments(
    bool full, long lanes, const float *x, floats16 origin, struct norm_sums *sums, int which) {
  floats16 d = norm_keep(full, norm_load(full, x, lanes) - origin, lanes);
  sums->first[which] += d;
  sums->second[which] += d * d;
}

MTL_INLINE void norm_moments_of(
    bool full, const struct norm_walk *walk, const float *x, floats16 origin, struct norm_sums *sums) {
  for (long start = 0; start < walk->vectors; start += NORM_RUN) {
    long end = walk->vectors - start < NORM_RUN ? walk->vectors : start + NORM_RUN, v = start;
    for (; v + 2 <= end; v += 2) {
      norm_add_moments(full, walk->lanes, x + v * walk->step, origin, sums, 0);
      norm_add_moments(full, walk->lanes, x + (v + 1) * walk->step, origin, sums, 1);
    }
    if (v < end) norm_add_moments(full, walk->lanes, x + v * walk->step, origin, sums, 0);
    norm_flush(sums);
  }
}

static void norm_moments(long from, long to, const mtl_norm *n, const float *origin, const float *x, double *sums) {
  for (long unit = from; unit < to; unit++) {
    long group, first, last;
    norm_unit(n, unit, &group, &first, &last);
    struct norm_walk walk = norm_walk_of(n, group);
    floats16 center = norm_constant(n, origin, group);
    struct norm_sums all = {0};
    for (long image = first; image < last; image++) {
      const float *p = x + image * n->order.image_stride + group * n->order.group_stride;
      if (walk.lanes == 16)
        norm_moments_of(true, &walk, p, center, &all);
      else
        norm_moments_of(false, &walk, p, center, &all);
      if (walk.rest) norm_add_moments(false, walk.rest, p + walk.vectors * walk.step, center, &all, 1);
      norm_flush(&all);
    }
    norm_fold(n, &all, sums + unit * 2 * MTL_NORM_LANES);
  }
}

/* ---- Forward ---- */

MTL_INLINE floats16 norm_value(bool rectifies, floats16 x, floats16 mean, floats16 factor, floats16 shift) {
  floats16 y = (x - mean) * factor + shift;
  return rectifies ? (y < 0.0f ? (floats16)0.0f : y) : y;
}

MTL_INLINE void norm_apply_to(
    bool full, bool rectifies, const struct norm_walk *walk, const float *x, floats16 mean, floats16 factor,
    floats16 shift, float *y) {
  for (long v = 0; v < walk->vectors; v++) {
    floats16 value = norm_value(rectifies, norm_load(full, x + v * walk->step, walk->lanes), mean, factor, shift);
    if (full)
      store16(y + v * walk->step, value);
    else
      store_lanes(y + v * walk->step, value, walk->lanes);
  }
}

static void norm_apply(
    long from, long to, const mtl_norm *n, const float *mean, const float *factor, const float *shift, const float *x,
    float *y) {
  for (long unit = from; unit < to; unit++) {
    long group, first, last;
    norm_unit(n, unit, &group, &first, &last);
    struct norm_walk walk = norm_walk_of(n, group);
    floats16 m = norm_constant(n, mean, group), f = norm_constant(n, factor, group), s = norm_constant(n, shift, group);
    for (long image = first; image < last; image++) {
      long place = image * n->order.image_stride + group * n->order.group_stride;
      if (walk.lanes == 16 && n->rectifies)
        norm_apply_to(true, true, &walk, x + place, m, f, s, y + place);
      else if (walk.lanes == 16)
        norm_apply_to(true, false, &walk, x + place, m, f, s, y + place);
      else
        norm_apply_to(false, n->rectifies, &walk, x + place, m, f, s, y + place);
      long end = place + walk.vectors * walk.step;
      if (walk.rest)
        store_lanes(y + end, norm_value(n->rectifies, load_lanes(x + end, walk.rest), m, f, s), walk.rest);
    }
  }
}

/* ---- Backward ---- */

/* The gradient in front of the rectifier, whose sign is computed again from x as forward did. */
MTL_INLINE floats16 norm_passed(
    bool rectifies, floats16 dy, floats16 x, floats16 mean, floats16 factor, floats16 shift) {
  if (!rectifies) return dy;
  return norm_value(false, x, mean, factor, shift) > 0.0f ? dy : (floats16)0.0f;
}

MTL_INLINE void norm_add_slopes(
    bool full, bool rectifies, long lanes, const float *x, const float *dy, floats16 mean, floats16 factor,
    floats16 shift, struct norm_sums *sums, int which) {
  floats16 value = norm_load(full, x, lanes);
  floats16 passed = norm_passed(rectifies, norm_load(full, dy, lanes), value, mean, factor, shift);
  passed = norm_keep(full, passed, lanes);
  sums->first[which] += passed;
  sums->second[which] += passed * norm_keep(full, value - mean, lanes);
}

MTL_INLINE void norm_slopes_of(
    bool full, bool rectifies, const struct norm_walk *walk, const float *x, const float *dy, floats16 mean,
    floats16 factor, floats16 shift, struct norm_sums *sums) {
  long lanes = walk->lanes, step = walk->step;
  for (long start = 0; start < walk->vectors; start += NORM_RUN) {
    long end = walk->vectors - start < NORM_RUN ? walk->vectors : start + NORM_RUN, v = start;
    for (; v + 2 <= end; v += 2) {
      norm_add_slopes(full, rectifies, lanes, x + v * step, dy + v * step, mean, factor, shift, sums, 0);
      norm_add_slopes(full, rectifies, lanes, x + (v + 1) * step, dy + (v + 1) * step, mean, factor, shift, sums, 1);
    }
    if (v < end) norm_add_slopes(full, rectifies, lanes, x + v * step, dy + v * step, mean, factor, shift, sums, 0);
    norm_flush(sums);
  }
}

static void norm_slopes(
    long from, long to, const mtl_norm *n, const float *mean, const float *factor, const float *shift, const float *x,
    const float *dy, double *sums) {
  for (long unit = from; unit < to; unit++) {
    long group, first, last;
    norm_unit(n, unit, &group, &first, &last);
    struct norm_walk walk = norm_walk_of(n, group);
    floats16 m = norm_constant(n, mean, group), f = norm_constant(n, factor, group), s = norm_constant(n, shift, group);
    struct norm_sums all = {0};
    for (long image = first; image < last; image++) {
      long place = image * n->order.image_stride + group * n->order.group_stride;
      if (walk.lanes == 16 && n->rectifies)
        norm_slopes_of(true, true, &walk, x + place, dy + place, m, f, s, &all);
      else if (walk.lanes == 16)
        norm_slopes_of(true, false, &walk, x + place, dy + place, m, f, s, &all);
      else
        norm_slopes_of(false, n->rectifies, &walk, x + place, dy + place, m, f, s, &all);
      long end = place + walk.vectors * walk.step;
      if (walk.rest) norm_add_slopes(false, n->rectifies, walk.rest, x + end, dy + end, m, f, s, &all, 1);
      norm_flush(&all);
    }
    norm_fold(n, &all, sums + unit * 2 * MTL_NORM_LANES);
  }
}

/* A channel's constants in backward. */
struct norm_slope {
  floats16 mean, factor, shift, offset, tilt;
};

/* The bottom's gradient for one vector. */
MTL_INLINE floats16 norm_gradient(
    bool full, long lanes, bool rectifies, bool depends, const float *x, const float *dy, const struct norm_slope *c) {
  floats16 slope = norm_load(full, dy, lanes);
  if (!rectifies && !depends) return slope * c->factor; /* x may be gone */
  floats16 value = norm_load(full, x, lanes);
  floats16 gradient = norm_passed(rectifies, slope, value, c->mean, c->factor, c->shift) * c->factor;
  return depends ? gradient - c->offset - (value - c->mean) * c->tilt : gradient;
}

MTL_INLINE void norm_pull_to(
    bool full, bool rectifies, bool depends, const struct norm_walk *walk, const float *x, const float *dy,
    const struct norm_slope *c, float *dx) {
  for (long v = 0; v < walk->vectors; v++) {
    long place = v * walk->step;
    floats16 value = norm_gradient(full, walk->lanes, rectifies, depends, x + place, dy + place, c);
    if (full)
      store16(dx + place, value);
    else
      store_lanes(dx + place, value, walk->lanes);
  }
}

static void norm_pull(
    long from, long to, const mtl_norm *n, const mtl_norm_constants *all, const float *x, const float *dy, float *dx) {
  for (long unit = from; unit < to; unit++) {
    long group, first, last;
    norm_unit(n, unit, &group, &first, &last);
    struct norm_walk walk = norm_walk_of(n, group);
    struct norm_slope c = {
        norm_constant(n, all->mean, group), norm_constant(n, all->factor, group), norm_constant(n, all->shift, group),
        norm_constant(n, all->offset, group), norm_constant(n, all->tilt, group)};
    for (long image = first; image < last; image++) {
      long place = image * n->order.image_stride + group * n->order.group_stride;
      const float *px = x + place, *pdy = dy + place;
      if (walk.lanes != 16)
        norm_pull_to(false, n->rectifies, n->depends, &walk, px, pdy, &c, dx + place);
      else if (n->rectifies && n->depends)
        norm_pull_to(true, true, true, &walk, px, pdy, &c, dx + place);
      else if (n->rectifies)
        norm_pull_to(true, true, false, &walk, px, pdy, &c, dx + place);
      else if (n->depends)
        norm_pull_to(true, false, true, &walk, px, pdy, &c, dx + place);
      else
        norm_pull_to(true, false, false, &walk, px, pdy, &c, dx + place);
      long end = walk.vectors * walk.step;
      if (walk.rest)
        store_lanes(
            dx + place + end,
            norm_gradient(false, walk.rest, n->rectifies, n->depends, px + end, pdy + end, &c), walk.rest);
    }
  }
}
