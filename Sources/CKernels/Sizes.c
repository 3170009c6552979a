/* What callers need to know before they can run a kernel, and what is not worth vectors. */
#include "Kernels.h"

long mtl_softmax_tile_count(long inner) { return (inner + MTL_TILE - 1) / MTL_TILE; }

long mtl_response_tile_count(const mtl_response *r) {
  if (r->order.lanes == 1 && r->size > MTL_RESPONSE_RING) return 0;
  long height = mtl_response_height(r);
  return height ? (r->positions + height - 1) / height : 0;
}

long mtl_pool_which_size(const mtl_pooling *pooling) {
  return mtl_pool_is_wide(pooling) ? sizeof(int32_t) : sizeof(uint8_t);
}

/* The place in its plane of element `which` of window `index`. */
static long place_in_plane(const mtl_pooling *p, long index, long which) {
  long place = 0, area[3] = {p->top[1] * p->top[2], p->top[2], 1};
  long window[3] = {p->kernel[1] * p->kernel[2], p->kernel[2], 1};
  for (int axis = 0; axis < 3; axis++) {
    long top = index / area[axis] % p->top[axis];
    long inside = which / window[axis] % p->kernel[axis];
    place = place * p->bottom[axis] + top * p->stride[axis] - p->pad[axis] + inside;
  }
  return place;
}

void mtl_pool_mask(long images, long channels, const mtl_pooling *p, const void *which, float *mask) {
  const mtl_channel_order *order = &p->top_order;
  bool wide = mtl_pool_is_wide(p);
  long positions = p->top[0] * p->top[1] * p->top[2];
  for (long image = 0; image < images; image++) {
    for (long c = 0; c < channels; c++) {
      long start = image * order->image_stride + c / order->lanes * order->group_stride + c % order->lanes;
      for (long i = 0; i < positions; i++) {
        long at = start + i * order->pitch;
        long place = wide ? ((const int32_t *)which)[at] : ((const uint8_t *)which)[at];
        bool none = place == (wide ? -1 : 255);
        *mask++ = none ? -1 : (float)place_in_plane(p, i, place);
      }
    }
  }
}

long mtl_patches_pieces(const mtl_patches *p) { return mtl_patch_pieces(p); }

long mtl_patches_row(const mtl_patches *p) { return mtl_patch_row(p); }

long mtl_patches_scratch(const mtl_patches *p, long tasks) {
  long by_taps = MTL_PATCH_ROWS + p->top_channels * MTL_PATCH_SPAN;
  long by_positions = MTL_PATCH_SPAN * mtl_patch_row(p) + 64;
  long back = mtl_patch_lists(p, 1) + mtl_patch_packed(p) + (by_taps > by_positions ? by_taps : by_positions);
  long weights = mtl_patch_lists(p, tasks) + by_positions;
  return mtl_patch_padded(p) + (back > weights ? back : weights);
}

long mtl_sparse_weights_size(const mtl_sparse *s) {
  return s->groups * s->top_blocks * s->bottom_blocks * 256 * s->kernel * s->kernel;
}

long mtl_sparse_scratch(const mtl_sparse *s, long tasks) {
  long plane = 16 * (s->bottom[0] + s->pad_before[0] + s->pad_after[0])
      * (s->bottom[1] + s->pad_before[1] + s->pad_after[1]);
  return s->groups * s->bottom_blocks * plane + 16 * (1 + tasks) * s->top[0] * s->top[1];
}

long mtl_winograd_tiles(const mtl_winograd *w) {
  const long *plane = mtl_winograd_plane(w);
  return w->images * ((plane[0] + 3) / 4) * ((plane[1] + 3) / 4);
}

long mtl_winograd_runs(const mtl_winograd *w) {
  return (mtl_winograd_tiles(w) + mtl_winograd_run(w) - 1) / mtl_winograd_run(w);
}

long mtl_winograd_chunks(const mtl_winograd *w) {
  return (w->top_blocks * 16 + MTL_WINOGRAD_CHUNK - 1) / MTL_WINOGRAD_CHUNK;
}

long mtl_winograd_weights_size(const mtl_winograd *w) {
  long last = mtl_winograd_chunks(w) - 1;
  return mtl_winograd_chunk(w, last) +
         36 * mtl_winograd_matrix(w->bottom_blocks * 16, mtl_winograd_width(w, last) / 16);
}

long mtl_winograd_bottom_size(const mtl_winograd *w, long count) {
  return mtl_winograd_place(w, 36, count, w->bottom_blocks);
}

long mtl_winograd_top_size(const mtl_winograd *w, long count) {
  return mtl_winograd_place(w, 36, count, w->top_blocks);
}

long mtl_winograd_scratch(const mtl_winograd *w) {
  long run = mtl_winograd_run(w);
  return mtl_winograd_bottom_size(w, run) + mtl_winograd_place(w, 36, run, MTL_WINOGRAD_CHUNK / 16);
}
