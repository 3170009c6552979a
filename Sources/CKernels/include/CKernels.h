/* Loops of the CPU engine in C: the one parallel-for, and vector kernels that are compiled for several instruction sets
   and chosen at start.

   A kernel works serially on what it is given; whoever calls it cuts the work and runs the pieces with `mtl_parallel`.
   Vectors are float32 and need no alignment. */
#ifndef MTL_CKERNELS_H
#define MTL_CKERNELS_H

#include <stdbool.h>
#include <stdint.h>

/* ---- Threads ---- */

/* Starts the process anew, once, with GOMP_SPINCOUNT set, unless that or OMP_WAIT_POLICY is set already. Returns when
   there is nothing to do or it cannot be done. To be called before anything else. */
void mtl_prepare_process(char *const arguments[]);

/* OMP_NUM_THREADS where it is set, else the processors that the process may use. */
int mtl_default_thread_count(void);

/* Makes OpenMP work that the calling thread starts (oneDNN's, OpenBLAS's, ours) use `threads` threads. */
void mtl_use_threads(int threads);

/* Lets the calling thread run parallel regions. In other threads `mtl_parallel` runs serially, since OpenMP would make
   a second pool for them. */
void mtl_claim_pool(void);

#define MTL_SWIFT_CALL __attribute__((swiftcall))
typedef MTL_SWIFT_CALL void (*mtl_range_body)(long from, long to, __attribute__((swift_context)) void *context);

/* The number of pieces that 0 ..< count is cut into. */
long mtl_piece_count(long count, long grain, long threads);

/* Calls body for each piece, in parallel where possible. A Swift closure is passed as `body` and `context`. */
MTL_SWIFT_CALL void mtl_parallel(long count, long grain, long threads, mtl_range_body body, void *context);

/* ---- Vectors ---- */

/* y = a x + b y; with b 0 whatever y held does not count. */
void mtl_axpby(long count, float a, const float *x, float b, float *y);
/* z = x y */
void mtl_multiply(long count, const float *x, const float *y, float *z);
void mtl_exponential(long count, const float *x, float *y);
void mtl_logarithm(long count, const float *x, float *y);
double mtl_dot(long count, const float *x, const float *y);
double mtl_sum(long count, const float *x);
double mtl_absolute_sum(long count, const float *x);
bool mtl_is_finite(long count, const float *x);
/* Rows of y (rows x columns) = bias. */
void mtl_set_rows(long rows, long columns, const float *bias, float *y);
/* y = the column sums of x (rows x columns), or adds them to y. */
void mtl_sum_rows(long rows, long columns, const float *x, bool adds, float *y);

/* y = max(x, 0) + slope min(x, 0) */
void mtl_rectify(long count, float slope, const float *x, float *y);
/* dx = dy where reference > 0, slope dy elsewhere. */
void mtl_rectify_backward(long count, float slope, const float *reference, const float *dy, float *dx);

/* y = tanh x; it keeps its digits near 0. */
void mtl_hyperbolic_tangent(long count, const float *x, float *y);
/* dx = dy (1 - y^2) */
void mtl_hyperbolic_tangent_backward(long count, const float *y, const float *dy, float *dx);
/* dx = dy where x > 0, -dy where x < 0, 0 where x is 0. */
void mtl_absolute_backward(long count, const float *x, const float *dy, float *dx);

/* Whether the processor has instructions for bfloat. */
bool mtl_has_bfloat(void);

/* Softmax over the middle axis of outer x channels x inner. Tiles are numbered from 0 to
   outer * mtl_softmax_tile_count(inner). */
long mtl_softmax_tile_count(long inner);
void mtl_softmax(long from_tile, long to_tile, long channels, long inner, const float *x, float *y);
void mtl_softmax_backward(
    long from_tile, long to_tile, long channels, long inner, const float *y, const float *dy, float *dx);

/* ---- Products ---- */

/* Columns from ... to of C (rows x columns) = A B, or added to C: A's element (r, s) is a[r * a_row + s * a_step], B's
   (s, column) b[s * b_row + column], C's c[r * c_row + column]. Made for few rows, or few steps. */
void mtl_product_outer(
    long from, long to, long rows, long steps, const float *a, long a_row, long a_step, const float *b, long b_row,
    bool adds, float *c, long c_row);
/* Columns from ... to of C += A B, with B transposed: A is rows x steps, B columns x steps. Made for few rows. */
void mtl_product_inner(
    long from, long to, long rows, long steps, const float *a, const float *b, float *c, long c_row);

/* ---- Images ---- */

/* How the C channels of an image of `positions` elements each lie in memory: in groups of up to `lanes` neighbouring
   channels; an element of a group follows the one before after `pitch` floats, a group begins `group_stride` floats
   after the one before, an image `image_stride` floats. `lanes` 1: channels one after the other. A last group that
   holds fewer channels has `last_lanes` that count. */
typedef struct {
  long groups, lanes, last_lanes, pitch, group_stride, image_stride;
} mtl_channel_order;

typedef struct {
  /* Depth, height, width; 1 where there is no such axis. */
  long bottom[3], top[3], kernel[3], stride[3], pad[3];
  bool excludes_padding;
  mtl_channel_order bottom_order, top_order;
} mtl_pooling;

/* Units are (image, group of channels), numbered image by image. `which` keeps for each top element the place of its
   maximum in the window, counted from 0, and 255 (or -1, where the window has 255 elements or more) for none. It lies
   like the top; see mtl_pool_which_size. */
long mtl_pool_which_size(const mtl_pooling *pooling);
void mtl_pool_max(long from, long to, const mtl_pooling *pooling, const float *bottom, float *top, void *which);
void mtl_pool_max_backward(
    long from, long to, const mtl_pooling *pooling, const float *dtop, const void *which, float *dbottom);
void mtl_pool_average(long from, long to, const mtl_pooling *pooling, const float *bottom, float *top);
void mtl_pool_average_backward(
    long from, long to, const mtl_pooling *pooling, const float *dtop, float *dbottom);
/* The places of the maxima in their planes as numbers, plain, -1 for none; `channels` is the true number. */
void mtl_pool_mask(long images, long channels, const mtl_pooling *pooling, const void *which, float *mask);

/* What is done to the sums of a convolution before they are written: a bias for each channel is added, then `addend`, a
   blob like the top; either may be null. With `rectifies` what is below 0 becomes 0, and NaN stays. */
typedef struct {
  const float *bias;
  const void *addend;
  bool rectifies;
} mtl_epilogue;

/* A convolution of one group with step 1 over two axes of plain images. */
typedef struct {
  long bottom_channels, top_channels, bottom[2], top[2], kernel[2], pad[2];
} mtl_patches;

/* Pieces of positions to an image. */
long mtl_patches_pieces(const mtl_patches *patches);
/* Floats of scratch memory for each thread, with gradients of `tasks` tops at once. */
long mtl_patches_scratch(const mtl_patches *patches, long tasks);
/* Floats of a row of a thread's gradient of the weights: its taps, filled up. */
long mtl_patches_row(const mtl_patches *patches);

/* Units are pieces of positions, numbered image by image. */
void mtl_patches_forward(
    long from, long to, const mtl_patches *patches, const float *bottom, const float *weights,
    const mtl_epilogue *epilogue, float *top, float *scratch);
/* Units are images. */
void mtl_patches_backward_data(
    long from, long to, const mtl_patches *patches, const float *dtop, const float *weights, float *dbottom,
    float *scratch);
/* Units are images; adds to `dweights` (tasks x top channels x mtl_patches_row) and `dbias` (tasks x top channels), of the
   gradients of the top that each task has. */
void mtl_patches_backward_weights(
    long from, long to, const mtl_patches *patches, const float *bottom, long tasks, const float *const *dtops,
    float *dweights, float *dbias, float *scratch);

/* A convolution over two axes of images in blocks of 16 channels, in groups of whole blocks; channels and blocks are those of a
   group. Windows are squares of 2 to 5. */
typedef struct {
  long groups, bottom_channels, top_channels, bottom_blocks, top_blocks, bottom[2], top[2];
  long kernel, stride[2], pad_before[2], pad_after[2];
  /* Whether bottom, top and their gradients are of bfloats. */
  bool is_half;
} mtl_sparse;

/* How much of an image's gradient of the top is not zero. */
long mtl_sparse_count(const mtl_sparse *sparse, const void *dtop, long image);
/* Floats of the packed weights, and of scratch memory for each thread, with gradients of `tasks` tops at once. */
long mtl_sparse_weights_size(const mtl_sparse *sparse);
long mtl_sparse_scratch(const mtl_sparse *sparse, long tasks);
/* Units are blocks of the top, of all groups. */
void mtl_sparse_pack(long from, long to, const mtl_sparse *sparse, const float *weights, float *packed);
/* Units are images. */
void mtl_sparse_backward_data(
    long from, long to, const mtl_sparse *sparse, const void *dtop, const float *packed, void *dbottom, float *scratch);
/* Units are images; adds to `dweights`, which lie as the packed weights, and to `dbias` (whole blocks), task after task. */
void mtl_sparse_backward_weights(
    long from, long to, const mtl_sparse *sparse, const void *bottom, long tasks, const void *const *dtops,
    float *dweights, float *dbias, float *scratch);
/* Adds what `parts` threads have in `sums`, `step` floats from each other, to `dweights`, or overwrites. Units are top channels,
   of all groups. */
void mtl_sparse_finish(
    long from, long to, const mtl_sparse *sparse, long parts, long step, const float *sums, bool adds, float *dweights);

/* A 3x3 convolution of step 1 or 2 over two axes of images in blocks of 16 channels; or its backward pass from the top's
   gradient to the bottom's with turned kernels, which with step 1 is a convolution as well. The blocks may be those of one
   group of several. With step 2 the padding is 1. */
typedef struct {
  long step;
  long images, bottom_channels, top_channels, bottom[2], top[2], pad[2];
  /* Blocks of channels, and floats from an image to the next. */
  long bottom_blocks, top_blocks, bottom_stride, top_stride;
  /* Floats from a channel's kernel to the next one's in the weights. */
  long bottom_step, top_step;
  bool is_turned;
  /* Whether bottom and top, or their gradients, are of bfloats; what is computed is float. */
  bool is_half;
} mtl_winograd;

/* Floats of the transformed weights, or of their gradient. */
long mtl_winograd_weights_size(const mtl_winograd *winograd);
/* Runs of tiles, and floats of scratch memory of each thread that goes through them. */
long mtl_winograd_runs(const mtl_winograd *winograd);
long mtl_winograd_scratch(const mtl_winograd *winograd);
long mtl_winograd_tiles(const mtl_winograd *winograd);
/* Chunks of top channels, each with 36 matrices. */
long mtl_winograd_chunks(const mtl_winograd *winograd);
/* Floats of the transformed bottom, and of the transformed top gradient, of `count` tiles. */
long mtl_winograd_bottom_size(const mtl_winograd *winograd, long count);
long mtl_winograd_top_size(const mtl_winograd *winograd, long count);

/* Transforms the weights. Units are blocks of 16 bottom channels. */
void mtl_winograd_weights(long from, long to, const mtl_winograd *winograd, const float *weights, float *u);
/* Units are runs of tiles. */
void mtl_winograd_forward(
    long from, long to, const mtl_winograd *winograd, const void *bottom, const float *u, const mtl_epilogue *epilogue,
    void *top, float *scratch);
/* The gradient of the weights, in batches of up to `count` tiles: first their transforms (units are tiles of the batch that
   begins with tile `first`), then the gradient of the transformed weights over `used` tiles of a batch, which is written
   or added to (units are chunks x 36 matrices), and that of the bias; at last the gradient of the weights themselves, written
   or added to (units are blocks of 16 bottom channels). */
void mtl_winograd_gather(
    long from, long to, const mtl_winograd *winograd, long first, long count, const void *bottom, const void *dtop,
    float *v, float *m);
void mtl_winograd_add(
    long from, long to, const mtl_winograd *winograd, long count, long used, bool adds, const float *v, const float *m,
    float *du);
void mtl_winograd_add_bias(const mtl_winograd *winograd, long count, long used, const float *m, float *dbias);
void mtl_winograd_finish(
    long from, long to, const mtl_winograd *winograd, bool adds, const float *du, float *dweights);

/* Normalisation of each channel over images and positions, with scale, shift and rectifier. Units are (group of
   channels, run of images), numbered group by group; there are `groups` x `runs`. */
typedef struct {
  long images, positions, runs;
  bool rectifies;
  /* Whether mean and factor come from x itself, so that backward has an offset and a tilt. */
  bool depends;
  mtl_channel_order order;
} mtl_norm;

/* Sums of a group that a unit leaves: two for each of so many channels. */
enum { MTL_NORM_LANES = 16 };

/* For each channel of each group, filled up with zeros to `groups` x `lanes` entries: y = (x - mean) factor + shift, and
   backward dx = dy factor - offset - (x - mean) tilt. */
typedef struct {
  const float *mean, *factor, *shift, *offset, *tilt;
} mtl_norm_constants;

/* The sums of x - origin and of its square. */
void mtl_norm_moments(long from, long to, const mtl_norm *norm, const float *origin, const float *x, double *sums);
void mtl_norm_apply(
    long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,
    const float *x, float *y);
/* The sums of dy and of dy (x - mean), dy taken in front of the rectifier. */
void mtl_norm_slopes(
    long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,
    const float *x, const float *dy, double *sums);
/* Does not read x unless it rectifies or depends. */
void mtl_norm_pull(
    long from, long to, const mtl_norm *norm, const mtl_norm_constants *constants, const float *x, const float *dy,
    float *dx);

typedef struct {
  long channels, positions, size;
  float alpha, beta, k;
  mtl_channel_order order;
} mtl_response;

/* Local response normalisation across channels. Units are (image, tile of positions), numbered image by image.

   `mtl_response_tile_count` is the number of tiles to an image, 0 where the channels or the window are too many. */
long mtl_response_tile_count(const mtl_response *response);
void mtl_normalize_response(long from, long to, const mtl_response *response, const float *bottom, float *top);
void mtl_normalize_response_backward(
    long from, long to, const mtl_response *response, const float *bottom, const float *dtop, float *dbottom);

/* ---- Blobs in bfloat ---- */

/* The same over blobs in bfloat (the upper half of a float) in blocks of 16 channels; counts and places are in elements.
   All else is float: what is computed, statistics, constants. */
void mtl_rectify_halves(long count, float slope, const void *x, void *y);
void mtl_rectify_backward_halves(long count, float slope, const void *reference, const void *dy, void *dx);
/* Elements from ... to of y = the sum of coefficients[i] x[i], at least 0 when it rectifies. */
void mtl_sum_halves(
    long from, long to, long terms, const float *coefficients, bool rectifies, void *const *x, void *y);
/* With scratch memory of 16 floats for each position of bottom and top. `which` may be null. */
void mtl_pool_halves(
    long from, long to, const mtl_pooling *pooling, bool is_max, const void *bottom, void *top, void *which,
    float *scratch);
void mtl_pool_backward_halves(
    long from, long to, const mtl_pooling *pooling, bool is_max, const void *dtop, const void *which, void *dbottom,
    float *scratch);
void mtl_normalize_response_halves(long from, long to, const mtl_response *response, const void *bottom, void *top);
void mtl_normalize_response_backward_halves(
    long from, long to, const mtl_response *response, const void *bottom, const void *dtop, void *dbottom);
void mtl_norm_moments_halves(
    long from, long to, const mtl_norm *norm, const float *origin, const void *x, double *sums);
void mtl_norm_apply_halves(
    long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,
    const void *x, void *y);
void mtl_norm_slopes_halves(
    long from, long to, const mtl_norm *norm, const float *mean, const float *factor, const float *shift,
    const void *x, const void *dy, double *sums);
void mtl_norm_pull_halves(
    long from, long to, const mtl_norm *norm, const mtl_norm_constants *constants, const void *x, const void *dy,
    void *dx);

/* ---- Inner products in bfloat ---- */

/* Only where `mtl_has_bfloat`. Factors are rounded to bfloat, sums are floats. */

/* Elements of a row of `steps` bfloats, pairs of that many steps, and columns, each filled up with zeros. */
long mtl_bfloat_row(long steps);
long mtl_bfloat_pairs(long steps);
long mtl_bfloat_span(long columns);
/* Rows from ... to of x (of `steps` floats), rounded, in rows of `mtl_bfloat_row`. */
void mtl_bfloat_rows(long from, long to, long steps, const float *x, uint16_t *y);
/* Pairs from ... to of the rows of x (steps x columns): y is pairs x `mtl_bfloat_span`. */
void mtl_bfloat_columns(long from, long to, long steps, long columns, const float *x, uint32_t *y);
/* Columns from ... to of the same, each a row of y: columns x pairs. */
void mtl_bfloat_turned(long from, long to, long steps, long columns, const float *x, uint32_t *y);
/* c[r][i] = the sum over s of a[r][s] b[i][s], or added to c, for columns i in from ... to; a by `mtl_bfloat_rows`. */
void mtl_bfloat_inner(
    long from, long to, long rows, long steps, const uint16_t *a, const float *b, bool adds, float *c, long c_row);
/* c[r][i] = the sum over s of a[r][s] b[s][i], for columns i in from ... to; a by `mtl_bfloat_rows`. */
void mtl_bfloat_outer(
    long from, long to, long rows, long steps, const uint16_t *a, const float *b, long columns, float *c);
/* c[r][i] = the sum over s of a[s][r] b[s][i], or added to c, for rows r in from ... to; a by `mtl_bfloat_turned`, b by
   `mtl_bfloat_columns`. */
void mtl_bfloat_gradient(
    long from, long to, long steps, const uint32_t *a, const uint32_t *b, long columns, bool adds, float *c);

#endif
