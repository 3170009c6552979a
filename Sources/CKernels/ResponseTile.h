/* Local response normalisation of W neighbouring positions of a plain image, channels `positions` floats apart.
   Included once for each W. */

#define floats MTL_JOIN(floats, W)
#define load MTL_JOIN(load, W)
#define store MTL_JOIN(store, W)

/* scale^-beta */
MTL_INLINE floats MTL_JOIN(inverse_power, W)(floats scale, float beta) {
  if (beta == 0.75f) {
    floats root = __builtin_elementwise_sqrt(scale);
    return 1 / (root * __builtin_elementwise_sqrt(root));
  }
  return MTL_JOIN(exponential, W)(-beta * MTL_JOIN(logarithm, W)(scale));
}

/* k + alpha / size * the sum of squares over the window of channel c */
MTL_INLINE floats MTL_JOIN(response_scale, W)(const mtl_response *r, const float *bottom, long c) {
  long before = (r->size - 1) / 2;
  long from = c - before < 0 ? 0 : c - before;
  long to = c - before + r->size < r->channels ? c - before + r->size : r->channels;
  floats total = 0;
  for (long i = from; i < to; i++) {
    floats value = load(bottom + i * r->positions);
    total += value * value;
  }
  return r->k + r->alpha / (float)r->size * total;
}

MTL_INLINE void MTL_JOIN(response_tile, W)(const mtl_response *r, const float *bottom, float *top) {
  for (long c = 0; c < r->channels; c++) {
    floats scale = MTL_JOIN(response_scale, W)(r, bottom, c);
    store(top + c * r->positions, load(bottom + c * r->positions) * MTL_JOIN(inverse_power, W)(scale, r->beta));
  }
}

/* dx = dy scale^-beta - 2 alpha beta / size * x * the sum over the windows that x is in of dy x / scale^(beta + 1) */
MTL_INLINE void MTL_JOIN(response_tile_backward, W)(
    const mtl_response *r, const float *bottom, const float *dtop, float *dbottom) {
  long before = (r->size - 1) / 2, after = r->size - 1 - before, pitch = r->positions;
  float factor = 2 * r->alpha * r->beta / (float)r->size;
  floats terms[MTL_RESPONSE_RING];
  for (long next = 0, c = -before; c < r->channels; c++) {
    /* Channel c is in the windows of c - after ... c + before. */
    for (; next <= c + before && next < r->channels; next++) {
      floats scale = MTL_JOIN(response_scale, W)(r, bottom, next);
      floats power = MTL_JOIN(inverse_power, W)(scale, r->beta);
      floats passed = load(dtop + next * pitch) * power;
      store(dbottom + next * pitch, passed);
      terms[next % MTL_RESPONSE_RING] = passed * load(bottom + next * pitch) / scale;
    }
    if (c < 0) continue;
    floats total = 0;
    for (long i = c - after < 0 ? 0 : c - after; i <= c + before && i < r->channels; i++)
      total += terms[i % MTL_RESPONSE_RING];
    float *out = dbottom + c * pitch;
    store(out, load(out) - factor * load(bottom + c * pitch) * total);
  }
}

#undef floats
#undef load
#undef store
