/* oneDNN 2.x: arrays are described by values, operations by descriptors. */
#include "Shared.h"

#if DNNL_VERSION_MAJOR == 2

#include <string.h>

int mtl_form_by_tag(
    mtl_form *result, int rank, const int64_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  TRY(dnnl_memory_desc_init_by_tag(&result->description, rank, dims, type, tag));
  result->is_set = true;
  return 0;
}

int mtl_form_by_strides(
    mtl_form *result, int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides) {
  TRY(dnnl_memory_desc_init_by_strides(&result->description, rank, dims, type, strides));
  result->is_set = true;
  return 0;
}

void mtl_form_clear(mtl_form *form) { form->is_set = false; }

mtl_form_view mtl_view(const mtl_form *form) { return form->is_set ? &form->description : NULL; }

int mtl_form_shape(mtl_form_view form, mtl_dims *dims, dnnl_data_type_t *type) {
  dims->rank = form->ndims;
  if (dims->rank < 1 || dims->rank > 5) return dnnl_unimplemented;
  memcpy(dims->dims, form->dims, sizeof(int64_t) * (size_t)dims->rank);
  *type = form->data_type;
  return 0;
}

dnnl_status_t mtl_append_sum(dnnl_post_ops_t operations) { return dnnl_post_ops_append_sum(operations, 1); }

static dnnl_status_t describe_operation(
    dnnl_convolution_desc_t *result, const struct mtl_convolution_forms *f, mtl_direction direction) {
  dnnl_alg_kind_t kind = dnnl_convolution_direct;
  switch (direction) {
  case MTL_FORWARD:
    return dnnl_dilated_convolution_forward_desc_init(
        result, dnnl_forward_training, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->bias),
        mtl_view(&f->top), f->stride, f->dilation, f->pad_before, f->pad_after);
  case MTL_BACKWARD_DATA:
    return dnnl_dilated_convolution_backward_data_desc_init(
        result, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->top), f->stride, f->dilation,
        f->pad_before, f->pad_after);
  case MTL_BACKWARD_WEIGHTS:
    return dnnl_dilated_convolution_backward_weights_desc_init(
        result, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->bias), mtl_view(&f->top), f->stride,
        f->dilation, f->pad_before, f->pad_after);
  }
  return dnnl_invalid_arguments;
}

static dnnl_status_t describe_transposed(
    dnnl_deconvolution_desc_t *result, const struct mtl_convolution_forms *f, mtl_direction direction) {
  dnnl_alg_kind_t kind = dnnl_deconvolution_direct;
  switch (direction) {
  case MTL_FORWARD:
    return dnnl_dilated_deconvolution_forward_desc_init(
        result, dnnl_forward_training, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->bias),
        mtl_view(&f->top), f->stride, f->dilation, f->pad_before, f->pad_after);
  case MTL_BACKWARD_DATA:
    return dnnl_dilated_deconvolution_backward_data_desc_init(
        result, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->top), f->stride, f->dilation,
        f->pad_before, f->pad_after);
  case MTL_BACKWARD_WEIGHTS:
    return dnnl_dilated_deconvolution_backward_weights_desc_init(
        result, kind, mtl_view(&f->bottom), mtl_view(&f->weights), mtl_view(&f->bias), mtl_view(&f->top), f->stride,
        f->dilation, f->pad_before, f->pad_after);
  }
  return dnnl_invalid_arguments;
}

dnnl_status_t mtl_convolution_describe(
    dnnl_primitive_desc_t *result, mtl_dnnl *dnnl, const struct mtl_convolution_forms *forms, mtl_direction direction,
    bool is_transposed, const_dnnl_primitive_desc_t forward, const_dnnl_primitive_attr_t attributes) {
  dnnl_convolution_desc_t operation; /* of both kinds: the same type */
  dnnl_status_t status = is_transposed ? describe_transposed(&operation, forms, direction)
                                       : describe_operation(&operation, forms, direction);
  if (status != dnnl_success) return status;
  return dnnl_primitive_desc_create(result, &operation, attributes, dnnl->engine, forward);
}

#endif
