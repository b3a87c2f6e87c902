#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "pack.h"
#include "signature.h"

struct kp_prepared {
  kp_pack *pack;
  const image_entry *entry;
  cl_mem *tables;
  cl_kernel *kernels;      /* one a launch: its arguments stay set */
  pthread_mutex_t setting; /* held while buffers are set and kernels enqueued */
};

/* ---- Asking -------------------------------------------------------------------- */

static const image_entry *find_entry(const kp_kernel *kernel, const signature *s) {
  const kernel_entries *known = kernel->context;
  for (uint32_t i = 0; i < known->count; i++) {
    image_bytes other = known->entries[i].signature;
    if (other.size == s->size && !memcmp(other.data, s->data, s->size)) return &known->entries[i];
  }
  return NULL;
}

void kernel_query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  (void)pack;
  if (problem->device.device_type != kDLOpenCL) {
    kp_refuse(answer, KP_NO_DEVICE, "device", "opencl");
    return;
  }
  signature s;
  signature_make(problem, &s);
  const image_entry *entry = s.failed ? NULL : find_entry(kernel, &s);
  if (s.failed) {
    kp_refuse(answer, KP_NO_MEMORY, "memory", "enough for the question");
  } else if (!entry) {
    kp_refuse(answer, KP_NO_LIBRARY, "the problem", "one that the file of kernels was made for");
  } else {
    answer->code = KP_YES;
    answer->cost = entry->cost;
    answer->scratch_bytes = entry->scratch_bytes;
    answer->may_overwrite = entry->may_overwrite;
  }
  signature_free(&s);
}

/* ---- Preparing ----------------------------------------------------------------- */

static kp_status make_tables(kp_prepared *p, kp_error *error) {
  const image *i = &p->pack->image;
  for (uint32_t j = 0; j < p->entry->num_tables; j++) {
    image_bytes table = i->tables[p->entry->tables[j]];
    cl_int status;
    p->tables[j] =
        p->pack->cl.CreateBuffer(p->pack->context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR,
                                 table.size, (void *)table.data, &status);
    if (status) return opencl_check(status, "a table", error);
  }
  return KP_OK;
}

/* All but the buffers, which run() sets. */
static kp_status make_kernel(kp_prepared *p, uint32_t index, kp_error *error) {
  const image_launch *launch = &p->entry->launches[index];
  const opencl_functions *cl = &p->pack->cl;
  cl_program program;
  kp_status got = program_get(p->pack, launch->program, &program, error);
  if (got) return got;
  cl_int status;
  cl_kernel kernel = p->kernels[index] = cl->CreateKernel(program, launch->function, &status);
  if (status) return opencl_check(status, launch->function, error);
  uint32_t position = 0;
  for (; !status && position < launch->num_arguments; position++) {
    int32_t argument = launch->arguments[position];
    if (argument < IMAGE_SCRATCH)
      status = cl->SetKernelArg(kernel, position, sizeof(cl_mem), &p->tables[-2 - argument]);
  }
  if (!status)
    status = cl->SetKernelArg(kernel, position, launch->parameters.size, launch->parameters.data);
  return opencl_check(status, launch->function, error);
}

kp_status kernel_prepare_entry(kp_pack *pack, const image_entry *entry, kp_prepared **prepared,
                               kp_error *error) {
  kp_prepared *p = calloc(1, sizeof *p);
  if (!p) return fail_out_of_memory(error);
  pthread_mutex_init(&p->setting, NULL);
  p->pack = pack;
  p->entry = entry;
  p->tables = calloc(entry->num_tables + 1u, sizeof *p->tables);
  p->kernels = calloc(entry->num_launches + 1u, sizeof *p->kernels);
  kp_status status = p->tables && p->kernels ? make_tables(p, error) : fail_out_of_memory(error);
  for (uint32_t i = 0; !status && i < entry->num_launches; i++) status = make_kernel(p, i, error);
  if (status)
    kernel_release(p);
  else
    *prepared = p;
  return status;
}

kp_status kernel_prepare(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                         const void *const *constants, kp_prepared **prepared, kp_error *error) {
  (void)constants;
  signature s;
  signature_make(problem, &s);
  const image_entry *entry = s.failed ? NULL : find_entry(kernel, &s);
  signature_free(&s);
  if (!entry || entry->num_buffers != problem->num_inputs + problem->num_outputs)
    return fail(error, KP_INVALID_ARGUMENT, "%s: the file of kernels has no such problem",
                kernel->name);
  return kernel_prepare_entry(pack, entry, prepared, error);
}

void kernel_release(kp_prepared *p) {
  const opencl_functions *cl = &p->pack->cl;
  int is_ours = p->pack->process == getpid();
  for (uint32_t i = 0; is_ours && p->kernels && i < p->entry->num_launches; i++)
    if (p->kernels[i]) cl->ReleaseKernel(p->kernels[i]);
  for (uint32_t i = 0; is_ours && p->tables && i < p->entry->num_tables; i++)
    if (p->tables[i]) cl->ReleaseMemObject(p->tables[i]);
  pthread_mutex_destroy(&p->setting);
  free(p->kernels);
  free(p->tables);
  free(p);
}

/* ---- Running ------------------------------------------------------------------- */

static cl_int enqueue(const kp_prepared *p, uint32_t index, void *const *buffers, void *scratch,
                      cl_command_queue queue) {
  const image_launch *launch = &p->entry->launches[index];
  const opencl_functions *cl = &p->pack->cl;
  for (uint32_t position = 0; position < launch->num_arguments; position++) {
    int32_t argument = launch->arguments[position];
    if (argument < IMAGE_SCRATCH) continue;
    cl_mem buffer = argument == IMAGE_SCRATCH ? scratch : buffers[argument];
    cl_int status = cl->SetKernelArg(p->kernels[index], position, sizeof buffer, &buffer);
    if (status) return status;
  }
  return cl->EnqueueNDRangeKernel(queue, p->kernels[index], launch->axes, NULL, launch->global,
                                  launch->local, 0, NULL, NULL);
}

kp_status kernel_run(const kp_prepared *prepared, void *const *buffers, void *scratch,
                     void *queue) {
  kp_prepared *p = (kp_prepared *)prepared;
  cl_int status = CL_SUCCESS;
  pthread_mutex_lock(&p->setting);
  for (uint32_t i = 0; !status && i < p->entry->num_launches; i++)
    status = enqueue(p, i, buffers, scratch, queue);
  pthread_mutex_unlock(&p->setting);
  return opencl_check(status, "", NULL);
}
