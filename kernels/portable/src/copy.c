#include "copy.h"

#include "parallel.h"

static void remove_dimension(strided_copy *c, int i) {
  c->ndim--;
  for (; i < c->ndim; i++) {
    c->extent[i] = c->extent[i + 1];
    c->from[i] = c->from[i + 1];
    c->to[i] = c->to[i + 1];
  }
}

static void swap_dimensions(strided_copy *c, int i, int j) {
  int64_t *rows[] = {c->extent, c->from, c->to};
  for (int k = 0; k < 3; k++) {
    int64_t kept = rows[k][i];
    rows[k][i] = rows[k][j];
    rows[k][j] = kept;
  }
}

/* A plane to transpose: the last dimension is dense in `to`, the one before it in `from`. */
static int is_transpose(const strided_copy *c) {
  const int last = c->ndim - 1;
  return last > 0 && c->to[last] == 1 && c->from[last] != 1 && c->from[last - 1] == 1;
}

void copy_simplify(strided_copy *c) {
  for (int i = c->ndim - 1; i >= 0; i--)
    if (c->extent[i] == 1) remove_dimension(c, i);
  /* Writing goes forward in memory: the largest stride of `to` is outermost. */
  for (int i = 1; i < c->ndim; i++)
    for (int j = i; j > 0 && c->to[j - 1] < c->to[j]; j--) swap_dimensions(c, j - 1, j);
  for (int i = c->ndim - 1; i > 0; i--) {
    if (c->from[i - 1] != c->from[i] * c->extent[i] || c->to[i - 1] != c->to[i] * c->extent[i])
      continue;
    c->extent[i - 1] *= c->extent[i];
    c->from[i - 1] = c->from[i];
    c->to[i - 1] = c->to[i];
    remove_dimension(c, i);
  }
  const int last = c->ndim - 1;
  if (last > 0 && c->to[last] == 1 && c->from[last] != 1)
    for (int i = 0; i < last - 1; i++)
      if (c->from[i] == 1) swap_dimensions(c, i, last - 1);
}

/* ---- Lines: the last dimension -------------------------------------------- */

#define LINE(bits)                                                                        \
  static void line_##bits(const void *from, int64_t from_step, void *to, int64_t to_step, \
                          int64_t count) {                                                \
    const uint##bits##_t *restrict x = from;                                              \
    uint##bits##_t *restrict y = to;                                                      \
    if (from_step == 0 && to_step == 1)                                                   \
      for (int64_t i = 0; i < count; i++) y[i] = *x;                                      \
    else if (to_step == 1)                                                                \
      for (int64_t i = 0; i < count; i++) y[i] = x[i * from_step];                        \
    else                                                                                  \
      for (int64_t i = 0; i < count; i++) y[i * to_step] = x[i * from_step];              \
  }
LINE(8)
LINE(16)
LINE(32)
LINE(64)

static void copy_line(const strided_copy *c, const char *from, char *to) {
  const int last = c->ndim - 1;
  const int64_t count = c->extent[last], x = c->from[last], y = c->to[last];
  if (x == 1 && y == 1)
    memcpy(to, from, (size_t)(count * c->size));
  else if (c->size == 1)
    line_8(from, x, to, y, count);
  else if (c->size == 2)
    line_16(from, x, to, y, count);
  else if (c->size == 4)
    line_32(from, x, to, y, count);
  else
    line_64(from, x, to, y, count);
}

/* ---- Short lines, dense on both sides: the last two dimensions -------------- */

enum { SHORTEST = 4, LONGEST = 64 }; /* bytes */

/* Each line by two moves of half to all of it, which overlap. */
#define ROWS(half)                                                                        \
  static void rows_##half(const char *from, int64_t from_step, char *to, int64_t to_step, \
                          int64_t rows, int64_t bytes) {                                  \
    for (int64_t i = 0; i < rows; i++, from += from_step, to += to_step) {                \
      char head[half], tail[half];                                                        \
      memcpy(head, from, half);                                                           \
      memcpy(tail, from + bytes - half, half);                                            \
      memcpy(to, head, half);                                                             \
      memcpy(to + bytes - half, tail, half);                                              \
    }                                                                                     \
  }
ROWS(4)
ROWS(8)
ROWS(16)
ROWS(32)

static int has_short_lines(const strided_copy *c) {
  const int last = c->ndim - 1;
  const int64_t bytes = c->extent[last] * c->size;
  return last > 0 && c->from[last] == 1 && c->to[last] == 1 && bytes >= SHORTEST &&
         bytes <= LONGEST;
}

double copy_piecemeal_seconds(const strided_copy *c) {
  const double elements = (double)extent_product(c->extent, 0, c->ndim);
  return is_transpose(c) || has_short_lines(c) ? 0.15e-9 * elements : 0;
}

static void copy_rows(const strided_copy *c, const char *from, char *to) {
  const int last = c->ndim - 1;
  const int64_t bytes = c->extent[last] * c->size;
  (bytes <= 8    ? rows_4
   : bytes <= 16 ? rows_8
   : bytes <= 32 ? rows_16
                 : rows_32)(from, c->from[last - 1] * c->size, to, c->to[last - 1] * c->size,
                            c->extent[last - 1], bytes);
}

/* ---- Planes to transpose: the last two dimensions -------------------------- */

enum { TILE = 16 };

/* y[i * y_step + j] = x[j * x_step + i] for i < rows and j < columns. */
#define TILE_LOOP(bits)                                                               \
  static void tile_##bits(const void *from, int64_t x_step, void *to, int64_t y_step, \
                          int64_t rows, int64_t columns) {                            \
    const uint##bits##_t *restrict x = from;                                          \
    uint##bits##_t *restrict y = to;                                                  \
    for (int64_t i = 0; i < rows; i++)                                                \
      for (int64_t j = 0; j < columns; j++) y[i * y_step + j] = x[j * x_step + i];    \
  }
TILE_LOOP(8)
TILE_LOOP(16)
TILE_LOOP(32)
TILE_LOOP(64)

typedef uint32_t quad __attribute__((vector_size(16)));
typedef uint32_t quad_unaligned __attribute__((vector_size(16), aligned(4), may_alias));

/* 4 by 4 elements of 32 bits. */
static inline void transpose_quads(const uint32_t *x, int64_t x_step, uint32_t *y, int64_t y_step) {
  const quad even = {0, 4, 1, 5}, odd = {2, 6, 3, 7}, low = {0, 1, 4, 5}, high = {2, 3, 6, 7};
  quad a = *(const quad_unaligned *)x, b = *(const quad_unaligned *)(x + x_step);
  quad c = *(const quad_unaligned *)(x + 2 * x_step), d = *(const quad_unaligned *)(x + 3 * x_step);
  quad ab_low = __builtin_shuffle(a, b, even), ab_high = __builtin_shuffle(a, b, odd);
  quad cd_low = __builtin_shuffle(c, d, even), cd_high = __builtin_shuffle(c, d, odd);
  *(quad_unaligned *)y = __builtin_shuffle(ab_low, cd_low, low);
  *(quad_unaligned *)(y + y_step) = __builtin_shuffle(ab_low, cd_low, high);
  *(quad_unaligned *)(y + 2 * y_step) = __builtin_shuffle(ab_high, cd_high, low);
  *(quad_unaligned *)(y + 3 * y_step) = __builtin_shuffle(ab_high, cd_high, high);
}

static void tile_quads(const void *from, int64_t x_step, void *to, int64_t y_step, int64_t rows,
                       int64_t columns) {
  const uint32_t *x = from;
  uint32_t *y = to;
  const int64_t whole_rows = rows & ~3, whole_columns = columns & ~3;
  for (int64_t j = 0; j < whole_columns; j += 4)
    for (int64_t i = 0; i < whole_rows; i += 4)
      transpose_quads(x + j * x_step + i, x_step, y + i * y_step + j, y_step);
  if (whole_rows < rows)
    tile_32(x + whole_rows, x_step, y + whole_rows * y_step, y_step, rows - whole_rows,
            whole_columns);
  if (whole_columns < columns)
    tile_32(x + whole_columns * x_step, x_step, y + whole_columns, y_step, rows,
            columns - whole_columns);
}

typedef uint8_t bytes __attribute__((vector_size(TILE)));
typedef uint8_t bytes_unaligned __attribute__((vector_size(TILE), aligned(1), may_alias));

/* A whole tile. Four times each row is interleaved with the one half the tile below it. */
static void tile_of_bytes(const uint8_t *x, int64_t x_step, uint8_t *y, int64_t y_step) {
  const bytes low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  const bytes high = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  bytes rows[TILE];
  for (int i = 0; i < TILE; i++) rows[i] = *(const bytes_unaligned *)(x + i * x_step);
#pragma GCC unroll 4
  for (int step = 0; step < 4; step++) {
    bytes next[TILE];
#pragma GCC unroll 8
    for (int i = 0; i < TILE / 2; i++) {
      next[2 * i] = __builtin_shuffle(rows[i], rows[i + TILE / 2], low);
      next[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + TILE / 2], high);
    }
    memcpy(rows, next, sizeof rows);
  }
  for (int i = 0; i < TILE; i++) *(bytes_unaligned *)(y + i * y_step) = rows[i];
}

static void tile_bytes(const void *from, int64_t x_step, void *to, int64_t y_step, int64_t rows,
                       int64_t columns) {
  if (rows == TILE && columns == TILE)
    tile_of_bytes(from, x_step, to, y_step);
  else
    tile_8(from, x_step, to, y_step, rows, columns);
}

/* Pictures, channels first to last: y[3 * i + j] = x[j * x_step + i] for i < count and j < 3. */
static void interleave_three(const uint8_t *x, int64_t x_step, uint8_t *y, int64_t count) {
  typedef uint64_t words __attribute__((vector_size(TILE)));
  const bytes low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  const bytes high = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const bytes pairs_low = {0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23};
  const bytes pairs_high = {8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31};
  const uint64_t first = 0xffffff, second = 0xffffff000000;
  const int little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  int64_t i = 0;
  /* Six of eight bytes that are written count; there is a pixel more for the others to be of. */
  for (; little_endian && i + TILE < count; i += TILE, y += 3 * TILE) {
    bytes channels[3];
    for (int j = 0; j < 3; j++) channels[j] = *(const bytes_unaligned *)(x + j * x_step + i);
    const bytes two[] = {__builtin_shuffle(channels[0], channels[1], low),
                         __builtin_shuffle(channels[0], channels[1], high)};
    const bytes third[] = {__builtin_shuffle(channels[2], (bytes){0}, low),
                           __builtin_shuffle(channels[2], (bytes){0}, high)};
    for (int half = 0; half < 4; half++) {
      const words pixels = (words)__builtin_shuffle(two[half / 2], third[half / 2],
                                                    half % 2 ? pairs_high : pairs_low);
      const words dense = (pixels & first) | (pixels >> 8 & second);
      memcpy(y + 12 * half, &dense, 8);
      memcpy(y + 12 * half + 6, (const char *)&dense + 8, 8);
    }
  }
  for (; i < count; i++, y += 3)
    for (int j = 0; j < 3; j++) y[j] = x[j * x_step + i];
}

static void copy_plane(const strided_copy *c, const char *from, char *to) {
  const int last = c->ndim - 1;
  const int64_t rows = c->extent[last - 1], columns = c->extent[last];
  const int64_t x_step = c->from[last], y_step = c->to[last - 1];
  if (c->size == 1 && columns == 3 && y_step == 3) {
    interleave_three((const uint8_t *)from, x_step, (uint8_t *)to, rows);
    return;
  }
  for (int64_t i = 0; i < rows; i += TILE)
    for (int64_t j = 0; j < columns; j += TILE) {
      const int64_t height = rows - i < TILE ? rows - i : TILE;
      const int64_t width = columns - j < TILE ? columns - j : TILE;
      const char *x = from + (j * x_step + i) * c->size;
      char *y = to + (i * y_step + j) * c->size;
      (c->size == 1   ? tile_bytes
       : c->size == 2 ? tile_16
       : c->size == 4 ? tile_quads
                      : tile_64)(x, x_step, y, y_step, height, width);
    }
}

/* ---- The whole box --------------------------------------------------------- */

static void copy_box(const strided_copy *c, const char *from, char *to) {
  const int transposes = is_transpose(c), by_rows = has_short_lines(c);
  const int outer = c->ndim - 1 - (transposes || by_rows);
  int64_t index[MAX_RANK];
  for (int i = 0; i < outer; i++) index[i] = 0;
  for (;;) {
    if (transposes)
      copy_plane(c, from, to);
    else if (by_rows)
      copy_rows(c, from, to);
    else
      copy_line(c, from, to);
    int i = outer - 1;
    for (; i >= 0; i--) {
      from += c->from[i] * c->size;
      to += c->to[i] * c->size;
      if (++index[i] < c->extent[i]) break;
      from -= c->from[i] * c->extent[i] * c->size;
      to -= c->to[i] * c->extent[i] * c->size;
      index[i] = 0;
    }
    if (i < 0) return;
  }
}

typedef struct {
  const strided_copy *copy;
  int split; /* the dimension that threads share */
  const char *from;
  char *to;
} copy_job;

static void copy_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const copy_job *job = context;
  strided_copy c = *job->copy;
  c.extent[job->split] = end - begin;
  copy_box(&c, job->from + begin * c.from[job->split] * c.size,
           job->to + begin * c.to[job->split] * c.size);
}

void copy_run(const strided_copy *c, const void *from, void *to, int threads) {
  if (c->ndim == 0) {
    memcpy(to, from, (size_t)c->size);
    return;
  }
  int widest = 0;
  for (int i = 0; i < c->ndim; i++) {
    if (c->extent[i] == 0) return;
    if (c->extent[i] > c->extent[widest]) widest = i;
  }
  if (threads == 1) {
    copy_box(c, from, to);
    return;
  }
  copy_job job = {c, c->extent[0] >= threads ? 0 : widest, from, to};
  parallel_for(threads, c->extent[job.split], copy_part, &job);
}
