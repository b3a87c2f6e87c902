/*
 * opencl_time: times the kernels of a file on the device, those of one problem in turns, and prints
 * JSON that `python -m runtime tune --times` reads.
 *
 *   opencl_time FILE.kernels [--device N] [--library PATH] [--cache FOLDER] > times.json
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "pack.h"

enum { ROUNDS = 15, FEW_ROUNDS = 3, FILL = 0x3C /* small numbers in every dtype */ };
static const double round_seconds = 0.005;
static const double behind = 1.5; /* who takes so many times the least after a few rounds leaves */

typedef struct entrant {
  const image_entry *entry;
  kp_prepared *prepared; /* NULL: it can't run */
  uint32_t iterations, rounds;
  double seconds[ROUNDS];
} entrant;

/* What all kernels of one problem work on. */
typedef struct ground {
  kp_pack *pack;
  void *queue, *scratch;
  void **buffers;
  uint32_t num_buffers;
} ground;

static const DLDevice where = {kDLOpenCL, 0};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- Memory -------------------------------------------------------------------- */

static kp_status filled(const ground *g, uint64_t bytes, void **buffer, kp_error *error) {
  kp_status status = opencl_memory.allocate(g->pack, where, bytes, buffer, error);
  void *values = status ? NULL : malloc(bytes + 1);
  if (!values) return status ? status : fail_out_of_memory(error);
  memset(values, FILL, bytes);
  if (bytes)
    status =
        opencl_memory.copy(g->pack, *buffer, values, bytes, KP_HOST_TO_DEVICE, g->queue, error);
  if (!status) status = opencl_memory.synchronize(g->pack, g->queue, error);
  free(values);
  return status;
}

static void clear_ground(ground *g) {
  for (uint32_t i = 0; i < g->num_buffers; i++)
    if (g->buffers[i]) opencl_memory.free(g->pack, where, g->buffers[i]);
  if (g->scratch) opencl_memory.free(g->pack, where, g->scratch);
  free(g->buffers);
  g->buffers = NULL;
  g->scratch = NULL;
  g->num_buffers = 0;
}

static kp_status make_ground(ground *g, const entrant *entrants, uint32_t count, kp_error *error) {
  const image_entry *first = entrants[0].entry;
  uint64_t scratch = 0;
  for (uint32_t i = 0; i < count; i++)
    if (entrants[i].entry->scratch_bytes > scratch) scratch = entrants[i].entry->scratch_bytes;
  g->buffers = calloc(first->num_buffers + 1u, sizeof *g->buffers);
  if (!g->buffers) return fail_out_of_memory(error);
  g->num_buffers = first->num_buffers;
  kp_status status = scratch ? filled(g, scratch, &g->scratch, error) : KP_OK;
  for (uint32_t i = 0; !status && i < g->num_buffers; i++)
    status = filled(g, first->buffer_bytes[i], &g->buffers[i], error);
  return status;
}

/* ---- Timing -------------------------------------------------------------------- */

/* Seconds of one run, of so many in a row; negative where one failed. */
static double time_round(const ground *g, const entrant *e, uint32_t iterations) {
  double start = now();
  kp_status status = KP_OK;
  for (uint32_t i = 0; !status && i < iterations; i++)
    status = kernel_run(e->prepared, g->buffers, g->scratch, g->queue);
  if (opencl_memory.synchronize(g->pack, g->queue, NULL) || status) return -1;
  return (now() - start) / iterations;
}

static void leave(entrant *e) {
  if (e->prepared) kernel_release(e->prepared);
  e->prepared = NULL;
}

/* Built, warm, and with as many iterations as make a round. */
static void enter(const ground *g, entrant *e) {
  kp_error error;
  if (kernel_prepare_entry(g->pack, e->entry, &e->prepared, &error)) {
    fprintf(stderr, "%s: %s\n", e->entry->kernel, error.message);
    e->prepared = NULL;
    return;
  }
  double seconds = time_round(g, e, 1);
  if (seconds >= 0) seconds = time_round(g, e, 1);
  if (seconds < 0) {
    fprintf(stderr, "%s: it can't be run\n", e->entry->kernel);
    leave(e);
    return;
  }
  double wanted = round_seconds / (seconds > 1e-9 ? seconds : 1e-9);
  e->iterations = wanted < 1 ? 1 : wanted > 10000 ? 10000 : (uint32_t)wanted;
}

static double least(const entrant *e) {
  double found = INFINITY;
  for (uint32_t i = 0; i < e->rounds; i++) found = e->seconds[i] < found ? e->seconds[i] : found;
  return found;
}

static void race(const ground *g, entrant *entrants, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) enter(g, &entrants[i]);
  for (uint32_t round = 0; round < ROUNDS; round++) {
    double best = INFINITY;
    for (uint32_t i = 0; i < count; i++) {
      entrant *e = &entrants[(i + round) % count];
      if (!e->prepared) continue;
      double seconds = time_round(g, e, e->iterations);
      if (seconds < 0) {
        e->rounds = 0;
        leave(e);
        continue;
      }
      e->seconds[e->rounds++] = seconds;
      best = least(e) < best ? least(e) : best;
    }
    for (uint32_t i = 0; round + 1 == FEW_ROUNDS && i < count; i++)
      if (least(&entrants[i]) > behind * best) leave(&entrants[i]);
  }
  for (uint32_t i = 0; i < count; i++) leave(&entrants[i]);
}

/* ---- Printing ------------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void print_entrant(entrant *e, int is_first) {
  printf("%s\n {\"kernel\": \"%s\", \"signature\": \"", is_first ? "" : ",", e->entry->kernel);
  for (uint32_t i = 0; i < e->entry->signature.size; i++)
    printf("%02x", e->entry->signature.data[i]);
  printf("\", \"rounds\": %u", e->rounds);
  if (e->rounds) {
    qsort(e->seconds, e->rounds, sizeof *e->seconds, compare);
    double median = e->seconds[e->rounds / 2];
    double quartiles = e->seconds[e->rounds * 3 / 4] - e->seconds[e->rounds / 4];
    printf(", \"seconds\": %.9g, \"spread\": %.4g}", median, quartiles / median);
  } else {
    printf(", \"seconds\": null, \"spread\": 0}");
  }
  fflush(stdout);
}

/* ---- All problems -------------------------------------------------------------- */

static int compare_problems(const void *a, const void *b) {
  image_bytes x = ((const entrant *)a)->entry->signature;
  image_bytes y = ((const entrant *)b)->entry->signature;
  if (x.size != y.size) return x.size < y.size ? -1 : 1;
  return memcmp(x.data, y.data, x.size);
}

static kp_status time_all(ground *g, kp_error *error) {
  const image *i = &g->pack->image;
  entrant *all = calloc(i->num_entries + 1u, sizeof *all);
  if (!all) return fail_out_of_memory(error);
  for (uint32_t j = 0; j < i->num_entries; j++) all[j].entry = &i->entries[j];
  qsort(all, i->num_entries, sizeof *all, compare_problems);
  kp_status status = KP_OK;
  printf("[");
  for (uint32_t first = 0, end; !status && first < i->num_entries; first = end) {
    for (end = first + 1; end < i->num_entries; end++)
      if (compare_problems(&all[first], &all[end])) break;
    status = make_ground(g, &all[first], end - first, error);
    if (!status) race(g, &all[first], end - first);
    clear_ground(g);
    for (uint32_t j = first; !status && j < end; j++) print_entrant(&all[j], j == 0);
    if (isatty(STDERR_FILENO)) fprintf(stderr, "\r%u of %u kernels", end, i->num_entries);
  }
  printf("\n]\n");
  if (isatty(STDERR_FILENO)) fputc('\n', stderr);
  free(all);
  return status;
}

/* ---- The program --------------------------------------------------------------- */

static const char usage[] =
    "usage: opencl_time FILE.kernels [--device N] [--library PATH] [--cache FOLDER] > times.json\n";

static int parse(int argc, char **argv, kp_option *options, size_t *count) {
  const char *file = NULL;
  for (int i = 1; i < argc; i++) {
    const char *names[] = {"device", "library", "cache"};
    int is_option = 0;
    for (int j = 0; j < 3; j++) {
      if (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, names[j])) continue;
      if (i + 1 == argc || *count == 3) return 0;
      options[(*count)++] = (kp_option){names[j], argv[++i]};
      is_option = 1;
      break;
    }
    if (is_option) continue;
    if (file || !strncmp(argv[i], "--", 2)) return 0;
    file = argv[i];
  }
  options[(*count)++] = (kp_option){"kernels", file};
  return file != NULL;
}

int main(int argc, char **argv) {
  kp_option options[4];
  size_t count = 0;
  kp_error error = {""};
  ground g = {0};
  if (!parse(argc, argv, options, &count)) {
    fputs(usage, stderr);
    return 2;
  }
  kp_status status = opencl_open(options, count, &g.pack, &error);
  if (!status) {
    status = opencl_memory.open_queue(g.pack, where, &g.queue, &error);
    if (!status) {
      status = time_all(&g, &error);
      opencl_memory.close_queue(g.pack, g.queue);
    }
    opencl_close(g.pack);
  }
  if (status) fprintf(stderr, "%s\n", error.message);
  return status != KP_OK;
}
