/*
 * replay_run: runs a saved plan and prints what it costs.
 *
 *   replay_run FILE.safetensors [--plan NAME] [--pack PATH [--option NAME=VALUE]...]...
 *              [--input RAW]... [--output RAW]... [--runs N] [--steps]
 *
 * --pack     a kernel pack's library; without one all packs beside libreplay are opened
 * --option   for the --pack before it: library=PATH names the vendor's library
 * --input    one input's bytes, in the plan's order; without it the input is a fixed pattern
 * --output   where one output's bytes are written, in the plan's order
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "replay.h"

enum { MAX_FILES = 256 };

typedef struct pack_arguments {
  const char *path;
  size_t first_option, num_options;
} pack_arguments;

typedef struct arguments {
  const char *file, *plan;
  pack_arguments packs[MAX_FILES];
  replay_option options[MAX_FILES];
  const char *inputs[MAX_FILES], *outputs[MAX_FILES];
  size_t num_packs, num_options, num_inputs, num_outputs;
  long runs;
  int steps;
} arguments;

static const char usage[] =
    "usage: replay_run FILE.safetensors [--plan NAME] [--pack PATH [--option NAME=VALUE]...]...\n"
    "                  [--input RAW]... [--output RAW]... [--runs N] [--steps]\n";

static int add(const char **list, size_t *count, const char *value) {
  if (*count == MAX_FILES) return 0;
  list[(*count)++] = value;
  return 1;
}

static int add_pack(arguments *a, const char *path) {
  if (a->num_packs == MAX_FILES) return 0;
  a->packs[a->num_packs++] = (pack_arguments){path, a->num_options, 0};
  return 1;
}

/* Takes the text apart. */
static int add_option(arguments *a, char *text) {
  char *equals = strchr(text, '=');
  if (!a->num_packs || !equals || a->num_options == MAX_FILES) return 0;
  *equals = 0;
  a->options[a->num_options++] = (replay_option){text, equals + 1};
  a->packs[a->num_packs - 1].num_options++;
  return 1;
}

static int parse(int argc, char **argv, arguments *a) {
  a->runs = 10;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--steps")) {
      a->steps = 1;
      continue;
    }
    if (strncmp(argv[i], "--", 2)) {
      if (a->file) return 0;
      a->file = argv[i];
      continue;
    }
    const char *option = argv[i] + 2;
    char *value = ++i < argc ? argv[i] : NULL;
    if (!value) return 0;
    if (!strcmp(option, "plan")) {
      a->plan = value;
    } else if (!strcmp(option, "pack")) {
      if (!add_pack(a, value)) return 0;
    } else if (!strcmp(option, "option")) {
      if (!add_option(a, value)) return 0;
    } else if (!strcmp(option, "input")) {
      if (!add(a->inputs, &a->num_inputs, value)) return 0;
    } else if (!strcmp(option, "output")) {
      if (!add(a->outputs, &a->num_outputs, value)) return 0;
    } else if (!strcmp(option, "runs")) {
      a->runs = strtol(value, NULL, 10);
      if (a->runs < 1 || a->runs > 1000000) return 0;
    } else {
      return 0;
    }
  }
  return a->file != NULL;
}

static replay_status open_packs(const arguments *a, replay_packs **packs, replay_error *error) {
  if (!a->num_packs) return replay_packs_open_installed(packs, error);
  replay_status status = replay_packs_new(packs, error);
  for (size_t i = 0; !status && i < a->num_packs; i++) {
    const pack_arguments *pack = &a->packs[i];
    status = replay_packs_add(*packs, pack->path, &a->options[pack->first_option],
                              pack->num_options, error);
  }
  return status;
}

/* ---- Inputs and outputs ------------------------------------------------------ */

/* Small positive numbers of any float type; small integers of any integer type. */
static void fill_pattern(const replay_tensor *tensor, uint8_t *data) {
  int is_real = strstr(tensor->dtype, "float") != NULL;
  uint64_t size = (uint64_t)tensor->element_bytes;
  static const float reals[] = {0.0f, 0.25f, 0.5f, 1.0f};
  for (uint64_t i = 0; i < tensor->bytes / size; i++) {
    uint8_t *element = data + i * size;
    memset(element, 0, size);
    if (!is_real) {
      element[0] = i & 1;
    } else if (!strcmp(tensor->dtype, "float64")) {
      double value = (double)reals[i % 4];
      memcpy(element, &value, sizeof value);
    } else if (!strcmp(tensor->dtype, "float16")) {
      static const uint16_t halves[] = {0, 0x3400, 0x3800, 0x3C00};
      memcpy(element, &halves[i % 4], sizeof halves[0]);
    } else { /* bfloat16 is float32's upper half */
      memcpy(element, (const uint8_t *)&reals[i % 4] + sizeof(float) - size, size);
    }
  }
}

static int read_file(const char *path, void *data, uint64_t bytes) {
  FILE *file = fopen(path, "rb");
  char more;
  int right = file && fread(data, 1, bytes, file) == bytes && fread(&more, 1, 1, file) == 0;
  if (file) fclose(file);
  if (!right) fprintf(stderr, "%s doesn't hold exactly %" PRIu64 " bytes\n", path, bytes);
  return right;
}

static int write_file(const char *path, const void *data, uint64_t bytes) {
  FILE *file = fopen(path, "wb");
  int written = file && fwrite(data, 1, bytes, file) == bytes;
  if (file && fclose(file)) written = 0;
  if (!written) fprintf(stderr, "%s can't be written\n", path);
  return written;
}

static void print_tensor(const char *what, const replay_tensor *tensor) {
  printf("%s %s %s [", what, tensor->name, tensor->dtype);
  for (int32_t i = 0; i < tensor->num_dimensions; i++)
    printf("%s%" PRId64, i ? "," : "", tensor->shape[i]);
  printf("]\n");
}

static uint64_t checksum(const uint8_t *data, uint64_t bytes) {
  uint64_t hash = 14695981039346656037u;
  for (uint64_t i = 0; i < bytes; i++) hash = (hash ^ data[i]) * 1099511628211u;
  return hash;
}

static int make_inputs(const arguments *a, const replay *model, void **inputs) {
  for (size_t i = 0; i < replay_num_inputs(model); i++) {
    const replay_tensor *tensor = replay_input(model, i);
    print_tensor("input", tensor);
    inputs[i] = replay_memory_allocate(tensor->bytes);
    if (!inputs[i]) {
      fprintf(stderr, "memory ran out\n");
      return 0;
    }
    if (i >= a->num_inputs)
      fill_pattern(tensor, inputs[i]);
    else if (!read_file(a->inputs[i], inputs[i], tensor->bytes))
      return 0;
  }
  return 1;
}

static int print_outputs(const arguments *a, const replay *model, void *const *outputs) {
  for (size_t i = 0; i < replay_num_outputs(model); i++) {
    const replay_tensor *tensor = replay_output(model, i);
    print_tensor("output", tensor);
    printf("  checksum %016" PRIx64 "\n", checksum(outputs[i], tensor->bytes));
    if (i < a->num_outputs && !write_file(a->outputs[i], outputs[i], tensor->bytes)) return 0;
  }
  return 1;
}

/* ---- Timing ------------------------------------------------------------------ */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static replay_status print_steps(replay *model, const void *const *inputs, void **outputs,
                                 replay_error *error) {
  size_t count = replay_num_steps(model);
  double *seconds = calloc(count + 1, sizeof *seconds);
  replay_status status =
      seconds ? replay_run_timed(model, inputs, outputs, seconds, error) : REPLAY_OUT_OF_MEMORY;
  for (size_t i = 0; !status && i < count; i++) {
    const replay_step *step = replay_step_info(model, i);
    printf("%10.1f us  %-40s %s\n", seconds[i] * 1e6, step->kernel, step->node);
  }
  free(seconds);
  return status;
}

static replay_status time_runs(replay *model, long runs, const void *const *inputs, void **outputs,
                               replay_error *error) {
  double *seconds = calloc((size_t)runs, sizeof *seconds);
  replay_status status =
      seconds ? replay_run(model, inputs, outputs, error) : REPLAY_OUT_OF_MEMORY; /* and warms up */
  for (long i = 0; !status && i < runs; i++) {
    double start = now();
    status = replay_run(model, inputs, outputs, error);
    seconds[i] = now() - start;
  }
  if (!status) {
    qsort(seconds, (size_t)runs, sizeof *seconds, compare_doubles);
    printf("%ld runs: median %.3f ms, fastest %.3f ms\n", runs, seconds[runs / 2] * 1e3,
           seconds[0] * 1e3);
  }
  free(seconds);
  return status;
}

static int run(const arguments *a, replay *model, void **inputs, void **outputs,
               replay_error *error) {
  replay_sizes sizes = replay_memory(model);
  printf("%zu steps, arena %" PRIu64 " bytes, scratch %" PRIu64 ", packed constants %" PRIu64 "\n",
         replay_num_steps(model), sizes.arena_bytes, sizes.scratch_bytes, sizes.packed_bytes);
  if (!make_inputs(a, model, inputs)) return 1;
  replay_status status = time_runs(model, a->runs, (const void *const *)inputs, outputs, error);
  if (!status && a->steps) status = print_steps(model, (const void *const *)inputs, outputs, error);
  if (status) {
    fprintf(stderr, "%s\n", error->message);
    return 1;
  }
  return !print_outputs(a, model, outputs);
}

static int create_and_run(const arguments *a, replay_packs *packs, replay_file *file) {
  replay_error error = {"memory ran out"};
  replay *model;
  if (replay_create(file, a->plan, replay_packs_list(packs), replay_packs_count(packs), &model,
                    &error)) {
    fprintf(stderr, "%s\n", error.message);
    if (*replay_packs_left_out(packs))
      fprintf(stderr, "packs left out: %s\n", replay_packs_left_out(packs));
    return 1;
  }
  size_t num_inputs = replay_num_inputs(model), num_outputs = replay_num_outputs(model);
  void **buffers = calloc(num_inputs + num_outputs + 1, sizeof *buffers);
  int failed = buffers ? run(a, model, buffers, buffers + num_inputs, &error) : 1;
  for (size_t i = 0; buffers && i < num_inputs + num_outputs; i++) replay_memory_free(buffers[i]);
  free(buffers);
  replay_free(model);
  return failed;
}

/*
 * OpenMP reads when it is loaded how long a waiting thread stays awake; by default that is longer
 * than a time slice, and beside busy programs threads take each other's time. So the program
 * starts once more with a word on it, unless the environment has one.
 */
static void start_with_short_waits(char **argv) {
#if defined(__x86_64__)
  const char *const turns = "1000"; /* of a pause */
#else
  const char *const turns = "30000";
#endif
  if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
  if (setenv("GOMP_SPINCOUNT", turns, 0) == 0) execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
  start_with_short_waits(argv);
  static arguments a;
  replay_error error;
  replay_packs *packs = NULL;
  replay_file *file = NULL;
  if (!parse(argc, argv, &a)) {
    fputs(usage, stderr);
    return 2;
  }
  int failed = open_packs(&a, &packs, &error) || replay_file_open(a.file, &file, &error);
  if (failed)
    fprintf(stderr, "%s\n", error.message);
  else
    failed = create_and_run(&a, packs, file);
  replay_file_close(file);
  replay_packs_close(packs);
  return failed;
}
