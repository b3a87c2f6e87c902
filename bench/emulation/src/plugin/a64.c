#include "a64.h"

#include <stddef.h>

typedef struct row {
  uint32_t mask, value;
  a64_class class;
} row;

static const row rows[] = {
#define A64(class, mask, value, example) {mask, value, A64_##class},
#include "a64_classes.inc"
#undef A64
};

a64_class a64_classify(uint32_t word) {
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if ((word & rows[i].mask) == rows[i].value) return rows[i].class;
  return A64_OTHER;
}

const char *a64_class_name(a64_class class) {
  static const char *const names[A64_NUM_CLASSES] = {"multiply_add", "dot",    "load",
                                                     "store",        "branch", "other"};
  return names[class];
}
