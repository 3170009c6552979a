/* Blobs in bfloat (the upper half of a float), in blocks of 16 channels. They are widened piece by piece into buffers that
   stay in the caches, the kernels for floats compute on those, and what they write is rounded back: memory is read and
   written in halves, sums are of floats. */

static void widen(long count, const uint16_t *x, float *y) {
  long i = 0;
  for (; i + 16 <= count; i += 16) store16(y + i, widen16(*(const halves16 *)(x + i)));
  for (; i < count; i++) y[i] = widen16((halves16)x[i])[0];
}

static void halve(long count, const float *x, uint16_t *y) {
  long i = 0;
  for (; i + 16 <= count; i += 16) *(halves16 *)(y + i) = halve16(load16(x + i));
  for (; i < count; i++) y[i] = halve16((floats16)x[i])[0];
}

/* ---- Element by element ---- */

/* The bits of negative numbers and of positive ones, NaN not among them, of a vector of halves. Vectors are written out
   since a top may be its bottom, which compilers leave unvectorised; counts are multiples of 16. */
#define IS_NEGATIVE_HALF(v) ((v)-0x8001 <= 0x7f7f)
#define IS_POSITIVE_HALF(v) ((v)-1 <= 0x7f7f)

static void rectify_halves(long count, float slope, const void *bottom, void *top) {
  const uint16_t *x = bottom;
  uint16_t *y = top;
  for (long i = 0; i < count; i += 16) {
    halves16 v = *(const halves16 *)(x + i);
    if (slope == 0) {
      *(halves16 *)(y + i) = IS_NEGATIVE_HALF(v) ? (halves16)0 : v;
    } else {
      floats16 wide = widen16(v);
      *(halves16 *)(y + i) = halve16(wide < 0.0f ? slope * wide : wide);
    }
  }
}

static void rectify_backward_halves(
    long count, float slope, const void *reference, const void *dtop, void *dbottom) {
  const uint16_t *x = reference, *dy = dtop;
  uint16_t *dx = dbottom;
  for (long i = 0; i < count; i += 16) {
    halves16 at = *(const halves16 *)(x + i), v = *(const halves16 *)(dy + i);
    if (slope == 0) {
      *(halves16 *)(dx + i) = IS_POSITIVE_HALF(at) ? v : (halves16)0;
    } else {
      floats16 wide = widen16(v);
      *(halves16 *)(dx + i) = halve16(widen16(at) > 0.0f ? wide : slope * wide);
    }
  }
}

MTL_INLINE halves16 sum_of_halves(
    long terms, const float *coefficients, bool rectifies, void *const *x, long at, size_t bytes) {
  floats16 total = 0;
  for (long term = 0; term < terms; term++) {
    halves16 v = 0;
    memcpy(&v, (const uint16_t *)x[term] + at, bytes);
    total = term == 0 ? coefficients[0] * widen16(v) : total + coefficients[term] * widen16(v);
  }
  if (rectifies) total = total < 0.0f ? (floats16)0.0f : total;
  return halve16(total);
}

static void sum_halves(
    long from, long to, long terms, const float *coefficients, bool rectifies, void *const *x, void *y) {
  uint16_t *out = y;
  long i = from;
  for (; i + 16 <= to; i += 16)
    *(halves16 *)(out + i) = sum_of_halves(terms, coefficients, rectifies, x, i, sizeof(halves16));
  if (i < to) {
    size_t bytes = (size_t)(to - i) * sizeof(uint16_t);
    halves16 rest = sum_of_halves(terms, coefficients, rectifies, x, i, bytes);
    memcpy(out + i, &rest, bytes);
  }
}

/* ---- Pooling ---- */

/* The same over one plane of one group. */
MTL_INLINE mtl_pooling pool_of_one(const mtl_pooling *p, long *bottom_count, long *top_count) {
  mtl_pooling one = *p;
  *bottom_count = p->bottom[0] * p->bottom[1] * p->bottom[2] * 16;
  *top_count = p->top[0] * p->top[1] * p->top[2] * 16;
  one.bottom_order = (mtl_channel_order){1, 16, 16, 16, *bottom_count, *bottom_count};
  one.top_order = (mtl_channel_order){1, 16, 16, 16, *top_count, *top_count};
  return one;
}

MTL_INLINE void *which_of_unit(const mtl_pooling *p, void *which, long unit) {
  long size = mtl_pool_is_wide(p) ? (long)sizeof(int32_t) : 1;
  return which ? (char *)which + unit_offset(&p->top_order, unit) * size : NULL;
}

static void pool_halves(
    long from, long to, const mtl_pooling *p, bool is_max, const void *bottom, void *top, void *which, float *scratch) {
  long bottom_count, top_count;
  mtl_pooling one = pool_of_one(p, &bottom_count, &top_count);
  float *out = scratch + bottom_count;
  for (long unit = from; unit < to; unit++) {
    widen(bottom_count, (const uint16_t *)bottom + unit_offset(&p->bottom_order, unit), scratch);
    if (is_max)
      pool_max(0, 1, &one, scratch, out, which_of_unit(p, which, unit));
    else
      pool_average(0, 1, &one, scratch, out);
    halve(top_count, out, (uint16_t *)top + unit_offset(&p->top_order, unit));
  }
}

static void pool_backward_halves(
    long from, long to, const mtl_pooling *p, bool is_max, const void *dtop, const void *which, void *dbottom,
    float *scratch) {
  long bottom_count, top_count;
  mtl_pooling one = pool_of_one(p, &bottom_count, &top_count);
  float *slopes = scratch + bottom_count;
  for (long unit = from; unit < to; unit++) {
    widen(top_count, (const uint16_t *)dtop + unit_offset(&p->top_order, unit), slopes);
    if (is_max)
      pool_max_backward(0, 1, &one, slopes, which_of_unit(p, (void *)which, unit), scratch);
    else
      pool_average_backward(0, 1, &one, slopes, scratch);
    halve(bottom_count, scratch, (uint16_t *)dbottom + unit_offset(&p->bottom_order, unit));
  }
}

/* ---- Local response ---- */

/* All groups of a tile's positions, group by group, to or from a buffer. */
static void widen_tile(const mtl_response *r, long rows, const uint16_t *x, float *buffer) {
  for (long g = 0; g < r->order.groups; g++) widen(rows * 16, x + g * r->order.group_stride, buffer + g * rows * 16);
}

static void halve_tile(const mtl_response *r, long rows, const float *buffer, uint16_t *y) {
  for (long g = 0; g < r->order.groups; g++) halve(rows * 16, buffer + g * rows * 16, y + g * r->order.group_stride);
}

static void normalize_response_halves(long from, long to, const mtl_response *r, const void *bottom, void *top) {
  float x[MTL_RESPONSE_BUFFER], y[MTL_RESPONSE_BUFFER];
  mtl_response in_buffer = *r;
  for (long tile = from; tile < to; tile++) {
    long rows, place = response_tile(r, tile, mtl_response_height(r), &rows);
    in_buffer.order.group_stride = rows * 16;
    widen_tile(r, rows, (const uint16_t *)bottom + place, x);
    response_grouped(&in_buffer, rows, x, y);
    halve_tile(r, rows, y, (uint16_t *)top + place);
  }
}

static void normalize_response_backward_halves(
    long from, long to, const mtl_response *r, const void *bottom, const void *dtop, void *dbottom) {
  float x[MTL_RESPONSE_BUFFER], dy[MTL_RESPONSE_BUFFER], dx[MTL_RESPONSE_BUFFER];
  mtl_response in_buffer = *r;
  for (long tile = from; tile < to; tile++) {
    long rows, place = response_tile(r, tile, mtl_response_height(r), &rows);
    in_buffer.order.group_stride = rows * 16;
    widen_tile(r, rows, (const uint16_t *)bottom + place, x);
    widen_tile(r, rows, (const uint16_t *)dtop + place, dy);
    response_grouped_backward(&in_buffer, rows, x, dy, dx);
    halve_tile(r, rows, dx, (uint16_t *)dbottom + place);
  }
}

/* ---- Normalisation of channels ---- */

enum { HALVES_POSITIONS = 128, HALVES_PIECE = HALVES_POSITIONS * 16 };

/* Runs the statement for each piece of a unit's images: `place` is where it begins in the blob, `count` its floats. `one`
   describes the piece to the kernels for floats, `group` is the unit's. */
#define FOR_EACH_PIECE_OF_NORM(n, unit)                                                                                \
  long group, first, last;                                                                                             \
  norm_unit(n, unit, &group, &first, &last);                                                                           \
  mtl_norm one = *(n);                                                                                                 \
  one.images = one.runs = 1;                                                                                           \
  for (long image = first; image < last; image++)                                                                      \
    for (long start = 0, place = image * (n)->order.image_stride + group * (n)->order.group_stride, count;             \
         start < (n)->positions && (count = norm_piece(n, start, &one)); start += HALVES_POSITIONS, place += count)

MTL_INLINE long norm_piece(const mtl_norm *n, long start, mtl_norm *one) {
  long left = n->positions - start;
  one->positions = left < HALVES_POSITIONS ? left : HALVES_POSITIONS;
  one->order = (mtl_channel_order){1, 16, 16, 16, one->positions * 16, one->positions * 16};
  return one->positions * 16;
}

MTL_INLINE void norm_add_sums(const double *part, double *sums) {
  for (int i = 0; i < 2 * MTL_NORM_LANES; i++) sums[i] += part[i];
}

static void norm_moments_halves(
    long from, long to, const mtl_norm *n, const float *origin, const void *bottom, double *sums) {
  float x[HALVES_PIECE];
  for (long unit = from; unit < to; unit++) {
    double *total = sums + unit * 2 * MTL_NORM_LANES, part[2 * MTL_NORM_LANES];
    memset(total, 0, sizeof part);
    FOR_EACH_PIECE_OF_NORM(n, unit) {
      widen(count, (const uint16_t *)bottom + place, x);
      norm_moments(0, 1, &one, origin + group * 16, x, part);
      norm_add_sums(part, total);
    }
  }
}

static void norm_apply_halves(
    long from, long to, const mtl_norm *n, const float *mean, const float *factor, const float *shift,
    const void *bottom, void *top) {
  float x[HALVES_PIECE];
  for (long unit = from; unit < to; unit++) {
    FOR_EACH_PIECE_OF_NORM(n, unit) {
      widen(count, (const uint16_t *)bottom + place, x);
      norm_apply(0, 1, &one, mean + group * 16, factor + group * 16, shift + group * 16, x, x);
      halve(count, x, (uint16_t *)top + place);
    }
  }
}

static void norm_slopes_halves(
    long from, long to, const mtl_norm *n, const float *mean, const float *factor, const float *shift,
    const void *bottom, const void *dtop, double *sums) {
  float x[HALVES_PIECE], dy[HALVES_PIECE];
  for (long unit = from; unit < to; unit++) {
    double *total = sums + unit * 2 * MTL_NORM_LANES, part[2 * MTL_NORM_LANES];
    memset(total, 0, sizeof part);
    FOR_EACH_PIECE_OF_NORM(n, unit) {
      widen(count, (const uint16_t *)bottom + place, x);
      widen(count, (const uint16_t *)dtop + place, dy);
      norm_slopes(0, 1, &one, mean + group * 16, factor + group * 16, shift + group * 16, x, dy, part);
      norm_add_sums(part, total);
    }
  }
}

static void norm_pull_halves(
    long from, long to, const mtl_norm *n, const mtl_norm_constants *all, const void *bottom, const void *dtop,
    void *dbottom) {
  float x[HALVES_PIECE], dy[HALVES_PIECE];
  bool reads = n->rectifies || n->depends;
  for (long unit = from; unit < to; unit++) {
    FOR_EACH_PIECE_OF_NORM(n, unit) {
      long lane = group * 16;
      mtl_norm_constants own = {
          all->mean + lane, all->factor + lane, all->shift + lane, all->offset + lane, all->tilt + lane};
      if (reads) widen(count, (const uint16_t *)bottom + place, x);
      widen(count, (const uint16_t *)dtop + place, dy);
      norm_pull(0, 1, &one, &own, x, dy, dy);
      halve(count, dy, (uint16_t *)dbottom + place);
    }
  }
}

#undef FOR_EACH_PIECE_OF_NORM
