/* Arguments: the fake device's library, the fake pack's on the host. */
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "check.h"
#include "model.h"
#include "replay.h"

static const char *library, *host_library;
static char device_plan[8192];

static const float w1 = 0.5f, w2 = 3.0f;
static const replay_constant constants[] = {{"w1", &w1, 4}, {"w2", &w2, 4}};

/* The model's plan with all its problems on a device. */
static void make_plan(void) {
  static char other[sizeof device_plan];
  strcpy(device_plan, model_plan);
  while (replace(device_plan, "\"device_type\":1", "\"device_type\":4", other, sizeof other))
    strcpy(device_plan, other);
}

static replay_packs *open_packs(const char *path, const char *option, const char *value) {
  replay_packs *packs;
  replay_error error = {""};
  const replay_option given = {option, value};
  CHECK(!replay_packs_new(&packs, &error));
  CHECK(!replay_packs_add(packs, path, &given, option != NULL, &error));
  CHECK_SAYS(error, "");
  return packs;
}

static replay_status create(replay_packs *packs, const char *plan, replay **model,
                            replay_error *error) {
  return replay_create_from_memory(plan, strlen(plan), constants, 2, replay_packs_list(packs),
                                   replay_packs_count(packs), NULL, model, error);
}

static int is_right(const float *x, const float *y, const float *z) {
  for (int i = 0; i < 6; i++)
    if (y[i] != model_y(x[i], w1) || z[i] != y[i] * w2) return 0;
  return 1;
}

static int runs_right(replay *model, float first) {
  float x[6], *y, *z;
  const void *inputs[] = {x};
  void *outputs[] = {NULL, NULL};
  for (int i = 0; i < 6; i++) x[i] = first + (float)i;
  if (replay_run(model, inputs, outputs, NULL)) return 0;
  y = outputs[0], z = outputs[1];
  int right = is_right(x, y, z);
  replay_memory_free(y);
  replay_memory_free(z);
  return right;
}

static void test_runs(void) {
  replay_packs *packs = open_packs(library, NULL, NULL);
  replay *model;
  replay_error error = {""};
  double seconds[5] = {-1, -1, -1, -1, -1};
  float x[6] = {1, 2, 3, 4, 5, 6}, y[6], z[6];
  const void *inputs[] = {x};
  void *outputs[] = {y, z};
  CHECK(create(packs, device_plan, &model, &error) == REPLAY_OK);
  CHECK_SAYS(error, "");
  CHECK(runs_right(model, 1) && runs_right(model, 100));
  CHECK(replay_run_timed(model, inputs, outputs, seconds, &error) == REPLAY_OK);
  CHECK(is_right(x, y, z));
  for (int i = 0; i < 5; i++) CHECK(seconds[i] >= 0);
  CHECK(replay_memory(model).packed_bytes == 16);
  CHECK(replay_queue(model) != NULL);
  CHECK(!replay_reads_constant(model, "w1") && !replay_reads_constant(model, "w2"));
  inputs[0] = NULL;
  CHECK(replay_run(model, inputs, outputs, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "input \"x\" is NULL");
  replay_free(model);
  replay_packs_close(packs);
}

static void test_reads_before_it_writes(void) {
  replay_packs *packs = open_packs(library, NULL, NULL);
  static char plan[sizeof device_plan];
  replay *model;
  replay_error error = {""};
  const float x[6] = {1, 2, 3, 4, 5, 6};
  float y[6], z[6];
  const void *inputs[] = {x};
  void *outputs[] = {y, z};
  CHECK(replace(device_plan, "\"inputs\":[0,0]", "\"inputs\":[2,2]", plan, sizeof plan));
  CHECK(create(packs, plan, &model, &error) == REPLAY_OK);
  CHECK(replay_run(model, inputs, outputs, &error) == REPLAY_OK);
  for (int i = 0; i < 6; i++) CHECK(y[i] == 0 && z[i] == 0);
  replay_free(model);
  replay_packs_close(packs);
}

static void test_bound(void) {
  replay_packs *packs = open_packs(library, NULL, NULL);
  const kp_memory *memory = core_pack_memory(replay_packs_list(packs)[0]);
  kp_pack *pack = core_pack_handle(replay_packs_list(packs)[0]);
  float *(*data)(kp_pack *, void *);
  *(void **)&data = dlsym(dlopen(library, RTLD_NOW | RTLD_NOLOAD), "fake_device_data");
  const DLDevice device = {kDLOpenCL, 0};
  replay *model;
  replay_bound *mine, *own;
  replay_error error = {""};
  void *handles[3], *queue;
  CHECK(create(packs, device_plan, &model, &error) == REPLAY_OK);
  for (int i = 0; i < 3; i++) CHECK(!memory->allocate(pack, device, 24, &handles[i], NULL));
  CHECK(!memory->open_queue(pack, device, &queue, NULL));
  const void *inputs[] = {handles[0]};
  CHECK(replay_bind(model, queue, inputs, handles + 1, &mine, &error) == REPLAY_OK);
  CHECK(replay_bind(model, NULL, inputs, handles + 1, &own, &error) == REPLAY_OK);
  float *x = data(pack, handles[0]), *y = data(pack, handles[1]), *z = data(pack, handles[2]);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 6; i++) x[i] = (float)(round + i);
    y[0] = -1;
    CHECK(replay_bound_run(mine, &error) == REPLAY_OK);
    CHECK(y[0] == -1); /* not yet */
    CHECK(replay_bound_wait(mine, &error) == REPLAY_OK);
    CHECK(is_right(x, y, z));
  }
  x[5] = 77;
  CHECK(replay_bound_run(own, &error) == REPLAY_OK && replay_bound_wait(own, &error) == REPLAY_OK);
  CHECK(is_right(x, y, z));
  CHECK(runs_right(model, 5));
  replay_bound_run(mine, &error); /* is waited for when it goes */
  replay_bound_free(mine);
  replay_bound_free(own);
  inputs[0] = NULL;
  CHECK(replay_bind(model, queue, inputs, handles + 1, &mine, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "input \"x\" is NULL");
  CHECK(mine == NULL);
  replay_free(model);
  memory->close_queue(pack, queue);
  for (int i = 0; i < 3; i++) memory->free(pack, device, handles[i]);
  replay_packs_close(packs);
}

static void test_bound_on_the_host(void) {
  replay_packs *packs = open_packs(host_library, NULL, NULL);
  replay *model;
  replay_bound *bound;
  replay_error error = {""};
  float x[6] = {1, 2, 3, 4, 5, 6}, y[6], z[6];
  const void *inputs[] = {x};
  void *outputs[] = {y, z};
  CHECK(create(packs, model_plan, &model, &error) == REPLAY_OK);
  CHECK(replay_queue(model) == NULL);
  CHECK(replay_bind(model, NULL, inputs, outputs, &bound, &error) == REPLAY_OK);
  CHECK(replay_bound_run(bound, &error) == REPLAY_OK && is_right(x, y, z));
  x[0] = 9;
  CHECK(replay_bound_run(bound, &error) == REPLAY_OK && is_right(x, y, z));
  CHECK(replay_bound_wait(bound, &error) == REPLAY_OK);
  replay_bound_free(bound);
  CHECK(replay_bind(model, x, inputs, outputs, &bound, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "no queue");
  outputs[1] = NULL;
  CHECK(replay_bind(model, NULL, inputs, outputs, &bound, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "output \"z\" is NULL");
  replay_free(model);
  replay_packs_close(packs);
}

/* Whatever the memory runs out in, nothing is left over: the fake device would say so. */
static void test_out_of_memory(void) {
  int failed = 0, made = 0;
  for (int room = 0; room <= 256; room += 8) {
    char value[16];
    replay *model;
    replay_error error = {""};
    snprintf(value, sizeof value, "%d", room);
    replay_packs *packs = open_packs(library, "room", value);
    replay_status status = create(packs, device_plan, &model, &error);
    if (status) {
      CHECK(status == REPLAY_OUT_OF_MEMORY);
      CHECK_SAYS(error, "the fake device is full");
      failed++;
    } else {
      CHECK(runs_right(model, 1));
      replay_free(model);
      made++;
    }
    replay_packs_close(packs);
  }
  CHECK(failed > 10 && made > 0);
}

static void test_failures(void) {
  replay_packs *packs = open_packs(library, "fails", "1");
  replay *model;
  replay_error error = {""};
  CHECK(create(packs, device_plan, &model, &error) == REPLAY_LIBRARY_FAILED);
  CHECK_SAYS(error, "the fake device was lost");
  CHECK(create(packs, device_plan, &model, &error) == REPLAY_OK); /* the next time works */
  CHECK(runs_right(model, 1));
  replay_free(model);
  replay_packs_close(packs);
}

static void test_wrong_places(void) {
  replay_packs *device = open_packs(library, NULL, NULL);
  replay_packs *host = open_packs(host_library, NULL, NULL);
  static char plan[sizeof device_plan];
  replay *model;
  replay_error error = {""};
  CHECK(create(host, device_plan, &model, &error) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "pack fake has none");
  CHECK(create(device, model_plan, &model, &error) == REPLAY_UNAVAILABLE);
  CHECK_SAYS(error, "device must be opencl");
  CHECK(replace(device_plan, "\"device_type\":4", "\"device_type\":1", plan, sizeof plan));
  CHECK(create(device, plan, &model, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "isn't the others'");
  CHECK(replace(device_plan, "\"offset\":64", "\"offset\":32", plan, sizeof plan));
  CHECK(create(device, plan, &model, &error) == REPLAY_INVALID_ARGUMENT);
  CHECK_SAYS(error, "multiple of 64 bytes");
  replay_packs_close(device);
  replay_packs_close(host);
}

static void test_fork(void) {
  replay_packs *packs = open_packs(library, NULL, NULL);
  replay *model;
  replay_error error = {""};
  CHECK(create(packs, device_plan, &model, &error) == REPLAY_OK);
  CHECK(runs_right(model, 1));
  pid_t child = fork();
  if (!child) {
    float x[6] = {0};
    const void *inputs[] = {x};
    void *outputs[] = {NULL, NULL};
    CHECK(replay_run(model, inputs, outputs, &error) == REPLAY_UNAVAILABLE);
    CHECK_SAYS(error, "forked");
    CHECK(!outputs[0] && !outputs[1]);
    replay_free(model);
    _exit(check_result());
  }
  int state = -1;
  waitpid(child, &state, 0);
  CHECK(WIFEXITED(state) && WEXITSTATUS(state) == 0);
  replay_free(model);
  replay_packs_close(packs);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  library = argv[1], host_library = argv[2];
  make_plan();
  test_runs();
  test_reads_before_it_writes();
  test_bound();
  test_bound_on_the_host();
  test_out_of_memory();
  test_failures();
  test_wrong_places();
  test_fork();
  return check_result();
}
