/* devices.h: the devices of a machine, in the order in which the project numbers them. */
#ifndef KERNELS_OPENCL_DEVICES_H
#define KERNELS_OPENCL_DEVICES_H

#include "opencl.h"

enum { MAX_DEVICES = 64 };

/* GPUs and other accelerators before CPUs. Returns how many. */
uint32_t device_list(const opencl_functions *cl, cl_device_id devices[MAX_DEVICES]);
/* A property that is a text, to be freed; NULL when memory ran out. */
char *device_text(const opencl_functions *cl, cl_device_id device, cl_uint property);
/* A property that is a number of `size` bytes. */
uint64_t device_number(const opencl_functions *cl, cl_device_id device, cl_uint property,
                       size_t size);

#endif
