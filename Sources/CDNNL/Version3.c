/* oneDNN 3.x: arrays are described by handles, and operations together with their primitives. */
#include "Shared.h"

#if DNNL_VERSION_MAJOR == 3

#include <string.h>

int mtl_form_by_tag(
    mtl_form *result, int rank, const int64_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  TRY(dnnl_memory_desc_create_with_tag(&result->description, rank, dims, type, tag));
  result->is_set = true;
  return 0;
}

int mtl_form_by_strides(
    mtl_form *result, int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides) {
  TRY(dnnl_memory_desc_create_with_strides(&result->description, rank, dims, type, strides));
  result->is_set = true;
  return 0;
}

void mtl_form_clear(mtl_form *form) {
  if (form->is_set) dnnl_memory_desc_destroy(form->description);
  form->is_set = false;
}

mtl_form_view mtl_view(const mtl_form *form) { return form->is_set ? form->description : NULL; }

int mtl_form_shape(mtl_form_view form, mtl_dims *dims, dnnl_data_type_t *type) {
  dnnl_dims_t *extents;
  TRY(dnnl_memory_desc_query(form, dnnl_query_ndims_s32, &dims->rank));
  if (dims->rank < 1 || dims->rank > 5) return dnnl_unimplemented;
  TRY(dnnl_memory_desc_query(form, dnnl_query_dims, &extents));
  memcpy(dims->dims, *extents, sizeof(int64_t) * (size_t)dims->rank);
  TRY(dnnl_memory_desc_query(form, dnnl_query_data_type, type));
  return 0;
}

dnnl_status_t mtl_append_sum(dnnl_post_ops_t operations) {
  return dnnl_post_ops_append_sum(operations, 1, 0, dnnl_data_type_undef);
}

static dnnl_status_t describe_convolution(
    dnnl_primitive_desc_t *result, mtl_dnnl *dnnl, const struct mtl_convolution_forms *f, mtl_direction direction,
    const_dnnl_primitive_desc_t forward, const_dnnl_primitive_attr_t attributes) {
  dnnl_alg_kind_t kind = dnnl_convolution_direct;
  switch (direction) {
  case MTL_FORWARD:
    return dnnl_convolution_forward_primitive_desc_create(
        result, dnnl->engine, dnnl_forward_training, kind, mtl_view(&f->bottom), mtl_view(&f->weights),
        mtl_view(&f->bias), mtl_view(&f->top), f->stride, f->dilation, f->pad_before, f->pad_after, attributes);
  case MTL_BACKWARD_DATA:
    return dnnl_convolution_backward_data_primitive_desc_create(
        result, dnnl->engine, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->top), f->stride,
        f->dilation, f->pad_before, f->pad_after, forward, attributes);
  case MTL_BACKWARD_WEIGHTS:
    return dnnl_convolution_backward_weights_primitive_desc_create(
        result, dnnl->engine, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->bias), mtl_view(&f->top),
        f->stride, f->dilation, f->pad_before, f->pad_after, forward, attributes);
  }
  return dnnl_invalid_arguments;
}

static dnnl_status_t describe_transposed(
    dnnl_primitive_desc_t *result, mtl_dnnl *dnnl, const struct mtl_convolution_forms *f, mtl_direction direction,
    const_dnnl_primitive_desc_t forward, const_dnnl_primitive_attr_t attributes) {
  dnnl_alg_kind_t kind = dnnl_deconvolution_direct;
  switch (direction) {
  case MTL_FORWARD:
    return dnnl_deconvolution_forward_primitive_desc_create(
        result, dnnl->engine, dnnl_forward_training, kind, mtl_view(&f->bottom), mtl_view(&f->weights),
        mtl_view(&f->bias), mtl_view(&f->top), f->stride, f->dilation, f->pad_before, f->pad_after, attributes);
  case MTL_BACKWARD_DATA:
    return dnnl_deconvolution_backward_data_primitive_desc_create(
        result, dnnl->engine, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->top), f->stride,
        f->dilation, f->pad_before, f->pad_after, forward, attributes);
  case MTL_BACKWARD_WEIGHTS:
    return dnnl_deconvolution_backward_weights_primitive_desc_create(
        result, dnnl->engine, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->bias), mtl_view(&f->top),
        f->stride, f->dilation, f->pad_before, f->pad_after, forward, attributes);
  }
  return dnnl_invalid_arguments;
}

dnnl_status_t mtl_convolution_describe(
    dnnl_primitive_desc_t *result, mtl_dnnl *dnnl, const struct mtl_convolution_forms *forms, mtl_direction direction,
    bool is_transposed, const_dnnl_primitive_desc_t forward, const_dnnl_primitive_attr_t attributes) {
  return is_transposed ? describe_transposed(result, dnnl, forms, direction, forward, attributes)
                       : describe_convolution(result, dnnl, forms, direction, forward, attributes);
}

#endif
