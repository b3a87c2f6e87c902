/*
 * opencl_devices: prints the OpenCL devices of a machine as JSON, by which plans are made for them
 * elsewhere (the environment variable DISPATCH_OPENCL_DEVICES names the file there).
 *
 *   opencl_devices [LIBRARY] > devices.json
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices.h"

/* ASCII as it is, whatever else as a question mark: names and extensions have no more. */
static void print_text(const char *key, const char *text) {
  printf("\"%s\": \"", key);
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    putchar(*text >= ' ' && *text <= '~' ? *text : '?');
  }
  printf("\", ");
}

static int print_texts(const opencl_functions *cl, cl_device_id device) {
  static const struct {
    const char *key;
    cl_uint property;
  } texts[] = {
      {"name", CL_DEVICE_NAME},
      {"version", CL_DEVICE_VERSION},
      {"extensions", CL_DEVICE_EXTENSIONS},
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    char *text = device_text(cl, device, texts[i].property);
    if (!text) return 0;
    print_text(texts[i].key, text);
    free(text);
  }
  return 1;
}

static void print_numbers(const opencl_functions *cl, cl_device_id device) {
  static const struct {
    const char *key;
    cl_uint property;
    size_t size;
  } numbers[] = {
      {"type", CL_DEVICE_TYPE, sizeof(cl_bitfield)},
      {"native_vector_width_float", CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof(cl_uint)},
      {"max_compute_units", CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint)},
      {"max_work_group_size", CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t)},
      {"local_mem_size", CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_bitfield)},
      {"mem_base_addr_align", CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint)},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    printf("%s\"%s\": %" PRIu64, i ? ", " : "", numbers[i].key,
           device_number(cl, device, numbers[i].property, numbers[i].size));
}

int main(int argc, char **argv) {
  opencl_functions cl;
  kp_error error = {""};
  if (argc > 2) {
    fputs("usage: opencl_devices [LIBRARY]\n", stderr);
    return 2;
  }
  if (opencl_load(argc > 1 ? argv[1] : NULL, &cl, &error)) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  cl_device_id devices[MAX_DEVICES];
  uint32_t count = device_list(&cl, devices);
  printf("[");
  for (uint32_t i = 0; i < count; i++) {
    printf("%s\n {", i ? "," : "");
    if (!print_texts(&cl, devices[i])) return 1;
    print_numbers(&cl, devices[i]);
    printf("}");
  }
  printf("\n]\n");
  return 0;
}
