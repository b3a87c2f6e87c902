/* Tensors one after another along an axis, and the other way round. */
#include "move.h"

/* The tensor's extents in memory as rows of lines: the axis and all within it is a line. */
static void rows_and_line(const kp_tensor *t, int64_t axis, int64_t *rows, int64_t *line) {
  static const int nhwc[] = {0, 2, 3, 1};
  const int64_t block = kp_block(t), *shape = t->dl.shape;
  const int is_nhwc = kp_is_layout(t, "nhwc");
  *rows = *line = 1;
  int inside = 0;
  for (int i = 0; i < t->dl.ndim; i++) {
    const int dimension = is_nhwc ? nhwc[i] : i;
    const int64_t extent =
        dimension == 1 && block > 1 ? (shape[1] + block - 1) / block : shape[dimension];
    if (dimension == axis) inside = 1;
    *(inside ? line : rows) *= extent;
  }
  *line *= block;
}

/* Parts along channels that lie in blocks must fill them, the last one apart. */
static int refuse_parts(const kp_problem *problem, kp_answer *answer, const kp_tensor *parts,
                        uint32_t count) {
  if (refuse_layouts(problem, answer, LAYOUT_ALL)) return 1;
  const char *layout = answer->layouts[0];
  const int64_t block = strcmp(layout, "nChw16c") == 0 ? 16 : strcmp(layout, "nChw8c") == 0 ? 8 : 1;
  if (block == 1 || kp_integer(problem, "axis", 0, 0) != 1) return 0;
  for (uint32_t i = 0; i + 1 < count; i++) {
    if (parts[i].dl.shape[1] % block == 0) continue;
    kp_refuse_number(answer, KP_NO_LAYOUT, "layout", "channels that fill their blocks",
                     parts[i].dl.shape[1]);
    return 1;
  }
  return 0;
}

static int refuse_concat(const kp_problem *problem, kp_answer *answer) {
  return refuse_parts(problem, answer, problem->inputs, problem->num_inputs);
}
static int refuse_split(const kp_problem *problem, kp_answer *answer) {
  return refuse_parts(problem, answer, problem->outputs, problem->num_outputs);
}

static uint32_t count_inputs(const kp_problem *problem) { return problem->num_inputs; }
static uint32_t count_outputs(const kp_problem *problem) { return problem->num_outputs; }

/* Moves each of `parts` to or from its place in `whole`. */
static void make_parts(const kp_problem *problem, const kp_tensor *parts, uint32_t count,
                       const kp_tensor *whole, int joins, move *moves) {
  const int64_t axis = kp_integer(problem, "axis", 0, 0);
  int64_t offset = 0, rows, line, whole_line;
  rows_and_line(whole, axis, &rows, &whole_line);
  for (uint32_t i = 0; i < count; i++) {
    move *m = &moves[i];
    rows_and_line(&parts[i], axis, &rows, &line);
    m->source = joins ? i : 0;
    m->destination = problem->num_inputs + (joins ? 0 : i);
    m->source_offset = joins ? 0 : offset;
    m->destination_offset = joins ? offset : 0;
    m->copy.ndim = 2;
    m->copy.extent[0] = rows;
    m->copy.extent[1] = line;
    m->copy.from[0] = joins ? line : whole_line;
    m->copy.to[0] = joins ? whole_line : line;
    m->copy.from[1] = m->copy.to[1] = 1;
    offset += line;
  }
}

static void make_concat(const kp_problem *problem, move *moves) {
  make_parts(problem, problem->inputs, problem->num_inputs, &problem->outputs[0], 1, moves);
}
static void make_split(const kp_problem *problem, move *moves) {
  make_parts(problem, problem->outputs, problem->num_outputs, &problem->inputs[0], 0, moves);
}

static const move_operator concat = {refuse_concat, count_inputs, make_concat, .in_place = 0};
static const move_operator split = {refuse_split, count_outputs, make_split, .in_place = 0};

#define KERNELS(name, type) MOVE_KERNEL("concat", concat, name), MOVE_KERNEL("split", split, name),
static const kp_kernel list[] = {FOR_EACH_MOVED(KERNELS)};
const kp_kernel_list concat_kernels = KERNEL_LIST(list);
