/* Arguments: the OpenCL pack's library, the fake loader's, a folder to write to, opencl_time. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "call.h"
#include "check.h"
#include "image.h"
#include "image_writer.h"
#include "model.h"
#include "program.h"
#include "signature.h"

static const char *library, *loader;
static char kernels_path[4096], cache_path[1024];
static int *objects, *calls, *fails_at, *binaries;

static const char problem_text[] = PROBLEM("add", TENSOR("[6]") "," TENSOR("[6]"), TENSOR("[6]"));

static core_problem *parse(const char *device_type) {
  char text[2048];
  core_problem *problem = NULL;
  CHECK(replace(problem_text, "\"device_type\":1", device_type, text, sizeof text));
  CHECK(core_problem_parse(text, strlen(text), &problem, NULL) == KP_OK);
  return problem;
}

/* One kernel, whose one launch adds 6 elements, a table's and a number. */
static void write_kernels(const core_problem *problem, const char *program, const char *function,
                          uint32_t needs) {
  const float table = 10, number = 0.5f;
  signature s;
  used = 0;
  signature_make(core_problem_get(problem), &s);
  put("KPOPENCL", 8);
  put_numbers((const uint32_t[]){IMAGE_VERSION, needs, 64, 128}, 4);
  put_string("Fake");
  put_numbers((const uint32_t[]){1}, 1);
  put_string("-w");
  put_string(program);
  put_numbers((const uint32_t[]){1}, 1);
  put_bytes(&table, sizeof table);
  put_numbers((const uint32_t[]){1}, 1);
  put_string("opencl.add.map.f32");
  put_bytes(s.data, s.size);
  put(&(const double){1e-6}, 8);
  put((const uint64_t[]){0, 3}, 16);
  put_numbers((const uint32_t[]){3}, 1);
  put((const uint64_t[]){24, 24, 24}, 24);
  put_numbers((const uint32_t[]){1, 0, 1, 0}, 4);
  put_string(function);
  put_numbers((const uint32_t[]){4, 0, 1, 2, (uint32_t)-2}, 5);
  put_bytes(&number, sizeof number);
  put_numbers((const uint32_t[]){1, 3, 2}, 3);
  signature_free(&s);
  CHECK(write_bytes(kernels_path, written, used));
}

static kp_status open_pack(core_pack **pack, kp_error *error) {
  const kp_option options[] = {
      {"kernels", kernels_path}, {"library", loader}, {"cache", cache_path}};
  return core_pack_open(library, options, 3, pack, error);
}

typedef struct run {
  const kp_memory *memory;
  kp_pack *pack;
  DLDevice device;
  void *queue, *whole, *buffers[3];
} run;

static kp_status make_buffers(run *r, kp_error *error) {
  kp_status status = r->memory->open_queue(r->pack, r->device, &r->queue, error);
  if (!status) status = r->memory->allocate(r->pack, r->device, 384, &r->whole, error);
  for (int i = 0; !status && i < 3; i++)
    status = r->memory->view(r->pack, r->whole, 128u * (uint64_t)i, 24, &r->buffers[i], error);
  return status;
}

static void free_buffers(run *r) {
  for (int i = 0; i < 3; i++)
    if (r->buffers[i]) r->memory->free(r->pack, r->device, r->buffers[i]);
  if (r->whole) r->memory->free(r->pack, r->device, r->whole);
  if (r->queue) r->memory->close_queue(r->pack, r->queue);
}

static kp_status add(const run *r, const core_call *call, const float *x, float *y,
                     kp_error *error) {
  kp_status status = KP_OK;
  for (int i = 0; !status && i < 2; i++)
    status = r->memory->copy(r->pack, r->buffers[i], x, 24, KP_HOST_TO_DEVICE, r->queue, error);
  if (!status) status = core_call_run_with(call, r->buffers, NULL, r->queue);
  if (!status)
    status = r->memory->copy(r->pack, y, r->buffers[2], 24, KP_DEVICE_TO_HOST, r->queue, error);
  return status ? status : r->memory->synchronize(r->pack, r->queue, error);
}

/* Everything from opening to closing; whatever fails, nothing is left over. */
static kp_status use(const core_problem *problem, float *y, kp_error *error) {
  const float x[6] = {1, 2, 3, 4, 5, 6};
  core_pack *pack;
  core_call *call = NULL;
  kp_status status = open_pack(&pack, error);
  if (status) return status;
  run r = {
      .memory = core_pack_memory(pack), .pack = core_pack_handle(pack), .device = {kDLOpenCL, 0}};
  status = core_call_prepare(pack, core_pack_kernel(pack, 0), problem, NULL, &call, error);
  if (!status) status = make_buffers(&r, error);
  if (!status) status = add(&r, call, x, y, error);
  free_buffers(&r);
  core_call_release(call);
  core_pack_close(pack);
  return status;
}

static void forget_cache(void) {
  char command[4200];
  snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", cache_path, cache_path);
  CHECK(system(command) == 0);
}

static int is_right(const float *y) {
  for (int i = 0; i < 6; i++)
    if (y[i] != 2 * (float)(i + 1) + 10.5f) return 0;
  return 1;
}

static void test_runs_and_cache(const core_problem *problem) {
  float y[6] = {0};
  kp_error error = {""};
  write_kernels(problem, "a program", "sum", IMAGE_F64);
  forget_cache();
  *binaries = 0;
  CHECK(use(problem, y, &error) == KP_OK && is_right(y));
  CHECK_SAYS(error, "");
  CHECK(*objects == 0 && *binaries == 0);
  memset(y, 0, sizeof y);
  CHECK(use(problem, y, &error) == KP_OK && is_right(y));
  CHECK(*objects == 0 && *binaries == 1);
}

static void test_every_call_fails_once(const core_problem *problem) {
  int failed = 0, succeeded = 0, all;
  *calls = 0;
  float y[6];
  CHECK(use(problem, y, NULL) == KP_OK);
  all = *calls;
  for (int cached = 0; cached < 2; cached++) {
    for (int at = 1; at <= all + 4; at++) {
      kp_error error = {""};
      if (!cached) forget_cache();
      memset(y, 0, sizeof y);
      *calls = 0, *fails_at = at;
      kp_status status = use(problem, y, &error);
      *fails_at = 0;
      CHECK(*objects == 0);
      if (status) {
        failed++;
      } else {
        succeeded++;
        CHECK(is_right(y));
      }
    }
  }
  /* What only describes the device or fills the cache is done without. */
  CHECK(failed > 20 && succeeded > 8);
  CHECK(use(problem, y, NULL) == KP_OK && is_right(y));
}

static void test_wrong_files(const core_problem *problem) {
  float y[6];
  kp_error error = {""};
  write_kernels(problem, "broken", "sum", 0);
  CHECK(use(problem, y, &error) == KP_LIBRARY_FAILED);
  CHECK_SAYS(error, "program 0 wasn't built for Fake (OpenCL 1.2) (OpenCL status -11): it is");
  write_kernels(problem, "a program", "nothing", 0);
  CHECK(use(problem, y, &error) == KP_LIBRARY_FAILED);
  CHECK_SAYS(error, "nothing: OpenCL status -46");
  write_kernels(problem, "a program", "sum", IMAGE_DOT);
  CHECK(use(problem, y, &error) == KP_UNAVAILABLE);
  CHECK_SAYS(error, "need cl_khr_integer_dot_product, which Fake hasn't");
  CHECK(*objects == 0);
}

static void test_refusals(const core_problem *problem) {
  core_pack *pack;
  core_problem *on_host = parse("\"device_type\":1 "), *other = NULL;
  char text[2048];
  write_kernels(problem, "a program", "sum", 0);
  CHECK(open_pack(&pack, NULL) == KP_OK);
  CHECK(core_pack_num_kernels(pack) == 1);
  core_answer *answer = core_query(pack, core_pack_kernel(pack, 0), problem);
  CHECK(answer->answer.code == KP_YES && answer->answer.may_overwrite == 3);
  core_answer_free(answer);
  answer = core_query(pack, core_pack_kernel(pack, 0), on_host);
  CHECK(answer->answer.code == KP_NO_DEVICE);
  core_answer_free(answer);
  CHECK(replace(problem_text, "\"device_type\":1", "\"device_type\":4", text, sizeof text));
  char changed[2048];
  CHECK(replace(text, "\"precision\":\"high\"", "\"precision\":\"highest\"", changed,
                sizeof changed));
  CHECK(core_problem_parse(changed, strlen(changed), &other, NULL) == KP_OK);
  answer = core_query(pack, core_pack_kernel(pack, 0), other);
  CHECK(answer->answer.code == KP_NO_LIBRARY);
  core_answer_free(answer);
  core_problem_free(other);
  core_problem_free(on_host);
  core_pack_close(pack);
}

/* The program that times kernels, in a process of its own. */
static void test_timing(const core_problem *problem, const char *program) {
  const char *right[] = {program, kernels_path, "--library", loader, NULL};
  write_kernels(problem, "a program", "sum", 0);
  CHECK(run_program(right) == 0);
  check_printed("{\"kernel\": \"opencl.add.map.f32\", \"signature\": \"03000000616464");
  check_printed("\"rounds\": 15, \"seconds\": ");
  write_kernels(problem, "broken", "sum", 0);
  CHECK(run_program(right) == 0);
  check_printed("program 0 wasn't built");
  check_printed("\"rounds\": 0, \"seconds\": null, \"spread\": 0}");
  const char *nothing[] = {program, "--library", loader, NULL};
  CHECK(run_program(nothing) == 2);
  check_printed("usage: opencl_time");
  const char *nowhere[] = {program, "/nowhere", NULL};
  CHECK(run_program(nowhere) == 1);
  check_printed("/nowhere: No such file");
}

static int *counter(void *handle, const char *name) {
  int *found = dlsym(handle, name);
  if (!found) exit(3);
  return found;
}

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  library = argv[1], loader = argv[2];
  snprintf(kernels_path, sizeof kernels_path, "%s/test_opencl.kernels", argv[3]);
  snprintf(cache_path, sizeof cache_path, "%s/test_opencl.cache", argv[3]);
  void *handle = dlopen(loader, RTLD_NOW);
  if (!handle) return 3;
  objects = counter(handle, "fake_objects");
  calls = counter(handle, "fake_calls");
  fails_at = counter(handle, "fake_fails_at");
  binaries = counter(handle, "fake_binaries");
  core_problem *problem = parse("\"device_type\":4");
  test_runs_and_cache(problem);
  test_every_call_fails_once(problem);
  test_wrong_files(problem);
  test_refusals(problem);
  test_timing(problem, argv[4]);
  core_problem_free(problem);
  forget_cache();
  remove(kernels_path);
  rmdir(cache_path);
  return check_result();
}
