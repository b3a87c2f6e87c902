#include "json.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "error.h"
#include "utf8.h"

struct json_document {
  arena memory;
  json_value root;
};

/* Values wait on the stack until their array or object closes, and are then
 * moved to the arena in one piece. */
typedef struct parser {
  const char *text, *position, *end;
  arena *memory;
  json_member *stack;
  size_t stack_used, stack_size;
  size_t values;
  kp_error *error;
} parser;

static locale_t c_locale;

static void make_c_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

static kp_status refuse(parser *p, const char *what) {
  return core_fail(p->error, KP_INVALID_ARGUMENT, "JSON: %s at byte %zu", what,
                   (size_t)(p->position - p->text));
}

static void skip_space(parser *p) {
  while (p->position < p->end && (*p->position == ' ' || *p->position == '\n' ||
                                  *p->position == '\t' || *p->position == '\r'))
    p->position++;
}

static int accept(parser *p, char c) {
  if (p->position >= p->end || *p->position != c) return 0;
  p->position++;
  return 1;
}

static int accept_word(parser *p, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(p->end - p->position) < length || memcmp(p->position, word, length)) return 0;
  p->position += length;
  return 1;
}

/* ---- Strings ----------------------------------------------------------------- */

static int read_hex4(parser *p, uint32_t *code) {
  if (p->end - p->position < 4) return 0;
  *code = 0;
  for (int i = 0; i < 4; i++) {
    char c = *p->position++;
    uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
    if (digit == 16) return 0;
    *code = *code << 4 | digit;
  }
  return 1;
}

static kp_status read_unicode_escape(parser *p, char **out) {
  uint32_t code, low;
  if (!read_hex4(p, &code)) return refuse(p, "a \\u escape needs four hexadecimal digits");
  if (code >= 0xDC00 && code < 0xE000) return refuse(p, "a low surrogate without a high one");
  if (code >= 0xD800 && code < 0xDC00) {
    if (!accept_word(p, "\\u") || !read_hex4(p, &low) || low < 0xDC00 || low >= 0xE000)
      return refuse(p, "a high surrogate without a low one");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code == 0) return refuse(p, "the character U+0000 isn't allowed");
  *out += utf8_encode(code, *out);
  return KP_OK;
}

static kp_status read_escape(parser *p, char **out) {
  static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (p->position >= p->end) return refuse(p, "the text ends inside a string");
  char c = *p->position++;
  if (c == 'u') return read_unicode_escape(p, out);
  const char *found = c ? strchr(escapes, c) : NULL;
  if (!found) return refuse(p, "an unknown escape");
  *(*out)++ = meanings[found - escapes];
  return KP_OK;
}

/* No escape is shorter than what it stands for, so the raw length suffices. */
static kp_status read_string(parser *p, const char **string, uint32_t *count) {
  const char *close = p->position;
  while (close < p->end && *close != '"') close += *close == '\\' && close + 1 < p->end ? 2 : 1;
  if (close >= p->end) return refuse(p, "the text ends inside a string");
  char *start = arena_alloc(p->memory, (size_t)(close - p->position) + 1, 1), *out = start;
  if (!start) return core_out_of_memory(p->error);
  while (p->position < close) {
    unsigned char c = (unsigned char)*p->position;
    if (c == '\\') {
      p->position++;
      kp_status status = read_escape(p, &out);
      if (status) return status;
      continue;
    }
    size_t length = utf8_length(p->position, close);
    if (c < 0x20) return refuse(p, "a control character inside a string");
    if (!length) return refuse(p, "invalid UTF-8");
    memcpy(out, p->position, length);
    out += length;
    p->position += length;
  }
  p->position = close + 1;
  *string = start;
  *count = (uint32_t)(out - start);
  return KP_OK;
}

/* ---- Numbers ----------------------------------------------------------------- */

static size_t skip_digits(parser *p) {
  const char *start = p->position;
  while (p->position < p->end && *p->position >= '0' && *p->position <= '9') p->position++;
  return (size_t)(p->position - start);
}

static kp_status read_number(parser *p, json_value *value) {
  enum { LONGEST = 400 };
  const char *start = p->position;
  int negative = accept(p, '-'), real = 0;
  if (accept_word(p, "Infinity")) {
    value->type = JSON_REAL;
    value->real = negative ? -INFINITY : INFINITY;
    return KP_OK;
  }
  const char *digits = p->position;
  size_t count = skip_digits(p);
  if (!count || (count > 1 && *digits == '0')) return refuse(p, "not a number");
  if (accept(p, '.')) {
    real = 1;
    if (!skip_digits(p)) return refuse(p, "a number needs digits after its point");
  }
  if (accept(p, 'e') || accept(p, 'E')) {
    real = 1;
    if (!accept(p, '+')) accept(p, '-');
    if (!skip_digits(p)) return refuse(p, "a number needs digits in its exponent");
  }
  size_t length = (size_t)(p->position - start);
  if (length > LONGEST) return refuse(p, "a number of more than 400 characters");
  if (real) {
    char copy[LONGEST + 1];
    memcpy(copy, start, length);
    copy[length] = 0;
    value->type = JSON_REAL;
    value->real = strtod_l(copy, NULL, c_locale);
    return KP_OK;
  }
  int64_t n = 0;
  for (size_t i = 0; i < count; i++) {
    int64_t digit = digits[i] - '0';
    if (__builtin_mul_overflow(n, (int64_t)10, &n) ||
        __builtin_add_overflow(n, negative ? -digit : digit, &n))
      return refuse(p, "an integer outside 64 bits");
  }
  value->type = JSON_INTEGER;
  value->integer = n;
  return KP_OK;
}

/* ---- Arrays and objects ------------------------------------------------------ */

static kp_status push(parser *p, const json_member *member) {
  if (++p->values > JSON_MAX_VALUES) return refuse(p, "more values than are allowed");
  if (p->stack_used == p->stack_size) {
    size_t size = p->stack_size ? p->stack_size * 2 : 64;
    json_member *stack = realloc(p->stack, size * sizeof *stack);
    if (!stack) return core_out_of_memory(p->error);
    p->stack = stack;
    p->stack_size = size;
  }
  p->stack[p->stack_used++] = *member;
  return KP_OK;
}

static kp_status read_value(parser *p, json_value *value, int depth);

static kp_status read_items(parser *p, json_value *value, int depth) {
  size_t base = p->stack_used;
  skip_space(p);
  if (!accept(p, ']')) {
    do {
      json_member item = {0};
      kp_status status = read_value(p, &item.value, depth);
      if (!status) status = push(p, &item);
      if (status) return status;
      skip_space(p);
    } while (accept(p, ','));
    if (!accept(p, ']')) return refuse(p, "expected , or ]");
  }
  size_t count = p->stack_used - base;
  json_value *items = arena_alloc(p->memory, count, sizeof *items);
  if (!items) return core_out_of_memory(p->error);
  for (size_t i = 0; i < count; i++) items[i] = p->stack[base + i].value;
  p->stack_used = base;
  *value = (json_value){.type = JSON_ARRAY, .count = (uint32_t)count, .items = items};
  return KP_OK;
}

static int compare_members(const void *a, const void *b) {
  return strcmp(((const json_member *)a)->key, ((const json_member *)b)->key);
}

static kp_status read_members(parser *p, json_value *value, int depth) {
  size_t base = p->stack_used;
  skip_space(p);
  if (!accept(p, '}')) {
    do {
      json_member member = {0};
      uint32_t length;
      skip_space(p);
      if (!accept(p, '"')) return refuse(p, "expected a key");
      kp_status status = read_string(p, &member.key, &length);
      if (status) return status;
      skip_space(p);
      if (!accept(p, ':')) return refuse(p, "expected :");
      status = read_value(p, &member.value, depth);
      if (!status) status = push(p, &member);
      if (status) return status;
      skip_space(p);
    } while (accept(p, ','));
    if (!accept(p, '}')) return refuse(p, "expected , or }");
  }
  size_t count = p->stack_used - base;
  json_member *members = arena_alloc(p->memory, count, sizeof *members);
  if (!members) return core_out_of_memory(p->error);
  if (count) {
    memcpy(members, p->stack + base, count * sizeof *members);
    qsort(members, count, sizeof *members, compare_members);
  }
  for (size_t i = 1; i < count; i++)
    if (!strcmp(members[i - 1].key, members[i].key))
      return core_fail(p->error, KP_INVALID_ARGUMENT, "JSON: the key \"%.100s\" comes twice",
                       members[i].key);
  p->stack_used = base;
  *value = (json_value){.type = JSON_OBJECT, .count = (uint32_t)count, .members = members};
  return KP_OK;
}

static kp_status read_value(parser *p, json_value *value, int depth) {
  skip_space(p);
  if (depth == JSON_MAX_DEPTH) return refuse(p, "too deeply nested");
  if (p->position >= p->end) return refuse(p, "the text ends too early");
  if (accept(p, '{')) return read_members(p, value, depth + 1);
  if (accept(p, '[')) return read_items(p, value, depth + 1);
  if (accept(p, '"')) {
    value->type = JSON_STRING;
    return read_string(p, &value->string, &value->count);
  }
  if (accept_word(p, "null")) {
    *value = (json_value){.type = JSON_NULL};
  } else if (accept_word(p, "true")) {
    *value = (json_value){.type = JSON_BOOLEAN, .integer = 1};
  } else if (accept_word(p, "false")) {
    *value = (json_value){.type = JSON_BOOLEAN};
  } else if (accept_word(p, "NaN")) {
    *value = (json_value){.type = JSON_REAL, .real = NAN};
  } else {
    return read_number(p, value);
  }
  return KP_OK;
}

kp_status json_parse(const char *text, size_t length, json_document **document, kp_error *error) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  *document = NULL;
  pthread_once(&once, make_c_locale);
  if (length > JSON_MAX_BYTES)
    return core_fail(error, KP_INVALID_ARGUMENT, "JSON: %zu bytes, at most %d are read", length,
                     JSON_MAX_BYTES);
  json_document *d = calloc(1, sizeof *d);
  if (!d || !c_locale) {
    free(d);
    return core_out_of_memory(error);
  }
  parser p = {
      .text = text, .position = text, .end = text + length, .memory = &d->memory, .error = error};
  kp_status status = read_value(&p, &d->root, 0);
  skip_space(&p);
  if (!status && p.position < p.end) status = refuse(&p, "text after the value");
  free(p.stack);
  if (status) {
    json_free(d);
    return status;
  }
  *document = d;
  return KP_OK;
}

void json_free(json_document *document) {
  if (!document) return;
  arena_free(&document->memory);
  free(document);
}

const json_value *json_root(const json_document *document) { return &document->root; }
