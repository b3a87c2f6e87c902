/* attributes.c: a problem's attributes, typed by how they are written. */
#include "error.h"
#include "problem.h"

kp_status core_reals_read(arena *memory, const json_value *items, uint32_t count,
                          const double **reals, kp_error *error) {
  double *values = arena_alloc(memory, count, sizeof *values);
  if (!values) return core_out_of_memory(error);
  const json_value *item = items->type == JSON_ARRAY ? items->items : items;
  for (uint32_t i = 0; i < count; i++, item++) {
    if (item->type != JSON_REAL && item->type != JSON_INTEGER)
      return core_fail(error, KP_INVALID_ARGUMENT, "expected a number, got %s",
                       json_type_name(item->type));
    values[i] = item->type == JSON_REAL ? item->real : (double)item->integer;
  }
  *reals = values;
  return KP_OK;
}

static kp_status read_integers(arena *memory, const json_value *items, uint32_t count,
                               const int64_t **integers, kp_error *error) {
  int64_t *values = arena_alloc(memory, count, sizeof *values);
  if (!values) return core_out_of_memory(error);
  const json_value *item = items->type == JSON_ARRAY ? items->items : items;
  for (uint32_t i = 0; i < count; i++, item++) {
    if (item->type != JSON_INTEGER && item->type != JSON_BOOLEAN)
      return core_fail(error, KP_INVALID_ARGUMENT, "expected a number or a boolean, got %s",
                       json_type_name(item->type));
    values[i] = item->integer;
  }
  *integers = values;
  return KP_OK;
}

/* One real number makes a list one of real numbers. */
static int holds_real(const json_value *value) {
  if (value->type != JSON_ARRAY) return value->type == JSON_REAL;
  for (uint32_t i = 0; i < value->count; i++)
    if (value->items[i].type == JSON_REAL) return 1;
  return 0;
}

static kp_status read_attribute(arena *memory, const json_value *value, kp_attribute *attribute,
                                kp_error *error) {
  attribute->count = value->type == JSON_ARRAY ? value->count : 1;
  if (value->type == JSON_STRING) {
    attribute->type = KP_STRING;
    attribute->string = arena_string(memory, value->string, value->count);
    return attribute->string ? KP_OK : core_out_of_memory(error);
  }
  if (holds_real(value)) {
    attribute->type = KP_REALS;
    return core_reals_read(memory, value, attribute->count, &attribute->reals, error);
  }
  attribute->type = KP_INTEGERS;
  return read_integers(memory, value, attribute->count, &attribute->integers, error);
}

kp_status core_attributes_read(arena *memory, const json_value *json, kp_problem *problem,
                               kp_error *error) {
  kp_attribute *attributes = arena_alloc(memory, json->count, sizeof *attributes);
  if (!attributes) return core_out_of_memory(error);
  for (uint32_t i = 0; i < json->count; i++) { /* an object's members are sorted by key */
    const json_member *member = &json->members[i];
    attributes[i].name = arena_string(memory, member->key, __builtin_strlen(member->key));
    if (!attributes[i].name) return core_out_of_memory(error);
    kp_status status = read_attribute(memory, &member->value, &attributes[i], error);
    if (status) return core_fail_in(error, status, "attribute \"%.60s\"", member->key);
  }
  problem->num_attributes = json->count;
  problem->attributes = attributes;
  return KP_OK;
}
