/* What the files of this module share. */
#ifndef MTL_CDNNL_SHARED_H
#define MTL_CDNNL_SHARED_H

#include "CDNNL.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#if DNNL_VERSION_MAJOR != 2
#error "CDNNL is written for oneDNN 2.x (Debian: libdnnl-dev)"
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
  dnnl_memory_t memory[MTL_ARGUMENT_COUNT];
  dnnl_exec_arg_t arguments[MTL_ARGUMENT_COUNT];
  int count;
};

int mtl_describe(dnnl_memory_desc_t *result, const mtl_dims *dims, mtl_format format, mtl_precision precision);
/* What an argument looks like; null or empty when the primitive has no such argument. */
const dnnl_memory_desc_t *mtl_argument_description(const mtl_primitive *primitive, mtl_argument argument);
/* Describes the primitive of an operation. */
int mtl_primitive_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const_dnnl_op_desc_t operation, const mtl_primitive *forward);
/* Describes a copy from one form to another. */
int mtl_copy_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to, bool adds);

#endif
