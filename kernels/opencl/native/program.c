#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "fail.h"
#include "pack.h"

/* Quotients are rounded correctly where the device can, as the Python side has it. */
static void write_options(const kp_pack *pack, const image_program *source, char *options,
                          size_t room) {
  cl_bitfield config =
      device_number(&pack->cl, pack->device, CL_DEVICE_SINGLE_FP_CONFIG, sizeof config);
  snprintf(options, room, "%s%s", source->options,
           config & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ? " -cl-fp32-correctly-rounded-divide-sqrt"
                                                        : "");
}

static kp_status report_log(const kp_pack *pack, cl_program program, uint32_t index, cl_int status,
                            kp_error *error) {
  size_t size = 0;
  if (pack->cl.GetProgramBuildInfo(program, pack->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size))
    size = 0;
  char *log = calloc(size + 1, 1);
  if (log && size)
    pack->cl.GetProgramBuildInfo(program, pack->device, CL_PROGRAM_BUILD_LOG, size, log, NULL);
  fail(error, KP_LIBRARY_FAILED, "program %u wasn't built for %.100s (OpenCL status %d): %.300s",
       index, pack->description, (int)status, log ? log : "");
  free(log);
  return KP_LIBRARY_FAILED;
}

static kp_status build(const kp_pack *pack, uint32_t index, cl_program *result, kp_error *error) {
  const image_program *source = &pack->image.programs[index];
  char options[512];
  write_options(pack, source, options, sizeof options);
  *result = cache_load(pack, source, options);
  if (*result) return KP_OK;
  cl_int status;
  const char *text = source->text;
  cl_program program = pack->cl.CreateProgramWithSource(pack->context, 1, &text, NULL, &status);
  if (status) return opencl_check(status, "a program", error);
  status = pack->cl.BuildProgram(program, 1, &pack->device, options, NULL, NULL);
  if (status) {
    kp_status reported = report_log(pack, program, index, status, error);
    pack->cl.ReleaseProgram(program);
    return reported;
  }
  cache_store(pack, source, options, program);
  *result = program;
  return KP_OK;
}

kp_status program_get(kp_pack *pack, uint32_t index, cl_program *program, kp_error *error) {
  kp_status status = KP_OK;
  pthread_mutex_lock(&pack->building);
  if (!pack->programs[index]) status = build(pack, index, &pack->programs[index], error);
  *program = pack->programs[index];
  pthread_mutex_unlock(&pack->building);
  return status;
}
