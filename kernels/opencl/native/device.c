#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "fail.h"
#include "pack.h"

static kp_status find_device(const kp_pack *pack, uint32_t number, cl_device_id *device,
                             kp_error *error) {
  cl_device_id devices[MAX_DEVICES];
  uint32_t count = device_list(&pack->cl, devices);
  if (!count)
    return fail(error, KP_UNAVAILABLE,
                "no OpenCL device is here: install its driver (an ICD), and see clinfo");
  if (number >= count)
    return fail(error, KP_INVALID_ARGUMENT, "option device: expected one of %u devices, got %u",
                count, number);
  *device = devices[number];
  return KP_OK;
}

/* ---- What the kernels need ----------------------------------------------------- */

static kp_status check_needs(const kp_pack *pack, const char *name, const char *extensions,
                             kp_error *error) {
  static const struct {
    uint32_t bit;
    const char *extension;
  } needs[] = {
      {IMAGE_F64, "cl_khr_fp64"},
      {IMAGE_DOT, "cl_khr_integer_dot_product"},
      {IMAGE_SHUFFLE, "cl_khr_subgroup_shuffle"},
  };
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
    if (pack->image.needs & needs[i].bit && !strstr(extensions, needs[i].extension))
      return fail(error, KP_UNAVAILABLE,
                  "the kernels, planned for %.100s, need %s, which %.100s hasn't",
                  pack->image.device, needs[i].extension, name);
  uint64_t items =
      device_number(&pack->cl, pack->device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
  uint64_t alignment =
      device_number(&pack->cl, pack->device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint)) / 8;
  if (items < pack->image.max_items)
    return fail(error, KP_UNAVAILABLE,
                "the kernels, planned for %.100s, have groups of %u work-items, %.100s has at most "
                "%llu",
                pack->image.device, pack->image.max_items, name, (unsigned long long)items);
  if (alignment > pack->image.alignment)
    return fail(error, KP_UNAVAILABLE,
                "plans for %.100s have tensors at multiples of %u bytes, %.100s wants %llu",
                pack->image.device, pack->image.alignment, name, (unsigned long long)alignment);
  return KP_OK;
}

kp_status device_open(kp_pack *pack, uint32_t number, kp_error *error) {
  kp_status status = find_device(pack, number, &pack->device, error);
  if (status) return status;
  char *name = device_text(&pack->cl, pack->device, CL_DEVICE_NAME);
  char *version = device_text(&pack->cl, pack->device, CL_DEVICE_VERSION);
  char *extensions = device_text(&pack->cl, pack->device, CL_DEVICE_EXTENSIONS);
  if (!name || !version || !extensions) {
    status = fail_out_of_memory(error);
  } else {
    size_t room = strlen(name) + strlen(version) + 4;
    pack->description = malloc(room);
    if (pack->description) snprintf(pack->description, room, "%s (%s)", name, version);
    status =
        pack->description ? check_needs(pack, name, extensions, error) : fail_out_of_memory(error);
  }
  free(name);
  free(version);
  free(extensions);
  if (status) return status;
  cl_int created;
  pack->context = pack->cl.CreateContext(NULL, 1, &pack->device, NULL, NULL, &created);
  return opencl_check(created, "a context", error);
}
