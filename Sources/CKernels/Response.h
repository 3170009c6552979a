/* Local response normalisation across channels. Plain images are done in tiles of 16 positions, one to a lane. Where
   neighbouring channels lie together, the squares of a tile of positions go to a small buffer whose rows have zeros at
   both ends, and windows are sums of overlapping vectors. */

MTL_INLINE floats16 window_sum(const float *row, long size) {
  floats16 total = load16(row);
  for (long i = 1; i < size; i++) total += load16(row + i);
  return total;
}

/* Fills the rows with squares, `margin` zeros before them and zeros after them. */
static void response_squares(const mtl_response *r, long rows, long margin, const float *bottom, float *buffer) {
  long length = mtl_response_row(r), lanes = r->order.lanes;
  for (long i = 0; i < rows; i++) {
    float *row = buffer + i * length;
    memset(row, 0, (size_t)margin * sizeof *row);
    for (long g = 0; g < r->order.groups; g++) {
      long real = g == r->order.groups - 1 ? r->order.last_lanes : lanes;
      floats16 v = load_lanes(bottom + g * r->order.group_stride + i * r->order.pitch, real);
      store16(row + margin + g * lanes, v * v);
    }
    long used = margin + r->order.groups * lanes;
    memset(row + used, 0, (size_t)(length - used) * sizeof *row);
  }
}

static void response_grouped(const mtl_response *r, long rows, const float *bottom, float *top) {
  float buffer[MTL_RESPONSE_BUFFER];
  long length = mtl_response_row(r), lanes = r->order.lanes;
  float factor = r->alpha / (float)r->size;
  response_squares(r, rows, (r->size - 1) / 2, bottom, buffer);
  for (long g = 0; g < r->order.groups; g++) {
    long real = g == r->order.groups - 1 ? r->order.last_lanes : lanes;
    for (long i = 0; i < rows; i++) {
      long place = g * r->order.group_stride + i * r->order.pitch;
      floats16 scale = r->k + factor * window_sum(buffer + i * length + g * lanes, r->size);
      store_lanes(top + place, load_lanes(bottom + place, real) * inverse_power16(scale, r->beta), real);
    }
  }
}

static void response_grouped_backward(
    const mtl_response *r, long rows, const float *bottom, const float *dtop, float *dbottom) {
  float squares[MTL_RESPONSE_BUFFER], terms[MTL_RESPONSE_BUFFER];
  long length = mtl_response_row(r), lanes = r->order.lanes, before = (r->size - 1) / 2, after = r->size - 1 - before;
  float factor = r->alpha / (float)r->size;
  response_squares(r, rows, before, bottom, squares);
  for (long i = 0; i < rows; i++) {
    float *row = terms + i * length;
    memset(row, 0, (size_t)after * sizeof *row);
    for (long g = 0; g < r->order.groups; g++) {
      long real = g == r->order.groups - 1 ? r->order.last_lanes : lanes;
      long place = g * r->order.group_stride + i * r->order.pitch;
      floats16 scale = r->k + factor * window_sum(squares + i * length + g * lanes, r->size);
      floats16 passed = load_lanes(dtop + place, real) * inverse_power16(scale, r->beta);
      store_lanes(dbottom + place, passed, real);
      store16(row + after + g * lanes, passed * load_lanes(bottom + place, real) / scale);
    }
    long used = after + r->order.groups * lanes;
    memset(row + used, 0, (size_t)(length - used) * sizeof *row);
  }
  for (long g = 0; g < r->order.groups; g++) {
    long real = g == r->order.groups - 1 ? r->order.last_lanes : lanes;
    for (long i = 0; i < rows; i++) {
      long place = g * r->order.group_stride + i * r->order.pitch;
      floats16 total = window_sum(terms + i * length + g * lanes, r->size);
      floats16 passed = load_lanes(dbottom + place, real);
      store_lanes(dbottom + place, passed - 2 * r->beta * factor * load_lanes(bottom + place, real) * total, real);
    }
  }
}

/* The place of a tile's first position and how many it has. */
MTL_INLINE long response_tile(const mtl_response *r, long tile, long height, long *rows) {
  long tiles = (r->positions + height - 1) / height;
  long start = tile % tiles * height;
  *rows = r->positions - start < height ? r->positions - start : height;
  return tile / tiles * r->order.image_stride + start * r->order.pitch;
}

static void normalize_response(long from, long to, const mtl_response *r, const float *bottom, float *top) {
  bool grouped = r->order.lanes > 1;
  long height = mtl_response_height(r);
  for (long tile = from; tile < to; tile++) {
    long rows;
    long place = response_tile(r, tile, height, &rows);
    if (grouped) {
      response_grouped(r, rows, bottom + place, top + place);
    } else if (rows == MTL_TILE) {
      response_tile16(r, bottom + place, top + place);
    } else {
      for (long i = 0; i < rows; i++) response_tile1(r, bottom + place + i, top + place + i);
    }
  }
}

static void normalize_response_backward(
    long from, long to, const mtl_response *r, const float *bottom, const float *dtop, float *dbottom) {
  bool grouped = r->order.lanes > 1;
  long height = mtl_response_height(r);
  for (long tile = from; tile < to; tile++) {
    long rows;
    long p = response_tile(r, tile, height, &rows);
    if (grouped) {
      response_grouped_backward(r, rows, bottom + p, dtop + p, dbottom + p);
    } else if (rows == MTL_TILE) {
      response_tile_backward16(r, bottom + p, dtop + p, dbottom + p);
    } else {
      for (long i = 0; i < rows; i++) response_tile_backward1(r, bottom + p + i, dtop + p + i, dbottom + p + i);
    }
  }
}
