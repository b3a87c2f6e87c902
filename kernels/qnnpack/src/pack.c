/* The pack's table: opening, closing, and the list of kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "prepared.h"

static const struct kernel_row *const files[] = {
#define X(name) name##_kernels,
    KERNEL_FILES(X)
#undef X
};

static size_t count_kernels(void) {
  size_t count = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    for (const struct kernel_row *row = files[i]; row->operator_name; row++) count++;
  return count;
}

static void add_kernel(kp_pack *pack, const struct kernel_row *row) {
  const size_t index = pack->num_kernels++;
  snprintf(pack->names[index], sizeof *pack->names, "qnnpack.%s.%s.u8", row->operator_name,
           row->algorithm);
  pack->kernels[index] = (kp_kernel){
      .struct_size = sizeof(kp_kernel),
      .flags = KP_KERNEL_DETERMINISTIC,
      .name = pack->names[index],
      .source = row->source,
      .context = row,
      .query = prepared_query,
      .prepare = prepared_make,
      .run = prepared_run,
      .release = prepared_release,
  };
  pack->list[index] = &pack->kernels[index];
}

static void add_kernels(kp_pack *pack) {
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    for (const struct kernel_row *row = files[i]; row->operator_name; row++) add_kernel(pack, row);
}

static void pack_close(kp_pack *pack) {
  if (!pack) return;
  library_close(&pack->library);
  free(pack->kernels);
  free(pack->list);
  free(pack->names);
  free(pack);
}

static kp_status fill_pack(kp_pack *pack, const char *path, kp_error *error) {
  const size_t count = count_kernels();
  pack->kernels = calloc(count, sizeof *pack->kernels);
  pack->list = calloc(count, sizeof *pack->list);
  pack->names = calloc(count, sizeof *pack->names);
  if (!pack->kernels || !pack->list || !pack->names) {
    snprintf(error->message, sizeof error->message, "no memory for the list of %zu kernels", count);
    return KP_OUT_OF_MEMORY;
  }
  const kp_status status = library_open(&pack->library, path, error);
  if (status == KP_OK) add_kernels(pack);
  return status;
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

static const char *pack_library_version(kp_pack *pack) { return pack->library.description; }

static const kp_kernel *const *pack_kernels(kp_pack *pack, size_t *count) {
  *count = pack->num_kernels;
  return pack->list;
}

KP_EXPORT const uint32_t kernel_pack_contract_version = KP_CONTRACT_VERSION;

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  static const kp_pack_table table = {
      .struct_size = sizeof table,
      .contract_version = KP_CONTRACT_VERSION,
      .name = "qnnpack",
      .pack_version = "0.1.0",
      .open = pack_open,
      .close = pack_close,
      .library_version = pack_library_version,
      .kernels = pack_kernels,
      .memory = NULL,
  };
  return contract_version == KP_CONTRACT_VERSION ? &table : NULL;
}
