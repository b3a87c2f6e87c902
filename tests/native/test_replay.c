/* Arguments: the fake pack's library, a folder to write to. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "model.h"
#include "replay.h"

static replay_packs *packs;

static const float w1 = 0.5f, w2 = 3.0f;
static const replay_constant constants[] = {{"w1", &w1, 4}, {"w2", &w2, 4}};

static replay_status create(const char *plan, replay_store *store, replay **model,
                            replay_error *error) {
  return replay_create_from_memory(plan, strlen(plan), constants, 2, replay_packs_list(packs),
                                   replay_packs_count(packs), store, model, error);
}

/* Runs with x = first, first + 1, ... and returns whether the outputs are right. */
static int runs_right(replay *model, float first) {
  float x[6], y[6], z[6];
  const void *inputs[] = {x};
  void *outputs[] = {y, z};
  for (int i = 0; i < 6; i++) x[i] = first + (float)i;
  if (replay_run(model, inputs, outputs, NULL)) return 0;
  for (int i = 0; i < 6; i++)
    if (y[i] != model_y(x[i], w1) || z[i] != y[i] * w2) return 0;
  return 1;
}

static void test_runs(void) {
  replay *model;
  replay_error error = {""};
  CHECK(create(model_plan, NULL, &model, &error) == REPLAY_OK);
  CHECK(!strcmp(error.message, ""));
  CHECK(runs_right(model, 1) && runs_right(model, 100));
  CHECK(replay_num_inputs(model) == 1 && replay_num_outputs(model) == 2);
  CHECK(!strcmp(replay_input(model, 0)->name, "x") && replay_output(model, 2) == NULL);
  CHECK(replay_output(model, 1)->num_dimensions == 2 && replay_output(model, 1)->shape[1] == 3);
  CHECK(replay_num_steps(model) == 5 && replay_step_info(model, 5) == NULL);
  CHECK(!strcmp(replay_step_info(model, 4)->kernel, "fake.scale.bound.f32"));
  CHECK(!strcmp(replay_step_info(model, 4)->node, "Mul_4"));
  replay_sizes sizes = replay_memory(model);
  CHECK(sizes.arena_bytes == 128 && sizes.scratch_bytes == 0);
  CHECK(sizes.packed_bytes == 8); /* w1's packed form, shared by two steps */
  CHECK(!replay_reads_constant(model, "w1") && replay_reads_constant(model, "w2"));
  replay_free(model);
}

static void test_allocated_outputs(void) {
  replay *model;
  replay_error error;
  const float x[6] = {1, 2, 3, 4, 5, 6};
  const void *inputs[] = {x};
  void *outputs[2] = {NULL, NULL};
  double seconds[5] = {-1, -1, -1, -1, -1};
  CHECK(create(model_plan, NULL, &model, &error) == REPLAY_OK);
  CHECK(replay_run_timed(model, inputs, outputs, seconds, &error) == REPLAY_OK);
  CHECK(outputs[0] && ((float *)outputs[1])[5] == model_y(6, w1) * w2);
  CHECK((uintptr_t)outputs[0] % 64 == 0);
  for (int i = 0; i < 5; i++) CHECK(seconds[i] >= 0);
  replay_memory_free(outputs[0]);
  replay_memory_free(outputs[1]);
  replay_free(model);
}

static void test_bad_pointers(void) {
  replay *model;
  replay_error error;
  char bytes[64] __attribute__((aligned(64)));
  float y[6], z[6];
  const void *inputs[] = {NULL};
  void *outputs[] = {y, z};
  CHECK(create(model_plan, NULL, &model, &error) == REPLAY_OK);
  CHECK(replay_run(model, inputs, outputs, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "input \"x\" is NULL");
  inputs[0] = bytes + 1;
  CHECK(replay_run(model, inputs, outputs, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "aligned to its element's 4 bytes");
  replay_free(model);
}

static void test_missing(void) {
  replay *model;
  replay_error error;
  char once[8192], twice[8192];
  CHECK(replace(model_plan, "fake.add.plain.f32", "other.add.plain.f32", once, sizeof once));
  CHECK(replace(once, "fake.scale.bound.f32", "fake.scale.fast.f32", twice, sizeof twice));
  CHECK(create(twice, NULL, &model, &error) == REPLAY_UNAVAILABLE && !model);
  CHECK_SAYS(error, "pack other isn't open");
  CHECK_SAYS(error, "pack fake 2.0 (fake library 1.0) has no kernel fake.scale.fast.f32");
  CHECK(replay_create_from_memory(model_plan, strlen(model_plan), constants, 0,
                                  replay_packs_list(packs), 1, NULL, &model,
                                  &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "constant \"w1\" is missing; constant \"w2\" is missing");
  const replay_constant longer[] = {{"w1", &w1, 4}, {"w2", &w2, 2}};
  CHECK(replay_create_from_memory(model_plan, strlen(model_plan), longer, 2,
                                  replay_packs_list(packs), 1, NULL, &model,
                                  &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "constant \"w2\" has 2 bytes, the plan says 4");
}

static void test_refused_problem(void) {
  static const char plan[] =
      "{\"version\":1,\"device\":\"cpu\",\"threads\":1,\"problems\":["
      PROBLEM("add", TENSOR("[1,1,2,3]") "," TENSOR("[1,1,2,3]"), TENSOR("[1,1,2,3]"))
      "],\"buffers\":[{\"kind\":\"input\",\"index\":0,\"bytes\":24},"
      "{\"kind\":\"output\",\"index\":0,\"bytes\":24}],\"arena_bytes\":0,\"steps\":["
      MODEL_STEP("fake.add.plain.f32", "0", "0,0", "1", "Add_0")
      "],\"inputs\":[" MODEL_END("x") "],\"outputs\":[" MODEL_END("y") "],\"packs\":{}}";
  replay *model;
  replay_error error;
  CHECK(create(plan, NULL, &model, &error) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "fake.add.plain.f32 refuses step Add_0 here: x.rank must be <= 3, got 4");
}

static void test_forbidden_overlap(void) {
  replay *model;
  replay_error error;
  char text[8192];
  CHECK(replace(model_plan, "\"inputs\":[1,3],\"outputs\":[2]", "\"inputs\":[2,3],\"outputs\":[2]",
                text, sizeof text));
  CHECK(create(text, NULL, &model, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "Mul_1): output 0 shares memory with input 0");
}

static void test_failing_kernel(void) {
  static const char plan[] =
      "{\"version\":1,\"device\":\"cpu\",\"threads\":1,\"problems\":["
      PROBLEM("fail", TENSOR("[2,3]"), TENSOR("[2,3]"))
      "],\"buffers\":[{\"kind\":\"input\",\"index\":0,\"bytes\":24},"
      "{\"kind\":\"output\",\"index\":0,\"bytes\":24}],\"arena_bytes\":0,\"steps\":["
      MODEL_STEP("fake.fail.run.f32", "0", "0", "1", "Fail_0")
      "],\"inputs\":[" MODEL_END("x") "],\"outputs\":[" MODEL_END("y") "],\"packs\":{}}";
  replay *model;
  replay_error error;
  const float x[6] = {0};
  const void *inputs[] = {x};
  void *outputs[] = {NULL};
  CHECK(create(plan, NULL, &model, &error) == REPLAY_OK);
  CHECK(replay_run(model, inputs, outputs, &error) == REPLAY_LIBRARY_FAILED);
  CHECK_SAYS(error, "fake.fail.run.f32 failed with status 5 in step Fail_0");
  CHECK(outputs[0] == NULL); /* what was allocated has been freed */
  replay_free(model);
}

static void test_shared_store(void) {
  replay_store *store;
  replay *first, *second;
  replay_error error;
  CHECK(replay_store_new(&store, &error) == REPLAY_OK);
  CHECK(create(model_plan, store, &first, &error) == REPLAY_OK);
  CHECK(create(model_plan, store, &second, &error) == REPLAY_OK);
  replay_free(first);
  CHECK(runs_right(second, 5)); /* the copies live as long as one of the two */
  replay_store_free(store);     /* in any order: a garbage collector keeps none */
  CHECK(runs_right(second, 6));
  replay_free(second);
}

static void test_misaligned_constant(void) {
  char bytes[16];
  memcpy(bytes + 1, &w1, 4);
  memcpy(bytes + 6, &w2, 4);
  const replay_constant odd[] = {{"w2", bytes + 6, 4}, {"w1", bytes + 1, 4}};
  replay *model;
  replay_error error;
  CHECK(replay_create_from_memory(model_plan, strlen(model_plan), odd, 2, replay_packs_list(packs),
                                  1, NULL, &model, &error) == REPLAY_OK);
  memset(bytes, 0, sizeof bytes); /* both were copied */
  CHECK(!replay_reads_constant(model, "w1") && !replay_reads_constant(model, "w2"));
  CHECK(runs_right(model, 2));
  replay_free(model);
}

/* ---- Threads and forks ------------------------------------------------------- */

static void *run_often(void *model) {
  for (int i = 0; i < 2000; i++)
    if (!runs_right(model, (float)i)) return model;
  return NULL;
}

static void test_concurrency(void) {
  enum { THREADS = 12 }; /* more than there are kept frames */
  pthread_t threads[THREADS];
  replay *model;
  replay_error error;
  CHECK(create(model_plan, NULL, &model, &error) == REPLAY_OK);
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, run_often, model);
  for (int i = 0; i < THREADS; i++) {
    void *failed;
    pthread_join(threads[i], &failed);
    CHECK(!failed);
  }
  replay_free(model);
}

#define COUNT_PLAN(THREADS) \
  "{\"version\":1,\"device\":\"cpu\",\"threads\":" THREADS ",\"problems\":["                    \
  PROBLEM_ON(THREADS, "count", TENSOR("[2,3]"), TENSOR("[2,3]"))                                \
  "],\"buffers\":[{\"kind\":\"input\",\"index\":0,\"bytes\":24},"                               \
  "{\"kind\":\"output\",\"index\":0,\"bytes\":24}],\"arena_bytes\":0,\"steps\":["               \
  MODEL_STEP("fake.count.threads.f32", "0", "0", "1", "Count_0")                                \
  "],\"inputs\":[" MODEL_END("x") "],\"outputs\":[" MODEL_END("y") "],\"packs\":{}}"

static replay_status count_threads(replay *model, int *count, replay_error *error) {
  float x[6] = {0}, y[6] = {0};
  const void *inputs[] = {x};
  void *outputs[] = {y};
  replay_status status = replay_run(model, inputs, outputs, error);
  *count = (int)y[5];
  return status;
}

static void in_child(replay *one, replay *two) {
  replay_error error;
  int count;
  CHECK(count_threads(two, &count, &error) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "forked");
  CHECK(count_threads(one, &count, &error) == REPLAY_OK && count == 1);
}

static void test_fork(void) {
  replay *one, *two;
  replay_error error;
  int count, state;
  CHECK(create(COUNT_PLAN("1"), NULL, &one, &error) == REPLAY_OK);
  CHECK(create(COUNT_PLAN("2"), NULL, &two, &error) == REPLAY_OK);
  CHECK(count_threads(one, &count, &error) == REPLAY_OK && count == 1);
  CHECK(count_threads(two, &count, &error) == REPLAY_OK && count == 2);
  fflush(stderr);
  pid_t child = fork();
  if (!child) {
    alarm(30); /* a hang ends here */
    failures = 0;
    in_child(one, two);
    _exit(failures != 0);
  }
  CHECK(waitpid(child, &state, 0) == child && WIFEXITED(state) && WEXITSTATUS(state) == 0);
  replay_free(one);
  replay_free(two);
}

/* ---- Files ------------------------------------------------------------------- */

static char path[4096];

static int write_model(const char *plans) {
  size_t bytes;
  uint8_t *file = model_file(plans, &bytes);
  int written = write_bytes(path, file, bytes);
  free(file);
  return written;
}

static replay_status create_from_file(const char *plan, replay_error *error, const char **kernel) {
  replay_file *file;
  replay *model;
  CHECK(replay_file_open(path, &file, error) == REPLAY_OK);
  if (!file) return REPLAY_INTERNAL;
  replay_status status =
      replay_create(file, plan, replay_packs_list(packs), replay_packs_count(packs), &model, error);
  if (!status) {
    CHECK(runs_right(model, 3));
    *kernel = strstr(replay_step_info(model, 0)->kernel, "mul") ? "mul" : "add";
  }
  replay_free(model);
  replay_file_close(file);
  return status;
}

static void test_files(void) {
  const char *kernel = "";
  replay_error error;
  replay_file *file;
  CHECK(write_model(
      "{\"a\":" MODEL_PLAN("other.add.plain.f32") ",\"b\":" MODEL_PLAN("fake.add.plain.f32") "}"));
  CHECK(replay_file_open(path, &file, &error) == REPLAY_OK);
  CHECK(replay_file_num_plans(file) == 2 && !strcmp(replay_file_plan_name(file, 1), "b"));
  CHECK(replay_file_plan_name(file, 2) == NULL);
  replay_file_close(file);
  CHECK(create_from_file(NULL, &error, &kernel) == REPLAY_OK && !strcmp(kernel, "add"));
  CHECK(create_from_file("b", &error, &kernel) == REPLAY_OK);
  CHECK(create_from_file("a", &error, &kernel) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "pack other isn't open");
  CHECK(create_from_file("c", &error, &kernel) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "no plan \"c\"");
  CHECK(write_model("{\"a\":" MODEL_PLAN("other.add.plain.f32") ",\"b\":" MODEL_PLAN(
      "fake.add.quick.f32") ",\"c\":{}}"));
  CHECK(create_from_file(NULL, &error, &kernel) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "no plan fits: [a] pack other isn't open; [b] pack fake 2.0");
  CHECK_SAYS(error, "[c] plan: \"version\" is missing");
  static const char *const bad_plans[] = {"{}", "[]", "{", ""};
  for (int i = 0; i < 4; i++) {
    CHECK(write_model(bad_plans[i]));
    CHECK(replay_file_open(path, &file, &error) == REPLAY_INVALID_ARGUMENT && !file);
    CHECK_SAYS(error, "plans");
  }
  CHECK(write_bytes(path, "", 0));
  CHECK(replay_file_open(path, &file, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "empty");
  unlink(path);
  CHECK(replay_file_open(path, &file, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "No such file");
}

static void test_packs(const char *library) {
  replay_packs *list;
  replay_error error;
  CHECK(replay_packs_new(&list, &error) == REPLAY_OK);
  const replay_option nowhere = {"library", "/nowhere"};
  CHECK(replay_packs_add(list, library, &nowhere, 1, &error) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "isn't at /nowhere");
  CHECK(replay_packs_count(list) == 0);
  CHECK(replay_packs_add(list, library, NULL, 0, &error) == REPLAY_OK);
  CHECK(replay_packs_add(list, library, NULL, 0, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "\"fake\" is open already");
  CHECK(replay_packs_count(list) == 1);
  replay_packs_close(list);
}

int main(int argc, char **argv) {
  replay_error error;
  if (argc != 3 || replay_packs_new(&packs, &error)) return 1;
  CHECK(replay_packs_add(packs, argv[1], NULL, 0, &error) == REPLAY_OK);
  snprintf(path, sizeof path, "%s/test_replay.safetensors", argv[2]);
  test_packs(argv[1]);
  test_runs();
  test_allocated_outputs();
  test_bad_pointers();
  test_missing();
  test_refused_problem();
  test_forbidden_overlap();
  test_failing_kernel();
  test_shared_store();
  test_misaligned_constant();
  test_concurrency();
  test_files();
  test_fork();
  replay_packs_close(packs);
  return check_result();
}
