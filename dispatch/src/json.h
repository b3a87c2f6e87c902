/*
 * json.h: a strict reader of JSON (RFC 8259) for text that may be hostile.
 *
 * Beyond the RFC: the numbers NaN, Infinity and -Infinity are read. Refused
 * although the RFC leaves them open: duplicate keys, the character U+0000,
 * integers outside int64, invalid UTF-8, nesting deeper than JSON_MAX_DEPTH.
 */
#ifndef DISPATCH_JSON_H
#define DISPATCH_JSON_H

#include "kernel_pack.h"

enum {
  JSON_MAX_BYTES = 100000000, /* the limit of a safetensors header */
  JSON_MAX_DEPTH = 64,
  JSON_MAX_VALUES = 1 << 24
};

typedef enum json_type {
  JSON_NULL,
  JSON_BOOLEAN,
  JSON_INTEGER,
  JSON_REAL,
  JSON_STRING,
  JSON_ARRAY,
  JSON_OBJECT
} json_type;

typedef struct json_value json_value;
typedef struct json_member json_member;

struct json_value {
  json_type type;
  uint32_t count; /* bytes of a string, items of an array, members of an object */
  union {
    int64_t integer; /* a boolean too: 0 or 1 */
    double real;
    const char *string; /* NUL-terminated */
    const json_value *items;
    const json_member *members; /* sorted by key */
  };
};

struct json_member {
  const char *key;
  json_value value;
};

typedef struct json_document json_document;

kp_status json_parse(const char *text, size_t length, json_document **document, kp_error *error);
void json_free(json_document *document);
const json_value *json_root(const json_document *document);

/* The member of that name, or NULL: also where `value` isn't an object. */
const json_value *json_get(const json_value *value, const char *key);
/* A word for the message: "an array". */
const char *json_type_name(json_type type);

/* ---- Members with their checks: the message names the key -------------------- */

/* A member of the type asked for, else KP_INVALID_ARGUMENT with a message. */
kp_status json_require(const json_value *object, const char *key, json_type type,
                       const json_value **value, kp_error *error);
kp_status json_require_integer(const json_value *object, const char *key, int64_t minimum,
                               int64_t maximum, int64_t *result, kp_error *error);
/* `value` is an object and each of its keys is one of `keys` (NULL at the end). */
kp_status json_only_keys(const json_value *value, const char *what, const char *const *keys,
                         kp_error *error);

#endif
