#ifndef C_IMAGES_DECODER_H
#define C_IMAGES_DECODER_H

#include "CImages.h"

/* What the three formats share. A format embeds it as its first member. */
struct cimages_decoder {
  /* Fills the pixels as they are stored, before orientation. 0 on a fault. */
  int (*read)(cimages_decoder *decoder, uint8_t *pixels, char *message);
  void (*close)(cimages_decoder *decoder);
  /* As stored, before orientation. */
  cimages_shape shape;
  /* 1 to 8 as in Exif; 1 is upright. */
  int orientation;
};

/* Each returns a decoder, or NULL with the message set. */
cimages_decoder *cimages_open_jpeg(const uint8_t *bytes, size_t count, cimages_channels channels, char *message);
cimages_decoder *cimages_open_png(const uint8_t *bytes, size_t count, cimages_channels channels, char *message);
cimages_decoder *cimages_open_pixbuf(const uint8_t *bytes, size_t count, cimages_channels channels, char *message);

/* The orientation tag of a block of Exif data (from its byte order mark on); 1 when there is none. */
int cimages_exif_orientation(const uint8_t *exif, size_t count);

/* 0 with the message set when the size is absurd. */
int cimages_check_size(uint64_t width, uint64_t height, char *message);

void cimages_say(char *message, const char *text);

/* Grey of 8-bit BGR as OpenCV's decoders compute it: 14-bit weights of ITU-R BT.601, rounded. */
static inline uint8_t cimages_gray(int blue, int green, int red) {
  return (uint8_t)((blue * 1868 + green * 9617 + red * 4899 + (1 << 13)) >> 14);
}

#endif
