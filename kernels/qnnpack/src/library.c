#define _GNU_SOURCE /* dladdr */
#include "library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY_VARIABLE "DISPATCH_QNNPACK_LIBRARY"
#define LIBRARY_SONAME "libtorch_cpu.so"
#define REMEDY                                                                       \
  "install PyTorch (pip install 'kernel-dispatch[torch]'), or set " LIBRARY_VARIABLE \
  " to a libtorch_cpu.so or libpytorch_qnnpack.so"

/*
 * The library has no version. Its convolution takes two paddings instead of four since it has one
 * in three dimensions (PyTorch 1.13): without that function the arguments would be taken for
 * others.
 */
#define VERSION_SYMBOL "pytorch_qnnp_create_convolution3d_ndhwc_q8"

#if defined(__x86_64__)
#define INSTRUCTIONS "SSE2"
#else
#define INSTRUCTIONS "NEON"
#endif

static kp_status resolve(struct library *library, const char *path, kp_error *error) {
#define X(name, arguments)                                                                       \
  library->name = (__typeof__(library->name))dlsym(library->handle, "pytorch_qnnp_" #name);      \
  if (!library->name) {                                                                          \
    snprintf(error->message, sizeof error->message,                                              \
             "%s has no function pytorch_qnnp_" #name ": it was built without QNNPACK; " REMEDY, \
             path);                                                                              \
    return KP_UNAVAILABLE;                                                                       \
  }
  LIBRARY_FUNCTIONS(X)
#undef X
  if (dlsym(library->handle, VERSION_SYMBOL)) return KP_OK;
  snprintf(error->message, sizeof error->message,
           "%s has an older QNNPACK, whose convolution takes other arguments; expected PyTorch "
           "1.13 or later: " REMEDY,
           path);
  return KP_WRONG_VERSION;
}

/* PyTorch's version, of the line "__version__ = '2.13.0+cpu'" beside lib/; "" without one. */
static void read_version(const struct library *library, char *version, size_t size) {
  char name[4096], line[256];
  Dl_info found;
  version[0] = 0;
  if (!dladdr((const void *)(uintptr_t)library->run_operator, &found) || !found.dli_fname) return;
  const char *slash = strrchr(found.dli_fname, '/');
  const int length = slash ? (int)(slash - found.dli_fname) : 0;
  if (!slash || snprintf(name, sizeof name, "%.*s/../version.py", length, found.dli_fname) >=
                    (int)sizeof name)
    return;
  FILE *file = fopen(name, "r");
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    char word[64];
    if (sscanf(line, "__version__ = '%63[^']'", word) != 1) continue;
    snprintf(version, size, "%s", word);
    break;
  }
  fclose(file);
}

kp_status library_open(struct library *library, const char *path, kp_error *error) {
  memset(library, 0, sizeof *library);
  if (!path || !*path) path = getenv(LIBRARY_VARIABLE);
  if (!path || !*path) path = LIBRARY_SONAME;
  /* NODELETE: what else the library starts can't be unloaded, its thread pools above all. */
  library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library->handle) {
    const char *why = dlerror();
    snprintf(error->message, sizeof error->message, "can't load QNNPACK from %s: %s; " REMEDY, path,
             why ? why : "unknown reason");
    return KP_UNAVAILABLE;
  }
  kp_status status = resolve(library, path, error);
  if (status == KP_OK) {
    const qnnpack_status started = library->initialize();
    if (started != QNNPACK_SUCCESS) {
      snprintf(error->message, sizeof error->message,
               "%s: QNNPACK doesn't initialise on this processor (status %d)", path, (int)started);
      status = KP_UNAVAILABLE;
    }
  }
  if (status != KP_OK) {
    library_close(library);
    return status;
  }
  char version[64];
  read_version(library, version, sizeof version);
  snprintf(library->description, sizeof library->description, "QNNPACK%s%s, " INSTRUCTIONS,
           *version ? " of PyTorch " : "", version);
  return KP_OK;
}

void library_close(struct library *library) {
  if (library->handle) dlclose(library->handle);
  library->handle = NULL;
}
