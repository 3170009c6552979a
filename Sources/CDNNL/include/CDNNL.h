/* oneDNN behind opaque handles: the only place that includes dnnl.h.

   Works with oneDNN 2.x and 3.x, whichever is installed.

   A function that returns int returns 0, or a status that `mtl_dnnl_message` explains. Nothing here is safe to be used
   on one object by two threads at once. */
#ifndef MTL_CDNNL_H
#define MTL_CDNNL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

const char *mtl_dnnl_message(int status);

/* A oneDNN engine for the CPU and a stream on it. */
typedef struct mtl_dnnl mtl_dnnl;
int mtl_dnnl_create(mtl_dnnl **result);
void mtl_dnnl_destroy(mtl_dnnl *dnnl);

/* How the elements of N x C x (spatial) lie in memory. */
typedef enum {
  MTL_FORMAT_PLAIN,
  MTL_FORMAT_CHANNELS_LAST,
  /* Channels in blocks of 8 or 16 that lie innermost; the last block is filled up with zeros. */
  MTL_FORMAT_BLOCKED_8,
  MTL_FORMAT_BLOCKED_16,
  /* As the primitive likes it best. */
  MTL_FORMAT_ANY,
  MTL_FORMAT_OTHER
} mtl_format;

/* How an element is kept: in 32 bits, or in their upper 16 (bfloat16). */
typedef enum { MTL_FLOAT, MTL_BFLOAT } mtl_precision;

/* An array of up to five axes. */
typedef struct {
  int rank;
  int64_t dims[5];
} mtl_dims;

/* The bytes that an array of floats takes in a format. */
size_t mtl_format_size(const mtl_dims *dims, mtl_format format);

/* A primitive with its arguments. It is created as a description only, so that its choices can be looked at, and made
   ready to run by `mtl_primitive_build`. */
typedef struct mtl_primitive mtl_primitive;

typedef enum {
  MTL_SOURCE,
  MTL_WEIGHTS,
  MTL_BIAS,
  MTL_DESTINATION,
  MTL_SOURCE_GRADIENT,
  MTL_WEIGHTS_GRADIENT,
  MTL_BIAS_GRADIENT,
  MTL_DESTINATION_GRADIENT,
  MTL_FROM,
  MTL_TO,
  MTL_SCRATCH,
  MTL_ADDEND,
  MTL_ARGUMENT_COUNT
} mtl_argument;

void mtl_primitive_destroy(mtl_primitive *primitive);
int mtl_primitive_build(mtl_primitive *primitive);
/* oneDNN's name of the kernel, `jit:avx512_core` or the like; lives as long as the primitive. */
const char *mtl_primitive_implementation(const mtl_primitive *primitive);
/* The format that an argument has; MTL_FORMAT_OTHER when it is none of the named ones. */
mtl_format mtl_primitive_format(const mtl_primitive *primitive, mtl_argument argument);
/* The bytes that an argument takes, 0 when there is no such argument. */
size_t mtl_primitive_size(const mtl_primitive *primitive, mtl_argument argument);
void mtl_primitive_set(mtl_primitive *primitive, mtl_argument argument, void *memory);
/* Runs on the OpenMP threads of the calling thread and waits. */
int mtl_primitive_run(mtl_primitive *primitive);

typedef enum { MTL_FORWARD, MTL_BACKWARD_DATA, MTL_BACKWARD_WEIGHTS } mtl_direction;

/* A convolution or transposed convolution over 2 or 3 spatial axes. */
typedef struct {
  int axes;
  int64_t batch, bottom_channels, top_channels, groups;
  int64_t bottom[3], top[3], kernel[3], stride[3], pad_before[3], pad_after[3], dilation[3];
  /* With an addend the forward direction adds an array like its destination; the destination's format has to be named. */
  bool has_bias, has_addend, is_transposed;
  /* With MTL_BFLOAT bottom, top, their gradients and weights are so; bias and the gradients of weights and bias are
     float. */
  mtl_precision precision;
} mtl_convolution;

/* `forward` is the primitive of the forward direction, for the other directions. The weights' format is the
   primitive's choice; `mtl_convolution_weights_create` converts. */
int mtl_convolution_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_convolution *convolution, mtl_direction direction,
    mtl_format bottom, mtl_format top, const mtl_primitive *forward);

/* A reorder between the weights as the file format has them (K x C/groups x kernel, or C x K/groups x kernel when
   transposed) and the weights of `primitive`: into them, or for their gradient out of them, added to what is there when
   `adds`. The result is null when both are the same. */
int mtl_convolution_weights_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_convolution *convolution, const mtl_primitive *primitive,
    bool adds);

int mtl_reorder_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_dims *dims, mtl_format from, mtl_precision from_precision,
    mtl_format to, mtl_precision to_precision);

/* C (m x n) = alpha A B + beta C, row-major. */
int mtl_dnnl_sgemm(
    bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
    const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
