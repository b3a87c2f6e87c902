/*
 * pack.c: OpenCL devices for programs without Python. The kernels are those of a file that
 * kernels/opencl/export.py made where they were planned; the options are
 *
 *   kernels   the file; without the option DISPATCH_OPENCL_KERNELS names it
 *   device    which of the devices, GPUs before CPUs: 0, 1, ...
 *   cache     a folder where built programs are kept
 *   library   the OpenCL loader's path
 */
#include "pack.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"

#define VERSION "0.1"

static const char *option_of(const kp_option *options, size_t num_options, const char *name) {
  for (size_t i = 0; i < num_options; i++)
    if (!strcmp(options[i].name, name)) return options[i].value;
  return NULL;
}

/* ---- Kernels -------------------------------------------------------------------- */

static kp_status list_kernels(kp_pack *pack, kp_error *error) {
  const image *i = &pack->image;
  pack->entries = calloc(i->num_entries + 1u, sizeof *pack->entries);
  pack->kernels = calloc(i->num_entries + 1u, sizeof *pack->kernels);
  pack->list = calloc(i->num_entries + 1u, sizeof *pack->list);
  if (!pack->entries || !pack->kernels || !pack->list) return fail_out_of_memory(error);
  for (uint32_t j = 0; j < i->num_entries; j++) {
    const image_entry *entry = &i->entries[j];
    size_t last = pack->num_kernels;
    if (last && !strcmp(entry->kernel, pack->kernels[last - 1].name)) {
      pack->entries[last - 1].count++;
      continue;
    }
    pack->entries[last] = (kernel_entries){entry, 1};
    pack->kernels[last] = (kp_kernel){
        .struct_size = sizeof(kp_kernel),
        .flags = KP_KERNEL_DETERMINISTIC,
        .name = entry->kernel,
        .source = "kernels/opencl/native/kernel.c:1",
        .context = &pack->entries[last],
        .query = kernel_query,
        .prepare = kernel_prepare,
        .run = kernel_run,
        .release = kernel_release,
    };
    pack->list[last] = &pack->kernels[last];
    pack->num_kernels++;
  }
  return KP_OK;
}

/* ---- Opening -------------------------------------------------------------------- */

static kp_status read_number(const char *text, uint32_t *number, kp_error *error) {
  char *end;
  unsigned long value = text ? strtoul(text, &end, 10) : 0;
  if (text && (!*text || *end || *text == '-' || value > UINT16_MAX))
    return fail(error, KP_INVALID_ARGUMENT, "option device: expected a number, got \"%.40s\"",
                text);
  *number = (uint32_t)value;
  return KP_OK;
}

static kp_status fill(kp_pack *pack, const kp_option *options, size_t num_options,
                      kp_error *error) {
  const char *path = option_of(options, num_options, "kernels");
  const char *cache = option_of(options, num_options, "cache");
  uint32_t number = 0;
  if (!path) path = getenv("DISPATCH_OPENCL_KERNELS");
  if (!path)
    return fail(error, KP_UNAVAILABLE,
                "no file of kernels: give the option kernels=FILE, or DISPATCH_OPENCL_KERNELS");
  kp_status status = read_number(option_of(options, num_options, "device"), &number, error);
  if (!status) status = image_read(path, &pack->image, error);
  if (!status) status = opencl_load(option_of(options, num_options, "library"), &pack->cl, error);
  if (!status) status = device_open(pack, number, error);
  if (status) return status;
  pack->cache = cache ? strdup(cache) : NULL;
  pack->programs = calloc(pack->image.num_programs + 1u, sizeof *pack->programs);
  if (!pack->programs || (cache && !pack->cache)) return fail_out_of_memory(error);
  return list_kernels(pack, error);
}

void opencl_close(kp_pack *pack) {
  if (pack->process == getpid()) {
    for (uint32_t i = 0; pack->programs && i < pack->image.num_programs; i++)
      if (pack->programs[i]) pack->cl.ReleaseProgram(pack->programs[i]);
    if (pack->context) pack->cl.ReleaseContext(pack->context);
  }
  pthread_mutex_destroy(&pack->building);
  image_free(&pack->image);
  free(pack->description);
  free(pack->cache);
  free(pack->programs);
  free(pack->entries);
  free(pack->kernels);
  free(pack->list);
  free(pack);
}

kp_status opencl_open(const kp_option *options, size_t num_options, kp_pack **pack,
                      kp_error *error) {
  kp_pack *result = calloc(1, sizeof *result);
  if (!result) return fail_out_of_memory(error);
  result->process = getpid();
  pthread_mutex_init(&result->building, NULL);
  kp_status status = fill(result, options, num_options, error);
  if (status)
    opencl_close(result);
  else
    *pack = result;
  return status;
}

/* ---- The table ------------------------------------------------------------------ */

static const char *library_version(kp_pack *pack) { return pack->description; }

static const kp_kernel *const *kernels(kp_pack *pack, size_t *count) {
  *count = pack->num_kernels;
  return pack->list;
}

static const kp_pack_table table = {
    .struct_size = sizeof(kp_pack_table),
    .contract_version = KP_CONTRACT_VERSION,
    .name = "opencl",
    .pack_version = VERSION,
    .open = opencl_open,
    .close = opencl_close,
    .library_version = library_version,
    .kernels = kernels,
    .memory = &opencl_memory,
};

KP_EXPORT const uint32_t kernel_pack_contract_version = KP_CONTRACT_VERSION;

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version);
const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  return contract_version == KP_CONTRACT_VERSION ? &table : NULL;
}
