#ifndef C_IMAGES_H
#define C_IMAGES_H

#include <stddef.h>
#include <stdint.h>

/* Decodes and encodes 8-bit images in memory. Every function may be called from any thread; a handle belongs to one
   thread at a time. Faults come back as text, nothing exits or prints. */

/* The size of every `message` buffer. */
#define CIMAGES_MESSAGE 256

/* Images of more pixels than this are refused, as OpenCV refuses them. */
#define CIMAGES_MAX_PIXELS (1 << 30)

typedef enum {
  /* One channel for a grey file, three (blue, green, red) for any other. */
  CIMAGES_AS_STORED = 0,
  CIMAGES_GRAY = 1,
  CIMAGES_BGR = 3,
} cimages_channels;

typedef struct {
  int32_t height;
  int32_t width;
  int32_t channels;
} cimages_shape;

typedef struct cimages_decoder cimages_decoder;

/* Reads as much as gives the shape of the upright image (the orientation mark of the camera is applied). `bytes` must
   outlive the decoder. NULL on a fault. */
cimages_decoder *cimages_open(
    const uint8_t *bytes, size_t count, cimages_channels channels, cimages_shape *shape, char *message);

/* Fills height * width * channels bytes, interleaved, top row first. Call it once. 0 on a fault. */
int cimages_read(cimages_decoder *decoder, uint8_t *pixels, char *message);

void cimages_close(cimages_decoder *decoder);

/* Encode interleaved gray or BGR pixels. The result is to be freed with `cimages_free`; NULL on a fault. */
uint8_t *cimages_encode_jpeg(
    const uint8_t *pixels, cimages_shape shape, int quality, size_t *count, char *message);
uint8_t *cimages_encode_png(const uint8_t *pixels, cimages_shape shape, size_t *count, char *message);
void cimages_free(void *bytes);

#endif
