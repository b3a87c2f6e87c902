/* file.c: plans and constants out of one mapped file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "model.h"
#include "safetensors.h"

struct replay_file {
  void *mapping;
  size_t bytes;
  safetensors tensors;
  json_document *plans; /* an object: name, plan */
  replay_constant *constants;
  replay_store *store;
};

/* ---- Opening ----------------------------------------------------------------- */

static replay_status map_file(const char *path, replay_file *file, replay_error *error) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  struct stat properties;
  if (descriptor < 0 || fstat(descriptor, &properties)) {
    replay_fail(error, REPLAY_INVALID_ARGUMENT, "%.300s: %s", path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    return REPLAY_INVALID_ARGUMENT;
  }
  replay_status status = REPLAY_OK;
  if (!S_ISREG(properties.st_mode) || !properties.st_size) {
    status =
        replay_fail(error, REPLAY_INVALID_ARGUMENT, "%.300s is empty or no regular file", path);
  } else {
    file->bytes = (size_t)properties.st_size;
    file->mapping = mmap(NULL, file->bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (file->mapping == MAP_FAILED) {
      file->mapping = NULL;
      status = replay_fail(error, REPLAY_OUT_OF_MEMORY, "%.300s can't be mapped: %s", path,
                           strerror(errno));
    }
  }
  close(descriptor);
  return status;
}

static kp_status read_plans(replay_file *file, kp_error *error) {
  const json_value *text = safetensors_metadata(&file->tensors, "plans");
  if (!text)
    return core_fail(
        error, KP_INVALID_ARGUMENT,
        "its metadata holds no \"plans\": compile the trace and save the plan with it");
  kp_status status = json_parse(text->string, text->count, &file->plans, error);
  if (status) return core_fail_in(error, status, "plans");
  const json_value *plans = json_root(file->plans);
  if (plans->type != JSON_OBJECT || !plans->count)
    return core_fail(error, KP_INVALID_ARGUMENT, "plans must be an object of at least one plan");
  return KP_OK;
}

static kp_status list_constants(replay_file *file, kp_error *error) {
  file->constants = calloc(file->tensors.num_entries + 1u, sizeof *file->constants);
  if (!file->constants) return core_out_of_memory(error);
  for (uint32_t i = 0; i < file->tensors.num_entries; i++) {
    const safetensors_entry *entry = &file->tensors.entries[i];
    file->constants[i] = (replay_constant){entry->name, entry->data, entry->end - entry->begin};
  }
  return KP_OK;
}

replay_status replay_file_open(const char *path, replay_file **file, replay_error *error) {
  *file = NULL;
  replay_file *result = calloc(1, sizeof *result);
  if (!result) return replay_out_of_memory(error);
  replay_status status = map_file(path, result, error);
  if (!status) {
    kp_error inner;
    kp_status read = safetensors_read(result->mapping, result->bytes, &result->tensors, &inner);
    if (!read) read = read_plans(result, &inner);
    if (!read) read = list_constants(result, &inner);
    if (read) status = replay_fail(error, (replay_status)read, "%.300s: %s", path, inner.message);
  }
  if (!status) status = replay_store_new(&result->store, error);
  if (status) {
    replay_file_close(result);
    return status;
  }
  *file = result;
  return REPLAY_OK;
}

void replay_file_close(replay_file *file) {
  if (!file) return;
  replay_store_free(file->store);
  json_free(file->plans);
  safetensors_free(&file->tensors);
  if (file->mapping) munmap(file->mapping, file->bytes);
  free(file->constants);
  free(file);
}

size_t replay_file_num_plans(const replay_file *file) { return json_root(file->plans)->count; }

const char *replay_file_plan_name(const replay_file *file, size_t index) {
  const json_value *plans = json_root(file->plans);
  return index < plans->count ? plans->members[index].key : NULL;
}

/* ---- Choosing a plan --------------------------------------------------------- */

/* Seconds of the plan, or -1 with the reasons added to `missing`. */
static double rate_plan(const json_member *member, replay_pack *const *packs, size_t num_packs,
                        report *missing) {
  plan p;
  kp_error inner;
  if (plan_read(&member->value, &p, &inner)) {
    report_add(missing, "[%.60s] %s", member->key, inner.message);
    return -1;
  }
  report own = {0};
  match *matches = calloc(p.num_steps + 1u, sizeof *matches);
  double seconds = -1;
  if (matches)
    seconds = match_plan(&p, packs, num_packs, matches, &own);
  else
    report_add(&own, "memory ran out");
  if (own.used) {
    report_add(missing, "[%.60s] %s", member->key, own.text);
    seconds = -1;
  }
  free(matches);
  plan_free(&p);
  return seconds;
}

static const json_member *choose_plan(const json_value *plans, replay_pack *const *packs,
                                      size_t num_packs, report *missing) {
  const json_member *best = NULL;
  double least = 0;
  for (uint32_t i = 0; i < plans->count; i++) {
    double seconds = rate_plan(&plans->members[i], packs, num_packs, missing);
    if (seconds < 0 || (best && seconds >= least)) continue;
    best = &plans->members[i];
    least = seconds;
  }
  return best;
}

static const json_value *find_plan(const replay_file *file, const char *name,
                                   replay_pack *const *packs, size_t num_packs,
                                   replay_status *status, replay_error *error) {
  const json_value *plans = json_root(file->plans);
  if (name) {
    const json_value *found = json_get(plans, name);
    if (!found)
      *status =
          replay_fail(error, REPLAY_INVALID_ARGUMENT, "the file has no plan \"%.100s\"", name);
    return found;
  }
  if (plans->count == 1) return &plans->members[0].value;
  report missing = {0};
  const json_member *best = choose_plan(plans, packs, num_packs, &missing);
  if (best) return &best->value;
  *status = replay_fail(error, REPLAY_UNAVAILABLE, "no plan fits: %s", missing.text);
  return NULL;
}

/* ---- Creating ---------------------------------------------------------------- */

replay_status replay_create(replay_file *file, const char *plan_name, replay_pack *const *packs,
                            size_t num_packs, replay **result, replay_error *error) {
  *result = NULL;
  replay_status status = REPLAY_OK;
  const json_value *json = find_plan(file, plan_name, packs, num_packs, &status, error);
  if (!json) return status;
  plan p;
  kp_error inner;
  kp_status read = plan_read(json, &p, &inner);
  if (read) return replay_fail_with(error, read, &inner);
  const creation from = {file->constants, file->tensors.num_entries, packs, num_packs, file->store};
  status = model_create(&p, &from, result, error);
  /* Constants that were packed aren't read again; the others come back by themselves. */
  if (!status) madvise(file->mapping, file->bytes, MADV_DONTNEED);
  return status;
}

replay_status replay_create_from_memory(const char *plan_text, size_t plan_bytes,
                                        const replay_constant *constants, size_t num_constants,
                                        replay_pack *const *packs, size_t num_packs,
                                        replay_store *store, replay **result, replay_error *error) {
  *result = NULL;
  plan p;
  kp_error inner;
  kp_status read = plan_parse(plan_text, plan_bytes, &p, &inner);
  if (read) return replay_fail_with(error, read, &inner);
  const creation from = {constants, num_constants, packs, num_packs, store};
  return model_create(&p, &from, result, error);
}
