/* a64.h: what kind of work an A64 instruction does. */
#ifndef BENCH_A64_H
#define BENCH_A64_H

#include <stdint.h>

/* DOT: dot products, matrix products and outer products. */
typedef enum a64_class {
  A64_MULTIPLY_ADD,
  A64_DOT,
  A64_LOAD,
  A64_STORE,
  A64_BRANCH,
  A64_OTHER,
  A64_NUM_CLASSES
} a64_class;

/* The class of an instruction word. */
a64_class a64_classify(uint32_t word);

/* The class's name in reports: "multiply_add". */
const char *a64_class_name(a64_class class);

#endif
