/* image_writer.h: writes files of OpenCL kernels. */
#ifndef TESTS_IMAGE_WRITER_H
#define TESTS_IMAGE_WRITER_H

#include <stdint.h>
#include <string.h>

static uint8_t written[4096];
static size_t used;

static inline void put(const void *data, size_t size) {
  memcpy(written + used, data, size);
  used += size;
}

static inline void put_numbers(const uint32_t *numbers, size_t count) { put(numbers, 4 * count); }

static inline void put_bytes(const void *data, size_t size) {
  put_numbers(&(const uint32_t){(uint32_t)size}, 1);
  put(data, size);
}

static inline void put_string(const char *text) { put_bytes(text, strlen(text) + 1); }

#endif
