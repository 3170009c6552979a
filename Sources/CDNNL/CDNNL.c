#include "Shared.h"

#include <stdlib.h>
#include <string.h>

const char *mtl_dnnl_message(int status) { return dnnl_status2str((dnnl_status_t)status); }

/* ---- The engine ---- */

static int attributes_create(dnnl_primitive_attr_t *attributes) {
  TRY(dnnl_primitive_attr_create(attributes));
  TRY(dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user));
  return 0;
}

int mtl_adding_create(dnnl_primitive_attr_t *attributes, mtl_form_view addend) {
  dnnl_post_ops_t operations;
  TRY(attributes_create(attributes));
  TRY(dnnl_post_ops_create(&operations));
  dnnl_status_t status =
      addend ? dnnl_post_ops_append_binary(operations, dnnl_binary_add, addend) : mtl_append_sum(operations);
  if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
  dnnl_post_ops_destroy(operations);
  return (int)status;
}

static int open_engine(mtl_dnnl *dnnl) {
  TRY(dnnl_engine_create(&dnnl->engine, dnnl_cpu, 0));
  TRY(dnnl_stream_create(&dnnl->stream, dnnl->engine, dnnl_stream_default_flags));
  int status = attributes_create(&dnnl->attributes);
  return status ? status : mtl_adding_create(&dnnl->adding, NULL);
}

int mtl_dnnl_create(mtl_dnnl **result) {
  mtl_dnnl *dnnl = calloc(1, sizeof *dnnl);
  if (!dnnl) return dnnl_out_of_memory;
  int status = open_engine(dnnl);
  if (status) {
    mtl_dnnl_destroy(dnnl);
    return status;
  }
  *result = dnnl;
  return 0;
}

void mtl_dnnl_destroy(mtl_dnnl *dnnl) {
  if (dnnl->adding) dnnl_primitive_attr_destroy(dnnl->adding);
  if (dnnl->attributes) dnnl_primitive_attr_destroy(dnnl->attributes);
  if (dnnl->stream) dnnl_stream_destroy(dnnl->stream);
  if (dnnl->engine) dnnl_engine_destroy(dnnl->engine);
  free(dnnl);
}

/* ---- Formats ---- */

/* The tag of a format for arrays of 2 to 5 axes; undefined where there is none. */
static dnnl_format_tag_t format_tag(int rank, mtl_format format) {
  static const dnnl_format_tag_t tags[4][4] = {
      [MTL_FORMAT_PLAIN] = {dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde},
      [MTL_FORMAT_CHANNELS_LAST] = {dnnl_ab, dnnl_acb, dnnl_acdb, dnnl_acdeb},
      [MTL_FORMAT_BLOCKED_8] = {dnnl_format_tag_undef, dnnl_aBc8b, dnnl_aBcd8b, dnnl_aBcde8b},
      [MTL_FORMAT_BLOCKED_16] = {dnnl_format_tag_undef, dnnl_aBc16b, dnnl_aBcd16b, dnnl_aBcde16b},
  };
  if (format == MTL_FORMAT_ANY) return dnnl_format_tag_any;
  if (rank < 2 || rank > 5 || format > MTL_FORMAT_BLOCKED_16) return dnnl_format_tag_undef;
  return tags[format][rank - 2];
}

int mtl_describe(mtl_form *result, const mtl_dims *dims, mtl_format format, mtl_precision precision) {
  dnnl_format_tag_t tag = format_tag(dims->rank, format);
  if (tag == dnnl_format_tag_undef) return dnnl_unimplemented;
  return mtl_form_by_tag(result, dims->rank, dims->dims, precision == MTL_BFLOAT ? dnnl_bf16 : dnnl_f32, tag);
}

static mtl_format format_of(mtl_form_view form) {
  mtl_dims dims;
  dnnl_data_type_t type;
  if (mtl_form_shape(form, &dims, &type)) return MTL_FORMAT_OTHER;
  for (mtl_format format = MTL_FORMAT_PLAIN; format <= MTL_FORMAT_BLOCKED_16; format++) {
    mtl_form candidate = {0};
    if (mtl_describe(&candidate, &dims, format, type == dnnl_bf16 ? MTL_BFLOAT : MTL_FLOAT)) continue;
    bool is_same = dnnl_memory_desc_equal(mtl_view(&candidate), form);
    mtl_form_clear(&candidate);
    if (is_same) return format;
  }
  return MTL_FORMAT_OTHER;
}

size_t mtl_format_size(const mtl_dims *dims, mtl_format format) {
  mtl_form form = {0};
  if (mtl_describe(&form, dims, format, MTL_FLOAT)) return 0;
  size_t size = dnnl_memory_desc_get_size(mtl_view(&form));
  mtl_form_clear(&form);
  return size;
}

/* ---- Primitives ---- */

static const struct {
  int name;
  dnnl_query_t query;
  int index;
} argument_queries[MTL_ARGUMENT_COUNT] = {
    [MTL_SOURCE] = {DNNL_ARG_SRC, dnnl_query_src_md, 0},
    [MTL_WEIGHTS] = {DNNL_ARG_WEIGHTS, dnnl_query_weights_md, 0},
    [MTL_BIAS] = {DNNL_ARG_BIAS, dnnl_query_weights_md, 1},
    [MTL_DESTINATION] = {DNNL_ARG_DST, dnnl_query_dst_md, 0},
    [MTL_SOURCE_GRADIENT] = {DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, 0},
    [MTL_WEIGHTS_GRADIENT] = {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, 0},
    [MTL_BIAS_GRADIENT] = {DNNL_ARG_DIFF_BIAS, dnnl_query_diff_weights_md, 1},
    [MTL_DESTINATION_GRADIENT] = {DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, 0},
    [MTL_FROM] = {DNNL_ARG_FROM, dnnl_query_src_md, 0},
    [MTL_TO] = {DNNL_ARG_TO, dnnl_query_dst_md, 0},
    [MTL_SCRATCH] = {DNNL_ARG_SCRATCHPAD, dnnl_query_scratchpad_md, 0},
    [MTL_ADDEND] = {DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, dnnl_query_dst_md, 0},
};

mtl_form_view mtl_argument_form(const mtl_primitive *p, mtl_argument argument) {
  if (argument == MTL_ADDEND && !p->has_addend) return NULL;
  return dnnl_primitive_desc_query_md(p->description, argument_queries[argument].query, argument_queries[argument].index);
}

int mtl_primitive_wrap(mtl_primitive **result, mtl_dnnl *dnnl, dnnl_primitive_desc_t description) {
  mtl_primitive *p = calloc(1, sizeof *p);
  if (!p) {
    dnnl_primitive_desc_destroy(description);
    return dnnl_out_of_memory;
  }
  p->dnnl = dnnl;
  p->description = description;
  *result = p;
  return 0;
}

void mtl_primitive_destroy(mtl_primitive *p) {
  for (int i = 0; i < MTL_ARGUMENT_COUNT; i++)
    if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
  if (p->primitive) dnnl_primitive_destroy(p->primitive);
  dnnl_primitive_desc_destroy(p->description);
  free(p);
}

/* Reorders take their ends as `from` and `to`, all others as source, destination and so on. */
static bool takes(bool is_reorder, mtl_argument argument) {
  if (argument == MTL_SCRATCH) return true;
  return is_reorder == (argument == MTL_FROM || argument == MTL_TO);
}

int mtl_primitive_build(mtl_primitive *p) {
  dnnl_primitive_kind_t kind;
  TRY(dnnl_primitive_desc_query(p->description, dnnl_query_primitive_kind, 0, &kind));
  TRY(dnnl_primitive_create(&p->primitive, p->description));
  for (mtl_argument argument = 0; argument < MTL_ARGUMENT_COUNT; argument++) {
    if (!takes(kind == dnnl_reorder, argument)) continue;
    mtl_form_view form = mtl_argument_form(p, argument);
    if (!form || dnnl_memory_desc_get_size(form) == 0) continue;
    TRY(dnnl_memory_create(&p->memory[argument], form, p->dnnl->engine, DNNL_MEMORY_NONE));
    p->arguments[p->count++] = (dnnl_exec_arg_t){argument_queries[argument].name, p->memory[argument]};
  }
  return 0;
}

const char *mtl_primitive_implementation(const mtl_primitive *p) {
  const char *name = "";
  dnnl_primitive_desc_query(p->description, dnnl_query_impl_info_str, 0, &name);
  return name;
}

mtl_format mtl_primitive_format(const mtl_primitive *p, mtl_argument argument) {
  mtl_form_view form = mtl_argument_form(p, argument);
  return form ? format_of(form) : MTL_FORMAT_OTHER;
}

size_t mtl_primitive_size(const mtl_primitive *p, mtl_argument argument) {
  mtl_form_view form = mtl_argument_form(p, argument);
  return form ? dnnl_memory_desc_get_size(form) : 0;
}

void mtl_primitive_set(mtl_primitive *p, mtl_argument argument, void *memory) {
  if (p->memory[argument]) dnnl_memory_set_data_handle(p->memory[argument], memory);
}

int mtl_primitive_run(mtl_primitive *p) {
  TRY(dnnl_primitive_execute(p->primitive, p->dnnl->stream, p->count, p->arguments));
  TRY(dnnl_stream_wait(p->dnnl->stream));
  return 0;
}

int mtl_copy_create(mtl_primitive **result, mtl_dnnl *dnnl, mtl_form_view from, mtl_form_view to, bool adds) {
  dnnl_primitive_desc_t description;
  TRY(dnnl_reorder_primitive_desc_create(
      &description, from, dnnl->engine, to, dnnl->engine, adds ? dnnl->adding : dnnl->attributes));
  return mtl_primitive_wrap(result, dnnl, description);
}

int mtl_reorder_create(
    mtl_primitive **result, mtl_dnnl *dnnl, const mtl_dims *dims, mtl_format from, mtl_precision from_precision,
    mtl_format to, mtl_precision to_precision) {
  mtl_form source = {0}, destination = {0};
  int status = mtl_describe(&source, dims, from, from_precision);
  if (!status) status = mtl_describe(&destination, dims, to, to_precision);
  if (!status) status = mtl_copy_create(result, dnnl, mtl_view(&source), mtl_view(&destination), false);
  mtl_form_clear(&source);
  mtl_form_clear(&destination);
  return status;
}

int mtl_dnnl_sgemm(
    bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
    const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
  TRY(dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc));
  return 0;
}
