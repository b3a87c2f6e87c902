#include "safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

enum { LENGTH_BYTES = 8 };

static const struct {
  const char *name;
  int64_t bytes;
} dtypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8}, {"I32", 4}, {"I16", 2},
              {"I8", 1},  {"U64", 8}, {"U32", 4}, {"U16", 2},  {"U8", 1},  {"BOOL", 1}};

static int64_t dtype_bytes(const char *name) {
  for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
    if (!strcmp(dtypes[i].name, name)) return dtypes[i].bytes;
  return 0;
}

static kp_status check_bytes(const json_value *json, safetensors_entry *entry, kp_error *error) {
  const json_value *dtype, *shape;
  kp_status status = json_require(json, "dtype", JSON_STRING, &dtype, error);
  if (!status) status = json_require(json, "shape", JSON_ARRAY, &shape, error);
  if (status) return status;
  int64_t bytes = dtype_bytes(dtype->string);
  if (!bytes)
    return core_fail(error, KP_INVALID_ARGUMENT, "unknown dtype \"%.20s\"", dtype->string);
  for (uint32_t i = 0; i < shape->count; i++) {
    const json_value *extent = &shape->items[i];
    if (extent->type != JSON_INTEGER || extent->integer < 0 ||
        __builtin_mul_overflow(bytes, extent->integer, &bytes))
      return core_fail(error, KP_INVALID_ARGUMENT, "its shape isn't one");
  }
  if ((uint64_t)bytes != entry->end - entry->begin)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "its dtype and shape take %" PRId64 " bytes, its offsets %" PRIu64, bytes,
                     entry->end - entry->begin);
  entry->dtype = dtype->string;
  return KP_OK;
}

static kp_status read_entry(const safetensors *tensors, const json_value *json,
                            safetensors_entry *entry, kp_error *error) {
  static const char *const keys[] = {"dtype", "shape", "data_offsets", NULL};
  const json_value *offsets;
  kp_status status = json_only_keys(json, "a tensor", keys, error);
  if (!status) status = json_require(json, "data_offsets", JSON_ARRAY, &offsets, error);
  if (status) return status;
  if (offsets->count != 2 || offsets->items[0].type != JSON_INTEGER ||
      offsets->items[1].type != JSON_INTEGER || offsets->items[0].integer < 0 ||
      offsets->items[1].integer < offsets->items[0].integer ||
      (uint64_t)offsets->items[1].integer > tensors->data_bytes)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "its offsets must be two rising numbers within the data's %" PRIu64 " bytes",
                     tensors->data_bytes);
  entry->begin = (uint64_t)offsets->items[0].integer;
  entry->end = (uint64_t)offsets->items[1].integer;
  entry->data = tensors->data + entry->begin;
  return check_bytes(json, entry, error);
}

static int compare_begin(const void *a, const void *b) {
  const safetensors_entry *x = *(const safetensors_entry *const *)a;
  const safetensors_entry *y = *(const safetensors_entry *const *)b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

/* The tensors, in the order of their offsets, must fill the data exactly. */
static kp_status check_coverage(const safetensors *tensors, kp_error *error) {
  const safetensors_entry **order = calloc(tensors->num_entries + 1, sizeof *order);
  if (!order) return core_out_of_memory(error);
  for (uint32_t i = 0; i < tensors->num_entries; i++) order[i] = &tensors->entries[i];
  qsort(order, tensors->num_entries, sizeof *order, compare_begin);
  uint64_t position = 0;
  kp_status status = KP_OK;
  for (uint32_t i = 0; i < tensors->num_entries && !status; i++) {
    if (order[i]->begin != position)
      status = core_fail(error, KP_INVALID_ARGUMENT, "tensor \"%.100s\" %s", order[i]->name,
                         order[i]->begin < position ? "overlaps another one" : "follows a hole");
    position = order[i]->end;
  }
  free(order);
  if (!status && position != tensors->data_bytes)
    status = core_fail(error, KP_INVALID_ARGUMENT,
                       "the tensors end at byte %" PRIu64 " of the data's %" PRIu64
                       ": the file is truncated, or something follows it",
                       position, tensors->data_bytes);
  return status;
}

static kp_status check_metadata(const json_value *metadata, kp_error *error) {
  if (!metadata) return KP_OK;
  if (metadata->type != JSON_OBJECT)
    return core_fail(error, KP_INVALID_ARGUMENT, "__metadata__ must be an object");
  for (uint32_t i = 0; i < metadata->count; i++)
    if (metadata->members[i].value.type != JSON_STRING)
      return core_fail(error, KP_INVALID_ARGUMENT, "__metadata__ must hold strings only");
  return KP_OK;
}

static kp_status read_entries(safetensors *tensors, kp_error *error) {
  const json_value *header = json_root(tensors->header);
  kp_status status = check_metadata(json_get(header, "__metadata__"), error);
  if (status) return status;
  tensors->entries = calloc(header->count + 1u, sizeof *tensors->entries);
  if (!tensors->entries) return core_out_of_memory(error);
  for (uint32_t i = 0; i < header->count; i++) {
    const json_member *member = &header->members[i];
    if (!strcmp(member->key, "__metadata__")) continue;
    safetensors_entry *entry = &tensors->entries[tensors->num_entries++];
    entry->name = member->key;
    status = read_entry(tensors, &member->value, entry, error);
    if (status) return core_fail_in(error, status, "tensor \"%.100s\"", member->key);
  }
  return check_coverage(tensors, error);
}

static kp_status read_header(const uint8_t *file, uint64_t bytes, safetensors *result,
                             kp_error *error) {
  if (bytes < LENGTH_BYTES)
    return core_fail(error, KP_INVALID_ARGUMENT, "%" PRIu64 " bytes are too few for a header",
                     bytes);
  uint64_t length = 0;
  for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | file[i];
  if (length > JSON_MAX_BYTES)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "the header's length is %" PRIu64 " bytes, at most %d are allowed", length,
                     JSON_MAX_BYTES);
  if (length > bytes - LENGTH_BYTES)
    return core_fail(error, KP_INVALID_ARGUMENT,
                     "the header's %" PRIu64 " bytes go beyond the file's %" PRIu64
                     ": it is truncated, or no safetensors file",
                     length, bytes);
  const char *text = (const char *)file + LENGTH_BYTES;
  if (!length || *text != '{')
    return core_fail(error, KP_INVALID_ARGUMENT, "the header doesn't begin with {");
  result->data = file + LENGTH_BYTES + length;
  result->data_bytes = bytes - LENGTH_BYTES - length;
  return json_parse(text, length, &result->header, error);
}

kp_status safetensors_read(const uint8_t *file, uint64_t bytes, safetensors *result,
                           kp_error *error) {
  *result = (safetensors){0};
  kp_status status = read_header(file, bytes, result, error);
  if (!status) status = read_entries(result, error);
  if (!status) return KP_OK;
  safetensors_free(result);
  return core_fail_in(error, status, "safetensors");
}

void safetensors_free(safetensors *tensors) {
  free(tensors->entries);
  json_free(tensors->header);
  *tensors = (safetensors){0};
}

static int compare_name(const void *name, const void *entry) {
  return strcmp(name, ((const safetensors_entry *)entry)->name);
}

const safetensors_entry *safetensors_find(const safetensors *tensors, const char *name) {
  return bsearch(name, tensors->entries, tensors->num_entries, sizeof *tensors->entries,
                 compare_name);
}

const json_value *safetensors_metadata(const safetensors *tensors, const char *key) {
  const json_value *metadata = json_get(json_root(tensors->header), "__metadata__");
  return metadata ? json_get(metadata, key) : NULL;
}
