#include "mapped.h"

#include "parallel.h"

typedef struct {
  const mapped_copy *copy;
  const char *x;
  char *y;
} mapped_job;

static void fill_units(const mapped_copy *c, char *y, int64_t bytes) {
  if (c->fill_size == 1) {
    memset(y, c->fill[0], (size_t)bytes);
    return;
  }
  for (int64_t i = 0; i < bytes; i += c->fill_size) memcpy(y + i, c->fill, (size_t)c->fill_size);
}

#define LINE(bits)                                                            \
  static void line_##bits(const mapped_copy *c, const void *from, void *to) { \
    const uint##bits##_t *restrict x = from;                                  \
    uint##bits##_t *restrict y = to, fill;                                    \
    const mapped_axis *axis = &c->axes[c->ndim - 1];                          \
    memcpy(&fill, c->fill, sizeof fill);                                      \
    for (int64_t i = 0; i < axis->out; i++) {                                 \
      const int64_t at = axis->map[i];                                        \
      y[i] = at < 0 ? fill : x[at];                                           \
    }                                                                         \
  }
LINE(8)
LINE(16)
LINE(32)
LINE(64)

/* Stretches that follow one another in the input, each at once. */
static void line_of_units(const mapped_copy *c, const char *x, char *y) {
  const mapped_axis *axis = &c->axes[c->ndim - 1];
  int64_t end;
  for (int64_t i = 0; i < axis->out; i = end) {
    const int64_t at = axis->map[i];
    for (end = i + 1; end < axis->out && axis->map[end] == (at < 0 ? at : at + end - i); end++) {
    }
    const int64_t bytes = (end - i) * c->unit;
    if (at < 0)
      fill_units(c, y + i * c->unit, bytes);
    else
      memcpy(y + i * c->unit, x + at * c->unit, (size_t)bytes);
  }
}

/* Is more than every second element followed by its neighbour? */
static int has_stretches(const mapped_axis *axis) {
  int64_t follows = 0;
  for (int64_t i = 1; i < axis->out; i++) follows += axis->map[i] == axis->map[i - 1] + 1;
  return 2 * follows >= axis->out;
}

/* The line of the input behind row `row` of the output's lines, or MAP_FILL. */
static int64_t source_line(const mapped_copy *c, int64_t row) {
  int64_t line = 0, step = 1;
  for (int i = c->ndim - 2; i >= 0; i--) {
    const mapped_axis *axis = &c->axes[i];
    const int64_t index = row % axis->out, at = axis->map ? axis->map[index] : index;
    if (at < 0) return MAP_FILL;
    line += at * step;
    step *= axis->in;
    row /= axis->out;
  }
  return line;
}

static void mapped_part(const void *context, int64_t begin, int64_t end, int part) {
  (void)part;
  const mapped_job *job = context;
  const mapped_copy *c = job->copy;
  const mapped_axis *axis = &c->axes[c->ndim - 1];
  const int64_t in_bytes = axis->in * c->unit, out_bytes = axis->out * c->unit;
  const int by_units =
      (c->unit != 1 && c->unit != 2 && c->unit != 4 && c->unit != 8) || has_stretches(axis);
  int64_t previous = MAP_FILL;
  for (int64_t row = begin; row < end; row++) {
    const int64_t line = source_line(c, row);
    char *y = job->y + row * out_bytes;
    const char *x = job->x + line * in_bytes;
    if (line < 0)
      fill_units(c, y, out_bytes);
    else if (line == previous)
      memcpy(y, y - out_bytes, (size_t)out_bytes);
    else if (by_units)
      line_of_units(c, x, y);
    else
      (c->unit == 1 ? line_8 : c->unit == 2 ? line_16 : c->unit == 4 ? line_32 : line_64)(c, x, y);
    previous = line;
  }
}

void mapped_run(const mapped_copy *c, const void *x, void *y, int threads) {
  int64_t rows = 1;
  for (int i = 0; i < c->ndim - 1; i++) rows *= c->axes[i].out;
  if (c->axes[c->ndim - 1].out == 0) return;
  const mapped_job job = {c, x, y};
  parallel_for(threads, rows, mapped_part, &job);
}
