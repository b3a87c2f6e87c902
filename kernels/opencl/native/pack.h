/* pack.h: an opened pack, which serves one device with the kernels of one file. */
#ifndef KERNELS_OPENCL_PACK_H
#define KERNELS_OPENCL_PACK_H

#include <pthread.h>
#include <sys/types.h>

#include "image.h"
#include "opencl.h"

/* The entries of one kernel: kp_kernel.context. */
typedef struct kernel_entries {
  const image_entry *entries;
  uint32_t count;
} kernel_entries;

struct kp_pack {
  opencl_functions cl;
  image image;
  pid_t process; /* a child that was forked from it leaves all to its parent */
  cl_device_id device;
  cl_context context;
  char *description;        /* of the device */
  char *cache;              /* a folder for built programs, or NULL */
  pthread_mutex_t building; /* held while `programs` is changed */
  cl_program *programs;     /* of the image's; NULL until they are needed */
  kernel_entries *entries;
  kp_kernel *kernels;
  const kp_kernel **list;
  size_t num_kernels;
};

/* device.c: opens number `number` of all devices, GPUs before CPUs, and holds it to what the image
 * needs. */
kp_status device_open(kp_pack *pack, uint32_t number, kp_error *error);

/* program.c: built at the first time, from the cache where it has it. */
kp_status program_get(kp_pack *pack, uint32_t index, cl_program *program, kp_error *error);
/* cache.c */
cl_program cache_load(const kp_pack *pack, const image_program *source, const char *options);
void cache_store(const kp_pack *pack, const image_program *source, const char *options,
                 cl_program program);

/* kernel.c */
void kernel_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer);
kp_status kernel_prepare_entry(kp_pack *pack, const image_entry *entry, kp_prepared **prepared,
                               kp_error *error);
kp_status kernel_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error);
kp_status kernel_run(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);
void kernel_release(kp_prepared *prepared);

extern const kp_memory opencl_memory; /* memory.c */

/* pack.c: the table's slots. */
kp_status opencl_open(const kp_option *options, size_t num_options, kp_pack **pack,
                      kp_error *error);
void opencl_close(kp_pack *pack);

#endif
