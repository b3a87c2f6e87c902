#include "qpixels.h"

/* The taps of one row of the kernel, at the image's row `in`; NULL: outside of it. */
static dot_value *pack_kernel_row(const qpixels *r, const uint8_t *in, int64_t x, dot_value *to) {
  const conv2d *s = r->shape;
  const int64_t channels = s->group_channels;
  const dot_value zero = dot_zero(r->source);
  if (!in) {
    dot_fill(to, zero, s->kernel_w * channels);
    return to + s->kernel_w * channels;
  }
  if (s->dilation_w == 1 && s->groups == 1) { /* the taps' channels follow one another */
    const int64_t begin = x < 0 ? -x < s->kernel_w ? -x : s->kernel_w : 0;
    int64_t end = s->width - x < s->kernel_w ? s->width - x : s->kernel_w;
    if (end < begin) end = begin;
    dot_fill(to, zero, begin * channels);
    dot_copy(to + begin * channels, in + (x + begin) * channels, (end - begin) * channels,
             r->source);
    dot_fill(to + end * channels, zero, (s->kernel_w - end) * channels);
    return to + s->kernel_w * channels;
  }
  for (int64_t j = 0; j < s->kernel_w; j++, x += s->dilation_w, to += channels)
    if (x < 0 || x >= s->width)
      dot_fill(to, zero, channels);
    else
      dot_copy(to, in + x * s->channels, channels, r->source);
  return to;
}

/* The taps of a pixel whose window lies between the image's left and right edge, its rows' taps
 * next to each other: `image` is at the window's first column. Whole chunks are copied; the next
 * row's overwrite what is too much. */
static void pack_window(const qpixels *r, const uint8_t *image, int64_t y, dot_value *to) {
  const conv2d *s = r->shape;
  const int64_t count = s->kernel_w * s->group_channels, row = s->width * s->channels;
  for (int64_t tap = 0; tap < s->kernel_h; tap++, y += s->dilation_h, to += count) {
    if (y < 0 || y >= s->height)
      dot_fill(to, dot_zero(r->source), count);
    else if (r->x_end - (image + y * row) >= count + DOT_CHUNK)
      dot_copy_chunks(to, image + y * row, count, r->source);
    else
      dot_copy(to, image + y * row, count, r->source);
  }
}

void LEVEL_NAME(qpixels_pack)(const void *context, int64_t group, int64_t row, int rows,
                              dot_value *to, int64_t stride) {
  const qpixels *r = context;
  const conv2d *s = r->shape;
  int64_t out_x = row % s->out_width, out_y = row / s->out_width % s->out_height;
  const uint8_t *image =
      r->x + row / conv2d_out_size(s) * s->channels * conv2d_in_size(s) + group * s->group_channels;
  const int adjoins = s->kernel_w == 1 || (s->dilation_w == 1 && s->groups == 1);
  for (int i = 0; i < rows; i++, to += stride) {
    dot_value *next = to;
    const int64_t x = out_x * s->stride_w - s->pad_left;
    int64_t y = out_y * s->stride_h - s->pad_top;
    if (adjoins && x >= 0 && x + s->kernel_w <= s->width) {
      pack_window(r, image + x * s->channels, y, to);
    } else {
      for (int64_t tap = 0; tap < s->kernel_h; tap++, y += s->dilation_h) {
        const int inside = y >= 0 && y < s->height;
        next = pack_kernel_row(r, inside ? image + y * s->width * s->channels : NULL, x, next);
      }
    }
    if (++out_x < s->out_width) continue;
    out_x = 0;
    if (++out_y < s->out_height) continue;
    out_y = 0;
    image += s->channels * conv2d_in_size(s);
  }
}
