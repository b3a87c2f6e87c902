/* The pack's table: opens the level that was asked for, or the best that the processor has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernel.h"
#include "rules.h"

#define LEVEL_VARIABLE "DISPATCH_PORTABLE_LEVEL"

#ifndef PORTABLE_VERSION
#define PORTABLE_VERSION "0"
#endif

/* ---- The kernels of every level ------------------------------------------ */

#define SUPPORT(name)
#define SUPPORT_FOR(what, name)
#define SHARED(name)
#define LEVELED(name)
#define LEVELED_FOR(what, name)
#define BASELINE(name) extern const kp_kernel_list name##_kernels;
#include "kernels.inc"
#undef BASELINE

#define BASELINE(name) &name##_kernels,
static const kp_kernel_list *const baseline_lists[] = {
#include "kernels.inc"
    NULL};

typedef struct {
  const char *name, *base;
  const kp_kernel_list *const *lists; /* ended by NULL */
} level;

#define LEVEL_ENTRY(name, ...) extern const kp_kernel_list *const level_lists_##name[];
#include "levels.inc"
#undef LEVEL_ENTRY

#define LEVEL_ENTRY(name, base, ...) {#name, #base, level_lists_##name},
/* Best first. */
static const level levels[] = {
#include "levels.inc"
};
enum { NUM_LEVELS = sizeof levels / sizeof *levels };

/* ---- Opening ------------------------------------------------------------- */

/* A kernel as the pack lists it: its query holds the problem to the operator's rule first. */
typedef struct {
  kp_kernel kernel;
  const kp_kernel *own;
  char operator_name[32];
} entry;

struct kp_pack {
  char version[64];
  size_t count;
  const kp_kernel **list;
  entry entries[];
};

static void query(kp_pack *pack, const kp_kernel *kernel, const kp_problem *problem,
                  kp_answer *answer) {
  const entry *listed = (const entry *)kernel;
  if (rules_refuse(listed->operator_name, problem, answer)) return;
  listed->own->query(pack, listed->own, problem, answer);
}

static void fill_entry(entry *listed, const kp_kernel *own) {
  listed->kernel = *own;
  listed->kernel.query = query;
  listed->own = own;
  const char *name = strchr(own->name, '.') + 1; /* pack.operator.algorithm.dtype */
  memcpy(listed->operator_name, name, strcspn(name, "."));
}

static kp_status fail(kp_error *error, kp_status status, const char *format, const char *a,
                      const char *b) {
  if (error) snprintf(error->message, sizeof error->message, format, a, b);
  return status;
}

static const char *requested_level(const kp_option *options, size_t num_options) {
  for (size_t i = 0; i < num_options; i++)
    if (strcmp(options[i].name, "level") == 0) return options[i].value;
  const char *value = getenv(LEVEL_VARIABLE);
  return value && *value ? value : NULL;
}

static kp_status choose_level(const char *requested, const level **chosen, kp_error *error) {
  for (int i = 0; i < NUM_LEVELS; i++) {
    if (requested && strcmp(levels[i].name, requested) != 0) continue;
    const char *missing = cpu_missing_feature(levels[i].name);
    if (!missing) {
      *chosen = &levels[i];
      return KP_OK;
    }
    if (requested)
      return fail(error, KP_UNAVAILABLE, "level '%s' needs the CPU feature %s, which is not here",
                  requested, missing);
  }
  char names[128] = "";
  for (int i = 0; i < NUM_LEVELS; i++) {
    size_t used = strlen(names);
    snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", levels[i].name);
  }
  return fail(error, KP_UNAVAILABLE, "unknown level '%s', expected one of %s", requested, names);
}

static size_t count_kernels(const kp_kernel_list *const *lists) {
  size_t count = 0;
  for (; *lists; lists++) count += (*lists)->count;
  return count;
}

/* Lists a level's kernels, each in place of the one of its name from a level below. */
static void add_kernels(kp_pack *pack, const kp_kernel_list *const *lists) {
  size_t below = pack->count;
  for (; *lists; lists++)
    for (size_t i = 0; i < (*lists)->count; i++) {
      const kp_kernel *own = &(*lists)->kernels[i];
      size_t at = 0;
      while (at < below && strcmp(pack->entries[at].own->name, own->name) != 0) at++;
      if (at == below) at = pack->count++;
      fill_entry(&pack->entries[at], own);
      pack->list[at] = &pack->entries[at].kernel;
    }
}

/* Does `chosen` consist of this level, among others? */
static int is_part(const level *part, const level *chosen) {
  return part >= chosen && strcmp(part->base, chosen->base) == 0;
}

static kp_status open_pack(const kp_option *options, size_t num_options, kp_pack **pack,
                           kp_error *error) {
  const level *chosen = NULL;
  kp_status status = choose_level(requested_level(options, num_options), &chosen, error);
  if (status != KP_OK) return status;
  size_t count = count_kernels(baseline_lists);
  for (int i = 0; i < NUM_LEVELS; i++)
    if (is_part(&levels[i], chosen)) count += count_kernels(levels[i].lists);
  kp_pack *opened = calloc(1, sizeof *opened + count * sizeof *opened->entries);
  const kp_kernel **list = calloc(count, sizeof *list);
  if (!opened || !list) {
    free(opened);
    free(list);
    return fail(error, KP_OUT_OF_MEMORY, "no memory for the list of kernels", "", "");
  }
  opened->list = list;
  for (int i = NUM_LEVELS; i-- > 0;)
    if (is_part(&levels[i], chosen)) add_kernels(opened, levels[i].lists);
  add_kernels(opened, baseline_lists);
  snprintf(opened->version, sizeof opened->version, "%s, level %s", PORTABLE_VERSION, chosen->name);
  *pack = opened;
  return KP_OK;
}

static void close_pack(kp_pack *pack) {
  free(pack->list);
  free(pack);
}

static const char *library_version(kp_pack *pack) { return pack->version; }

static const kp_kernel *const *kernels(kp_pack *pack, size_t *count) {
  *count = pack->count;
  return pack->list;
}

/* ---- The exported symbols ------------------------------------------------ */

static const kp_pack_table table = {
    .struct_size = sizeof(kp_pack_table),
    .contract_version = KP_CONTRACT_VERSION,
    .name = "portable",
    .pack_version = PORTABLE_VERSION,
    .open = open_pack,
    .close = close_pack,
    .library_version = library_version,
    .kernels = kernels,
};

KP_EXPORT extern const uint32_t kernel_pack_contract_version;
const uint32_t kernel_pack_contract_version = KP_CONTRACT_VERSION;

KP_EXPORT const kp_pack_table *kernel_pack_table(uint32_t contract_version);
const kp_pack_table *kernel_pack_table(uint32_t contract_version) {
  return contract_version == KP_CONTRACT_VERSION ? &table : NULL;
}
