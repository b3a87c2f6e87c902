#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "json.h"

static json_document *parse(const char *text) {
  json_document *document;
  kp_error error;
  CHECK(json_parse(text, strlen(text), &document, &error) == KP_OK);
  return document;
}

static void test_values(void) {
  json_document *d = parse(
      " {\"b\": [1, -2, 3.5, 1e3, true, false, null, NaN, -Infinity, 9223372036854775807,"
      " -9223372036854775808], \"a\": \"x\\u00e9\\ud83d\\ude00\\n\\/\", \"c\": {}, \"d\": []} ");
  const json_value *root = json_root(d), *list = json_get(root, "b");
  CHECK(root->type == JSON_OBJECT && root->count == 4);
  CHECK(!strcmp(root->members[0].key, "a") && !strcmp(root->members[3].key, "d"));
  CHECK(list->type == JSON_ARRAY && list->count == 11);
  CHECK(list->items[0].type == JSON_INTEGER && list->items[0].integer == 1);
  CHECK(list->items[1].integer == -2);
  CHECK(list->items[2].type == JSON_REAL && list->items[2].real == 3.5);
  CHECK(list->items[3].type == JSON_REAL && list->items[3].real == 1000.0);
  CHECK(list->items[4].type == JSON_BOOLEAN && list->items[4].integer == 1);
  CHECK(list->items[5].type == JSON_BOOLEAN && list->items[5].integer == 0);
  CHECK(list->items[6].type == JSON_NULL);
  CHECK(isnan(list->items[7].real) && list->items[8].real == -INFINITY);
  CHECK(list->items[9].integer == INT64_MAX && list->items[10].integer == INT64_MIN);
  CHECK(!strcmp(json_get(root, "a")->string, "x\xc3\xa9\xf0\x9f\x98\x80\n/"));
  CHECK(json_get(root, "e") == NULL && json_get(list, "a") == NULL);
  json_free(d);
}

static void test_refusals(void) {
  static const struct {
    const char *text, *says;
  } cases[] = {
      {"", "ends too early"},
      {"{", "expected a key"},
      {"[1,]", "not a number"},
      {"[1 2]", "expected , or ]"},
      {"{\"a\":1,}", "expected a key"},
      {"{\"a\" 1}", "expected :"},
      {"{\"a\":1 \"b\":2}", "expected , or }"},
      {"{\"a\":1,\"b\":2,\"a\":3}", "\"a\" comes twice"},
      {"1 1", "after the value"},
      {"01", "not a number"},
      {"-", "not a number"},
      {"+1", "not a number"},
      {"1.", "after its point"},
      {"1e", "exponent"},
      {"9223372036854775808", "outside 64 bits"},
      {"-9223372036854775809", "outside 64 bits"},
      {"nul", "not a number"},
      {"\"a", "ends inside"},
      {"\"a\\", "ends inside"},
      {"\"\\x\"", "unknown escape"},
      {"\"\\u12\"", "four hexadecimal"},
      {"\"\\u0000\"", "U+0000"},
      {"\"\\ud800\"", "high surrogate"},
      {"\"\\ud800\\u0041\"", "high surrogate"},
      {"\"\\udc00\"", "low surrogate"},
      {"\"\n\"", "control character"},
      {"\"\xff\"", "UTF-8"},
      {"\"\xc0\xaf\"", "UTF-8"},
      {"\"\xed\xa0\x80\"", "UTF-8"},
      {"\"\xf4\x90\x80\x80\"", "UTF-8"},
      {"\"\xe2\x82\"", "UTF-8"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    json_document *document;
    kp_error error;
    kp_status status = json_parse(cases[i].text, strlen(cases[i].text), &document, &error);
    CHECK(status == KP_INVALID_ARGUMENT && !document);
    CHECK_SAYS(error, cases[i].says);
  }
}

static void test_limits(void) {
  char deep[2 * JSON_MAX_DEPTH + 3];
  json_document *document;
  kp_error error;
  for (int levels = JSON_MAX_DEPTH - 1; levels <= JSON_MAX_DEPTH + 1; levels++) {
    memset(deep, '[', (size_t)levels);
    memset(deep + levels, ']', (size_t)levels);
    kp_status status = json_parse(deep, 2 * (size_t)levels, &document, &error);
    CHECK((status == KP_OK) == (levels <= JSON_MAX_DEPTH));
    if (status) CHECK_SAYS(error, "deeply");
    json_free(document);
  }
  char digits[500];
  memset(digits, '1', sizeof digits);
  CHECK(json_parse(digits, sizeof digits, &document, &error) == KP_INVALID_ARGUMENT);
  CHECK(json_parse("1", (size_t)JSON_MAX_BYTES + 1, &document, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "at most");
}

static void test_members(void) {
  json_document *d = parse("{\"n\": 5, \"s\": \"x\"}");
  const json_value *root = json_root(d), *value;
  kp_error error;
  int64_t n;
  CHECK(json_require(root, "s", JSON_STRING, &value, &error) == KP_OK);
  CHECK(json_require(root, "s", JSON_ARRAY, &value, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "\"s\" must be an array, got a string");
  CHECK(json_require(root, "t", JSON_ARRAY, &value, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "\"t\" is missing");
  CHECK(json_require_integer(root, "n", 0, 5, &n, &error) == KP_OK && n == 5);
  CHECK(json_require_integer(root, "n", 0, 4, &n, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "from 0 to 4, got 5");
  static const char *const keys[] = {"n", NULL};
  CHECK(json_only_keys(root, "it", keys, &error) == KP_INVALID_ARGUMENT);
  CHECK_SAYS(error, "unknown key \"s\"");
  json_free(d);
}

int main(void) {
  test_values();
  test_refusals();
  test_limits();
  test_members();
  return check_result();
}
