/* What the files of this module share. */
#ifndef MTL_CDNNL_SHARED_H
#define MTL_CDNNL_SHARED_H

#include "CDNNL.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

/* 2.x describes arrays by values and operations by descriptors, 3.x arrays by handles and operations
   together with their primitives. Version2.c and Version3.c hold all that differs. */
#if DNNL_VERSION_MAJOR == 2
typedef const dnnl_memory_desc_t *mtl_form_view;
#elif DNNL_VERSION_MAJOR == 3
typedef const_dnnl_memory_desc_t mtl_form_view;
#else
#error "CDNNL is written for oneDNN 2.x and 3.x (Debian: libdnnl-dev)"
#endif

/* Returns from the function when a call of oneDNN fails. */
#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    dnnl_status_t status = (call);                                                                                     \
    if (status != dnnl_success) return (int)status;                                                                    \
  } while (0)

struct mtl_dnnl {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  /* Scratch memory comes from the caller, so that nothing is allocated when a primitive runs. */
  dnnl_primitive_attr_t attributes;
  /* The same, and what is written is added to what is there. */
  dnnl_primitive_attr_t adding;
};

struct mtl_primitive {
  mtl_dnnl *dnnl;
  dnnl_primitive_desc_t description;
  dnnl_primitive_t primitive;
  bool has_addend;
  dnnl_memory_t memory[MTL_ARGUMENT_COUNT];
  dnnl_exec_arg_t arguments[MTL_ARGUMENT_COUNT];
  int count;
};

/* How an array lies in memory. Starts as zeros, and is given back with mtl_form_clear. */
typedef struct {
  dnnl_memory_desc_t description;
  bool is_set;
} mtl_form;

int mtl_describe(mtl_form *result, const mtl_dims *dims, mtl_format format, mtl_precision precision);
/* What an argument looks like; null or empty when the primitive has no such argument. */
mtl_form_view mtl_argument_form(const mtl_primitive *primitive, mtl_argument argument);
/* Makes a primitive of a description, which it takes over. */
int mtl_primitive_wrap(mtl_primitive **result, mtl_dnnl *dnnl, dnnl_primitive_desc_t description);
/* Attributes with which an array of that form is added to what is written, or without one what is there already. */
int mtl_adding_create(dnnl_primitive_attr_t *attributes, mtl_form_view addend);
/* Describes a copy from one form to another. */
int mtl_copy_create(mtl_primitive **result, mtl_dnnl *dnnl, mtl_form_view from, mtl_form_view to, bool adds);

/* ---- What differs between the versions ---- */

int mtl_form_by_tag(
    mtl_form *result, int rank, const int64_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag);
int mtl_form_by_strides(
    mtl_form *result, int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides);
void mtl_form_clear(mtl_form *form);
/* Null for a form that is not set. */
mtl_form_view mtl_view(const mtl_form *form);
/* Its axes, as far as `dims` holds them, and the type of its elements. */
int mtl_form_shape(mtl_form_view form, mtl_dims *dims, dnnl_data_type_t *type);
dnnl_status_t mtl_append_sum(dnnl_post_ops_t operations);

/* The arrays and windows of a convolution, as oneDNN takes them. */
struct mtl_convolution_forms {
  mtl_form bottom, top, weights, bias;
  /* The weights as the file format has them; `weights` is as the primitive wants them. */
  mtl_form plain_weights;
  dnnl_dims_t stride, dilation, pad_before, pad_after;
};

dnnl_status_t mtl_convolution_describe(
    dnnl_primitive_desc_t *result, mtl_dnnl *dnnl, const struct mtl_convolution_forms *forms, mtl_direction direction,
    bool is_transposed, const_dnnl_primitive_desc_t forward, const_dnnl_primitive_attr_t attributes);

#endif
