#include "Decoder.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* libjpeg's own error handler exits the process; this one jumps back with the text. */
struct faults {
  struct jpeg_error_mgr manager;
  jmp_buf back;
  char *message;
};

static void give_up(j_common_ptr info) {
  struct faults *faults = (struct faults *)info->err;
  char text[JMSG_LENGTH_MAX];
  faults->manager.format_message(info, text);
  snprintf(faults->message, CIMAGES_MESSAGE, "JPEG: %s", text);
  longjmp(faults->back, 1);
}

/* libjpeg only warns about damaged data and fills in grey. Damage is a fault here; oddities that change no pixel (bytes
   before a marker, unknown versions) are not. */
static void take_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  info->err->num_warnings++;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
      give_up(info);
  }
}

static struct jpeg_error_mgr *set_up_faults(struct faults *faults, char *message) {
  struct jpeg_error_mgr *manager = jpeg_std_error(&faults->manager);
  manager->error_exit = give_up;
  manager->emit_message = take_message;
  faults->message = message;
  return manager;
}

struct jpeg_decoder {
  cimages_decoder base;
  struct jpeg_decompress_struct info;
  struct faults faults;
  JSAMPLE *inks; /* a row of CMYK */
};

static void close_jpeg(cimages_decoder *base) {
  struct jpeg_decoder *decoder = (struct jpeg_decoder *)base;
  jpeg_destroy_decompress(&decoder->info);
  free(decoder->inks);
  free(decoder);
}

/* Adobe's inks are stored inverted. The rounding is that of OpenCV's decoder. */
static void convert_inks(const JSAMPLE *inks, int width, int channels, uint8_t *row) {
  for (int x = 0; x < width; x++, inks += 4) {
    const int black = inks[3];
    const int red = black - ((255 - inks[0]) * black >> 8);
    const int green = black - ((255 - inks[1]) * black >> 8);
    const int blue = black - ((255 - inks[2]) * black >> 8);
    if (channels == 1) {
      *row++ = cimages_gray(blue, green, red);
    } else {
      *row++ = (uint8_t)blue;
      *row++ = (uint8_t)green;
      *row++ = (uint8_t)red;
    }
  }
}

static int read_jpeg(cimages_decoder *base, uint8_t *pixels, char *message) {
  struct jpeg_decoder *decoder = (struct jpeg_decoder *)base;
  struct jpeg_decompress_struct *info = &decoder->info;
  decoder->faults.message = message;
  if (setjmp(decoder->faults.back)) return 0;
  const size_t stride = (size_t)base->shape.width * base->shape.channels;
  jpeg_start_decompress(info);
  while (info->output_scanline < info->output_height) {
    JSAMPROW row = pixels + info->output_scanline * stride;
    if (decoder->inks) {
      JSAMPROW inks = decoder->inks;
      jpeg_read_scanlines(info, &inks, 1);
      convert_inks(inks, base->shape.width, base->shape.channels, row);
    } else {
      jpeg_read_scanlines(info, &row, 1);
    }
  }
  jpeg_finish_decompress(info);
  return 1;
}

static int orientation_of(const struct jpeg_decompress_struct *info) {
  static const uint8_t name[6] = "Exif\0";
  for (jpeg_saved_marker_ptr marker = info->marker_list; marker; marker = marker->next) {
    if (marker->data_length > sizeof name && memcmp(marker->data, name, sizeof name) == 0) {
      return cimages_exif_orientation(marker->data + sizeof name, marker->data_length - sizeof name);
    }
  }
  return 1;
}

cimages_decoder *cimages_open_jpeg(const uint8_t *bytes, size_t count, cimages_channels channels, char *message) {
  struct jpeg_decoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) {
    cimages_say(message, "out of memory");
    return NULL;
  }
  struct jpeg_decompress_struct *info = &decoder->info;
  decoder->base.read = read_jpeg;
  decoder->base.close = close_jpeg;
  info->err = set_up_faults(&decoder->faults, message);
  if (setjmp(decoder->faults.back)) {
    close_jpeg(&decoder->base);
    return NULL;
  }
  jpeg_create_decompress(info);
  jpeg_mem_src(info, bytes, count);
  jpeg_save_markers(info, JPEG_APP0 + 1, 0xffff);
  jpeg_read_header(info, TRUE);
  if (!cimages_check_size(info->image_width, info->image_height, message)) {
    close_jpeg(&decoder->base);
    return NULL;
  }
  if (channels == CIMAGES_AS_STORED) channels = info->num_components == 1 ? CIMAGES_GRAY : CIMAGES_BGR;
  decoder->base.shape.height = (int32_t)info->image_height;
  decoder->base.shape.width = (int32_t)info->image_width;
  decoder->base.shape.channels = channels;
  decoder->base.orientation = orientation_of(info);
  if (info->num_components == 4) {
    info->out_color_space = JCS_CMYK;
    decoder->inks = malloc((size_t)info->image_width * 4);
    if (!decoder->inks) {
      cimages_say(message, "out of memory");
      close_jpeg(&decoder->base);
      return NULL;
    }
  } else {
    info->out_color_space = channels == CIMAGES_GRAY ? JCS_GRAYSCALE : JCS_EXT_BGR;
  }
  return &decoder->base;
}

uint8_t *cimages_encode_jpeg(
    const uint8_t *pixels, cimages_shape shape, int quality, size_t *count, char *message) {
  struct jpeg_compress_struct info;
  struct faults faults;
  unsigned char *bytes = NULL;
  unsigned long size = 0;
  if (shape.width > JPEG_MAX_DIMENSION || shape.height > JPEG_MAX_DIMENSION) {
    cimages_say(message, "JPEG: an image may be at most 65500 pixels wide and high");
    return NULL;
  }
  memset(&info, 0, sizeof info);
  info.err = set_up_faults(&faults, message);
  if (setjmp(faults.back)) {
    /* Out of memory. `bytes` may have been freed by the library while it grew, so it is not freed again. */
    jpeg_destroy_compress(&info);
    return NULL;
  }
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, &bytes, &size);
  info.image_width = (JDIMENSION)shape.width;
  info.image_height = (JDIMENSION)shape.height;
  info.input_components = shape.channels;
  info.in_color_space = shape.channels == 1 ? JCS_GRAYSCALE : JCS_EXT_BGR;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  jpeg_start_compress(&info, TRUE);
  const size_t stride = (size_t)shape.width * shape.channels;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = (JSAMPROW)(pixels + info.next_scanline * stride);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  *count = size;
  return bytes;
}
