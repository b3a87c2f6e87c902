#include <stdlib.h>

#include "check.h"
#include "model.h"
#include "safetensors.h"

/* A header followed by `data_bytes` zeros, in memory of exactly that size. */
static uint8_t *make(const char *header, size_t data_bytes, size_t *bytes) {
  size_t length = strlen(header);
  uint8_t *file = calloc(1, 8 + length + data_bytes);
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)length >> 8 * i);
  memcpy(file + 8, header, length);
  *bytes = 8 + length + data_bytes;
  return file;
}

static void test_whole(void) {
  size_t bytes;
  uint8_t *file = model_file("{}", &bytes);
  safetensors tensors;
  kp_error error;
  CHECK(safetensors_read(file, bytes, &tensors, &error) == KP_OK);
  CHECK(tensors.num_entries == 2 && tensors.data_bytes == 8);
  const safetensors_entry *w2 = safetensors_find(&tensors, "w2");
  CHECK(w2 && w2->begin == 4 && w2->end == 8 && *(const float *)(const void *)w2->data == 3.0f);
  CHECK(!safetensors_find(&tensors, "__metadata__") && !safetensors_find(&tensors, "w3"));
  CHECK(!strcmp(safetensors_metadata(&tensors, "plans")->string, "{}"));
  CHECK(!safetensors_metadata(&tensors, "trace"));
  safetensors_free(&tensors);
  for (size_t kept = 0; kept < bytes; kept++) { /* every truncation */
    uint8_t *part = malloc(kept ? kept : 1);
    memcpy(part, file, kept);
    CHECK(safetensors_read(part, kept, &tensors, &error) == KP_INVALID_ARGUMENT);
    free(part);
  }
  free(file);
}

#define ENTRY(SHAPE, BEGIN, END) \
  "{\"dtype\":\"F32\",\"shape\":" SHAPE ",\"data_offsets\":[" BEGIN "," END "]}"

static void test_headers(void) {
  static const struct {
    const char *header;
    size_t data_bytes;
    const char *says; /* NULL: right */
  } cases[] = {
      {"{}", 0, NULL},
      {"{\"a\":" ENTRY("[2]", "0", "8") "}   ", 8, NULL},
      {"{\"b\":" ENTRY("[1]", "0", "4") ",\"a\":" ENTRY("[]", "4", "8") "}", 8, NULL},
      {"{\"a\":" ENTRY("[0,3]", "0", "0") ",\"b\":" ENTRY("[1]", "0", "4") "}", 4, NULL},
      {" {}", 0, "doesn't begin with {"},
      {"[]", 0, "doesn't begin with {"},
      {"{\"a\":1}", 0, "must be an object"},
      {"{\"__metadata__\":1}", 0, "__metadata__ must be an object"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "strings only"},
      {"{\"a\":" ENTRY("[2]", "0", "8") ",\"a\":" ENTRY("[2]", "0", "8") "}", 8, "comes twice"},
      {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "unknown dtype"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4,
       "unknown key"},
      {"{\"a\":" ENTRY("[1]", "0", "8") "}", 8, "take 4 bytes, its offsets 8"},
      {"{\"a\":" ENTRY("[-1]", "0", "4") "}", 4, "shape"},
      {"{\"a\":" ENTRY("[4611686018427387904]", "0", "4") "}", 4, "shape"},
      {"{\"a\":" ENTRY("[2]", "0", "8") "}", 4, "within the data's 4 bytes"},
      {"{\"a\":" ENTRY("[1]", "-4", "0") "}", 4, "offsets"},
      {"{\"a\":" ENTRY("[1]", "4", "0") "}", 4, "offsets"},
      {"{\"a\":" ENTRY("[1]", "0", "4") ",\"b\":" ENTRY("[1]", "0", "4") "}", 4, "overlaps"},
      {"{\"a\":" ENTRY("[1]", "4", "8") "}", 8, "follows a hole"},
      {"{\"a\":" ENTRY("[1]", "0", "4") "}", 8, "end at byte 4 of the data's 8"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t bytes;
    uint8_t *file = make(cases[i].header, cases[i].data_bytes, &bytes);
    safetensors tensors;
    kp_error error = {""};
    kp_status status = safetensors_read(file, bytes, &tensors, &error);
    CHECK(status == (cases[i].says ? KP_INVALID_ARGUMENT : KP_OK));
    if (cases[i].says) CHECK_SAYS(error, cases[i].says);
    if (!status) safetensors_free(&tensors);
    free(file);
  }
}

static void test_lengths(void) {
  uint8_t file[16] = {0};
  safetensors tensors;
  kp_error error;
  CHECK(safetensors_read(file, sizeof file, &tensors, &error) == KP_INVALID_ARGUMENT);
  memset(file, 0xff, 8);
  CHECK(safetensors_read(file, sizeof file, &tensors, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "at most 100000000 are allowed");
  memset(file, 0, 8);
  file[1] = 1;
  CHECK(safetensors_read(file, sizeof file, &tensors, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "256 bytes go beyond the file's 16");
}

int main(void) {
  test_whole();
  test_headers();
  test_lengths();
  return check_result();
}
