#include "Decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gdk-pixbuf/gdk-pixbuf.h>

/* Every format but JPEG and PNG: bitmaps, GIF (its first picture), TIFF, PNM, TGA and what else gdk-pixbuf has loaders
   for on this machine. */
struct pixbuf_decoder {
  cimages_decoder base;
  GdkPixbuf *pixbuf;
};

static void close_pixbuf(cimages_decoder *base) {
  struct pixbuf_decoder *decoder = (struct pixbuf_decoder *)base;
  if (decoder->pixbuf) g_object_unref(decoder->pixbuf);
  free(decoder);
}

static int read_pixbuf(cimages_decoder *base, uint8_t *pixels, char *message) {
  const GdkPixbuf *pixbuf = ((struct pixbuf_decoder *)base)->pixbuf;
  const int from_channels = gdk_pixbuf_get_n_channels(pixbuf);
  const size_t stride = (size_t)gdk_pixbuf_get_rowstride(pixbuf);
  const uint8_t *from = gdk_pixbuf_read_pixels(pixbuf);
  (void)message;
  for (int32_t y = 0; y < base->shape.height; y++) {
    const uint8_t *pixel = from + y * stride;
    for (int32_t x = 0; x < base->shape.width; x++, pixel += from_channels) {
      if (base->shape.channels == 1) {
        *pixels++ = cimages_gray(pixel[2], pixel[1], pixel[0]);
      } else {
        *pixels++ = pixel[2];
        *pixels++ = pixel[1];
        *pixels++ = pixel[0];
      }
    }
  }
  return 1;
}

struct progress {
  char *message;
  int64_t rows;
};

/* A size of zero makes every loader give up before it allocates. */
static void check_announced_size(GdkPixbufLoader *loader, int width, int height, gpointer progress) {
  char *message = ((struct progress *)progress)->message;
  if (!cimages_check_size((uint64_t)width, (uint64_t)height, message)) gdk_pixbuf_loader_set_size(loader, 0, 0);
}

static void count_rows(GdkPixbufLoader *loader, int x, int y, int width, int height, gpointer progress) {
  (void)loader, (void)x, (void)y, (void)width;
  ((struct progress *)progress)->rows += height;
}

/* The loaders of PNM and of plain bitmaps tell of each row once, and take a file that ends early for a whole one. */
static int tells_of_each_row(const uint8_t *bytes, size_t count) {
  if (count > 2 && bytes[0] == 'P') return 1;
  return count > 34 && bytes[0] == 'B' && bytes[1] == 'M' && (bytes[30] == 0 || bytes[30] == 3);
}

static void take_fault(GError *error, char *message) {
  if (message[0] == 0) {
    if (!error) {
      cimages_say(message, "the file ends before its image does");
    } else if (g_error_matches(error, GDK_PIXBUF_ERROR, GDK_PIXBUF_ERROR_UNKNOWN_TYPE)) {
      cimages_say(message, "not an image of a known format");
    } else {
      cimages_say(message, error->message);
    }
  }
  if (error) g_error_free(error);
}

/* gdk-pixbuf gives RGB even for grey files. A grey file is a grey map of PNM or a bitmap with a grey palette. */
static int is_stored_gray(const uint8_t *bytes, size_t count) {
  if (count > 2 && bytes[0] == 'P') return bytes[1] && strchr("1245", bytes[1]);
  if (count < 54 || bytes[0] != 'B' || bytes[1] != 'M') return 0;
  const size_t header = bytes[14] | bytes[15] << 8;
  const int bits = bytes[28] | bytes[29] << 8;
  if (header < 40 || bits > 8) return 0;
  const uint32_t used = bytes[46] | bytes[47] << 8;
  const uint8_t *palette = bytes + 14 + header;
  const size_t entries = used && used < 1u << bits ? used : 1u << bits;
  if (14 + header + 4 * entries > count) return 0;
  for (size_t i = 0; i < entries; i++, palette += 4) {
    if (palette[0] != palette[1] || palette[1] != palette[2]) return 0;
  }
  return 1;
}

cimages_decoder *cimages_open_pixbuf(const uint8_t *bytes, size_t count, cimages_channels channels, char *message) {
  struct pixbuf_decoder *decoder = calloc(1, sizeof *decoder);
  GError *error = NULL;
  if (!decoder) {
    cimages_say(message, "out of memory");
    return NULL;
  }
  decoder->base.read = read_pixbuf;
  decoder->base.close = close_pixbuf;
  decoder->base.orientation = 1;
  message[0] = 0;
  GdkPixbufLoader *loader = gdk_pixbuf_loader_new();
  struct progress progress = {.message = message, .rows = 0};
  g_signal_connect(loader, "size-prepared", G_CALLBACK(check_announced_size), &progress);
  g_signal_connect(loader, "area-updated", G_CALLBACK(count_rows), &progress);
  const int written = gdk_pixbuf_loader_write(loader, bytes, count, &error);
  const int whole = gdk_pixbuf_loader_close(loader, written ? &error : NULL) && written;
  GdkPixbuf *pixbuf = whole && message[0] == 0 ? gdk_pixbuf_loader_get_pixbuf(loader) : NULL;
  if (pixbuf && tells_of_each_row(bytes, count) && progress.rows < gdk_pixbuf_get_height(pixbuf)) pixbuf = NULL;
  if (pixbuf) decoder->pixbuf = gdk_pixbuf_apply_embedded_orientation(pixbuf);
  g_object_unref(loader);
  if (!decoder->pixbuf) {
    take_fault(error, message);
    close_pixbuf(&decoder->base);
    return NULL;
  }
  if (channels == CIMAGES_AS_STORED) channels = is_stored_gray(bytes, count) ? CIMAGES_GRAY : CIMAGES_BGR;
  decoder->base.shape.height = gdk_pixbuf_get_height(decoder->pixbuf);
  decoder->base.shape.width = gdk_pixbuf_get_width(decoder->pixbuf);
  decoder->base.shape.channels = channels;
  return &decoder->base;
}
