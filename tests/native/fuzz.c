/*
 * fuzz.c: feeds the readers of foreign data with damaged texts.
 *
 * Without libFuzzer: `fuzz SECONDS PACK` mutates the seeds deterministically for that long. With
 * it: compile with -DWITH_LIBFUZZER -fsanitize=fuzzer and set FUZZ_PACK to the fake pack's path.
 * The first byte of libFuzzer's data chooses the reader.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core.h"
#include "json.h"
#include "model.h"
#include "plan.h"
#include "replay.h"
#include "safetensors.h"

static replay_packs *packs;

/* Plans that would take more memory than this aren't run. */
enum { SMALL = 1 << 20 };

/* ---- Readers ----------------------------------------------------------------- */

static int read_json(const uint8_t *data, size_t size) {
  json_document *document;
  kp_error error;
  kp_status status = json_parse((const char *)data, size, &document, &error);
  json_free(document);
  return !status;
}

static int read_problem(const uint8_t *data, size_t size) {
  core_problem *problem;
  kp_error error;
  kp_status status = core_problem_parse((const char *)data, size, &problem, &error);
  for (size_t i = 0; !status && packs && i < replay_packs_count(packs); i++) {
    const core_pack *pack = replay_packs_list(packs)[i];
    for (size_t k = 0; k < core_pack_num_kernels(pack); k++)
      core_answer_free(core_query(pack, core_pack_kernel(pack, k), problem));
  }
  core_problem_free(problem);
  return !status;
}

static int read_safetensors(const uint8_t *data, size_t size) {
  safetensors tensors;
  kp_error error;
  kp_status status = safetensors_read(data, size, &tensors, &error);
  if (status) return 0;
  volatile uint8_t last = 0; /* every byte that an entry promises is there */
  for (uint32_t i = 0; i < tensors.num_entries; i++)
    if (tensors.entries[i].end > tensors.entries[i].begin)
      last = tensors.data[tensors.entries[i].end - 1];
  (void)last;
  safetensors_free(&tensors);
  return 1;
}

static int is_small(const uint8_t *data, size_t size) {
  plan p;
  kp_error error;
  if (plan_parse((const char *)data, size, &p, &error)) return 0;
  uint64_t bytes = p.arena_bytes;
  for (uint32_t i = 0; i < p.num_inputs && bytes < SMALL; i++) bytes += p.inputs[i].bytes;
  for (uint32_t i = 0; i < p.num_outputs && bytes < SMALL; i++) bytes += p.outputs[i].bytes;
  plan_free(&p);
  return bytes < SMALL;
}

static void run_once(replay *model) {
  size_t num_inputs = replay_num_inputs(model), num_outputs = replay_num_outputs(model);
  void **inputs = calloc(num_inputs + 1, sizeof *inputs);
  void **outputs = calloc(num_outputs + 1, sizeof *outputs);
  for (size_t i = 0; i < num_inputs; i++) inputs[i] = calloc(replay_input(model, i)->bytes + 1, 1);
  replay_run(model, (const void *const *)inputs, outputs, NULL);
  for (size_t i = 0; i < num_inputs; i++) free(inputs[i]);
  for (size_t i = 0; i < num_outputs; i++) replay_memory_free(outputs[i]);
  free(inputs);
  free(outputs);
}

static int read_plan(const uint8_t *data, size_t size) {
  static const float w[] = {0.5f, 3.0f};
  const replay_constant constants[] = {{"w1", &w[0], 4}, {"w2", &w[1], 4}};
  replay *model;
  if (!packs || !is_small(data, size)) return 0;
  if (replay_create_from_memory((const char *)data, size, constants, 2, replay_packs_list(packs),
                                replay_packs_count(packs), NULL, &model, NULL))
    return 0;
  run_once(model);
  replay_free(model);
  return 1;
}

static int (*const readers[])(const uint8_t *, size_t) = {read_json, read_problem, read_safetensors,
                                                          read_plan};
enum { NUM_READERS = sizeof readers / sizeof readers[0] };

static int open_pack(const char *path) {
  replay_error error;
  if (replay_packs_new(&packs, &error) || replay_packs_add(packs, path, NULL, 0, &error)) {
    fprintf(stderr, "%s\n", error.message);
    return 0;
  }
  return 1;
}

#ifdef WITH_LIBFUZZER

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  const char *path = getenv("FUZZ_PACK");
  return path && open_pack(path) ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size) readers[data[0] % NUM_READERS](data + 1, size - 1);
  return 0;
}

#else

/* ---- Mutations --------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t limit) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state % limit;
}

static const char *const tokens[] = {
    "0",
    "-1",
    "1",
    "2",
    "7",
    "63",
    "64",
    "65",
    "127",
    "4294967295",
    "4294967296",
    "2147483647",
    "9223372036854775807",
    "-9223372036854775808",
    "1e308",
    "NaN",
    "Infinity",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "[0]",
    "\"any\"",
    "\"nChw16c\"",
    "\"constant\":true,",
    "\"float64\"",
    "\"bool\"",
    ",",
    ":",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\\u0041",
    "\\ud800",
};
enum { NUM_TOKENS = sizeof tokens / sizeof tokens[0], ROOM = 1 << 16 };

static size_t splice(uint8_t *data, size_t size, size_t at, size_t removed, const void *added,
                     size_t added_size) {
  if (size - removed + added_size > ROOM) return size;
  memmove(data + at + added_size, data + at + removed, size - at - removed);
  memcpy(data + at, added, added_size);
  return size - removed + added_size;
}

static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

/* Another number, or anything else, in the place of a number. */
static size_t change_number(uint8_t *data, size_t size) {
  size_t at = draw(size), end;
  while (at < size && !is_digit(data[at])) at++;
  for (end = at; end < size && is_digit(data[end]);) end++;
  const char *token = tokens[draw(NUM_TOKENS)];
  return splice(data, size, at, end - at, token, strlen(token));
}

static size_t mutate(uint8_t *data, size_t size) {
  uint8_t copy[256];
  size_t at = draw(size), length = 1 + draw(16);
  if (length > size - at) length = size - at;
  const char *token = tokens[draw(NUM_TOKENS)];
  switch (draw(6)) {
    case 0:
      data[at] ^= (uint8_t)(1u << draw(8));
      return size;
    case 1:
      return splice(data, size, at, length, "", 0);
    case 2:
      memcpy(copy, data + at, length);
      return splice(data, size, draw(size), 0, copy, length);
    case 3:
      return splice(data, size, at, 0, token, strlen(token));
    case 4:
      return size - draw(length);
    default:
      return change_number(data, size);
  }
}

/* ---- The driver -------------------------------------------------------------- */

typedef struct seed {
  size_t reader, size;
  const uint8_t *data;
} seed;

static int fuzz_seed(const seed *s, double until, long *count, long *accepted) {
  static uint8_t data[ROOM];
  do {
    size_t size = s->size;
    memcpy(data, s->data, size);
    for (uint64_t n = 1 + draw(4); n > 0 && size > 1; n--) size = mutate(data, size);
    uint8_t *exact = malloc(size ? size : 1); /* so that a read beyond the end is seen */
    memcpy(exact, data, size);
    *accepted += readers[s->reader](exact, size);
    free(exact);
    ++*count;
  } while ((double)clock() / CLOCKS_PER_SEC < until);
  return 0;
}

int main(int argc, char **argv) {
  double seconds = argc == 3 ? strtod(argv[1], NULL) : 0;
  if (seconds <= 0 || !open_pack(argv[2])) {
    fprintf(stderr, "usage: fuzz SECONDS PACK\n");
    return 2;
  }
  static const char numbers[] = "{\"a\":[1,-2.5e3,NaN,null,true],\"b\":{\"c\":\"x\\u00e9\\n\"}}";
  static const char problem[] =
      PROBLEM("add", TENSOR("[2,3]") "," CONSTANT("[1]"), TENSOR("[2,3]"));
  size_t file_size;
  uint8_t *file = model_file("{\"cpu\":{}}", &file_size);
  const seed seeds[] = {{0, sizeof numbers - 1, (const uint8_t *)numbers},
                        {1, sizeof problem - 1, (const uint8_t *)problem},
                        {2, file_size, file},
                        {3, sizeof model_plan - 1, (const uint8_t *)model_plan}};
  int failed = 0;
  for (size_t i = 0; i < NUM_READERS; i++) {
    long count = 0, accepted = 0;
    if (!readers[seeds[i].reader](seeds[i].data, seeds[i].size)) {
      fprintf(stderr, "seed %zu is refused\n", i);
      failed = 1;
    }
    double start = (double)clock() / CLOCKS_PER_SEC;
    fuzz_seed(&seeds[i], start + seconds / NUM_READERS, &count, &accepted);
    printf("reader %zu: %ld texts, %ld accepted\n", i, count, accepted);
  }
  free(file);
  replay_packs_close(packs);
  return failed;
}

#endif
