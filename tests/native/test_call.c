/* Argument: the fake pack's library. */
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "core.h"
#include "scratch.h"
#include "texts.h"

static core_pack *fake;

static core_problem *parse(const char *text) {
  core_problem *problem;
  kp_error error = {""};
  if (core_problem_parse(text, strlen(text), &problem, &error)) {
    fprintf(stderr, "%s\n", error.message);
    exit(1);
  }
  return problem;
}

static kp_status prepare(const char *kernel, const char *text, const void *const *constants,
                         core_call **call, kp_error *error) {
  core_problem *problem = parse(text);
  kp_status status =
      core_call_prepare(fake, core_pack_find(fake, kernel), problem, constants, call, error);
  core_problem_free(problem);
  return status;
}

static void test_query(void) {
  core_problem *problem =
      parse(PROBLEM("add", TENSOR("[1,2,3,4]") "," TENSOR("[1,2,3,4]"), TENSOR("[1,2,3,4]")));
  const kp_kernel *kernel = core_pack_find(fake, "fake.add.plain.f32");
  core_answer *answer = core_query(fake, kernel, problem);
  CHECK(answer->answer.code == KP_NO_RANK && !strcmp(answer->answer.subject, "x.rank"));
  CHECK(answer->answer.has_got && answer->answer.got == 4);
  char text[64];
  core_reason(fake, kernel, problem, text, sizeof text);
  CHECK(!strcmp(text, "the fake library says no"));
  core_reason(fake, kernel, problem, text, 4);
  CHECK(!strcmp(text, "the"));
  core_call *call;
  kp_error error;
  CHECK(core_call_prepare(fake, kernel, problem, NULL, &call, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "x.rank must be <= 3");
  core_answer_free(answer);
  core_problem_free(problem);
}

#define RUN(call, ...) core_call_run_aligned(call, (void *[]){__VA_ARGS__})

static void test_runs(void) {
  float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {6, 5, 4, 3, 2, 1}, y[6];
  const char *text = PROBLEM("add", TENSOR("[2,3]") "," TENSOR("[2,3]"), TENSOR("[2,3]"));
  core_call *call;
  kp_error error;
  CHECK(prepare("fake.add.plain.f32", text, NULL, &call, &error) == KP_OK);
  CHECK(RUN(call, a, b, y) == KP_OK);
  for (int i = 0; i < 6; i++) CHECK(y[i] == 7);
  CHECK(RUN(call, (char *)a + 2, b, y) == KP_INVALID_ARGUMENT);
  CHECK(RUN(call, a, b, (char *)y + 1) == KP_INVALID_ARGUMENT);
  core_call_release(call);
  CHECK(prepare("fake.mul.scratch.f32", text, NULL, &call, &error) == KP_OK);
  CHECK(core_call_scratch_bytes(call) == sizeof y);
  void *buffers[] = {a, b, y};
  CHECK(core_call_run(call, buffers, NULL) == KP_OK);
  for (int i = 0; i < 6; i++) CHECK(y[i] == a[i] * b[i]);
  core_call_release(call);
}

static void test_constants(void) {
  const float w = 3;
  float x[2] = {1, 2}, y[2], packed[2] = {0};
  const void *constants[] = {NULL, &w};
  const char *text = PROBLEM("scale", TENSOR("[2]") "," CONSTANT("[1]"), TENSOR("[2]"));
  core_call *call;
  kp_error error;
  CHECK(prepare("fake.scale.packed.f32", text, NULL, &call, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "inputs[1] is constant: its value is missing");
  CHECK(prepare("fake.scale.packed.f32", text, constants, &call, &error) == KP_OK);
  CHECK(core_call_packed_bytes(call, 1) == 8 && core_call_packed_bytes(call, 0) == 0);
  CHECK(core_call_packed_bytes(call, 99) == 0);
  CHECK(core_call_pack(call, 0, &w, packed, &error) == KP_INVALID_ARGUMENT);
  CHECK(core_call_pack(call, 1, &w, packed, &error) == KP_OK && packed[1] == 3);
  CHECK(RUN(call, x, packed, y) == KP_OK && y[1] == 12);
  core_call_release(call);
  CHECK(prepare("fake.scale.bound.f32", text, constants, &call, &error) == KP_OK);
  CHECK(core_call_answer(call)->answer.flags == KP_ANSWER_BINDS_CONSTANTS);
  CHECK(RUN(call, x, (void *)&w, y) == KP_OK && y[1] == 6);
  core_call_release(call);
}

static void test_failures(void) {
  float x = 1, y;
  const char *text = PROBLEM("fail", TENSOR("[1]"), TENSOR("[1]"));
  core_call *call;
  kp_error error;
  CHECK(prepare("fake.fail.prepare.f32", text, NULL, &call, &error) == KP_LIBRARY_FAILED && !call);
  CHECK_SAYS(error, "fake.fail.prepare.f32 can't be prepared");
  CHECK(prepare("fake.fail.run.f32", text, NULL, &call, &error) == KP_OK);
  CHECK(RUN(call, &x, &y) == KP_LIBRARY_FAILED);
  core_call_release(call);
  const char *any =
      PROBLEM("fail", TENSOR("[1]"), "{\"dtype\":\"float32\",\"shape\":[1],\"layout\":\"any\"}");
  CHECK(prepare("fake.fail.run.f32", any, NULL, &call, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "outputs[0] must have a layout");
}

static void test_scratch(void) {
  void *outer = core_scratch_take(100), *inner = core_scratch_take(50);
  CHECK(outer && inner && outer != inner);
  CHECK((uintptr_t)outer % KP_ALIGNMENT == 0 && (uintptr_t)inner % KP_ALIGNMENT == 0);
  memset(outer, 1, 100), memset(inner, 2, 50);
  core_scratch_return(inner);
  core_scratch_return(outer);
  CHECK(core_scratch_take(80) == outer);
  core_scratch_return(outer);
  CHECK(core_scratch_take(UINT64_MAX) == NULL);
  void *grown = core_scratch_take(1000);
  memset(grown, 3, 1000);
  core_scratch_return(grown);
}

/* ---- Threads and forks ------------------------------------------------------- */

#define COUNT(THREADS) PROBLEM_ON(THREADS, "count", TENSOR("[1]"), TENSOR("[1]"))

static int count_threads(const char *text, kp_status *status) {
  float x = 0, y = 0;
  core_call *call;
  kp_error error;
  *status = prepare("fake.count.threads.f32", text, NULL, &call, &error);
  if (!*status) *status = RUN(call, &x, &y);
  core_call_release(call);
  return (int)y;
}

static void test_threads(void) {
  kp_status status;
  omp_set_num_threads(3);
  CHECK(count_threads(COUNT("1"), &status) == 1 && !status);
  CHECK(omp_get_max_threads() == 3);
  CHECK(core_forked_with_threads() == 0);
}

/* A child of a process that ran on one thread only is as free as its parent. */
static void child_before_threads(void) {
  kp_status status;
  CHECK(core_forked_with_threads() == 0);
  CHECK(count_threads(COUNT("2"), &status) == 2 && !status);
}

static void child_after_threads(void) {
  kp_status status;
  CHECK(core_forked_with_threads() == 1);
  CHECK(count_threads(COUNT("2"), &status) == 0 && status == KP_UNAVAILABLE);
  CHECK(count_threads(COUNT("1"), &status) == 1 && !status);
}

static void test_fork(void (*in_child)(void)) {
  fflush(stderr);
  pid_t child = fork();
  if (!child) {
    alarm(30); /* a hang ends here */
    failures = 0;
    in_child();
    _exit(failures != 0);
  }
  int state;
  CHECK(waitpid(child, &state, 0) == child && WIFEXITED(state) && WEXITSTATUS(state) == 0);
}

static void *run_many(void *unused) {
  float a[64], b[64], y[64];
  core_call *call;
  kp_error error;
  (void)unused;
  CHECK(prepare("fake.mul.scratch.f32",
                PROBLEM("mul", TENSOR("[64]") "," TENSOR("[64]"), TENSOR("[64]")), NULL, &call,
                &error) == KP_OK);
  for (int i = 0; i < 64; i++) a[i] = (float)i, b[i] = 2;
  for (int n = 0; n < 1000; n++) {
    memset(y, 0, sizeof y);
    RUN(call, a, b, y);
    for (int i = 0; i < 64; i++)
      if (y[i] != 2 * a[i]) return (void *)1;
  }
  core_call_release(call);
  return NULL;
}

static void test_concurrency(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, run_many, NULL);
  for (int i = 0; i < 8; i++) {
    void *failed;
    pthread_join(threads[i], &failed);
    CHECK(!failed);
  }
}

int main(int argc, char **argv) {
  kp_error error;
  if (argc != 2 || core_pack_open(argv[1], NULL, 0, &fake, &error)) return 1;
  test_query();
  test_runs();
  test_constants();
  test_failures();
  test_scratch();
  test_concurrency();
  test_threads();
  test_fork(child_before_threads);
  kp_status status;
  CHECK(count_threads(COUNT("2"), &status) == 2 && !status);
  test_fork(child_after_threads);
  CHECK(count_threads(COUNT("2"), &status) == 2 && !status);
  core_pack_close(fake);
  return check_result();
}
