/* memory.c: handles are cl_mem, queues cl_command_queue. */
#include "pack.h"

static kp_status allocate(kp_pack *pack, DLDevice device, uint64_t bytes, void **handle,
                          kp_error *error) {
  (void)device;
  cl_int status;
  *handle =
      pack->cl.CreateBuffer(pack->context, CL_MEM_READ_WRITE, bytes ? bytes : 1, NULL, &status);
  return opencl_check(status, "a buffer", error);
}

static void free_buffer(kp_pack *pack, DLDevice device, void *handle) {
  (void)device;
  pack->cl.ReleaseMemObject(handle);
}

static kp_status view(kp_pack *pack, void *handle, uint64_t offset, uint64_t bytes, void **result,
                      kp_error *error) {
  const cl_buffer_region region = {offset, bytes};
  cl_int status;
  *result = pack->cl.CreateSubBuffer(handle, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION,
                                     &region, &status);
  return opencl_check(status, "a part of a buffer", error);
}

static kp_status copy(kp_pack *pack, void *destination, const void *source, uint64_t bytes,
                      kp_copy_kind kind, void *queue, kp_error *error) {
  const opencl_functions *cl = &pack->cl;
  switch (kind) {
    case KP_HOST_TO_DEVICE:
      return opencl_check(
          cl->EnqueueWriteBuffer(queue, destination, 0, 0, bytes, source, 0, NULL, NULL),
          "a copy to the device", error);
    case KP_DEVICE_TO_HOST:
      return opencl_check(
          cl->EnqueueReadBuffer(queue, (cl_mem)source, 0, 0, bytes, destination, 0, NULL, NULL),
          "a copy from the device", error);
    default:
      return opencl_check(
          cl->EnqueueCopyBuffer(queue, (cl_mem)source, destination, 0, 0, bytes, 0, NULL, NULL),
          "a copy on the device", error);
  }
}

static kp_status synchronize(kp_pack *pack, void *queue, kp_error *error) {
  return opencl_check(pack->cl.Finish(queue), "what was enqueued", error);
}

static kp_status open_queue(kp_pack *pack, DLDevice device, void **queue, kp_error *error) {
  (void)device;
  cl_int status;
  *queue = pack->cl.CreateCommandQueue(pack->context, pack->device, 0, &status);
  return opencl_check(status, "a queue", error);
}

static void close_queue(kp_pack *pack, void *queue) { pack->cl.ReleaseCommandQueue(queue); }

const kp_memory opencl_memory = {
    .struct_size = sizeof(kp_memory),
    .allocate = allocate,
    .free = free_buffer,
    .view = view,
    .copy = copy,
    .synchronize = synchronize,
    .open_queue = open_queue,
    .close_queue = close_queue,
};
