#include "Decoder.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

struct png_faults {
  jmp_buf back;
  char *message;
};

static void give_up(png_structp png, png_const_charp text) {
  struct png_faults *faults = png_get_error_ptr(png);
  snprintf(faults->message, CIMAGES_MESSAGE, "PNG: %s", text);
  longjmp(faults->back, 1);
}

static void take_warning(png_structp png, png_const_charp text) {
  (void)png;
  (void)text;
}

struct png_decoder {
  cimages_decoder base;
  struct png_faults faults;
  png_structp png;
  png_infop info;
  const uint8_t *next;
  size_t left;
  png_bytep *rows;
};

static void close_png(cimages_decoder *base) {
  struct png_decoder *decoder = (struct png_decoder *)base;
  png_destroy_read_struct(&decoder->png, &decoder->info, NULL);
  free(decoder->rows);
  free(decoder);
}

static void take_bytes(png_structp png, png_bytep into, size_t count) {
  struct png_decoder *decoder = png_get_io_ptr(png);
  if (count > decoder->left) png_error(png, "the file ends too early");
  memcpy(into, decoder->next, count);
  decoder->next += count;
  decoder->left -= count;
}

static int read_png(cimages_decoder *base, uint8_t *pixels, char *message) {
  struct png_decoder *decoder = (struct png_decoder *)base;
  const size_t stride = (size_t)base->shape.width * base->shape.channels;
  decoder->faults.message = message;
  decoder->rows = malloc(sizeof *decoder->rows * base->shape.height);
  if (!decoder->rows) {
    cimages_say(message, "out of memory");
    return 0;
  }
  if (setjmp(decoder->faults.back)) return 0;
  if (png_get_rowbytes(decoder->png, decoder->info) != stride) png_error(decoder->png, "unknown kind of pixel");
  for (int32_t y = 0; y < base->shape.height; y++) decoder->rows[y] = pixels + y * stride;
  png_read_image(decoder->png, decoder->rows);
  png_read_end(decoder->png, NULL);
  return 1;
}

/* The same requests as OpenCV's decoder makes, so that libpng gives the same pixels: 16 bits are cut to their upper 8,
   alpha is dropped and not blended, grey is 0.299 R + 0.587 G + 0.114 B. */
static void ask_for_channels(struct png_decoder *decoder, int bit_depth, int color_type, cimages_channels channels) {
  png_structp png = decoder->png;
  if (bit_depth == 16) png_set_strip_16(png);
  png_set_strip_alpha(png);
  if (color_type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  const int colored = color_type & PNG_COLOR_MASK_COLOR;
  if (!colored && bit_depth < 8) png_set_expand_gray_1_2_4_to_8(png);
  if (channels == CIMAGES_GRAY) {
    if (colored) png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, 0.299, 0.587);
  } else if (colored) {
    png_set_bgr(png);
  } else {
    png_set_gray_to_rgb(png);
  }
  png_set_interlace_handling(png);
  png_read_update_info(png, decoder->info);
}

cimages_decoder *cimages_open_png(const uint8_t *bytes, size_t count, cimages_channels channels, char *message) {
  struct png_decoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) {
    cimages_say(message, "out of memory");
    return NULL;
  }
  decoder->base.read = read_png;
  decoder->base.close = close_png;
  decoder->next = bytes;
  decoder->left = count;
  decoder->faults.message = message;
  if (setjmp(decoder->faults.back)) {
    close_png(&decoder->base);
    return NULL;
  }
  decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder->faults, give_up, take_warning);
  if (decoder->png) decoder->info = png_create_info_struct(decoder->png);
  if (!decoder->info) {
    cimages_say(message, "out of memory");
    close_png(&decoder->base);
    return NULL;
  }
  png_set_read_fn(decoder->png, decoder, take_bytes);
  png_read_info(decoder->png, decoder->info);

  png_uint_32 width, height;
  int bit_depth, color_type;
  png_get_IHDR(decoder->png, decoder->info, &width, &height, &bit_depth, &color_type, NULL, NULL, NULL);
  if (!cimages_check_size(width, height, message)) {
    close_png(&decoder->base);
    return NULL;
  }
  if (channels == CIMAGES_AS_STORED) channels = color_type & PNG_COLOR_MASK_COLOR ? CIMAGES_BGR : CIMAGES_GRAY;
  ask_for_channels(decoder, bit_depth, color_type, channels);
  decoder->base.shape.height = (int32_t)height;
  decoder->base.shape.width = (int32_t)width;
  decoder->base.shape.channels = channels;
  png_uint_32 exif_count;
  png_bytep exif;
  const int has_exif = png_get_eXIf_1(decoder->png, decoder->info, &exif_count, &exif) == PNG_INFO_eXIf;
  decoder->base.orientation = has_exif ? cimages_exif_orientation(exif, exif_count) : 1;
  return &decoder->base;
}

struct png_output {
  uint8_t *bytes;
  size_t count;
  size_t capacity;
};

static void put_bytes(png_structp png, png_bytep from, size_t count) {
  struct png_output *output = png_get_io_ptr(png);
  if (output->count + count > output->capacity) {
    const size_t capacity = 2 * (output->count + count);
    uint8_t *grown = realloc(output->bytes, capacity);
    if (!grown) png_error(png, "out of memory");
    output->bytes = grown;
    output->capacity = capacity;
  }
  memcpy(output->bytes + output->count, from, count);
  output->count += count;
}

static void flush_nothing(png_structp png) { (void)png; }

/* Filter, level and strategy are OpenCV's: fast to write, and the same bytes where zlib is the same. */
uint8_t *cimages_encode_png(const uint8_t *pixels, cimages_shape shape, size_t *count, char *message) {
  struct png_faults faults = {.message = message};
  struct png_output *output = calloc(1, sizeof *output);
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &faults, give_up, take_warning);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!output || !info) {
    cimages_say(message, "out of memory");
    png_destroy_write_struct(&png, NULL);
    free(output);
    return NULL;
  }
  if (setjmp(faults.back)) {
    png_destroy_write_struct(&png, &info);
    free(output->bytes);
    free(output);
    return NULL;
  }
  png_set_write_fn(png, output, put_bytes, flush_nothing);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
  png_set_compression_level(png, Z_BEST_SPEED);
  png_set_compression_strategy(png, Z_RLE);
  png_set_IHDR(
      png, info, (png_uint_32)shape.width, (png_uint_32)shape.height, 8,
      shape.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
      PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  png_set_bgr(png);
  const size_t stride = (size_t)shape.width * shape.channels;
  for (int32_t y = 0; y < shape.height; y++) png_write_row(png, pixels + y * stride);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  uint8_t *bytes = output->bytes;
  *count = output->count;
  free(output);
  return bytes;
}
