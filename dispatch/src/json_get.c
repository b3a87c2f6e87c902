#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "json.h"

static int compare_key(const void *key, const void *member) {
  return strcmp(key, ((const json_member *)member)->key);
}

const json_value *json_get(const json_value *value, const char *key) {
  if (value->type != JSON_OBJECT) return NULL;
  const json_member *found =
      bsearch(key, value->members, value->count, sizeof *value->members, compare_key);
  return found ? &found->value : NULL;
}

const char *json_type_name(json_type type) {
  static const char *const names[] = {"null",     "a boolean", "an integer", "a real number",
                                      "a string", "an array",  "an object"};
  return names[type];
}

kp_status json_require(const json_value *object, const char *key, json_type type,
                       const json_value **value, kp_error *error) {
  *value = json_get(object, key);
  if (!*value) return core_fail(error, KP_INVALID_ARGUMENT, "\"%s\" is missing", key);
  if ((*value)->type != type)
    return core_fail(error, KP_INVALID_ARGUMENT, "\"%s\" must be %s, got %s", key,
                     json_type_name(type), json_type_name((*value)->type));
  return KP_OK;
}

kp_status json_require_integer(const json_value *object, const char *key, int64_t minimum,
                               int64_t maximum, int64_t *result, kp_error *error) {
  const json_value *value;
  kp_status status = json_require(object, key, JSON_INTEGER, &value, error);
  if (status) return status;
  if (value->integer < minimum || value->integer > maximum)
    return core_fail(error, KP_INVALID_ARGUMENT, "\"%s\" must be from %lld to %lld, got %lld", key,
                     (long long)minimum, (long long)maximum, (long long)value->integer);
  *result = value->integer;
  return KP_OK;
}

kp_status json_only_keys(const json_value *value, const char *what, const char *const *keys,
                         kp_error *error) {
  if (value->type != JSON_OBJECT)
    return core_fail(error, KP_INVALID_ARGUMENT, "%s must be an object, got %s", what,
                     json_type_name(value->type));
  for (uint32_t i = 0; i < value->count; i++) {
    const char *const *key = keys;
    while (*key && strcmp(*key, value->members[i].key)) key++;
    if (!*key)
      return core_fail(error, KP_INVALID_ARGUMENT, "%s has an unknown key \"%.100s\"", what,
                       value->members[i].key);
  }
  return KP_OK;
}
