#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

static const char magic[8] = {'K', 'P', 'O', 'P', 'E', 'N', 'C', 'L'};
enum { MAX_BYTES = 1 << 30 };

/* ---- Bytes --------------------------------------------------------------------- */

/* Once it failed, everything that is read is 0 or empty. */
typedef struct reader {
  const uint8_t *at, *end;
  image *image;
  int failed;
} reader;

static const uint8_t *take(reader *r, size_t size) {
  if (r->failed || size > (size_t)(r->end - r->at)) {
    r->failed = 1;
    return NULL;
  }
  const uint8_t *taken = r->at;
  r->at += size;
  return taken;
}

static void read_value(reader *r, void *value, size_t size) {
  const uint8_t *bytes = take(r, size);
  if (bytes)
    memcpy(value, bytes, size); /* the file's order of bytes is that of all hosts served */
  else
    memset(value, 0, size);
}

static uint32_t read_u32(reader *r) {
  uint32_t value;
  read_value(r, &value, sizeof value);
  return value;
}

static uint64_t read_u64(reader *r) {
  uint64_t value;
  read_value(r, &value, sizeof value);
  return value;
}

static image_bytes read_bytes(reader *r) {
  uint32_t size = read_u32(r);
  const uint8_t *data = take(r, size);
  return (image_bytes){data, data ? size : 0};
}

/* Its end is a zero, which is counted. */
static const char *read_string(reader *r) {
  image_bytes bytes = read_bytes(r);
  if (bytes.size && strnlen((const char *)bytes.data, bytes.size) == bytes.size - 1)
    return (const char *)bytes.data;
  r->failed = 1;
  return "";
}

/* Room for a list whose length the file says; each element takes a byte of it at least. */
static void *read_list(reader *r, size_t element, uint32_t *count) {
  *count = read_u32(r);
  if (*count > (size_t)(r->end - r->at)) r->failed = 1;
  if (r->failed) *count = 0;
  image *i = r->image;
  void **allocated = realloc(i->allocated, (i->num_allocated + 1u) * sizeof *allocated);
  if (allocated) i->allocated = allocated;
  void *list = allocated ? calloc(*count + 1u, element) : NULL;
  if (list) {
    allocated[i->num_allocated++] = list;
  } else {
    r->failed = 1;
    *count = 0;
  }
  return list;
}

/* ---- Parts --------------------------------------------------------------------- */

static void read_launch(reader *r, const image *i, const image_entry *entry, image_launch *launch) {
  launch->program = read_u32(r);
  launch->function = read_string(r);
  int32_t *arguments = read_list(r, sizeof *arguments, &launch->num_arguments);
  for (uint32_t j = 0; j < launch->num_arguments; j++) {
    arguments[j] = (int32_t)read_u32(r);
    if (arguments[j] < -1 - (int64_t)entry->num_tables) r->failed = 1;
    if (arguments[j] >= (int64_t)entry->num_buffers) r->failed = 1;
  }
  launch->arguments = arguments;
  launch->parameters = read_bytes(r);
  launch->axes = read_u32(r);
  if (launch->program >= i->num_programs || !launch->axes || launch->axes > IMAGE_MAX_AXES)
    r->failed = 1;
  for (uint32_t axis = 0; !r->failed && axis < launch->axes; axis++) {
    uint32_t groups = read_u32(r), items = read_u32(r);
    if (!groups || !items) r->failed = 1;
    if (__builtin_mul_overflow((size_t)groups, (size_t)items, &launch->global[axis])) r->failed = 1;
    launch->local[axis] = items;
  }
}

static void read_entry(reader *r, const image *i, image_entry *entry) {
  entry->kernel = read_string(r);
  entry->signature = read_bytes(r);
  read_value(r, &entry->cost, sizeof entry->cost);
  entry->scratch_bytes = read_u64(r);
  entry->may_overwrite = read_u64(r);
  uint64_t *bytes = read_list(r, sizeof *bytes, &entry->num_buffers);
  for (uint32_t j = 0; j < entry->num_buffers; j++) bytes[j] = read_u64(r);
  entry->buffer_bytes = bytes;
  uint32_t *tables = read_list(r, sizeof *tables, &entry->num_tables);
  for (uint32_t j = 0; j < entry->num_tables; j++) {
    tables[j] = read_u32(r);
    if (tables[j] >= i->num_tables) r->failed = 1;
  }
  image_launch *launches = read_list(r, sizeof *launches, &entry->num_launches);
  for (uint32_t j = 0; !r->failed && j < entry->num_launches; j++)
    read_launch(r, i, entry, &launches[j]);
  entry->tables = tables;
  entry->launches = launches;
}

static void read_all(reader *r, image *i) {
  i->needs = read_u32(r);
  i->max_items = read_u32(r);
  i->alignment = read_u32(r);
  i->device = read_string(r);
  i->programs = read_list(r, sizeof *i->programs, &i->num_programs);
  for (uint32_t j = 0; !r->failed && j < i->num_programs; j++) {
    i->programs[j].options = read_string(r);
    i->programs[j].text = read_string(r);
  }
  i->tables = read_list(r, sizeof *i->tables, &i->num_tables);
  for (uint32_t j = 0; !r->failed && j < i->num_tables; j++) i->tables[j] = read_bytes(r);
  i->entries = read_list(r, sizeof *i->entries, &i->num_entries);
  for (uint32_t j = 0; !r->failed && j < i->num_entries; j++) read_entry(r, i, &i->entries[j]);
  if (r->at != r->end) r->failed = 1;
}

/* ---- The whole ----------------------------------------------------------------- */

static kp_status load(const char *path, uint8_t **data, size_t *size, kp_error *error) {
  FILE *file = fopen(path, "rb");
  if (!file) return fail(error, KP_UNAVAILABLE, "%.300s: %s", path, strerror(errno));
  long end = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
  if (end < 0 || end > MAX_BYTES || fseek(file, 0, SEEK_SET)) {
    fclose(file);
    return fail(error, KP_INVALID_ARGUMENT, "%.300s: expected a file of at most %d bytes", path,
                MAX_BYTES);
  }
  *size = (size_t)end;
  *data = malloc(*size + 1);
  kp_status status = *data ? KP_OK : fail_out_of_memory(error);
  if (!status && fread(*data, 1, *size, file) != *size)
    status = fail(error, KP_INVALID_ARGUMENT, "%.300s can't be read", path);
  fclose(file);
  return status;
}

kp_status image_read(const char *path, image *result, kp_error *error) {
  *result = (image){0};
  size_t size = 0;
  kp_status status = load(path, &result->file, &size, error);
  if (!status && (size < sizeof magic + 4 || memcmp(result->file, magic, sizeof magic)))
    status = fail(error, KP_INVALID_ARGUMENT, "%.300s is no file of OpenCL kernels", path);
  if (!status) {
    reader r = {result->file + sizeof magic, result->file + size, result, 0};
    uint32_t version = read_u32(&r);
    if (version != IMAGE_VERSION) {
      status = fail(error, KP_WRONG_VERSION, "%.300s is of version %u, version %d is read here",
                    path, version, IMAGE_VERSION);
    } else {
      read_all(&r, result);
      if (r.failed)
        status = fail(error, KP_INVALID_ARGUMENT, "%.300s is damaged at byte %zu", path,
                      (size_t)(r.at - result->file));
    }
  }
  if (status) image_free(result);
  return status;
}

void image_free(image *i) {
  for (uint32_t j = 0; j < i->num_allocated; j++) free(i->allocated[j]);
  free(i->allocated);
  free(i->file);
  *i = (image){0};
}
