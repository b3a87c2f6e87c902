#include "remembered.h"

#include <string.h>

enum { BUCKETS = 1024, LIMIT = 4096 };

static remembered_call *buckets[BUCKETS];
static size_t count;

static void destroy(remembered_call *call) {
  for (uint32_t i = 0; i < call->num_live; i++) {
    Py_DECREF(call->key.inputs[call->live[i]].what);
    Py_XDECREF(call->key.inputs[call->live[i]].quantization);
  }
  Py_DECREF(call->key.operator);
  Py_DECREF(call->key.setting);
  Py_DECREF(call->key.attributes);
  Py_DECREF(call->key.steps);
  Py_DECREF(call->owner);
  Py_DECREF((PyObject *)call->dtype);
  Py_XDECREF(call->quantization);
  PyMem_Free(call);
}

void remembered_leave(remembered_call *call) {
  if (--call->uses == 0 && call->forgotten) destroy(call);
}

void remembered_clear(void) {
  /* A destructor may run Python code, which may call again: what it finds is whole. */
  remembered_call *all = NULL;
  for (size_t i = 0; i < BUCKETS; i++) {
    while (buckets[i]) {
      remembered_call *call = buckets[i];
      buckets[i] = call->next;
      call->forgotten = true;
      call->uses++;
      call->next = all;
      all = call;
    }
  }
  count = 0;
  while (all) {
    remembered_call *call = all;
    all = call->next;
    remembered_leave(call);
  }
}

void remembered_add(remembered_call *call) {
  if (count >= LIMIT) remembered_clear();
  remembered_call **bucket = &buckets[call->key.hash % BUCKETS];
  call->next = *bucket;
  *bucket = call;
  count++;
}

static bool same_input(const remembered_input *a, const remembered_input *b) {
  if (a->what != b->what || a->quantization != b->quantization || a->rank != b->rank) return false;
  return memcmp(a->extents, b->extents, 2 * (size_t)a->rank * sizeof *a->extents) == 0;
}

static bool equal(PyObject *a, PyObject *b) {
  if (a == b) return true;
  const int same = PyObject_RichCompareBool(a, b, Py_EQ);
  if (same < 0) PyErr_Clear();
  return same > 0;
}

static bool same_key(const remembered_key *a, const remembered_key *b) {
  if (a->hash != b->hash || a->operator != b->operator || a->setting != b->setting ||
      a->num_inputs != b->num_inputs)
    return false;
  for (Py_ssize_t i = 0; i < a->num_inputs; i++)
    if (!same_input(&a->inputs[i], &b->inputs[i])) return false;
  return equal(a->attributes, b->attributes) && equal(a->steps, b->steps);
}

remembered_call *remembered_find(const remembered_key *key) {
  remembered_call *call = buckets[key->hash % BUCKETS];
  while (call) {
    call->uses++; /* comparing may run Python code, which may forget it */
    if (same_key(&call->key, key) && !call->forgotten) return call;
    remembered_call *next = call->forgotten ? NULL : call->next;
    remembered_leave(call);
    call = next;
  }
  return NULL;
}
