#include "naive.h"

static const kp_kernel *const all_kernels[] = {&naive_convolution, &naive_product};

struct kp_pack {
  int unused;
};
static kp_pack the_pack;

static kp_status open_pack(const kp_option *options, size_t count, kp_pack **pack,
                           kp_error *error) {
  (void)options, (void)count, (void)error;
  *pack = &the_pack;
  return KP_OK;
}

static void close_pack(kp_pack *pack) { (void)pack; }

static const char *library_version(kp_pack *pack) {
  (void)pack;
  return "plain loops in C, gcc " __VERSION__;
}

static const kp_kernel *const *kernels(kp_pack *pack, size_t *count) {
  (void)pack;
  *count = sizeof all_kernels / sizeof *all_kernels;
  return all_kernels;
}

static const kp_pack_table table = {
    .struct_size = sizeof table,
    .contract_version = KP_CONTRACT_VERSION,
    .name = "naive",
    .pack_version = "1",
    .open = open_pack,
    .close = close_pack,
    .library_version = library_version,
    .kernels = kernels,
};

const kp_pack_table *naive_pack_table(void) { return &table; }
