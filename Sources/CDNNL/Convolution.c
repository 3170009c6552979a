#include "Shared.h"

#include <string.h>

/* N x C x (spatial) */
static mtl_dims image_dims(int axes, int64_t batch, int64_t channels, const int64_t *extents) {
  mtl_dims dims = {.rank = axes + 2, .dims = {batch, channels}};
  memcpy(dims.dims + 2, extents, sizeof(int64_t) * (size_t)axes);
  return dims;
}

/* oneDNN's weights are (groups x) top channels x bottom channels x kernel. The file format lays a transposed
   convolution's out as bottom channels x top channels / groups x kernel, so there the two change places. */
static int describe_weights(struct mtl_convolution_forms *forms, const mtl_convolution *c, dnnl_data_type_t type) {
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
  int status = mtl_form_by_strides(&forms->plain_weights, rank, dims, dnnl_f32, strides);
  return status ? status : mtl_form_by_tag(&forms->weights, rank, dims, type, dnnl_format_tag_any);
}

/* What it has described so far is to be cleared also where it fails. */
static int describe_all(
    struct mtl_convolution_forms *forms, const mtl_convolution *c, mtl_direction direction, mtl_format bottom,
    mtl_format top) {
  bool is_half = c->precision == MTL_BFLOAT;
  mtl_dims bottom_dims = image_dims(c->axes, c->batch, c->bottom_channels, c->bottom);
  mtl_dims top_dims = image_dims(c->axes, c->batch, c->top_channels, c->top);
  int status = mtl_describe(&forms->bottom, &bottom_dims, bottom, c->precision);
  if (!status) status = mtl_describe(&forms->top, &top_dims, top, c->precision);
  if (!status) status = describe_weights(forms, c, is_half && direction != MTL_BACKWARD_WEIGHTS ? dnnl_bf16 : dnnl_f32);
  if (!status && c->has_bias)
    status = mtl_form_by_tag(&forms->bias, 1, (dnnl_dims_t){c->top_channels}, dnnl_f32, dnnl_a);
  for (int axis = 0; axis < c->axes; axis++) {
    forms->stride[axis] = c->stride[axis];
    forms->dilation[axis] = c->dilation[axis] - 1; /* oneDNN counts the gaps */
    forms->pad_before[axis] = c->pad_before[axis];
    forms->pad_after[axis] = c->pad_after[axis];
  }
  return status;
}

static void clear_all(struct mtl_convolution_forms *forms) {
  mtl_form_clear(&forms->bottom);
  mtl_form_clear(&forms->top);
  mtl_form_clear(&forms->weights);
  mtl_form_clear(&forms->bias);
  mtl_form_clear(&forms->plain_weights);
}

int mtl_convolution_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_convolution *convolution, mtl_direction direction,
    mtl_format bottom, mtl_format top, const mtl_primitive *forward) {
  struct mtl_convolution_forms forms = {0};
  dnnl_primitive_desc_t description;
  dnnl_primitive_attr_t adding = NULL;
  bool has_addend = convolution->has_addend && direction == MTL_FORWARD && top != MTL_FORMAT_ANY;
  int status = describe_all(&forms, convolution, direction, bottom, top);
  if (!status && has_addend) status = mtl_adding_create(&adding, mtl_view(&forms.top));
  if (!status)
    status = (int)mtl_convolution_describe(
        &description, dnnl, &forms, direction, convolution->is_transposed, forward ? forward->description : NULL,
        adding ? adding : dnnl->attributes);
  if (adding) dnnl_primitive_attr_destroy(adding);
  clear_all(&forms);
  if (!status) status = mtl_primitive_wrap(result, dnnl, description);
  if (!status) (*result)->has_addend = has_addend;
  return status;
}

int mtl_convolution_weights_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_convolution *convolution, const mtl_primitive *primitive,
    bool adds) {
  struct mtl_convolution_forms forms = {0};
  bool is_gradient = mtl_primitive_size(primitive, MTL_WEIGHTS_GRADIENT) > 0;
  mtl_form_view packed = mtl_argument_form(primitive, is_gradient ? MTL_WEIGHTS_GRADIENT : MTL_WEIGHTS);
  int status = describe_all(&forms, convolution, MTL_FORWARD, MTL_FORMAT_ANY, MTL_FORMAT_ANY);
  mtl_form_view plain = mtl_view(&forms.plain_weights);
  *result = NULL;
  if (!status && (adds || !dnnl_memory_desc_equal(packed, plain)))
    status = mtl_copy_create(result, dnnl, is_gradient ? packed : plain, is_gradient ? plain : packed, adds);
  clear_all(&forms);
  return status;
}
