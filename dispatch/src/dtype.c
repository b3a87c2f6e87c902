#include "dtype.h"

#include <string.h>

static const struct {
  const char *name;
  DLDataType dtype;
} dtypes[] = {
    {"float32", {kDLFloat, 32, 1}}, {"float64", {kDLFloat, 64, 1}},
    {"float16", {kDLFloat, 16, 1}}, {"bfloat16", {kDLBfloat, 16, 1}},
    {"int8", {kDLInt, 8, 1}},       {"int16", {kDLInt, 16, 1}},
    {"int32", {kDLInt, 32, 1}},     {"int64", {kDLInt, 64, 1}},
    {"uint8", {kDLUInt, 8, 1}},     {"uint16", {kDLUInt, 16, 1}},
    {"uint32", {kDLUInt, 32, 1}},   {"uint64", {kDLUInt, 64, 1}},
    {"bool", {kDLBool, 8, 1}},
};
enum { NUM_DTYPES = sizeof dtypes / sizeof dtypes[0] };

int core_dtype_from_name(const char *name, DLDataType *dtype) {
  for (int i = 0; i < NUM_DTYPES; i++) {
    if (strcmp(dtypes[i].name, name)) continue;
    *dtype = dtypes[i].dtype;
    return 1;
  }
  return 0;
}

const char *core_dtype_name(DLDataType dtype) {
  for (int i = 0; i < NUM_DTYPES; i++)
    if (dtypes[i].dtype.code == dtype.code && dtypes[i].dtype.bits == dtype.bits)
      return dtypes[i].name;
  return NULL;
}
