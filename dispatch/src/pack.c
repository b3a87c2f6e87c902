#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "error.h"

#define HAS_FIELD(pointer, field) \
  ((pointer)->struct_size >= offsetof(__typeof__(*(pointer)), field) + sizeof((pointer)->field))

/* ---- Checks of what the pack says of itself ----------------------------------- */

static int is_word(const char *start, const char *end) {
  if (start == end || *start < 'a' || *start > 'z') return 0;
  for (; start < end; start++)
    if (!((*start >= 'a' && *start <= 'z') || (*start >= '0' && *start <= '9') || *start == '_'))
      return 0;
  return 1;
}

/* pack.operator.algorithm.dtype: four words of small letters, digits and _. */
static int follows_grammar(const char *name, const char *pack) {
  size_t length = strlen(pack);
  if (strncmp(name, pack, length) || name[length] != '.') return 0;
  int words = 0;
  for (const char *start = name;; words++) {
    const char *end = strchrnul(start, '.');
    if (!is_word(start, end)) return 0;
    if (!*end) return words == 3;
    start = end + 1;
  }
}

static kp_status check_kernel(const char *pack, const kp_kernel *kernel, size_t index,
                              kp_error *error) {
  if (!kernel || !HAS_FIELD(kernel, release))
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "pack \"%s\": kernel %zu has no table entry of contract version %d's size",
                     pack, index, KP_CONTRACT_VERSION);
  if (!kernel->name || !follows_grammar(kernel->name, pack))
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "pack \"%s\": a kernel's name must be %s.operator.algorithm.dtype in small "
                     "letters, digits and _, got \"%.100s\"",
                     pack, pack, kernel->name ? kernel->name : "");
  const char *missing = !kernel->query                        ? "query"
                        : !kernel->prepare                    ? "prepare"
                        : !kernel->run                        ? "run"
                        : !kernel->release                    ? "release"
                        : !kernel->source || !*kernel->source ? "source"
                                                              : NULL;
  if (missing)
    return core_fail(error, KP_INVALID_ARGUMENT, "kernel %s has no %s", kernel->name, missing);
  return KP_OK;
}

static kp_status check_kernels(const core_pack *pack, kp_error *error) {
  for (size_t i = 0; i < pack->num_kernels; i++) {
    kp_status status = check_kernel(pack->table->name, pack->kernels[i], i, error);
    if (status) return status;
    for (size_t j = 0; j < i; j++)
      if (!strcmp(pack->kernels[i]->name, pack->kernels[j]->name))
        return core_fail(error, KP_INVALID_ARGUMENT, "kernel %s is registered twice: at %s and %s",
                         pack->kernels[i]->name, pack->kernels[j]->source,
                         pack->kernels[i]->source);
  }
  return KP_OK;
}

static const kp_memory *table_memory(const kp_pack_table *table) {
  return HAS_FIELD(table, memory) ? table->memory : NULL;
}

static kp_status check_memory(const char *pack, const kp_memory *memory, kp_error *error) {
  if (!HAS_FIELD(memory, close_queue))
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "pack \"%s\": its memory has %u bytes, at least %zu", pack,
                     memory->struct_size, sizeof *memory);
  const char *missing = !memory->allocate      ? "allocate"
                        : !memory->free        ? "free"
                        : !memory->view        ? "view"
                        : !memory->copy        ? "copy"
                        : !memory->synchronize ? "synchronize"
                        : !memory->open_queue  ? "open_queue"
                        : !memory->close_queue ? "close_queue"
                                               : NULL;
  if (missing)
    return core_fail(error, KP_INVALID_ARGUMENT, "pack \"%s\": its memory has no %s", pack,
                     missing);
  return KP_OK;
}

static kp_status check_table(const kp_pack_table *table, kp_error *error) {
  if (table->contract_version != KP_CONTRACT_VERSION)
    return core_fail(error, KP_WRONG_VERSION,
                     "the pack's table is of contract version %u, version %d is asked for",
                     table->contract_version, KP_CONTRACT_VERSION);
  if (!HAS_FIELD(table, kernels))
    return core_fail(error, KP_INVALID_ARGUMENT, "the pack's table has %u bytes, at least %zu",
                     table->struct_size, offsetof(kp_pack_table, memory));
  if (!table->name || !is_word(table->name, strchr(table->name, 0)))
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "a pack's name must be small letters, digits and _, got \"%.60s\"",
                     table->name ? table->name : "");
  const char *missing = !table->open              ? "open"
                        : !table->close           ? "close"
                        : !table->library_version ? "library_version"
                        : !table->kernels         ? "kernels"
                        : !table->pack_version    ? "pack_version"
                                                  : NULL;
  if (missing)
    return core_fail(error, KP_INVALID_ARGUMENT, "pack \"%s\" has no %s", table->name, missing);
  const kp_memory *memory = table_memory(table);
  return memory ? check_memory(table->name, memory, error) : KP_OK;
}

/* ---- Opening ------------------------------------------------------------------ */

kp_status core_pack_open_table(const kp_pack_table *table, const kp_option *options,
                               size_t num_options, core_pack **pack, kp_error *error) {
  kp_error unused;
  if (!error) error = &unused; /* packs may rely on it */
  *pack = NULL;
  kp_status status = check_table(table, error);
  if (status) return status;
  core_pack *result = calloc(1, sizeof *result);
  if (!result) return core_out_of_memory(error);
  result->table = table;
  result->process = core_process_state();
  error->message[0] = 0;
  status = table->open(options, num_options, &result->handle, error);
  if (status) {
    free(result);
    if (!error->message[0]) core_fail(error, status, "pack \"%s\" can't be opened", table->name);
    return status;
  }
  result->kernels = table->kernels(result->handle, &result->num_kernels);
  result->library_version = table->library_version(result->handle);
  if (!result->kernels) result->num_kernels = 0;
  status = check_kernels(result, error);
  if (status) {
    core_pack_close(result);
    return status;
  }
  *pack = result;
  return KP_OK;
}

static kp_status find_table(const char *path, void *library, const kp_pack_table **table,
                            kp_error *error) {
  kp_entry entry;
  *(void **)&entry = dlsym(library, KP_ENTRY);
  if (!entry)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "%.300s is no kernel pack: it exports no " KP_ENTRY, path);
  *table = entry(KP_CONTRACT_VERSION);
  if (*table) return KP_OK;
  const uint32_t *own = dlsym(library, KP_VERSION_SYMBOL);
  if (!own)
    return core_fail(error, KP_WRONG_VERSION,
                     "%.300s doesn't serve contract version %d and doesn't name its own", path,
                     KP_CONTRACT_VERSION);
  return core_fail(error, KP_WRONG_VERSION,
                   "%.300s serves contract version %u, version %d is asked for: rebuild the pack",
                   path, *own, KP_CONTRACT_VERSION);
}

kp_status core_pack_open(const char *path, const kp_option *options, size_t num_options,
                         core_pack **pack, kp_error *error) {
  *pack = NULL;
  /* Never unmapped: threads of the pack's libraries may outlive its closing. */
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) return core_fail(error, KP_UNAVAILABLE, "%.400s", dlerror());
  const kp_pack_table *table;
  kp_status status = find_table(path, library, &table, error);
  if (!status) status = core_pack_open_table(table, options, num_options, pack, error);
  if (status)
    dlclose(library);
  else
    (*pack)->library = library;
  return status;
}

void core_pack_close(core_pack *pack) {
  if (!pack) return;
  pack->table->close(pack->handle);
  if (pack->library) dlclose(pack->library);
  free(pack);
}

/* ---- What a pack is ----------------------------------------------------------- */

const char *core_pack_name(const core_pack *pack) { return pack->table->name; }

const char *core_pack_version(const core_pack *pack) { return pack->table->pack_version; }

const char *core_pack_library_version(const core_pack *pack) {
  return pack->library_version ? pack->library_version : "";
}

size_t core_pack_num_kernels(const core_pack *pack) { return pack->num_kernels; }

const kp_kernel *core_pack_kernel(const core_pack *pack, size_t index) {
  return index < pack->num_kernels ? pack->kernels[index] : NULL;
}

const kp_kernel *core_pack_find(const core_pack *pack, const char *kernel_name) {
  for (size_t i = 0; i < pack->num_kernels; i++)
    if (!strcmp(pack->kernels[i]->name, kernel_name)) return pack->kernels[i];
  return NULL;
}

kp_pack *core_pack_handle(const core_pack *pack) { return pack->handle; }

const kp_memory *core_pack_memory(const core_pack *pack) { return table_memory(pack->table); }
