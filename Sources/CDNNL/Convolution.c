#include "Shared.h"

#include <string.h>

/* The operation's arrays. Weights are described twice: as the primitive wants them, and as the file format has them. */
struct forms {
  dnnl_memory_desc_t bottom, top, weights, plain_weights, bias;
  dnnl_dims_t stride, dilation, pad_before, pad_after;
};

/* N x C x (spatial) */
static mtl_dims image_dims(int axes, int64_t batch, int64_t channels, const int64_t *extents) {
  mtl_dims dims = {.rank = axes + 2, .dims = {batch, channels}};
  memcpy(dims.dims + 2, extents, sizeof(int64_t) * (size_t)axes);
  return dims;
}

/* oneDNN's weights are (groups x) top channels x bottom channels x kernel. The file format lays a transposed
   convolution's out as bottom channels x top channels / groups x kernel, so there the two change places. */
static int describe_weights(struct forms *forms, const mtl_convolution *c, dnnl_data_type_t type) {
  dnnl_dims_t dims, strides;
  int rank = 0;
  int64_t top = c->top_channels / c->groups, bottom = c->bottom_channels / c->groups, area = 1;
  for (int axis = 0; axis < c->axes; axis++) area *= c->kernel[axis];
  if (c->groups > 1) {
    strides[rank] = top * bottom * area;
    dims[rank++] = c->groups;
  }
  strides[rank] = c->is_transposed ? area : bottom * area;
  dims[rank++] = top;
  strides[rank] = c->is_transposed ? top * area : area;
  dims[rank++] = bottom;
  for (int axis = 0; axis < c->axes; axis++) {
    area /= c->kernel[axis];
    strides[rank] = area;
    dims[rank++] = c->kernel[axis];
  }
  TRY(dnnl_memory_desc_init_by_strides(&forms->plain_weights, rank, dims, dnnl_f32, strides));
  TRY(dnnl_memory_desc_init_by_tag(&forms->weights, rank, dims, type, dnnl_format_tag_any));
  return 0;
}

static int describe_all(
    struct forms *forms, const mtl_convolution *c, mtl_direction direction, mtl_format bottom, mtl_format top) {
  bool is_forward = direction == MTL_FORWARD, is_half = c->precision == MTL_BFLOAT;
  mtl_dims bottom_dims = image_dims(c->axes, c->batch, c->bottom_channels, c->bottom);
  mtl_dims top_dims = image_dims(c->axes, c->batch, c->top_channels, c->top);
  memset(forms, 0, sizeof *forms);
  int status = mtl_describe(&forms->bottom, &bottom_dims, bottom, c->precision);
  if (!status) status = mtl_describe(&forms->top, &top_dims, top, is_forward ? MTL_FLOAT : c->precision);
  if (!status) status = describe_weights(forms, c, is_half && direction != MTL_BACKWARD_WEIGHTS ? dnnl_bf16 : dnnl_f32);
  if (status) return status;
  if (c->has_bias) {
    dnnl_dims_t dims = {c->top_channels};
    TRY(dnnl_memory_desc_init_by_tag(&forms->bias, 1, dims, dnnl_f32, dnnl_a));
  }
  for (int axis = 0; axis < c->axes; axis++) {
    forms->stride[axis] = c->stride[axis];
    forms->dilation[axis] = c->dilation[axis] - 1; /* oneDNN counts the gaps */
    forms->pad_before[axis] = c->pad_before[axis];
    forms->pad_after[axis] = c->pad_after[axis];
  }
  return 0;
}

static int create_convolution(
    mtl_primitive **result, mtl_dnnl *dnnl, const struct forms *f, mtl_direction direction, dnnl_alg_kind_t algorithm,
    const mtl_primitive *forward) {
  dnnl_convolution_desc_t operation;
  const dnnl_memory_desc_t *bias = f->bias.ndims ? &f->bias : NULL;
  switch (direction) {
  case MTL_FORWARD:
    TRY(dnnl_dilated_convolution_forward_desc_init(
        &operation, dnnl_forward_training, algorithm, &f->bottom, &f->weights, bias, &f->top, f->stride, f->dilation,
        f->pad_before, f->pad_after));
    break;
  case MTL_BACKWARD_DATA:
    TRY(dnnl_dilated_convolution_backward_data_desc_init(
        &operation, algorithm, &f->bottom, &f->weights, &f->top, f->stride, f->dilation, f->pad_before, f->pad_after));
    break;
  case MTL_BACKWARD_WEIGHTS:
    TRY(dnnl_dilated_convolution_backward_weights_desc_init(
        &operation, algorithm, &f->bottom, &f->weights, bias, &f->top, f->stride, f->dilation, f->pad_before,
        f->pad_after));
    break;
  }
  return mtl_primitive_create(result, dnnl, &operation, forward);
}

static int create_transposed(
    mtl_primitive **result, mtl_dnnl *dnnl, const struct forms *f, mtl_direction direction,
    const mtl_primitive *forward) {
  dnnl_deconvolution_desc_t operation;
  const dnnl_memory_desc_t *bias = f->bias.ndims ? &f->bias : NULL;
  switch (direction) {
  case MTL_FORWARD:
    TRY(dnnl_dilated_deconvolution_forward_desc_init(
        &operation, dnnl_forward_training, dnnl_deconvolution_direct, &f->bottom, &f->weights, bias, &f->top,
        f->stride, f->dilation, f->pad_before, f->pad_after));
    break;
  case MTL_BACKWARD_DATA:
    TRY(dnnl_dilated_deconvolution_backward_data_desc_init(
        &operation, dnnl_deconvolution_direct, &f->bottom, &f->weights, &f->top, f->stride, f->dilation, f->pad_before,
        f->pad_after));
    break;
  case MTL_BACKWARD_WEIGHTS:
    TRY(dnnl_dilated_deconvolution_backward_weights_desc_init(
        &operation, dnnl_deconvolution_direct, &f->bottom, &f->weights, bias, &f->top, f->stride, f->dilation,
        f->pad_before, f->pad_after));
    break;
  }
  return mtl_primitive_create(result, dnnl, &operation, forward);
}

int mtl_convolution_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_convolution *convolution, mtl_direction direction,
    mtl_algorithm algorithm, mtl_format bottom, mtl_format top, const mtl_primitive *forward) {
  struct forms forms;
  int status = describe_all(&forms, convolution, direction, bottom, top);
  if (status) return status;
  if (convolution->is_transposed) return create_transposed(result, dnnl, &forms, direction, forward);
  return create_convolution(
      result, dnnl, &forms, direction,
      algorithm == MTL_WINOGRAD ? dnnl_convolution_winograd : dnnl_convolution_direct, forward);
}

int mtl_convolution_weights_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_convolution *convolution, const mtl_primitive *primitive,
    bool adds) {
  struct forms forms;
  int status = describe_all(&forms, convolution, MTL_FORWARD, MTL_FORMAT_ANY, MTL_FORMAT_ANY);
  if (status) return status;
  bool is_gradient = mtl_primitive_size(primitive, MTL_WEIGHTS_GRADIENT) > 0;
  const dnnl_memory_desc_t *packed =
      mtl_argument_description(primitive, is_gradient ? MTL_WEIGHTS_GRADIENT : MTL_WEIGHTS);
  *result = NULL;
  if (!adds && dnnl_memory_desc_equal(packed, &forms.plain_weights)) return 0;
  return mtl_copy_create(
      result, dnnl, is_gradient ? packed : &forms.plain_weights, is_gradient ? &forms.plain_weights : packed, adds);
}
