/* Argument: a folder to write to. Files of OpenCL kernels, written and damaged. */
#include <stdlib.h>

#include "check.h"
#include "image.h"
#include "image_writer.h"
#include "model.h"

static char path[4096];

/* Two kernels: one with a launch that reads a table, and one with nothing to do. */
static void make_written(void) {
  const double cost = 1e-6;
  const uint64_t sizes[] = {256, 1}; /* scratch, what may be overwritten */
  put("KPOPENCL", 8);
  put_numbers((const uint32_t[]){IMAGE_VERSION, IMAGE_DOT, 64, 128}, 4);
  put_string("a device");
  put_numbers((const uint32_t[]){1}, 1);
  put_string("-w");
  put_string("kernel void f() {}");
  put_numbers((const uint32_t[]){1}, 1);
  put_bytes("table", 5);
  put_numbers((const uint32_t[]){2}, 1);
  for (int i = 0; i < 2; i++) {
    put_string(i ? "opencl.relu.map.f32" : "opencl.add.map.f32");
    put_bytes("signature", 9);
    put(&cost, sizeof cost);
    put(sizes, sizeof sizes);
    put_numbers((const uint32_t[]){2}, 1);
    put((const uint64_t[]){24, 24}, 16);
    put_numbers((const uint32_t[]){1, 0}, 2);
    put_numbers((const uint32_t[]){!i}, 1);
    if (i) continue;
    put_numbers((const uint32_t[]){0}, 1);
    put_string("f");
    put_numbers((const uint32_t[]){4, 0, 1, (uint32_t)IMAGE_SCRATCH, (uint32_t)-2}, 5);
    put_bytes("\1\2\3\4", 4);
    put_numbers((const uint32_t[]){2, 3, 8, 1, 4}, 5);
  }
}

static kp_status read_file(const uint8_t *data, size_t size, image *result, kp_error *error) {
  CHECK(write_bytes(path, data, size));
  return image_read(path, result, error);
}

static void test_written(void) {
  image i;
  kp_error error = {""};
  CHECK(read_file(written, used, &i, &error) == KP_OK);
  CHECK_SAYS(error, "");
  CHECK(i.needs == IMAGE_DOT && i.max_items == 64 && i.alignment == 128);
  CHECK(!strcmp(i.device, "a device") && i.num_programs == 1 && i.num_entries == 2);
  CHECK(!strcmp(i.programs[0].text, "kernel void f() {}") && i.tables[0].size == 5);
  const image_entry *entry = &i.entries[0];
  CHECK(entry->scratch_bytes == 256 && entry->may_overwrite == 1 && entry->num_launches == 1);
  const image_launch *launch = entry->launches;
  CHECK(launch->num_arguments == 4 && launch->arguments[2] == -1 && launch->arguments[3] == -2);
  CHECK(launch->axes == 2 && launch->global[0] == 24 && launch->local[1] == 4);
  CHECK(i.entries[1].num_launches == 0);
  image_free(&i);
}

static void test_cut(void) {
  for (size_t size = 0; size < used; size++) {
    image i;
    kp_error error = {""};
    CHECK(read_file(written, size, &i, &error) == KP_INVALID_ARGUMENT);
    CHECK(error.message[0]);
  }
}

/* Whatever its bytes are, reading one is in order or is refused; sanitizers watch. */
static void test_changed(void) {
  uint8_t other[sizeof written];
  int read = 0, refused = 0;
  srand(20261128);
  for (int round = 0; round < 2000; round++) {
    image i;
    memcpy(other, written, used);
    for (int changes = rand() % 3; changes >= 0; changes--)
      other[8 + rand() % (int)(used - 8)] = (uint8_t)(rand() % 4 ? rand() : 0xFF * (rand() % 2));
    if (read_file(other, used, &i, NULL)) {
      refused++;
      continue;
    }
    read++;
    for (uint32_t e = 0; e < i.num_entries; e++)
      for (uint32_t l = 0; l < i.entries[e].num_launches; l++) {
        const image_launch *launch = &i.entries[e].launches[l];
        CHECK(launch->program < i.num_programs && launch->axes <= IMAGE_MAX_AXES);
        for (uint32_t a = 0; a < launch->num_arguments; a++)
          CHECK(launch->arguments[a] >= -1 - (int64_t)i.entries[e].num_tables &&
                launch->arguments[a] < (int64_t)i.entries[e].num_buffers);
        CHECK(launch->parameters.size <= used && strlen(launch->function) < used);
      }
    image_free(&i);
  }
  CHECK(read > 20 && refused > 20);
}

static void test_other_files(void) {
  image i;
  kp_error error = {""};
  CHECK(image_read("/nowhere/at.all", &i, &error) == KP_UNAVAILABLE);
  CHECK_SAYS(error, "/nowhere/at.all: No such file");
  CHECK(read_file((const uint8_t *)"something else", 14, &i, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "no file of OpenCL kernels");
  written[8] = 9;
  CHECK(read_file(written, used, &i, &error) == KP_WRONG_VERSION);
  CHECK_SAYS(error, "version 9, version 1");
  written[8] = IMAGE_VERSION;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  snprintf(path, sizeof path, "%s/test_image.kernels", argv[1]);
  make_written();
  test_written();
  test_cut();
  test_changed();
  test_other_files();
  remove(path);
  return check_result();
}
