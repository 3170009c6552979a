/* Softmax of W neighbouring positions at once, their channels `inner` floats apart. Included once for each W. */

#define floats MTL_JOIN(floats, W)
#define load MTL_JOIN(load, W)
#define store MTL_JOIN(store, W)

MTL_INLINE void MTL_JOIN(softmax_tile, W)(long channels, long inner, const float *x, float *y) {
  floats most = load(x);
  for (long c = 1; c < channels; c++) {
    floats value = load(x + c * inner);
    most = value > most ? value : most;
  }
  floats total = 0;
  for (long c = 0; c < channels; c++) {
    floats e = MTL_JOIN(exponential, W)(load(x + c * inner) - most);
    store(y + c * inner, e);
    total += e;
  }
  floats factor = 1 / total;
  for (long c = 0; c < channels; c++) store(y + c * inner, load(y + c * inner) * factor);
}

MTL_INLINE void MTL_JOIN(softmax_tile_backward, W)(
    long channels, long inner, const float *y, const float *dy, float *dx) {
  floats total = 0;
  for (long c = 0; c < channels; c++) total += load(y + c * inner) * load(dy + c * inner);
  for (long c = 0; c < channels; c++)
    store(dx + c * inner, (load(dy + c * inner) - total) * load(y + c * inner));
}

#undef floats
#undef load
#undef store
