/* The pack's table: opening, closing, and the list of kernels, which the shim makes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

static kp_status pack_open(const kp_option *options, size_t num_options, kp_pack **result,
                           kp_error *error) {
  const char *path = nullptr;
  for (size_t i = 0; i < num_options; i++) {
    if (strcmp(options[i].name, "library") != 0) {
      snprintf(error->message, sizeof error->message, "option '%s': expected 'library'",
               options[i].name);
      return KP_INVALID_ARGUMENT;
    }
    path = options[i].value;
  }
  kp_pack *pack = static_cast<kp_pack *>(calloc(1, sizeof *pack));
  if (!pack) {
    snprintf(error->message, sizeof error->message, "no memory for the pack");
    return KP_OUT_OF_MEMORY;
  }
  const kp_status status = library_open(path, pack, error);
  if (status != KP_OK) {
    free(pack);
    return status;
  }
  *result = pack;
  return KP_OK;
}

static void pack_close(kp_pack *pack) { free(pack); }

static const char *pack_library_version(kp_pack *pack) { return pack->description; }

static const kp_kernel *const *pack_kernels(kp_pack *pack, size_t *count) {
  *count = pack->num_kernels;
  return pack->kernels;
}

extern "C" {

KP_EXPORT extern const uint32_t kernel_pack_contract_version;
const uint32_t kernel_pack_contract_version = KP_CONTRACT_VERSION;

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  static const kp_pack_table table = {
      sizeof table, KP_CONTRACT_VERSION,  "arm_compute", "0.1.0", pack_open,
      pack_close,   pack_library_version, pack_kernels,  nullptr,
  };
  return contract_version == KP_CONTRACT_VERSION ? &table : nullptr;
}
}
