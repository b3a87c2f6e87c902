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

/* `count` units, each from where the map says. */
#define LINE(bits)                                                                 \
  static void line_##bits(const mapped_copy *c, const int64_t *map, int64_t count, \
                          const void *from, void *to) {                            \
    const uint##bits##_t *restrict x = from;                                       \
    uint##bits##_t *restrict y = to, fill;                                         \
    memcpy(&fill, c->fill, sizeof fill);                                           \
    for (int64_t i = 0; i < count; i++) y[i] = map[i] < 0 ? fill : x[map[i]];      \
  }
LINE(8)
LINE(16)
LINE(32)
LINE(64)

static int is_word(const mapped_copy *c) {
  return c->unit == 1 || c->unit == 2 || c->unit == 4 || c->unit == 8;
}

static void line_of_words(const mapped_copy *c, const int64_t *map, int64_t count, const char *x,
                          char *y) {
  (c->unit == 1   ? line_8
   : c->unit == 2 ? line_16
   : c->unit == 4 ? line_32
                  : line_64)(c, map, count, x, y);
}

/* The end of what begins at `i` and follows one another in the input. */
static int64_t stretch_end(const mapped_axis *axis, int64_t i) {
  const int64_t at = axis->map[i];
  int64_t end = i + 1;
  while (end < axis->out && axis->map[end] == (at < 0 ? at : at + end - i)) end++;
  return end;
}

enum { SHORT = 8 }; /* units that are moved one by one faster than at once */

/* Units `begin` to `end` of a line, moved in one way. */
typedef struct {
  int64_t begin, end, at; /* at: where they come from, or MAP_FILL */
  int one_by_one;
} stretch;

static stretch stretch_from(const mapped_copy *c, int64_t begin) {
  const mapped_axis *axis = &c->axes[c->ndim - 1];
  stretch s = {begin, stretch_end(axis, begin), axis->map[begin], 0};
  if (!is_word(c) || s.end - begin >= SHORT) return s;
  s.one_by_one = 1;
  while (s.end < axis->out) {
    const int64_t next = stretch_end(axis, s.end);
    if (next - s.end >= SHORT) break;
    s.end = next;
  }
  return s;
}

static void move_stretch(const mapped_copy *c, const stretch *s, const char *x, char *y) {
  const int64_t count = s->end - s->begin;
  y += s->begin * c->unit;
  if (s->one_by_one)
    line_of_words(c, c->axes[c->ndim - 1].map + s->begin, count, x, y);
  else if (s->at < 0)
    fill_units(c, y, count * c->unit);
  else
    memcpy(y, x + s->at * c->unit, (size_t)(count * c->unit));
}

enum { STRETCHES = 8 };

/* The first stretches of a line, which all lines have alike; returns how many. */
static int find_stretches(const mapped_copy *c, stretch found[STRETCHES]) {
  int count = 0;
  for (int64_t i = 0; i < c->axes[c->ndim - 1].out && count < STRETCHES; i = found[count++].end)
    found[count] = stretch_from(c, i);
  return count;
}

static void line_of_stretches(const mapped_copy *c, const stretch *known, int count, const char *x,
                              char *y) {
  for (int k = 0; k < count; k++) move_stretch(c, &known[k], x, y);
  for (int64_t i = count ? known[count - 1].end : 0; i < c->axes[c->ndim - 1].out;) {
    const stretch s = stretch_from(c, i);
    move_stretch(c, &s, x, y);
    i = s.end;
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

static void mapped_part(const void *context, int64_t begin, int64_t end, int thread) {
  (void)thread;
  const mapped_job *job = context;
  const mapped_copy *c = job->copy;
  const mapped_axis *axis = &c->axes[c->ndim - 1];
  const int64_t in_bytes = axis->in * c->unit, out_bytes = axis->out * c->unit;
  const int by_stretches = !is_word(c) || has_stretches(axis);
  stretch known[STRETCHES];
  const int count = by_stretches ? find_stretches(c, known) : 0;
  int64_t previous = MAP_FILL;
  for (int64_t row = begin; row < end; row++) {
    const int64_t line = source_line(c, row);
    char *y = job->y + row * out_bytes;
    const char *x = job->x + line * in_bytes;
    if (line < 0)
      fill_units(c, y, out_bytes);
    else if (line == previous)
      memcpy(y, y - out_bytes, (size_t)out_bytes);
    else if (by_stretches)
      line_of_stretches(c, known, count, x, y);
    else
      line_of_words(c, axis->map, axis->out, x, y);
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
