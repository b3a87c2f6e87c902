/* Arguments: the fake pack's library, then its broken ones in the order of `broken`. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

#include "check.h"
#include "core.h"

static const struct {
  kp_status status;
  const char *says;
} broken[] = {
    {KP_WRONG_VERSION, "serves contract version 99, version 1 is asked for"},
    {KP_INVALID_ARGUMENT, "got \"other.add.plain.f32\""},
    {KP_INVALID_ARGUMENT, "got \"fake.add.f32\""},
    {KP_INVALID_ARGUMENT, "got \"fake.Add.plain.f32\""},
    {KP_INVALID_ARGUMENT, "fake.mul.scratch.f32 is registered twice: at fake_pack.c:1"},
    {KP_INVALID_ARGUMENT, "fake.add.plain.f32 has no run"},
};

static void test_whole(const char *path) {
  core_pack *pack;
  kp_error error;
  CHECK(core_pack_open(path, NULL, 0, &pack, &error) == KP_OK);
  CHECK(!strcmp(core_pack_name(pack), "fake") && !strcmp(core_pack_version(pack), "2.0"));
  CHECK(!strcmp(core_pack_library_version(pack), "fake library 1.0"));
  CHECK(core_pack_num_kernels(pack) == 7 && core_pack_memory(pack) == NULL);
  const kp_kernel *kernel = core_pack_find(pack, "fake.scale.packed.f32");
  CHECK(kernel == core_pack_kernel(pack, 2) && !core_pack_find(pack, "fake.scale"));
  CHECK(core_pack_kernel(pack, 7) == NULL);
  core_pack *again;
  CHECK(core_pack_open(path, NULL, 0, &again, &error) == KP_OK);
  core_pack_close(again);
  core_pack_close(pack);
}

static void test_options(const char *path) {
  const kp_option option = {"library", "/nowhere"};
  core_pack *pack;
  kp_error error;
  CHECK(core_pack_open(path, &option, 1, &pack, &error) == KP_UNAVAILABLE && !pack);
  CHECK_SAYS(error, "isn't at /nowhere");
}

static void test_foreign(void) {
  core_pack *pack;
  kp_error error;
  CHECK(core_pack_open("/nowhere.so", NULL, 0, &pack, &error) == KP_UNAVAILABLE);
  CHECK_SAYS(error, "/nowhere.so");
  CHECK(core_pack_open("libm.so.6", NULL, 0, &pack, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "no kernel pack");
}

/* Of a memory that lacks something nothing is called. */
static void test_memory(const char *path) {
  void *library = dlopen(path, RTLD_NOW);
  kp_entry entry;
  *(void **)&entry = dlsym(library, KP_ENTRY);
  kp_pack_table table = *entry(KP_CONTRACT_VERSION);
  kp_memory memory = {.struct_size = sizeof memory};
  core_pack *pack;
  kp_error error;
  table.memory = &memory;
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_INVALID_ARGUMENT && !pack);
  CHECK_SAYS(error, "pack \"fake\": its memory has no allocate");
  memory.struct_size = offsetof(kp_memory, open_queue);
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_INVALID_ARGUMENT && !pack);
  CHECK_SAYS(error, "its memory has");
  table.struct_size = offsetof(kp_pack_table, memory); /* of before there was one */
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_OK);
  CHECK(core_pack_memory(pack) == NULL);
  core_pack_close(pack);
  dlclose(library);
}

static void test_tables(void) {
  core_pack *pack;
  kp_error error;
  kp_pack_table table = {.struct_size = sizeof table, .contract_version = 7, .name = "x"};
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_WRONG_VERSION);
  CHECK_SAYS(error, "version 7");
  table.contract_version = KP_CONTRACT_VERSION;
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "has no open");
  table.name = "a.b";
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "got \"a.b\"");
  table.struct_size = 8;
  CHECK(core_pack_open_table(&table, NULL, 0, &pack, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "has 8 bytes");
}

int main(int argc, char **argv) {
  CHECK(argc == 2 + (int)(sizeof broken / sizeof broken[0]));
  test_whole(argv[1]);
  test_options(argv[1]);
  test_memory(argv[1]);
  test_foreign();
  test_tables();
  for (int i = 2; i < argc; i++) {
    core_pack *pack;
    kp_error error = {""};
    CHECK(core_pack_open(argv[i], NULL, 0, &pack, &error) == broken[i - 2].status);
    CHECK(!pack);
    CHECK_SAYS(error, broken[i - 2].says);
  }
  return check_result();
}
