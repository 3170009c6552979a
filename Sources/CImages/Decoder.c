#include "Decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cimages_say(char *message, const char *text) { snprintf(message, CIMAGES_MESSAGE, "%s", text); }

int cimages_check_size(uint64_t width, uint64_t height, char *message) {
  if (width == 0 || height == 0) {
    cimages_say(message, "the image has no pixels");
    return 0;
  }
  if (width > (1 << 20) || height > (1 << 20) || width * height > CIMAGES_MAX_PIXELS) {
    snprintf(
        message, CIMAGES_MESSAGE, "%llu x %llu pixels are more than the limit of 2^30", (unsigned long long)width,
        (unsigned long long)height);
    return 0;
  }
  return 1;
}

cimages_decoder *cimages_open(
    const uint8_t *bytes, size_t count, cimages_channels channels, cimages_shape *shape, char *message) {
  static const uint8_t png[] = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a};
  cimages_decoder *decoder;
  if (count == 0) {
    cimages_say(message, "the file is empty");
    return NULL;
  }
  if (count >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff) {
    decoder = cimages_open_jpeg(bytes, count, channels, message);
  } else if (count >= sizeof png && memcmp(bytes, png, sizeof png) == 0) {
    decoder = cimages_open_png(bytes, count, channels, message);
  } else {
    decoder = cimages_open_pixbuf(bytes, count, channels, message);
  }
  if (!decoder) return NULL;
  *shape = decoder->shape;
  if (decoder->orientation >= 5) {
    shape->height = decoder->shape.width;
    shape->width = decoder->shape.height;
  }
  return decoder;
}

/* Orientations 5 to 8 lie on their side: they are transposed, and all but 1 and 5 are then flipped. */
static void turn_upright(const uint8_t *stored, cimages_shape shape, int orientation, uint8_t *upright) {
  const int transposed = orientation >= 5;
  const int flip_rows = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  const int flip_columns = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const size_t height = transposed ? shape.width : shape.height;
  const size_t width = transposed ? shape.height : shape.width;
  const size_t channels = shape.channels;
  for (size_t y = 0; y < height; y++) {
    const size_t from_y = flip_rows ? height - 1 - y : y;
    for (size_t x = 0; x < width; x++) {
      const size_t from_x = flip_columns ? width - 1 - x : x;
      const size_t from = transposed ? from_x * height + from_y : from_y * width + from_x;
      for (size_t c = 0; c < channels; c++) *upright++ = stored[from * channels + c];
    }
  }
}

int cimages_read(cimages_decoder *decoder, uint8_t *pixels, char *message) {
  if (decoder->orientation <= 1) return decoder->read(decoder, pixels, message);
  const cimages_shape shape = decoder->shape;
  uint8_t *stored = malloc((size_t)shape.height * shape.width * shape.channels);
  if (!stored) {
    cimages_say(message, "out of memory");
    return 0;
  }
  const int done = decoder->read(decoder, stored, message);
  if (done) turn_upright(stored, shape, decoder->orientation, pixels);
  free(stored);
  return done;
}

void cimages_close(cimages_decoder *decoder) { decoder->close(decoder); }

void cimages_free(void *bytes) { free(bytes); }

/* Exif is a TIFF header (byte order, 42, offset of the first directory) and directories of 12-byte entries. */
int cimages_exif_orientation(const uint8_t *exif, size_t count) {
  if (count < 8) return 1;
  const int big = exif[0] == 'M' && exif[1] == 'M';
  if (!big && !(exif[0] == 'I' && exif[1] == 'I')) return 1;
#define U16(at) (big ? exif[at] << 8 | exif[(at) + 1] : exif[(at) + 1] << 8 | exif[at])
#define U32(at) (big ? (uint32_t)U16(at) << 16 | U16((at) + 2) : (uint32_t)U16((at) + 2) << 16 | U16(at))
  const size_t directory = U32(4);
  if (U16(2) != 42 || directory + 2 > count) return 1;
  const size_t entries = U16(directory);
  for (size_t i = 0; i < entries; i++) {
    const size_t entry = directory + 2 + 12 * i;
    if (entry + 12 > count) return 1;
    if (U16(entry) == 0x0112) {
      const int orientation = U16(entry + 8);
      return orientation >= 1 && orientation <= 8 ? orientation : 1;
    }
  }
#undef U16
#undef U32
  return 1;
}
