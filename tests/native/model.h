/*
 * model.h: a plan over the fake pack, and a file that holds it.
 *
 *   t = x + x          arena 0
 *   t = t * w1         arena 64   (packed constant)
 *   t = t + t          arena 64   (in place)
 *   y = t * w1         output 0   (the same constant, packed again: shared)
 *   z = y * w2         output 1   (constant bound at preparation)
 *
 * so y = 16 w1² x and z = w2 y, as the packed kernel multiplies by 2 w.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <stdint.h>
#include <stdlib.h>

#include "texts.h"

#define MODEL_STEP(KERNEL, PROBLEM, INPUTS, OUTPUT, NODE)                  \
  "{\"kernel\":\"" KERNEL "\",\"problem\":" PROBLEM ",\"inputs\":[" INPUTS \
  "],\"outputs\":[" OUTPUT "],\"node\":\"" NODE "\"}"
#define MODEL_END(NAME) "{\"name\":\"" NAME "\",\"dtype\":\"float32\",\"shape\":[2,3]}"
#define MODEL_PLAN(KERNEL) \
  "{\"version\":1,\"device\":\"cpu\",\"threads\":1,\"problems\":["                           \
  PROBLEM("add", TENSOR("[2,3]") "," TENSOR("[2,3]"), TENSOR("[2,3]")) ","                   \
  PROBLEM("scale", TENSOR("[2,3]") "," CONSTANT("[1]"), TENSOR("[2,3]"))                     \
  "],\"buffers\":[{\"kind\":\"input\",\"index\":0,\"bytes\":24},"                            \
  "{\"kind\":\"arena\",\"offset\":0,\"bytes\":24},"                                          \
  "{\"kind\":\"arena\",\"offset\":64,\"bytes\":32},"                                         \
  "{\"kind\":\"constant\",\"name\":\"w1\",\"bytes\":4},"                                     \
  "{\"kind\":\"constant\",\"name\":\"w2\",\"bytes\":4},"                                     \
  "{\"kind\":\"output\",\"index\":0,\"bytes\":24},"                                          \
  "{\"kind\":\"output\",\"index\":1,\"bytes\":24}],\"arena_bytes\":128,\"steps\":["          \
  MODEL_STEP(KERNEL, "0", "0,0", "1", "Add_0") ","                                           \
  MODEL_STEP("fake.scale.packed.f32", "1", "1,3", "2", "Mul_1") ","                          \
  MODEL_STEP("fake.add.plain.f32", "0", "2,2", "2", "Add_2") ","                             \
  MODEL_STEP("fake.scale.packed.f32", "1", "2,3", "5", "Mul_3") ","                          \
  MODEL_STEP("fake.scale.bound.f32", "1", "5,4", "6", "Mul_4")                               \
  "],\"inputs\":[" MODEL_END("x") "],\"outputs\":[" MODEL_END("y") "," MODEL_END("z")        \
  "],\"packs\":{\"fake\":\"fake library 1.0\"}}"

static const char model_plan[] = MODEL_PLAN("fake.add.plain.f32");

static inline float model_y(float x, float w1) { return 16 * w1 * w1 * x; }

/* Writes `text` as a JSON string. */
static inline size_t quote(const char *text, char *result) {
  char *out = result;
  *out++ = '"';
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') *out++ = '\\';
    *out++ = *text;
  }
  *out++ = '"';
  *out = 0;
  return (size_t)(out - result);
}

/* A safetensors file with these plans and w1 = 0.5, w2 = 3; to be freed. */
static inline uint8_t *model_file(const char *plans, size_t *bytes) {
  static const float constants[] = {0.5f, 3.0f};
  size_t room = 2 * strlen(plans) + 1024;
  uint8_t *file = malloc(room);
  char *header = (char *)file + 8;
  size_t length = (size_t)sprintf(header, "{\"__metadata__\":{\"plans\":");
  length += quote(plans, header + length);
  length += (size_t)sprintf(header + length,
                            "},\"w1\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                            "\"w2\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}");
  while (length % 8) header[length++] = ' ';
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)length >> 8 * i);
  memcpy(header + length, constants, sizeof constants);
  *bytes = 8 + length + sizeof constants;
  return file;
}

static inline int write_bytes(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  if (!file) return 0;
  size_t written = fwrite(data, 1, bytes, file);
  return fclose(file) == 0 && written == bytes;
}

#endif
