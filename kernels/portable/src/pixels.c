#include "pixels.h"

#include "micro.h"

/* A run of at most REAL_LANES values of a row: input elements `source`, + stride, ... */
typedef struct {
  int64_t source; /* from the channel's first element; negative: zeros */
  int at, length;
} piece;

typedef struct {
  int count;
  piece pieces[2 * NR + 2];
} row_pieces;

static void add_pieces(row_pieces *row, int64_t source, int64_t stride, int at, int length) {
  for (int done = 0; done < length; done += REAL_LANES) {
    int rest = length - done;
    row->pieces[row->count++] = (piece){source < 0 ? -1 : source + done * stride, at + done,
                                        rest < REAL_LANES ? rest : REAL_LANES};
  }
}

/* The row for tap (i, j), the same for every channel. */
static void cut_row(const conv2d *s, int64_t i, int64_t j, int64_t pixel, int pixels, int width,
                    row_pieces *row) {
  row->count = 0;
  int64_t y = pixel / s->out_width, x = pixel % s->out_width;
  for (int at = 0; at < pixels; y++, x = 0) {
    int64_t left = s->out_width - x;
    int length = left < pixels - at ? (int)left : pixels - at;
    int64_t in_y = y * s->stride_h + i * s->dilation_h - s->pad_top;
    int64_t in_x = x * s->stride_w + j * s->dilation_w - s->pad_left;
    /* Of the run's pixels, [begin, end) fall into the image. */
    int begin = 0, end = length;
    if (in_y < 0 || in_y >= s->height) {
      end = 0;
    } else {
      while (begin < end && in_x + begin * s->stride_w < 0) begin++;
      while (end > begin && in_x + (end - 1) * s->stride_w >= s->width) end--;
    }
    if (begin == end) begin = end = length;
    add_pieces(row, -1, 0, at, begin);
    add_pieces(row, in_y * s->width + in_x + begin * s->stride_w, s->stride_w, at + begin,
               end - begin);
    add_pieces(row, -1, 0, at + end, length - end);
    at += length;
  }
  add_pieces(row, -1, 0, pixels, width - pixels);
}

LEVEL_INLINE realv load_piece(storage stored, const void *x, int64_t source, int64_t stride,
                              int length) {
  if (stride == 1) return load_stored(stored, x, source, length);
  if (stride == 2) {
    /* The last element that is wanted is the last that is read. */
    int elements = 2 * length - 1, second = elements - REAL_LANES;
    realv low = load_stored(stored, x, source, second < 0 ? elements : REAL_LANES);
    realv high = second <= 0 ? (realv){0} : load_stored(stored, x, source + REAL_LANES, second);
    return even_real(low, high);
  }
  realv v = {0};
  for (int i = 0; i < length; i++) v[i] = load_element(stored, x, source + i * stride);
  return v;
}

#if REAL_PAIRS
static void fill(storage stored, int64_t stride, const void *x, int64_t offset,
                 int64_t channel_stride, const row_pieces *row, int width, int64_t channels,
                 real *destination) {
  for (int64_t c = 0; c < channels; c += 2, offset += 2 * channel_stride, destination += width)
    for (int i = 0; i < row->count; i++) {
      const piece *p = &row->pieces[i];
      realv first = {0}, second = {0};
      if (p->source >= 0) {
        first = load_piece(stored, x, offset + p->source, stride, p->length);
        if (c + 1 < channels)
          second = load_piece(stored, x, offset + channel_stride + p->source, stride, p->length);
      }
      store_real(destination + p->at, pair_bf16(first, second));
    }
}
#else
LEVEL_INLINE void fill_rows(storage stored, int64_t stride, const void *x, int64_t offset,
                            int64_t channel_stride, const row_pieces *row, int width,
                            int64_t channels, real *destination) {
  for (int64_t c = 0; c < channels; c++, offset += channel_stride, destination += width)
    for (int i = 0; i < row->count; i++) {
      const piece *p = &row->pieces[i];
      realv v = {0};
      if (p->source >= 0) v = load_piece(stored, x, offset + p->source, stride, p->length);
      store_real(destination + p->at, v);
    }
}

static void fill(storage stored, int64_t stride, const void *x, int64_t offset,
                 int64_t channel_stride, const row_pieces *row, int width, int64_t channels,
                 real *destination) {
  if (stride == 1)
    FOR_STORAGE(stored, fill_rows, 1, x, offset, channel_stride, row, width, channels, destination);
  else if (stride == 2)
    FOR_STORAGE(stored, fill_rows, 2, x, offset, channel_stride, row, width, channels, destination);
  else
    FOR_STORAGE(stored, fill_rows, stride, x, offset, channel_stride, row, width, channels,
                destination);
}
#endif

void REAL_NAME(pixels_pack)(const conv2d *s, storage stored, const void *x, int64_t offset,
                            int64_t pixel, int pixels, int width, int64_t p, int64_t count,
                            real *destination) {
  row_pieces row;
  int64_t group = REAL_PAIRS ? 2 : 1, per_tap = (s->group_channels + group - 1) / group;
  for (int64_t end = p + count; p < end;) {
    int64_t tap = p / per_tap, c = p % per_tap;
    int64_t rows = per_tap - c < end - p ? per_tap - c : end - p;
    int64_t left = s->group_channels - c * group;
    cut_row(s, tap / s->kernel_w, tap % s->kernel_w, pixel, pixels, width, &row);
    fill(stored, s->stride_w, x, offset + c * group * conv2d_in_size(s), conv2d_in_size(s), &row,
         width, left < rows * group ? left : rows * group, destination);
    destination += rows * width;
    p += rows;
  }
}
