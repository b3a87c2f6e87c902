/*
 * module.c: modules, their kernels, and launches.
 *
 * A cubin's or a fatbin's kernels can't run here: their launches are checked and counted. A shared
 * object for x86-64 is loaded, and a kernel NAME of it run by what it exports:
 *
 *     int ptx_NAME(void *const *parameters, const unsigned grid[3], const unsigned block[3],
 *                  char *message, size_t size);   // not 0: it failed, for the reason in message
 *     const unsigned ptx_sizes_NAME[];            // bytes of each parameter, then 0
 *
 * and, if it has them, given the live allocations before each launch:
 *
 *     const uintptr_t (*ptx_spans)[2];            // [start, end), sorted
 *     size_t ptx_span_count;
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libcuda.h"

enum { MAGIC_MODULE = 0x30D, MAGIC_FUNCTION = 0xF2C, MACHINE_CUDA = 190, CAPABILITY = 90 };
enum { NAME_BYTES = 512, MESSAGE_BYTES = 1024 };
static const uint32_t FATBIN = 0xBA55ED50, FATBIN_WRAPPER = 0x466243B1;

typedef int kernel_body(void *const *, const unsigned[3], const unsigned[3], char *, size_t);

typedef struct module {
  int magic;
  context *context; /* NULL: a library, of every context */
  char *cubin;      /* a copy; NULL: another kind of image */
  void *object;     /* of dlopen; NULL: what can't run here */
  int file;         /* the object's */
} module;

struct function {
  int magic;
  module *module;
  char name[NAME_BYTES];
  kernel_body *body; /* NULL: it can't run here */
  const unsigned *sizes;
  int most_shared; /* dynamic shared memory that a launch may ask for */
};

/* ---- Images ------------------------------------------------------------------ */

static const Elf64_Shdr *sections_of(const char *image) {
  return (const Elf64_Shdr *)(image + ((const Elf64_Ehdr *)image)->e_shoff);
}

/** Return an ELF file's size, which nothing says but the file. */
static size_t size_of(const char *image) {
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
  size_t size = header->e_shoff + (size_t)header->e_shnum * sizeof(Elf64_Shdr);
  for (int i = 0; i < header->e_shnum; i++) {
    const Elf64_Shdr *each = &sections_of(image)[i];
    size_t end = each->sh_type == SHT_NOBITS ? 0 : each->sh_offset + each->sh_size;
    if (end > size) size = end;
  }
  return size;
}

/** Say whether a cubin has a kernel, whose code is a section of its own. */
static bool has_kernel(const char *cubin, const char *name) {
  const Elf64_Ehdr *header = (const Elf64_Ehdr *)cubin;
  const char *names = cubin + sections_of(cubin)[header->e_shstrndx].sh_offset;
  for (int i = 0; i < header->e_shnum; i++) {
    const char *section = names + sections_of(cubin)[i].sh_name;
    if (strncmp(section, ".text.", 6) == 0 && strcmp(section + 6, name) == 0) return true;
  }
  return false;
}

/** Load a shared object. Its file stays open: by the file's number the loader knows it. */
static void *open_object(const char *image, int *file) {
  size_t size = size_of(image);
  *file = memfd_create("kernels", MFD_CLOEXEC);
  if (*file < 0) return NULL;
  void *object = NULL;
  if (write(*file, image, size) == (ssize_t)size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", *file);
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) note("image", dlerror());
  }
  if (object == NULL) close(*file);
  return object;
}

static CUresult load(module **made, const char *image, context *of) {
  if (made == NULL || image == NULL) return INVALID_VALUE;
  module loaded = {.magic = MAGIC_MODULE, .context = of};
  uint32_t start;
  memcpy(&start, image, sizeof start);
  if (memcmp(image, ELFMAG, SELFMAG) == 0) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    if (header->e_machine == MACHINE_CUDA) {
      if ((header->e_flags >> 8 & 0xff) != CAPABILITY) return NO_BINARY_FOR_GPU;
      size_t size = size_of(image);
      loaded.cubin = memcpy(malloc(size), image, size);
    } else if (header->e_machine == EM_X86_64) {
      loaded.object = open_object(image, &loaded.file);
      if (loaded.object == NULL) return INVALID_IMAGE;
    } else {
      return INVALID_IMAGE;
    }
  } else if (start != FATBIN && start != FATBIN_WRAPPER) {
    return INVALID_IMAGE;
  }
  *made = malloc(sizeof **made);
  **made = loaded;
  return SUCCESS;
}

API CUresult cuModuleLoadData(module **made, const void *image) {
  ENTER_CONTEXT;
  return load(made, image, current_context());
}

API CUresult cuModuleLoadDataEx(module **made, const void *image, unsigned count, int *options,
                                void **values) {
  ENTER_ALWAYS;
  (void)count;
  (void)options;
  (void)values;
  return cuModuleLoadData(made, image);
}

API CUresult cuModuleLoadFatBinary(module **made, const void *image) {
  ENTER_ALWAYS;
  return cuModuleLoadData(made, image);
}

API CUresult cuLibraryLoadData(module **made, const void *image, int *options, void **values,
                               unsigned count, int *library_options, void **library_values,
                               unsigned library_count) {
  ENTER;
  (void)options;
  (void)values;
  (void)count;
  (void)library_options;
  (void)library_values;
  (void)library_count;
  return load(made, image, NULL);
}

static bool is_module(const module *one) { return one && one->magic == MAGIC_MODULE; }

static CUresult unload(module *one) {
  if (!is_module(one)) return INVALID_HANDLE;
  CUresult status = unsafe();
  if (status) return status;
  one->magic = 0;
  free(one->cubin);
  if (one->object) {
    dlclose(one->object);
    close(one->file);
  }
  return SUCCESS;
}

API CUresult cuModuleUnload(module *one) {
  ENTER_CONTEXT;
  return unload(one);
}

API CUresult cuLibraryUnload(module *one) {
  ENTER;
  return unload(one);
}

API CUresult cuModuleGetLoadingMode(int *mode) {
  ENTER_ALWAYS;
  *mode = 2; /* lazy */
  return SUCCESS;
}

/* ---- Kernels ----------------------------------------------------------------- */

static CUresult find(function **found, module *of, const char *name) {
  if (found == NULL || name == NULL || strlen(name) + sizeof "ptx_sizes_" > NAME_BYTES)
    return INVALID_VALUE;
  if (!is_module(of)) return INVALID_HANDLE;
  function made = {.magic = MAGIC_FUNCTION, .module = of, .most_shared = SHARED_BYTES};
  snprintf(made.name, NAME_BYTES, "%s", name);
  if (of->object) {
    char symbol[NAME_BYTES + 16];
    snprintf(symbol, sizeof symbol, "ptx_%s", name);
    *(void **)&made.body = dlsym(of->object, symbol);
    snprintf(symbol, sizeof symbol, "ptx_sizes_%s", name);
    made.sizes = dlsym(of->object, symbol);
    if (made.body == NULL || made.sizes == NULL) return NOT_FOUND;
  } else if (of->cubin && !has_kernel(of->cubin, name)) {
    return NOT_FOUND;
  }
  *found = malloc(sizeof **found);
  **found = made;
  return SUCCESS;
}

API CUresult cuModuleGetFunction(function **found, module *of, const char *name) {
  ENTER_CONTEXT;
  return find(found, of, name);
}

API CUresult cuLibraryGetKernel(function **found, module *of, const char *name) {
  ENTER;
  return find(found, of, name);
}

static bool is_function(const function *one) {
  return one && one->magic == MAGIC_FUNCTION && is_module(one->module);
}

API CUresult cuKernelGetFunction(function **found, function *kernel) {
  ENTER_CONTEXT;
  if (!is_function(kernel)) return INVALID_HANDLE;
  *found = kernel;
  return SUCCESS;
}

API CUresult cuModuleGetGlobal_v2(CUdeviceptr *start, size_t *bytes, module *of, const char *name) {
  ENTER_CONTEXT;
  (void)start;
  (void)bytes;
  (void)name;
  return is_module(of) ? NOT_FOUND : INVALID_HANDLE;
}

enum { MAX_THREADS = 0, NUM_REGISTERS = 4, BINARY_VERSION = 6, MOST_DYNAMIC_SHARED = 8 };

API CUresult cuFuncGetAttribute(int *number, int attribute, function *of) {
  ENTER;
  if (!is_function(of)) return INVALID_HANDLE;
  switch (attribute) {
    case MAX_THREADS:
      *number = MAX_BLOCK;
      return SUCCESS;
    case NUM_REGISTERS:
      *number = 32;
      return SUCCESS;
    case BINARY_VERSION:
      *number = CAPABILITY;
      return SUCCESS;
    case MOST_DYNAMIC_SHARED:
      *number = of->most_shared;
      return SUCCESS;
    default:
      *number = 0;
      return SUCCESS;
  }
}

API CUresult cuFuncSetAttribute(function *of, int attribute, int number) {
  ENTER;
  if (!is_function(of)) return INVALID_HANDLE;
  if (attribute == MOST_DYNAMIC_SHARED) {
    if (number < 0 || number > MOST_SHARED_BYTES) return INVALID_VALUE;
    of->most_shared = number;
  }
  return SUCCESS;
}

API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, function *of, int threads,
                                                         size_t shared) {
  ENTER_CONTEXT;
  (void)shared;
  if (!is_function(of)) return INVALID_HANDLE;
  if (threads < 1 || threads > MAX_BLOCK) return INVALID_VALUE;
  *blocks = 2 * MAX_BLOCK / threads < 32 ? 2 * MAX_BLOCK / threads : 32;
  return SUCCESS;
}

/* ---- Launches ---------------------------------------------------------------- */

/** Return a launch with copies of what its parameters hold now. */
static launch with_copies(launch one, void *const *given) {
  size_t count = 0, words = 0;
  for (; one.function->sizes[count]; count++) words += (one.function->sizes[count] + 15) / 16 * 2;
  one.parameters = aligned_alloc(16, 8 * (words + 2));
  one.pointers = malloc((count + 1) * sizeof *one.pointers);
  uint64_t *to = one.parameters;
  for (size_t i = 0; i < count; i++) {
    unsigned size = one.function->sizes[i];
    one.pointers[i] = memcpy(to, given[i], size);
    to += (size + 15) / 16 * 2;
  }
  return one;
}

launch copy_of_launch(const launch *one) {
  return one->function->sizes ? with_copies(*one, one->pointers) : *one;
}

void free_launch(launch *one) {
  free(one->parameters);
  free(one->pointers);
}

CUresult run_launch(const launch *one) {
  function *of = one->function;
  note_launch(of->name);
  if (of->body == NULL) return SUCCESS;
  void *object = of->module->object;
  const uintptr_t (**object_spans)[2] = dlsym(object, "ptx_spans");
  size_t *object_count = dlsym(object, "ptx_span_count");
  if (object_spans && object_count) *object_spans = spans(object_count);
  char message[MESSAGE_BYTES] = "";
  if (of->body(one->pointers, one->grid, one->block, message, sizeof message) == 0) return SUCCESS;
  char text[NAME_BYTES + MESSAGE_BYTES + 2];
  snprintf(text, sizeof text, "%s: %s", of->name, message);
  note("kernel", text);
  return lost = ILLEGAL_ADDRESS;
}

static CUresult checked_launch(launch one, stream *on, void *const *given, void *const *extra) {
  static const unsigned most_grid[] = {0x7fffffff, 65535, 65535}, most_block[] = {1024, 1024, 64};
  function *of = one.function;
  if (!is_function(of)) return INVALID_HANDLE;
  if (of->module->context && of->module->context != current_context()) return INVALID_HANDLE;
  uint64_t threads = 1;
  for (int i = 0; i < 3; i++) {
    if (one.grid[i] < 1 || one.grid[i] > most_grid[i]) return INVALID_VALUE;
    if (one.block[i] < 1 || one.block[i] > most_block[i]) return INVALID_VALUE;
    threads *= one.block[i];
  }
  if (threads > MAX_BLOCK || one.shared > (unsigned)of->most_shared) return INVALID_VALUE;
  if (of->body) {
    if (extra || one.shared) return NOT_SUPPORTED;
    for (size_t i = 0; of->sizes[i]; i++)
      if (given == NULL || given[i] == NULL) return INVALID_VALUE;
    one = with_copies(one, given);
  }
  return enqueue(on, (work){.kind = LAUNCH, .launch = one});
}

API CUresult cuLaunchKernel(function *of, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                            unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                            stream *on, void **parameters, void **extra) {
  ENTER_CONTEXT;
  return checked_launch((launch){.function = of,
                                 .grid = {grid_x, grid_y, grid_z},
                                 .block = {block_x, block_y, block_z},
                                 .shared = shared},
                        on, parameters, extra);
}

typedef struct launch_config {
  unsigned grid[3], block[3], shared;
  stream *stream;
  void *attributes;
  unsigned num_attributes;
} launch_config;

API CUresult cuLaunchKernelEx(const launch_config *how, function *of, void **parameters,
                              void **extra) {
  ENTER_CONTEXT;
  launch one = {.function = of, .shared = how->shared};
  memcpy(one.grid, how->grid, sizeof one.grid);
  memcpy(one.block, how->block, sizeof one.block);
  return checked_launch(one, how->stream, parameters, extra);
}
