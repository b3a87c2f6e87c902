/* Calls like an earlier one, found by what their arguments are.
 *
 * Everything here is called with Python's global lock held; it may be let go while a call that was
 * found runs, which `uses` counts. */
#ifndef DISPATCH_SRC_PYTHON_REMEMBERED_H_
#define DISPATCH_SRC_PYTHON_REMEMBERED_H_

#include "numpy_api.h"

#include "core.h"

#include <stdbool.h>
#include <stdint.h>

#define REMEMBERED_INPUTS (CORE_FEW_BUFFERS - 1)
#define REMEMBERED_RANK 8

/* An input as calls are compared by it: all that is pointed to by identity. */
typedef struct {
  PyObject *what;         /* the dtype of an array, or the constant, or None itself */
  PyObject *quantization; /* NULL: plain values */
  int rank;
  npy_intp extents[2 * REMEMBERED_RANK]; /* dimensions, then strides */
} remembered_input;

/* What calls are compared by; attributes and steps by equality. */
typedef struct {
  PyObject *operator;
  PyObject *setting;
  PyObject *attributes;
  PyObject *steps;
  Py_ssize_t num_inputs;
  remembered_input inputs[REMEMBERED_INPUTS];
  uint64_t hash;
} remembered_key;

/* What serves calls of a key. It has references to all that it points to but the constants among
 * the inputs: when one of them dies, every call is forgotten. */
typedef struct remembered_call {
  remembered_key key;
  struct remembered_call *next;
  Py_ssize_t uses;
  bool forgotten;
  PyObject *owner;    /* keeps `handle` and `fixed` */
  const void *handle; /* a core_call */
  uint32_t num_live;  /* inputs that are arrays of the call, not constants */
  uint32_t live[REMEMBERED_INPUTS];
  size_t bytes[REMEMBERED_INPUTS]; /* of those */
  void *fixed[CORE_FEW_BUFFERS];   /* the constants */
  uint32_t may_overwrite;          /* a bit for each input whose memory the output may take */
  PyArray_Descr *dtype;            /* the output's */
  int rank;
  npy_intp shape[REMEMBERED_RANK];
  size_t output_bytes;
  PyObject *quantization; /* the output's; NULL: plain values */
} remembered_call;

/* Finds the call of a key; NULL if there is none, without an exception. */
remembered_call *remembered_find(const remembered_key *key);

/* Takes over a call, made by PyMem_Calloc, with its references. */
void remembered_add(remembered_call *call);

/* Says that a call which was found is needed no longer. */
void remembered_leave(remembered_call *call);

/* Forgets every call. */
void remembered_clear(void);

#endif
