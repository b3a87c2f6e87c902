#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY_VARIABLE "DISPATCH_MKLDNN_LIBRARY"
#define LIBRARY_SONAME "libdnnl.so.3"

enum { OLDEST_MAJOR = 3, OLDEST_MINOR = 2 };

static const struct {
  dnnl_cpu_isa_t isa;
  const char *name;
} isa_names[] = {
    {dnnl_cpu_isa_avx512_core_amx, "AVX-512 with AMX"},
    {dnnl_cpu_isa_avx512_core_fp16, "AVX-512 with FP16"},
    {dnnl_cpu_isa_avx512_core_bf16, "AVX-512 with BF16"},
    {dnnl_cpu_isa_avx512_core_vnni, "AVX-512 with VNNI"},
    {dnnl_cpu_isa_avx512_core, "AVX-512"},
    {dnnl_cpu_isa_avx2, "AVX2"},
    {dnnl_cpu_isa_avx, "AVX"},
    {dnnl_cpu_isa_sse41, "SSE4.1"},
};

static const char *isa_name(dnnl_cpu_isa_t isa) {
  for (size_t i = 0; i < sizeof isa_names / sizeof *isa_names; i++)
    if ((isa & isa_names[i].isa) == isa_names[i].isa) return isa_names[i].name;
  return "no vector instructions";
}

static kp_status resolve(struct library *library, const char *path, kp_error *error) {
#define X(function)                                                                                \
  library->function = (__typeof__(library->function))dlsym(library->handle, "dnnl_" #function);    \
  if (!library->function) {                                                                        \
    snprintf(error->message, sizeof error->message,                                                \
             "%s has no function dnnl_" #function "; expected oneDNN %d.%d or a later %d.x", path, \
             OLDEST_MAJOR, OLDEST_MINOR, OLDEST_MAJOR);                                            \
    return KP_WRONG_VERSION;                                                                       \
  }
  LIBRARY_FUNCTIONS(X)
#undef X
  return KP_OK;
}

static kp_status check_version(const struct library *library, const char *path, kp_error *error) {
  const dnnl_version_t *found = library->version();
  if (found->major != OLDEST_MAJOR || found->minor < OLDEST_MINOR) {
    snprintf(error->message, sizeof error->message,
             "%s is oneDNN %d.%d.%d; expected %d.%d or a later %d.x: "
             "install onednn-cpu-gomp==2023.2.0 or set " LIBRARY_VARIABLE,
             path, found->major, found->minor, found->patch, OLDEST_MAJOR, OLDEST_MINOR,
             OLDEST_MAJOR);
    return KP_WRONG_VERSION;
  }
  if (found->cpu_runtime != DNNL_RUNTIME_OMP) {
    snprintf(error->message, sizeof error->message,
             "%s is oneDNN built for CPU runtime %u; expected OpenMP (%u): "
             "install onednn-cpu-gomp==2023.2.0 or set " LIBRARY_VARIABLE,
             path, found->cpu_runtime, DNNL_RUNTIME_OMP);
    return KP_WRONG_VERSION;
  }
  return KP_OK;
}

/* dnnl_version has existed since 1.0, so that its answer decides before any newer function does. */
static kp_status identify(struct library *library, const char *path, kp_error *error) {
  library->version = (__typeof__(library->version))dlsym(library->handle, "dnnl_version");
  if (!library->version) {
    snprintf(error->message, sizeof error->message, "%s isn't oneDNN: it has no dnnl_version",
             path);
    return KP_WRONG_VERSION;
  }
  kp_status status = check_version(library, path, error);
  return status == KP_OK ? resolve(library, path, error) : status;
}

kp_status library_open(struct library *library, const char *path, kp_error *error) {
  memset(library, 0, sizeof *library);
  if (!path || !*path) path = getenv(LIBRARY_VARIABLE);
  if (!path || !*path) path = LIBRARY_SONAME;
  /* LOCAL: frameworks embed copies of oneDNN of their own. NODELETE: OpenMP's
   * threads may outlive the pack. */
  library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library->handle) {
    const char *why = dlerror();
    snprintf(
        error->message, sizeof error->message,
        "can't load oneDNN from %s: %s; install onednn-cpu-gomp==2023.2.0 or set " LIBRARY_VARIABLE
        " to a libdnnl.so.3",
        path, why ? why : "unknown reason");
    return KP_UNAVAILABLE;
  }
  kp_status status = identify(library, path, error);
  if (status != KP_OK) {
    library_close(library);
    return status;
  }
  library->isa = library->get_effective_cpu_isa();
  const dnnl_version_t *version = library->version();
  snprintf(library->description, sizeof library->description, "oneDNN %d.%d.%d, %s", version->major,
           version->minor, version->patch, isa_name(library->isa));
  return KP_OK;
}

void library_close(struct library *library) {
  if (library->handle) dlclose(library->handle);
  library->handle = NULL;
}
