/*
 * reorder.h: an image from one layout to another, and from one dtype to another.
 *
 * A layout is told by its block of channels: 1 is nchw, 0 is nhwc, more is that many channels
 * together, the last block filled up with zeros.
 */
typedef struct {
  int count, channels, pixels, x_block, y_block;
} reorder_parameters;

/* Where channel c of a pixel of image n lies. */
DEVICE int place_of(int n, int c, int pixel, int channels, int pixels, int block) {
  if (block == 0) return (n * pixels + pixel) * channels + c;
  const int blocks = (channels + block - 1) / block;
  return ((n * blocks + c / block) * pixels + pixel) * block + c % block;
}

KERNEL(GROUP_ITEMS) void reorder(INPUT(TYPE_A) x, OUTPUT(TYPE_Y) y, const reorder_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  int n, c, pixel;
  if (p.y_block == 0) {
    c = index % p.channels;
    pixel = index / p.channels % p.pixels;
    n = index / p.channels / p.pixels;
  } else {
    const int blocks = (p.channels + p.y_block - 1) / p.y_block;
    const int outer = index / p.y_block / p.pixels;
    pixel = index / p.y_block % p.pixels;
    c = outer % blocks * p.y_block + index % p.y_block;
    n = outer / blocks;
  }
  if (c >= p.channels) {
    STORE(TYPE_Y, y, index, 0);
    return;
  }
  const int place = place_of(n, c, pixel, p.channels, p.pixels, p.x_block);
  STORE(TYPE_Y, y, index, LOAD(TYPE_A, x, place));
}
