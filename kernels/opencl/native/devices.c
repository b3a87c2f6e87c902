#include "devices.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 32 };

char *device_text(const opencl_functions *cl, cl_device_id device, cl_uint property) {
  size_t size = 0;
  if (cl->GetDeviceInfo(device, property, 0, NULL, &size)) size = 0;
  char *text = calloc(size + 1, 1);
  if (text && size && cl->GetDeviceInfo(device, property, size, text, NULL)) *text = 0;
  return text;
}

uint64_t device_number(const opencl_functions *cl, cl_device_id device, cl_uint property,
                       size_t size) {
  uint64_t number = 0; /* of little-endian hosts, as all that are served */
  return cl->GetDeviceInfo(device, property, size, &number, NULL) ? 0 : number;
}

static int is_cpu(const opencl_functions *cl, cl_device_id device) {
  return (device_number(cl, device, CL_DEVICE_TYPE, sizeof(cl_bitfield)) & CL_DEVICE_TYPE_CPU) != 0;
}

static uint32_t find_all(const opencl_functions *cl, cl_device_id *devices) {
  cl_platform_id platforms[MAX_PLATFORMS];
  cl_uint num_platforms = 0;
  uint32_t count = 0;
  if (cl->GetPlatformIDs(MAX_PLATFORMS, platforms, &num_platforms)) return 0;
  for (cl_uint i = 0; i < num_platforms && i < MAX_PLATFORMS && count < MAX_DEVICES; i++) {
    cl_uint found = 0, room = MAX_DEVICES - count;
    if (cl->GetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, room, devices + count, &found)) continue;
    count += found < room ? found : room;
  }
  return count;
}

uint32_t device_list(const opencl_functions *cl, cl_device_id devices[MAX_DEVICES]) {
  cl_device_id found[MAX_DEVICES];
  uint32_t count = find_all(cl, found), next = 0;
  for (int cpus = 0; cpus < 2; cpus++)
    for (uint32_t i = 0; i < count; i++)
      if (is_cpu(cl, found[i]) == cpus) devices[next++] = found[i];
  return count;
}
