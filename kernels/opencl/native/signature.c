#include "signature.h"

#include <stdlib.h>
#include <string.h>

static void put(signature *s, const void *data, size_t size) {
  if (s->failed || !size) return;
  if (size > s->room - s->size) {
    size_t room = 2 * s->room + size + 256;
    uint8_t *larger = realloc(s->data, room);
    if (!larger) {
      s->failed = 1;
      return;
    }
    s->data = larger;
    s->room = room;
  }
  memcpy(s->data + s->size, data, size);
  s->size += size;
}

static void put_u32(signature *s, uint32_t value) { put(s, &value, sizeof value); }

static void put_string(signature *s, const char *text) {
  size_t length = strlen(text);
  put_u32(s, (uint32_t)length);
  put(s, text, length);
}

static void put_quantization(signature *s, const kp_quantization *q) {
  put_u32(s, q != NULL);
  if (!q) return;
  put_u32(s, (uint32_t)q->axis);
  put_u32(s, (uint32_t)q->count);
  put(s, q->scales, (size_t)q->count * sizeof *q->scales);
  put(s, q->zero_points, (size_t)q->count * sizeof *q->zero_points);
}

static void put_tensor(signature *s, const kp_tensor *t) {
  put_u32(s, t->flags);
  if (kp_is_absent(t)) return;
  put_u32(s, t->dl.dtype.code);
  put_u32(s, t->dl.dtype.bits);
  put_string(s, t->layout);
  put_u32(s, (uint32_t)t->dl.ndim);
  put(s, t->dl.shape, (size_t)t->dl.ndim * sizeof *t->dl.shape);
  put_quantization(s, t->quantization);
}

static void put_attribute(signature *s, const kp_attribute *a) {
  put_string(s, a->name);
  put_u32(s, a->type);
  if (a->type == KP_STRING) {
    put_string(s, a->string);
    return;
  }
  put_u32(s, a->count);
  if (a->type == KP_INTEGERS)
    put(s, a->integers, a->count * sizeof *a->integers);
  else
    put(s, a->reals, a->count * sizeof *a->reals);
}

static void put_epilogue(signature *s, const kp_epilogue *e) {
  put_string(s, e->name);
  put_u32(s, (uint32_t)e->input);
  put(s, &e->alpha, sizeof e->alpha);
  put(s, &e->beta, sizeof e->beta);
}

void signature_make(const kp_problem *problem, signature *result) {
  signature s = {0};
  put_string(&s, problem->operator_name);
  put_u32(&s, problem->num_inputs);
  put_u32(&s, problem->num_operator_inputs);
  put_u32(&s, problem->num_outputs);
  for (uint32_t i = 0; i < problem->num_inputs; i++) put_tensor(&s, &problem->inputs[i]);
  for (uint32_t i = 0; i < problem->num_outputs; i++) put_tensor(&s, &problem->outputs[i]);
  put_u32(&s, problem->num_attributes);
  for (uint32_t i = 0; i < problem->num_attributes; i++) put_attribute(&s, &problem->attributes[i]);
  put_u32(&s, problem->num_epilogues);
  for (uint32_t i = 0; i < problem->num_epilogues; i++) put_epilogue(&s, &problem->epilogues[i]);
  put_u32(&s, problem->precision);
  put_u32(&s, (uint32_t)problem->deterministic);
  *result = s;
}

void signature_free(signature *s) {
  free(s->data);
  *s = (signature){0};
}
