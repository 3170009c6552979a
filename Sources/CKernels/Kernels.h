/* The table of kernels that each instruction set fills. */
#ifndef MTL_KERNELS_H
#define MTL_KERNELS_H

#include "CKernels.h"

/* X(return type, name, parameters, arguments) */
#define MTL_KERNELS(X)                                                                                                 \
  X(void, axpby, (long count, float a, const float *x, float b, float *y), (count, a, x, b, y))                        \
  X(void, multiply, (long count, const float *x, const float *y, float *z), (count, x, y, z))                          \
  X(void, exponential, (long count, const float *x, float *y), (count, x, y))                                          \
  X(void, logarithm, (long count, const float *x, float *y), (count, x, y))                                            \
  X(double, dot, (long count, const float *x, const float *y), (count, x, y))                                          \
  X(double, sum, (long count, const float *x), (count, x))                                                             \
  X(double, absolute_sum, (long count, const float *x), (count, x))                                                    \
  X(bool, is_finite, (long count, const float *x), (count, x))                                                         \
  X(void, set_rows, (long rows, long columns, const float *bias, float *y), (rows, columns, bias, y))                  \
  X(void, sum_rows, (long rows, long columns, const float *x, bool adds, float *y), (rows, columns, x, adds, y))       \
  X(void, rectify, (long count, float slope, const float *x, float *y), (count, slope, x, y))                          \
  X(void, rectify_backward, (long count, float slope, const float *reference, const float *dy, float *dx),             \
    (count, slope, reference, dy, dx))                                                                                 \
  X(void, hyperbolic_tangent, (long count, const float *x, float *y), (count, x, y))                                   \
  X(void, hyperbolic_tangent_backward, (long count, const float *y, const float *dy, float *dx), (count, y, dy, dx))   \
  X(void, absolute_backward, (long count, const float *x, const float *dy, float *dx), (count, x, dy, dx))             \
  X(void, patches_forward,                                                                                             \
    (long from, long to, const mtl_patches *patches, const float *bottom, const float *weights,                        \
     const mtl_epilogue *epilogue, float *top, float *scratch),                                                        \
    (from, to, patches, bottom, weights, epilogue, top, scratch))                                                      \
  X(void, patches_backward_data,                                                                                       \
    (long from, long to, const mtl_patches *patches, const float *dtop, const float *weights, float *dbottom,          \
     float *scratch),                                                                                                  \
    (from, to, patches, dtop, weights, dbottom, scratch))                                                              \
  X(void, patches_backward_weights,                                                                                    \
    (long from, long to, const mtl_patches *patches, const float *bottom, long tasks, const float *const *dtops,       \
     float *dweights, float *dbias, float *scratch),                                                                   \
    (from, to, patches, bottom, tasks, dtops, dweights, dbias, scratch))                                                       \
  X(long, sparse_count, (const mtl_sparse *sparse, const void *dtop, long image), (sparse, dtop, image))                \
  X(void, sparse_pack, (long from, long to, const mtl_sparse *sparse, const float *weights, float *packed),            \
    (from, to, sparse, weights, packed))                                                                               \
  X(void, sparse_backward_data,                                                                                        \
    (long from, long to, const mtl_sparse *sparse, const void *dtop, const float *packed, void *dbottom,               \
     float *scratch),                                                                                                  \
    (from, to, sparse, dtop, packed, dbottom, scratch))                                                                \
  X(void, sparse_backward_weights,                                                                                     \
    (long from, long to, const mtl_sparse *sparse, const void *bottom, long tasks, const void *const *dtops,           \
     float *dweights, float *dbias, float *scratch),                                                                   \
    (from, to, sparse, bottom, tasks, dtops, dweights, dbias, scratch))                                                        \
  X(void, sparse_finish,                                                                                               \
    (long from, long to, const mtl_sparse *sparse, long parts, long step, const float *sums, bool adds,                \
     float *dweights),                                                                                                 \
    (from, to, sparse, parts, step, sums, adds, dweights))                                                             \
  X(void, winograd_weights, (long from, long to, const mtl_winograd *winograd, const float *weights, float *u),         \
    (from, to, winograd, weights, u))                                                                                  \
  X(void, winograd_forward,                                                                                            \
    (long from, long to, const mtl_winograd *winograd, const void *bottom, const float *u,                             \
     const mtl_epilogue *epilogue, void *top, float *scratch),                                                         \
    (from, to, winograd, bottom, u, epilogue, top, scratch))                                                           \
  X(void, winograd_gather,                                                                                             \
    (long from, long to, const mtl_winograd *winograd, long first, long count, const void *bottom, const void *dtop,   \
     float *v, float *m),                                                                                              \
    (from, to, winograd, first, count, bottom, dtop, v, m))                                                            \
  X(void, winograd_add,                                                                                                \
    (long from, long to, const mtl_winograd *winograd, long count, long used, bool adds, const float *v,               \
     const float *m, float *du),                                                                                       \
    (from, to, winograd, count, used, adds, v, m, du))                                                                 \
  X(void, winograd_add_bias,                                                                                           \
    (const mtl_winograd *winograd, long count, long used, const float *m, float *dbias),                               \
    (winograd, count, used, m, dbias))                                                                                 \
  X(void, winograd_finish,                                                                                             \
    (long from, long to, const mtl_winograd *winograd, bool adds, const float *du, float *dweights),                   \
    (from, to, winograd, adds, du, dweights))                                                                          \
  X(void, rectify_halves,                                                                                              \
    (long count, float slope, const void *x, void *y),                                                                 \
    (count, slope, x, y))                                                                                              \
  X(void, rectify_backward_halves,                                                                                     \
    (long count, float slope, const void *reference, const void *dy, void *dx),                                        \
    (count, slope, reference, dy, dx))                                                                                 \
  X(void, sum_halves,                                                                                                  \
    (long from, long to, long terms, const float *coefficients, bool rectifies, void *const *x, void *y),              \
    (from, to, terms, coefficients, rectifies, x, y))                                                                  \
  X(void, pool_halves,                                                                                                 \
    (long from, long to, const mtl_pooling *pooling, bool is_max, const void *bottom, void *top, void *which,          \
     float *scratch),                                                                                                  \
    (from, to, pooling, is_max, bottom, top, which, scratch))                                                          \
  X(void, pool_backward_halves,                                                                                        \
    (long from, long to, const mtl_pooling *pooling, bool is_max, const void *dtop, const void *which,                 \
     void *dbottom, float *scratch),                                                                                   \
    (from, to, pooling, is_max, dtop, which, dbottom, scratch))                                                        \
  X(void, normalize_response_halves,                                                                                   \
    (long from, long to, const mtl_response *response, const void *bottom, void *top),                                 \
    (from, to, response, bottom, top))                                                                                 \
  X(void, normalize_response_backward_halves,                                                                          \
    (long from, long to, const mtl_response *response, const void *bottom, const void *dtop, void *dbottom),           \
    (from, to, response, bottom, dtop, dbottom))                                                                       \
  X(void, norm_moments_halves,                                                                                         \
    (long from, long to, const mtl_norm *norm, const float *origin, const void *x, double *sums),                      \
    (from, to, norm, origin, x, sums))                                                                                 \
  X(void, norm_apply_halves,                                                                                           \
    (long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,             \
     const void *x, void *y),                                                                                          \
    (from, to, norm, mean, factor, shift, x, y))                                                                       \
  X(void, norm_slopes_halves,                                                                                          \
    (long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,             \
     const void *x, const void *dy, double *sums),                                                                     \
    (from, to, norm, mean, factor, shift, x, dy, sums))                                                                \
  X(void, norm_pull_halves,                                                                                            \
    (long from, long to, const mtl_norm *norm, const mtl_norm_constants *constants, const void *x, const void *dy,     \
     void *dx),                                                                                                        \
    (from, to, norm, constants, x, dy, dx))                                                                            \
  X(void, norm_moments,                                                                                                \
    (long from, long to, const mtl_norm *norm, const float *origin, const float *x, double *sums),                     \
    (from, to, norm, origin, x, sums))                                                                                 \
  X(void, norm_apply,                                                                                                  \
    (long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,             \
     const float *x, float *y),                                                                                        \
    (from, to, norm, mean, factor, shift, x, y))                                                                       \
  X(void, norm_slopes,                                                                                                 \
    (long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,             \
     const float *x, const float *dy, double *sums),                                                                   \
    (from, to, norm, mean, factor, shift, x, dy, sums))                                                                \
  X(void, norm_pull,                                                                                                   \
    (long from, long to, const mtl_norm *norm, const mtl_norm_constants *constants, const float *x, const float *dy,   \
     float *dx),                                                                                                       \
    (from, to, norm, constants, x, dy, dx))                                                                            \
  X(void, softmax, (long from, long to, long channels, long inner, const float *x, float *y),                          \
    (from, to, channels, inner, x, y))                                                                                 \
  X(void, softmax_backward,                                                                                            \
    (long from, long to, long channels, long inner, const float *y, const float *dy, float *dx),                       \
    (from, to, channels, inner, y, dy, dx))                                                                            \
  X(void, product_outer,                                                                                               \
    (long from, long to, long rows, long steps, const float *a, long a_row, long a_step, const float *b, long b_row,   \
     bool adds, float *c, long c_row),                                                                                 \
    (from, to, rows, steps, a, a_row, a_step, b, b_row, adds, c, c_row))                                               \
  X(void, product_inner,                                                                                               \
    (long from, long to, long rows, long steps, const float *a, const float *b, float *c, long c_row),                 \
    (from, to, rows, steps, a, b, c, c_row))                                                                           \
  X(void, pool_max,                                                                                                    \
    (long from, long to, const mtl_pooling *pooling, const float *bottom, float *top, void *which),                    \
    (from, to, pooling, bottom, top, which))                                                                           \
  X(void, pool_max_backward,                                                                                           \
    (long from, long to, const mtl_pooling *pooling, const float *dtop, const void *which, float *dbottom),            \
    (from, to, pooling, dtop, which, dbottom))                                                                         \
  X(void, pool_average, (long from, long to, const mtl_pooling *pooling, const float *bottom, float *top),             \
    (from, to, pooling, bottom, top))                                                                                  \
  X(void, pool_average_backward, (long from, long to, const mtl_pooling *pooling, const float *dtop, float *dbottom),  \
    (from, to, pooling, dtop, dbottom))                                                                                \
  X(void, normalize_response, (long from, long to, const mtl_response *response, const float *bottom, float *top),               \
    (from, to, response, bottom, top))                                                                                 \
  X(void, normalize_response_backward,                                                                                           \
    (long from, long to, const mtl_response *response, const float *bottom, const float *dtop, float *dbottom),        \
    (from, to, response, bottom, dtop, dbottom))

#define MTL_MEMBER(result, name, parameters, arguments) result(*name) parameters;
struct mtl_kernel_table {
  MTL_KERNELS(MTL_MEMBER)
};
#undef MTL_MEMBER

extern const struct mtl_kernel_table mtl_kernels_baseline;
#if defined(__x86_64__)
extern const struct mtl_kernel_table mtl_kernels_avx2;
extern const struct mtl_kernel_table mtl_kernels_avx512;
#endif

/* Positions to a tile of softmax, and of plain response normalisation. */
enum { MTL_TILE = 16 };

/* Floats in a buffer of response normalisation, and channels that its plain form looks back on. */
enum { MTL_RESPONSE_BUFFER = 4096, MTL_RESPONSE_RING = 512 };

/* A row of the buffer: the channels of one position, with room for the window at both ends and for a whole vector after
   the last group. */
static inline long mtl_response_row(const mtl_response *r) {
  return (r->order.groups * r->order.lanes + r->size + 31) / 16 * 16;
}

/* Positions to a tile. */
static inline long mtl_response_height(const mtl_response *r) {
  if (r->order.lanes == 1) return MTL_TILE;
  long rows = MTL_RESPONSE_BUFFER / mtl_response_row(r);
  return rows > 64 ? 64 : rows;
}

/* Positions to a piece of a convolution's patches, and taps that are gathered at once. */
enum { MTL_PATCH_SPAN = 64, MTL_PATCH_TAPS = 96, MTL_PATCH_ROWS = MTL_PATCH_SPAN * MTL_PATCH_TAPS + 64 };
/* From how many taps on lists of what is not zero can pay. */
enum { MTL_PATCH_LISTED_TAPS = 128 };

/* Of the padded image. */
static inline long mtl_patch_width(const mtl_patches *p) { return p->bottom[1] + 2 * p->pad[1]; }
static inline long mtl_patch_plane(const mtl_patches *p) {
  return (p->bottom[0] + 2 * p->pad[0]) * mtl_patch_width(p);
}
/* Floats of the padded image with room behind it. */
static inline long mtl_patch_padded(const mtl_patches *p) {
  return (p->bottom_channels * mtl_patch_plane(p) + 15) / 16 * 16 + 64;
}
static inline long mtl_patch_taps(const mtl_patches *p) { return p->bottom_channels * p->kernel[0] * p->kernel[1]; }
/* Floats of a row of all taps: whole vectors, and not so many that rows below each other fall into the same sets of the
   first cache. */
static inline long mtl_patch_row(const mtl_patches *p) {
  long row = (mtl_patch_taps(p) + 15) / 16 * 16;
  return row % 64 == 0 ? row + 16 : row;
}
/* Lists of what is not zero in a piece, for each channel or for each position, and their size in floats. */
static inline long mtl_patch_list_count(const mtl_patches *p) {
  return p->top_channels > MTL_PATCH_SPAN ? (p->top_channels + 15) / 16 * 16 : MTL_PATCH_SPAN;
}
static inline long mtl_patch_lists(const mtl_patches *p, long tasks) {
  return mtl_patch_list_count(p) + (1 + tasks) * p->top_channels * MTL_PATCH_SPAN;
}
/* Room for the weights in blocks of taps, each filled up by less than its size. */
static inline long mtl_patch_packed(const mtl_patches *p) { return p->top_channels * (2 * mtl_patch_taps(p) + 128); }
static inline long mtl_patch_pieces(const mtl_patches *p) {
  return (p->top[0] * p->top[1] + MTL_PATCH_SPAN - 1) / MTL_PATCH_SPAN;
}

/* Floats of a row of a chunk of top channels in Winograd's algorithm. */
enum { MTL_WINOGRAD_CHUNK = 64 };

/* Tiles to a run. */
static inline long mtl_winograd_run(const mtl_winograd *w) { return w->step == 2 ? 32 : 64; }

/* Rows and columns that tiles cover: those of the top or, with step 2 backward, of its gradient. */
static inline const long *mtl_winograd_plane(const mtl_winograd *w) {
  return w->step == 2 && w->is_turned ? w->bottom : w->top;
}

/* Floats of a chunk's row: the last chunk may have fewer. */
static inline long mtl_winograd_width(const mtl_winograd *w, long chunk) {
  long left = w->top_blocks * 16 - chunk * MTL_WINOGRAD_CHUNK;
  return left < MTL_WINOGRAD_CHUNK ? left : MTL_WINOGRAD_CHUNK;
}
/* Floats of one of the 36 matrices, of `count` rows; not a power of two, so that one element of all of them does not fall
   into the same sets of the caches. */
static inline long mtl_winograd_matrix(long count, long blocks) { return count * blocks * 16 + 16; }

/* Copies of a tile in the matrix of a point: with step 2 the last of six points on an axis stands for four elements. */
static inline long mtl_winograd_copies(const mtl_winograd *w, long point) {
  return w->step == 2 ? (point / 6 == 5 ? 4 : 1) * (point % 6 == 5 ? 4 : 1) : 1;
}

/* Where the matrix of a point begins among those of `count` tiles; of point 36, where all end. */
static inline long mtl_winograd_place(const mtl_winograd *w, long point, long count, long blocks) {
  if (w->step != 2) return point * mtl_winograd_matrix(count, blocks);
  long before = point / 6 < 5 ? point / 6 * 9 + point % 6 : point < 36 ? 45 + point % 6 * 4 : 81;
  return before * count * blocks * 16 + point * 16;
}

/* Where a chunk's matrices of transformed weights begin. */
static inline long mtl_winograd_chunk(const mtl_winograd *w, long chunk) {
  return chunk * 36 * mtl_winograd_matrix(w->bottom_blocks * 16, MTL_WINOGRAD_CHUNK / 16);
}

/* Whether the place of a maximum in its window needs more than a byte. */
static inline bool mtl_pool_is_wide(const mtl_pooling *p) { return p->kernel[0] * p->kernel[1] * p->kernel[2] > 255; }

#endif
