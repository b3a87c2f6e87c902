/* texts.h: JSON for the tests. */
#ifndef TESTS_TEXTS_H
#define TESTS_TEXTS_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TENSOR(SHAPE) "{\"dtype\":\"float32\",\"shape\":" SHAPE ",\"layout\":\"nchw\"}"
#define CONSTANT(SHAPE) \
  "{\"dtype\":\"float32\",\"shape\":" SHAPE ",\"layout\":\"nchw\",\"constant\":true}"
#define PROBLEM_ON(THREADS, OPERATOR, INPUTS, OUTPUT)                         \
  "{\"operator\":\"" OPERATOR "\",\"inputs\":[" INPUTS                        \
  "],\"operator_inputs\":1,\"outputs\":[" OUTPUT                              \
  "],\"attributes\":{},\"epilogue\":[],\"device\":\"cpu\",\"device_type\":1," \
  "\"device_id\":0,\"precision\":\"high\",\"deterministic\":false,\"threads\":" THREADS "}"
#define PROBLEM(OPERATOR, INPUTS, OUTPUT) PROBLEM_ON("1", OPERATOR, INPUTS, OUTPUT)

/* Copies `text` to `result` with its first `old` replaced. Returns 0 where there is none. */
static inline int replace(const char *text, const char *old, const char *replacement, char *result,
                          size_t size) {
  const char *at = strstr(text, old);
  if (!at) return 0;
  int length =
      snprintf(result, size, "%.*s%s%s", (int)(at - text), text, replacement, at + strlen(old));
  return length > 0 && (size_t)length < size;
}

#endif
