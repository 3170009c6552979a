#pragma once

// Protobuf's text format with the place of every field, behind a C face. The types come at run time, from a descriptor
// set. Lines and columns count from 1; a column counts characters (a tab is one).

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// A set of message types. Immutable once made; any number of threads may parse with it.
typedef struct ProtobufTextSchema ProtobufTextSchema;

// What came of one text. Owns all that its accessors return.
typedef struct ProtobufTextResult ProtobufTextResult;

// A stretch of UTF-8 (or of bytes, where the text itself is not UTF-8), without a terminating zero.
typedef struct {
  const char *bytes;
  size_t count;
} ProtobufTextSpan;

// A field that the text gives. The path leads to it from the message: `layer[3].convolution_param.kernel_size[0]`.
typedef struct {
  ProtobufTextSpan path;
  int32_t line;
  int32_t column;
} ProtobufTextPlace;

typedef enum {
  PROTOBUF_TEXT_NOT_WELL_FORMED,  // `text` is the parser's message
  PROTOBUF_TEXT_MISSING_REQUIRED  // `text` is the path of the field that is missing; there is no place
} ProtobufTextFaultKind;

typedef struct {
  ProtobufTextFaultKind kind;
  ProtobufTextSpan text;
  int32_t line;
  int32_t column;
} ProtobufTextFault;

typedef enum {
  PROTOBUF_TEXT_END,
  PROTOBUF_TEXT_IDENTIFIER,
  PROTOBUF_TEXT_INTEGER,
  PROTOBUF_TEXT_FLOAT,
  PROTOBUF_TEXT_STRING,
  PROTOBUF_TEXT_SYMBOL
} ProtobufTextTokenKind;

typedef struct {
  ProtobufTextTokenKind kind;
  ProtobufTextSpan text;
  int32_t line;
  int32_t column;
} ProtobufTextToken;

// From a serialized FileDescriptorSet whose files come after those they import. NULL when it is not one.
ProtobufTextSchema *protobuf_text_schema_create(const uint8_t *descriptor_set, size_t count);
void protobuf_text_schema_destroy(ProtobufTextSchema *schema);

// Parses a text as a message of the type with the full name `type`. NULL when the schema has no such type.
// A field given twice that can be there but once is a fault, as for Caffe. At most INT32_MAX bytes.
ProtobufTextResult *protobuf_text_parse(ProtobufTextSchema *schema, const char *type, const char *text, size_t count);
void protobuf_text_result_destroy(ProtobufTextResult *result);

// The message in wire form; bytes are NULL when there are faults.
ProtobufTextSpan protobuf_text_wire(const ProtobufTextResult *result);

// Of a repeated number, the first 256 values have places: a mean image may be written as text.
size_t protobuf_text_place_count(const ProtobufTextResult *result);
ProtobufTextPlace protobuf_text_place(const ProtobufTextResult *result, size_t index);

size_t protobuf_text_fault_count(const ProtobufTextResult *result);
ProtobufTextFault protobuf_text_fault(const ProtobufTextResult *result, size_t index);

// The tokens of a text with faults, for a better account of them; the last is of kind END. None without faults.
size_t protobuf_text_token_count(const ProtobufTextResult *result);
ProtobufTextToken protobuf_text_token(const ProtobufTextResult *result, size_t index);

#ifdef __cplusplus
}
#endif
