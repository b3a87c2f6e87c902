/*
 * run_problem.c: asks a pack's kernels for one problem, or runs one of them between markers.
 *
 *   run_problem --problem JSON PACK --kernels
 *   run_problem --problem JSON PACK --kernel NAME [--input RAW]... [--output RAW]... [--runs N]
 *
 * PACK       --pack LIBRARY [--option NAME=VALUE]..., or --naive: plain loops
 * --problem  a file with the line that dispatch.Problem.to_json writes; "-": standard input
 * --kernels  prints a line of JSON for the pack, then one for each kernel of the operator: what it
 *            answers
 * --kernel   prepares it, packs the constants, runs it once to warm up, and N times (1) with a
 *            marker before and after each; every layout must be one that it takes
 * --input    an input's bytes in its layout, in the problem's order; "-": an absent one
 * --output   where an output's bytes are written
 *
 * The markers are hints that aarch64 CPUs take for NOPs; count_instructions.c counts between them.
 * Exits with 1 on a failure, 2 on wrong arguments, 3 where the pack can't be used here.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "naive.h"
#include "scratch.h"

enum { FAILED = 1, WRONG_ARGUMENTS = 2, UNAVAILABLE = 3 };
enum { MAX_OPTIONS = 16, MAX_FILES = 1024, MAX_RUNS = 1000000, LARGEST_PROBLEM = 1 << 24 };

#if defined(__aarch64__)
#define START_MARKER() __asm__ volatile("hint #0x60" ::: "memory")
#define STOP_MARKER() __asm__ volatile("hint #0x61" ::: "memory")
#else
#define START_MARKER() __asm__ volatile("" ::: "memory")
#define STOP_MARKER() __asm__ volatile("" ::: "memory")
#endif

static const char usage[] =
    "usage: run_problem --problem JSON (--pack LIBRARY [--option NAME=VALUE]... | --naive)\n"
    "                   (--kernels | --kernel NAME [--input RAW]... [--output RAW]... [--runs "
    "N])\n";

/* ---- Arguments ------------------------------------------------------------------------ */

typedef struct arguments {
  const char *problem, *pack, *kernel;
  int naive, kernels;
  kp_option options[MAX_OPTIONS];
  const char *inputs[MAX_FILES], *outputs[MAX_FILES];
  size_t num_options, num_inputs, num_outputs;
  long runs;
} arguments;

static int complain(const char *format, const char *text) {
  fputs("run_problem: ", stderr);
  fprintf(stderr, format, text);
  fputc('\n', stderr);
  return 0;
}

static int add_option(arguments *a, char *text) {
  char *equals = strchr(text, '=');
  if (!equals || equals == text) return complain("--option must be NAME=VALUE, got \"%s\"", text);
  if (a->num_options == MAX_OPTIONS) return complain("too many %s", "--option");
  *equals = 0;
  a->options[a->num_options++] = (kp_option){text, equals + 1};
  return 1;
}

static int add_file(const char **list, size_t *count, const char *name, const char *value) {
  if (*count == MAX_FILES) return complain("too many %s", name);
  list[(*count)++] = value;
  return 1;
}

static int read_runs(arguments *a, const char *text) {
  char *end;
  errno = 0;
  a->runs = strtol(text, &end, 10);
  if (!errno && end != text && !*end && a->runs >= 1 && a->runs <= MAX_RUNS) return 1;
  return complain("--runs must be a number from 1 to 1000000, got \"%s\"", text);
}

static int set_once(const char **place, const char *name, const char *value) {
  if (*place) return complain("%s is given twice", name);
  *place = value;
  return 1;
}

static int take(arguments *a, const char *name, char *value) {
  if (!strcmp(name, "--problem")) return set_once(&a->problem, name, value);
  if (!strcmp(name, "--pack")) return set_once(&a->pack, name, value);
  if (!strcmp(name, "--kernel")) return set_once(&a->kernel, name, value);
  if (!strcmp(name, "--option")) return add_option(a, value);
  if (!strcmp(name, "--input")) return add_file(a->inputs, &a->num_inputs, name, value);
  if (!strcmp(name, "--output")) return add_file(a->outputs, &a->num_outputs, name, value);
  if (!strcmp(name, "--runs")) return read_runs(a, value);
  return complain("unknown argument \"%s\"", name);
}

static int parse(int argc, char **argv, arguments *a) {
  a->runs = 1;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--kernels")) {
      a->kernels = 1;
    } else if (!strcmp(argv[i], "--naive")) {
      a->naive = 1;
    } else if (i + 1 == argc) {
      return complain("\"%s\" is unknown or lacks its value", argv[i]);
    } else {
      if (!take(a, argv[i], argv[i + 1])) return 0;
      i++;
    }
  }
  if (!a->problem) return complain("%s is missing", "--problem");
  if (!a->pack == !a->naive) return complain("one of --pack and --naive is needed%s", "");
  if (!a->kernel == !a->kernels) return complain("one of --kernels and --kernel is needed%s", "");
  if (a->naive && a->num_options) return complain("--naive takes no %s", "--option");
  if (a->kernels && (a->num_inputs || a->num_outputs))
    return complain("--kernels takes neither --input nor --output%s", "");
  return 1;
}

/* ---- Files ---------------------------------------------------------------------------- */

static char *read_text(const char *path, size_t *length) {
  FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
  char *text = malloc(LARGEST_PROBLEM + 1);
  *length = file && text ? fread(text, 1, LARGEST_PROBLEM + 1, file) : 0;
  int right = file && text && !ferror(file) && *length <= LARGEST_PROBLEM;
  if (!right)
    fprintf(stderr, "%s: %s\n", path,
            *length > LARGEST_PROBLEM ? "more than 16 MiB" : "can't be read");
  if (file && file != stdin) fclose(file);
  if (right) return text;
  free(text);
  return NULL;
}

static int read_bytes(const char *path, void *data, uint64_t bytes) {
  FILE *file = fopen(path, "rb");
  char more;
  int right = file && fread(data, 1, bytes, file) == bytes && fread(&more, 1, 1, file) == 0;
  if (file) fclose(file);
  if (!right) fprintf(stderr, "%s doesn't hold exactly %" PRIu64 " bytes\n", path, bytes);
  return right;
}

static int write_bytes(const char *path, const void *data, uint64_t bytes) {
  FILE *file = fopen(path, "wb");
  int written = file && fwrite(data, 1, bytes, file) == bytes;
  if (file && fclose(file)) written = 0;
  if (!written) fprintf(stderr, "%s can't be written\n", path);
  return written;
}

/* ---- Asking --------------------------------------------------------------------------- */

static void print_string(const char *text) {
  putchar('"');
  for (; text && *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 0x20)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void print_member(const char *name, const char *text) {
  printf(",\"%s\":", name);
  print_string(text);
}

static void print_yes(const core_answer *asked) {
  const kp_answer *answer = &asked->answer;
  /* A cost that isn't a number would be no JSON; such a kernel comes last. */
  printf(",\"cost\":%.17g,\"layouts\":[", isfinite(answer->cost) ? answer->cost : 1e300);
  for (uint32_t i = 0; i < asked->num_inputs + asked->num_outputs; i++) {
    if (i) putchar(',');
    print_string(answer->layouts[i]);
  }
  putchar(']');
}

static void print_no(const core_pack *pack, const kp_kernel *kernel, const core_problem *problem,
                     const kp_answer *answer) {
  char reason[512];
  print_member("subject", answer->subject);
  print_member("limit", answer->limit);
  if (answer->has_got) printf(",\"got\":\"%" PRId64 "\"", answer->got);
  core_reason(pack, kernel, problem, reason, sizeof reason);
  if (*reason) print_member("reason", reason);
}

static int is_of(const kp_kernel *kernel, const char *operator_name) {
  const char *name = strchr(kernel->name, '.') + 1; /* the grammar has been checked */
  size_t length = strlen(operator_name);
  return !strncmp(name, operator_name, length) && name[length] == '.';
}

static int print_kernels(const core_pack *pack, const core_problem *problem) {
  printf("{\"pack\":");
  print_string(core_pack_name(pack));
  print_member("version", core_pack_version(pack));
  print_member("library", core_pack_library_version(pack));
  puts("}");
  for (size_t i = 0; i < core_pack_num_kernels(pack); i++) {
    const kp_kernel *kernel = core_pack_kernel(pack, i);
    if (!is_of(kernel, core_problem_get(problem)->operator_name)) continue;
    core_answer *asked = core_query(pack, kernel, problem);
    if (!asked) return complain("memory ran out%s", "");
    printf("{\"kernel\":");
    print_string(kernel->name);
    printf(",\"code\":%d", (int)asked->answer.code);
    if (asked->answer.code == KP_YES)
      print_yes(asked);
    else
      print_no(pack, kernel, problem, &asked->answer);
    puts("}");
    core_answer_free(asked);
  }
  return 1;
}

/* ---- Running -------------------------------------------------------------------------- */

/* Inputs as they are, then inputs as the kernel gets them, then outputs. */
typedef struct tensors {
  uint32_t num_inputs, num_outputs;
  void **given, **buffers;
} tensors;

static void free_tensors(tensors *t) {
  for (uint32_t i = 0; t->given && i < t->num_inputs; i++) {
    if (t->buffers && t->buffers[i] != t->given[i]) free(t->buffers[i]);
    free(t->given[i]);
  }
  for (uint32_t i = 0; t->buffers && i < t->num_outputs; i++) free(t->buffers[t->num_inputs + i]);
  free(t->given);
  free(t->buffers);
}

static void *allocate(uint64_t bytes) {
  void *data = core_aligned_alloc(bytes);
  if (!data) fprintf(stderr, "no memory for a tensor of %" PRIu64 " bytes\n", bytes);
  return data;
}

static int is_absent_file(const char *path) { return !strcmp(path, "-"); }

static int read_inputs(const arguments *a, const kp_problem *problem, tensors *t) {
  for (uint32_t i = 0; i < problem->num_inputs; i++) {
    const kp_tensor *tensor = &problem->inputs[i];
    if (kp_is_absent(tensor) != is_absent_file(a->inputs[i])) {
      fprintf(stderr, "input %u is %s in the problem, got --input %s\n", i,
              kp_is_absent(tensor) ? "absent" : "present", a->inputs[i]);
      return 0;
    }
    if (kp_is_absent(tensor)) continue;
    uint64_t bytes = (uint64_t)kp_bytes(tensor);
    t->given[i] = allocate(bytes);
    if (!t->given[i] || !read_bytes(a->inputs[i], t->given[i], bytes)) return 0;
  }
  return 1;
}

static int allocate_outputs(const kp_problem *problem, tensors *t) {
  for (uint32_t i = 0; i < problem->num_outputs; i++) {
    t->buffers[t->num_inputs + i] = allocate((uint64_t)kp_bytes(&problem->outputs[i]));
    if (!t->buffers[t->num_inputs + i]) return 0;
  }
  return 1;
}

/* So that what a run doesn't write shows: a NaN of every floating dtype. */
static void poison_outputs(const kp_problem *problem, tensors *t) {
  for (uint32_t i = 0; i < problem->num_outputs; i++)
    memset(t->buffers[t->num_inputs + i], 0xFF, (size_t)kp_bytes(&problem->outputs[i]));
}

static int pack_constants(const core_call *call, tensors *t, kp_error *error) {
  for (uint32_t i = 0; i < t->num_inputs; i++) {
    uint64_t bytes = core_call_packed_bytes(call, i);
    t->buffers[i] = t->given[i];
    if (!bytes) continue;
    void *packed = allocate(bytes);
    if (!packed) return complain("%s", "memory ran out");
    t->buffers[i] = packed;
    if (core_call_pack(call, i, t->given[i], packed, error)) return complain("%s", error->message);
  }
  return 1;
}

static int run_between_markers(const core_call *call, const kp_problem *problem, tensors *t,
                               long runs) {
  poison_outputs(problem, t);
  kp_status status = core_call_run(call, t->buffers, NULL); /* warms up */
  poison_outputs(problem, t);
  for (long i = 0; !status && i < runs; i++) {
    START_MARKER();
    status = core_call_run(call, t->buffers, NULL);
    STOP_MARKER();
  }
  if (status) fprintf(stderr, "the kernel reported status %d\n", (int)status);
  return !status;
}

static int write_outputs(const arguments *a, const kp_problem *problem, const tensors *t) {
  for (uint32_t i = 0; i < problem->num_outputs; i++)
    if (!write_bytes(a->outputs[i], t->buffers[t->num_inputs + i],
                     (uint64_t)kp_bytes(&problem->outputs[i])))
      return 0;
  return 1;
}

static int run_prepared(const arguments *a, const kp_problem *problem, const core_call *call,
                        tensors *t) {
  kp_error error = {""};
  return pack_constants(call, t, &error) && allocate_outputs(problem, t) &&
         run_between_markers(call, problem, t, a->runs) && write_outputs(a, problem, t);
}

static int prepare_and_run(const arguments *a, const core_pack *pack, const kp_kernel *kernel,
                           const core_problem *problem, tensors *t) {
  const kp_problem *p = core_problem_get(problem);
  core_call *call;
  kp_error error = {""};
  if (!read_inputs(a, p, t)) return 0;
  if (core_call_prepare(pack, kernel, problem, (const void *const *)t->given, &call, &error))
    return complain("%s", error.message);
  int right = run_prepared(a, p, call, t);
  core_call_release(call);
  return right;
}

static int run_kernel(const arguments *a, const core_pack *pack, const core_problem *problem) {
  const kp_problem *p = core_problem_get(problem);
  const kp_kernel *kernel = core_pack_find(pack, a->kernel);
  if (!kernel) {
    fprintf(stderr, "pack \"%s\" has no kernel \"%s\"\n", core_pack_name(pack), a->kernel);
    return 0;
  }
  if (a->num_inputs != p->num_inputs || a->num_outputs != p->num_outputs) {
    fprintf(stderr, "the problem has %u inputs and %u outputs, got %zu --input and %zu --output\n",
            p->num_inputs, p->num_outputs, a->num_inputs, a->num_outputs);
    return 0;
  }
  tensors t = {p->num_inputs, p->num_outputs, NULL, NULL};
  t.given = calloc((size_t)p->num_inputs + 1, sizeof *t.given);
  t.buffers = calloc((size_t)p->num_inputs + p->num_outputs + 1, sizeof *t.buffers);
  int right = t.given && t.buffers ? prepare_and_run(a, pack, kernel, problem, &t)
                                   : complain("%s", "memory ran out");
  free_tensors(&t);
  return right;
}

/* ---- The program ---------------------------------------------------------------------- */

static int with_problem(const arguments *a, const core_problem *problem) {
  core_pack *pack;
  kp_error error = {""};
  kp_status status = a->naive ? core_pack_open_table(naive_pack_table(), NULL, 0, &pack, &error)
                              : core_pack_open(a->pack, a->options, a->num_options, &pack, &error);
  if (status) {
    complain("%s", error.message);
    return status == KP_UNAVAILABLE || status == KP_WRONG_VERSION ? UNAVAILABLE : FAILED;
  }
  int right = a->kernels ? print_kernels(pack, problem) : run_kernel(a, pack, problem);
  core_pack_close(pack);
  return right && !fflush(stdout) ? 0 : FAILED;
}

int main(int argc, char **argv) {
  static arguments a;
  if (!parse(argc, argv, &a)) {
    fputs(usage, stderr);
    return WRONG_ARGUMENTS;
  }
  size_t length;
  char *text = read_text(a.problem, &length);
  if (!text) return FAILED;
  core_problem *problem;
  kp_error error = {""};
  int status = FAILED;
  if (core_problem_parse(text, length, &problem, &error)) {
    complain("%s", error.message);
  } else {
    status = with_problem(&a, problem);
    core_problem_free(problem);
  }
  free(text);
  return status;
}
