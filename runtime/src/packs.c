/* packs.c: a list of opened packs for programs without Python. */
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "report.h"

struct replay_packs {
  core_pack **list;
  size_t count;
  report left_out;
};

replay_status replay_packs_new(replay_packs **packs, replay_error *error) {
  *packs = calloc(1, sizeof **packs);
  return *packs ? REPLAY_OK : replay_out_of_memory(error);
}

static int holds_name(const replay_packs *packs, const char *name) {
  for (size_t i = 0; i < packs->count; i++)
    if (!strcmp(core_pack_name(packs->list[i]), name)) return 1;
  return 0;
}

replay_status replay_packs_add(replay_packs *packs, const char *path, const replay_option *options,
                               size_t num_options, replay_error *error) {
  core_pack **list = realloc(packs->list, (packs->count + 1) * sizeof *list);
  if (!list) return replay_out_of_memory(error);
  packs->list = list;
  kp_option *given = calloc(num_options + 1, sizeof *given);
  if (!given) return replay_out_of_memory(error);
  for (size_t i = 0; i < num_options; i++)
    given[i] = (kp_option){options[i].name, options[i].value};
  core_pack *pack;
  kp_error inner;
  kp_status status = core_pack_open(path, given, num_options, &pack, &inner);
  free(given);
  if (status) return replay_fail(error, (replay_status)status, "%.300s: %s", path, inner.message);
  if (holds_name(packs, core_pack_name(pack))) {
    replay_fail(error, REPLAY_INVALID_ARGUMENT, "%.300s: a pack \"%s\" is open already", path,
                core_pack_name(pack));
    core_pack_close(pack);
    return REPLAY_INVALID_ARGUMENT;
  }
  packs->list[packs->count++] = pack;
  return REPLAY_OK;
}

/* The pattern of the packs' paths, seen from this library. */
static int installed_pattern(char *pattern, size_t size) {
  Dl_info info;
  char path[PATH_MAX];
  if (!dladdr((const void *)(uintptr_t)&replay_packs_new, &info) || !realpath(info.dli_fname, path))
    return 0;
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(path, '/');
    if (!slash) return 0;
    *slash = 0;
  }
  int length = snprintf(pattern, size, "%s/kernels/*/libkernels_*.so", path);
  return length > 0 && (size_t)length < size;
}

replay_status replay_packs_open_installed(replay_packs **packs, replay_error *error) {
  char pattern[PATH_MAX + 64];
  glob_t found = {0};
  replay_status status = replay_packs_new(packs, error);
  if (status) return status;
  if (installed_pattern(pattern, sizeof pattern)) glob(pattern, 0, NULL, &found);
  for (size_t i = 0; i < found.gl_pathc; i++) {
    replay_error reason;
    if (replay_packs_add(*packs, found.gl_pathv[i], NULL, 0, &reason))
      report_add(&(*packs)->left_out, "%s", reason.message);
  }
  globfree(&found);
  return REPLAY_OK;
}

const char *replay_packs_left_out(const replay_packs *packs) { return packs->left_out.text; }

size_t replay_packs_count(const replay_packs *packs) { return packs->count; }

replay_pack *const *replay_packs_list(const replay_packs *packs) { return packs->list; }

void replay_packs_close(replay_packs *packs) {
  if (!packs) return;
  for (size_t i = 0; i < packs->count; i++) core_pack_close(packs->list[i]);
  free(packs->list);
  free(packs);
}
