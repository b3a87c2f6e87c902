/* The pack's table: opening, closing, and the list of kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "prepared.h"

static const struct {
  unsigned bit;
  dnnl_data_type_t dtype;
  const char *suffix, *name;
} dtypes[] = {
    {F32, dnnl_f32, "f32", "float32"}, {BF16, dnnl_bf16, "bf16", "bfloat16"},
    {F16, dnnl_f16, "f16", "float16"}, {S32, dnnl_s32, "i32", "int32"},
    {S8, dnnl_s8, "i8", "int8"},       {U8, dnnl_u8, "u8", "uint8"},
};

enum { NUM_DTYPES = sizeof dtypes / sizeof *dtypes };

static const struct kernel_row *const files[] = {
#define X(name) name##_kernels,
    KERNEL_FILES(X)
#undef X
};

static size_t count_kernels(void) {
  size_t count = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    for (const struct kernel_row *row = files[i]; row->operator_name; row++)
      count += (size_t)__builtin_popcount(row->dtypes & EVERY_DTYPE);
  return count;
}

static void add_kernel(kp_pack *pack, const struct kernel_row *row, int dtype) {
  const size_t index = pack->num_kernels++;
  struct kernel_context *context = &pack->contexts[index];
  context->row = row;
  context->dtype = dtypes[dtype].dtype;
  context->dtype_name = dtypes[dtype].name;
  snprintf(context->name, sizeof context->name, "mkldnn.%s.%s.%s", row->operator_name,
           row->algorithm, dtypes[dtype].suffix);
  pack->kernels[index] = (kp_kernel){
      .struct_size = sizeof(kp_kernel),
      .flags = row->flags,
      .name = context->name,
      .source = row->source,
      .context = context,
      .query = prepared_query,
      .reason = prepared_reason,
      .prepare = prepared_make,
      .pack_constant = prepared_pack,
      .run = prepared_run,
      .release = prepared_release,
  };
  pack->list[index] = &pack->kernels[index];
}

static void add_kernels(kp_pack *pack) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    for (const struct kernel_row *row = files[i]; row->operator_name; row++)
      for (int dtype = 0; dtype < NUM_DTYPES; dtype++)
        if (row->dtypes & dtypes[dtype].bit) add_kernel(pack, row, dtype);
}

static void pack_close(kp_pack *pack) {
  if (!pack) return;
  if (pack->engine) pack->dnnl.engine_destroy(pack->engine);
  library_close(&pack->dnnl);
  free(pack->kernels);
  free(pack->list);
  free(pack->contexts);
  free(pack);
}

static kp_status fill_pack(kp_pack *pack, const char *path, kp_error *error) {
  const size_t count = count_kernels();
  pack->kernels = calloc(count, sizeof *pack->kernels);
  pack->list = calloc(count, sizeof *pack->list);
  pack->contexts = calloc(count, sizeof *pack->contexts);
  if (!pack->kernels || !pack->list || !pack->contexts) {
    snprintf(error->message, sizeof error->message, "no memory for the list of %zu kernels", count);
    return KP_OUT_OF_MEMORY;
  }
  const kp_status status = library_open(&pack->dnnl, path, error);
  if (status != KP_OK) return status;
  const dnnl_status_t made = pack->dnnl.engine_create(&pack->engine, dnnl_cpu, 0);
  if (made != dnnl_success) {
    snprintf(error->message, sizeof error->message, "oneDNN couldn't make a CPU engine: %s",
             pack->dnnl.status2str(made));
    return KP_LIBRARY_FAILED;
  }
  add_kernels(pack);
  return KP_OK;
}

static kp_status pack_open(const kp_option *options, size_t num_options, kp_pack **result,
                           kp_error *error) {
  const char *path = NULL;
  for (size_t i = 0; i < num_options; i++) {
    if (strcmp(options[i].name, "library") != 0) {
      snprintf(error->message, sizeof error->message, "option '%s': expected 'library'",
               options[i].name);
      return KP_INVALID_ARGUMENT;
    }
    path = options[i].value;
  }
  kp_pack *pack = calloc(1, sizeof *pack);
  if (!pack) {
    snprintf(error->message, sizeof error->message, "no memory for the pack");
    return KP_OUT_OF_MEMORY;
  }
  const kp_status status = fill_pack(pack, path, error);
  if (status != KP_OK) {
    pack_close(pack);
    return status;
  }
  *result = pack;
  return KP_OK;
}

static const char *pack_library_version(kp_pack *pack) { return pack->dnnl.description; }

static const kp_kernel *const *pack_kernels(kp_pack *pack, size_t *count) {
  *count = pack->num_kernels;
  return pack->list;
}

KP_EXPORT const uint32_t kernel_pack_contract_version = KP_CONTRACT_VERSION;

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  static const kp_pack_table table = {
      .struct_size = sizeof table,
      .contract_version = KP_CONTRACT_VERSION,
      .name = "mkldnn",
      .pack_version = "0.1.0",
      .open = pack_open,
      .close = pack_close,
      .library_version = pack_library_version,
      .kernels = pack_kernels,
      .memory = NULL,
  };
  return contract_version == KP_CONTRACT_VERSION ? &table : NULL;
}
