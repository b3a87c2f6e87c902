/*
 * signature.h: a problem as bytes, by which the file of kernels tells problems apart. All that
 * may change a result is in it; the device's number and the threads aren't. export.py writes the
 * same bytes.
 */
#ifndef KERNELS_OPENCL_SIGNATURE_H
#define KERNELS_OPENCL_SIGNATURE_H

#include "kernel_pack.h"

typedef struct signature {
  uint8_t *data;
  size_t size, room;
  int failed; /* memory ran out */
} signature;

/* To be freed by signature_free(), also where it failed. */
void signature_make(const kp_problem *problem, signature *result);
void signature_free(signature *s);

#endif
