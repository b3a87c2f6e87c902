/* safetensors.h: the file format, read from a mapping and checked. */
#ifndef REPLAY_SAFETENSORS_H
#define REPLAY_SAFETENSORS_H

#include "json.h"

typedef struct safetensors_entry {
  const char *name;
  const char *dtype; /* the format's name: "F32" */
  const uint8_t *data;
  uint64_t begin, end; /* within the data */
} safetensors_entry;

typedef struct safetensors {
  const uint8_t *data; /* behind the header */
  uint64_t data_bytes;
  json_document *header;
  safetensors_entry *entries; /* sorted by name */
  uint32_t num_entries;
} safetensors;

/* Reads the header of `bytes` bytes at `file`, which must outlive the result. Refused: a header
 * that is too long or not strict JSON, tensors that overlap, leave holes, or whose bytes don't
 * fit their dtype and shape, metadata that aren't strings. */
kp_status safetensors_read(const uint8_t *file, uint64_t bytes, safetensors *result,
                           kp_error *error);
void safetensors_free(safetensors *tensors);
const safetensors_entry *safetensors_find(const safetensors *tensors, const char *name);
/* The string of that key, or NULL. */
const json_value *safetensors_metadata(const safetensors *tensors, const char *key);

#endif
