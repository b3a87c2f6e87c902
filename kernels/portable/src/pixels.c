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

/* Elements of x that may be read: what a run of vectors loads beyond its last is dropped. */
typedef struct {
  const void *base;
  int64_t channel_stride, end;
} source;

LEVEL_INLINE realv load_whole(storage stored, int64_t stride, const source *x, int64_t at) {
  realv low = load_stored(stored, x->base, at, REAL_LANES);
  return stride == 1 ? low
                     : even_real(low, load_stored(stored, x->base, at + REAL_LANES, REAL_LANES));
}

LEVEL_INLINE realv load_piece(storage stored, int64_t stride, const source *x, int64_t at,
                              int length) {
  if (stride <= 2 && at + stride * REAL_LANES <= x->end) return load_whole(stored, stride, x, at);
  if (stride == 1) return load_stored(stored, x->base, at, length);
  realv v = {0};
  for (int i = 0; i < length; i++) v[i] = load_element(stored, x->base, at + i * stride);
  return v;
}

/* The first element of a tile of whole vectors whose pixels lie in one row of the output and see
 * the image at tap (i, j); negative where there is none. */
static int64_t whole_run(const conv2d *s, int64_t i, int64_t j, int64_t pixel) {
  int64_t y = pixel / s->out_width, x = pixel % s->out_width;
  int64_t in_y = y * s->stride_h + i * s->dilation_h - s->pad_top;
  int64_t in_x = x * s->stride_w + j * s->dilation_w - s->pad_left;
  if (x + NR > s->out_width || in_y < 0 || in_y >= s->height || in_x < 0 ||
      in_x + (NR - 1) * s->stride_w >= s->width)
    return -1;
  return in_y * s->width + in_x;
}

/* `at` is the first channel's first element. */
#if REAL_PAIRS
LEVEL_INLINE void fill_run(storage stored, int64_t stride, const source *x, int64_t at,
                           int64_t channels, real *destination) {
  for (int64_t c = 0; c < channels; c += 2, at += 2 * x->channel_stride)
    for (int i = 0; i < NR; i += REAL_LANES, destination += REAL_LANES) {
      realv first = load_whole(stored, stride, x, at + i * stride), second = {0};
      if (c + 1 < channels)
        second = load_whole(stored, stride, x, at + x->channel_stride + i * stride);
      store_real(destination, pair_bf16(first, second));
    }
}

LEVEL_INLINE void fill_rows(storage stored, int64_t stride, const source *x, int64_t at,
                            const row_pieces *row, int width, int64_t channels, real *destination) {
  for (int64_t c = 0; c < channels; c += 2, at += 2 * x->channel_stride, destination += width)
    for (int i = 0; i < row->count; i++) {
      const piece *p = &row->pieces[i];
      realv first = {0}, second = {0};
      if (p->source >= 0) {
        first = load_piece(stored, stride, x, at + p->source, p->length);
        if (c + 1 < channels)
          second = load_piece(stored, stride, x, at + x->channel_stride + p->source, p->length);
      }
      store_real(destination + p->at, pair_bf16(first, second));
    }
}
#else
LEVEL_INLINE void fill_run(storage stored, int64_t stride, const source *x, int64_t at,
                           int64_t channels, real *destination) {
  for (int64_t c = 0; c < channels; c++, at += x->channel_stride, destination += NR)
    for (int i = 0; i < NR; i += REAL_LANES)
      store_real(destination + i, load_whole(stored, stride, x, at + i * stride));
}

LEVEL_INLINE void fill_rows(storage stored, int64_t stride, const source *x, int64_t at,
                            const row_pieces *row, int width, int64_t channels, real *destination) {
  for (int64_t c = 0; c < channels; c++, at += x->channel_stride, destination += width)
    for (int i = 0; i < row->count; i++) {
      const piece *p = &row->pieces[i];
      realv v = {0};
      if (p->source >= 0) v = load_piece(stored, stride, x, at + p->source, p->length);
      store_real(destination + p->at, v);
    }
}
#endif

/* `run`: what whole_run gave, or negative for the pieces of `row`. */
LEVEL_INLINE void fill(storage stored, int64_t stride, const source *x, int64_t at, int64_t run,
                       const row_pieces *row, int width, int64_t channels, real *destination) {
  if (run >= 0 && stride <= 2)
    fill_run(stored, stride, x, at + run, channels, destination);
  else
    fill_rows(stored, stride, x, at, row, width, channels, destination);
}

void REAL_NAME(pixels_pack)(const conv2d *s, storage stored, const void *x, int64_t offset,
                            int64_t pixel, int pixels, int width, int64_t p, int64_t count,
                            real *destination) {
  const int64_t size = conv2d_in_size(s), stride = s->stride_w;
  const source from = {x, size, offset + s->group_channels * size};
  int64_t group = REAL_PAIRS ? 2 : 1, per_tap = (s->group_channels + group - 1) / group;
  for (int64_t end = p + count; p < end;) {
    int64_t tap = p / per_tap, i = tap / s->kernel_w, j = tap % s->kernel_w;
    int64_t c = p % per_tap, rows = per_tap - c < end - p ? per_tap - c : end - p;
    int64_t left = s->group_channels - c * group, at = offset + c * group * size;
    int64_t channels = left < rows * group ? left : rows * group;
    int64_t run = pixels == NR && width == NR && stride <= 2 ? whole_run(s, i, j, pixel) : -1;
    /* The last channel's vectors stay in the image too. */
    if (at + (channels - 1) * size + run + NR * stride > from.end) run = -1;
    row_pieces row;
    if (run < 0) cut_row(s, i, j, pixel, pixels, width, &row);
    if (stride == 1)
      FOR_STORAGE(stored, fill, 1, &from, at, run, &row, width, channels, destination);
    else if (stride == 2)
      FOR_STORAGE(stored, fill, 2, &from, at, run, &row, width, channels, destination);
    else
      FOR_STORAGE(stored, fill, stride, &from, at, run, &row, width, channels, destination);
    destination += rows * width;
    p += rows;
  }
}
