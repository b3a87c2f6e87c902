#include <math.h>

#include "check.h"
#include "core.h"
#include "texts.h"

static const char whole[] =
    "{\"operator\":\"conv2d\","
    "\"inputs\":[{\"dtype\":\"uint8\",\"shape\":[1,3,8,8],\"layout\":\"nhwc\","
    "\"quantization\":{\"axis\":-1,\"scales\":[0.5],\"zero_points\":[3]}},"
    "{\"dtype\":\"int8\",\"shape\":[2,3,1,1],\"layout\":\"nchw\",\"constant\":true,"
    "\"quantization\":{\"axis\":0,\"scales\":[1,0.25],\"zero_points\":[0,-1]}},"
    "null,{\"dtype\":\"float32\",\"shape\":[1,2,8,8],\"layout\":\"any\"}],"
    "\"operator_inputs\":3,"
    "\"outputs\":[{\"dtype\":\"float32\",\"shape\":[1,2,8,8],\"layout\":\"any\"}],"
    "\"attributes\":{\"strides\":[1,2],\"alpha\":1.0,\"mode\":\"same\",\"flag\":true,"
    "\"empty\":[],\"mixed\":[1,-Infinity],\"count\":7},"
    "\"epilogue\":[{\"name\":\"add\",\"input\":3,\"alpha\":0.0,\"beta\":0.0},"
    "{\"name\":\"clip\",\"input\":-1,\"alpha\":0,\"beta\":6.0}],"
    "\"device\":\"intel\",\"device_type\":1,\"device_id\":0,"
    "\"precision\":\"medium\",\"deterministic\":true,\"threads\":4}";

static void test_whole(void) {
  core_problem *parsed;
  kp_error error = {""};
  CHECK(core_problem_parse(whole, strlen(whole), &parsed, &error) == KP_OK);
  if (!parsed) {
    fprintf(stderr, "%s\n", error.message);
    return;
  }
  const kp_problem *p = core_problem_get(parsed);
  CHECK(!strcmp(p->operator_name, "conv2d") && p->num_inputs == 4 && p->num_outputs == 1);
  CHECK(p->num_operator_inputs == 3 && p->threads == 4 && p->deterministic == 1);
  CHECK(p->precision == KP_MEDIUM && !strcmp(p->device_name, "intel"));
  CHECK(kp_is_dtype(&p->inputs[0], kDLUInt, 8) && kp_is_layout(&p->inputs[0], "nhwc"));
  CHECK(p->inputs[0].dl.ndim == 4 && p->inputs[0].dl.shape[1] == 3);
  CHECK(p->inputs[0].dl.device.device_type == kDLCPU);
  CHECK(p->inputs[0].quantization->count == 1 && p->inputs[0].quantization->zero_points[0] == 3);
  CHECK(kp_is_constant(&p->inputs[1]) && p->inputs[1].quantization->scales[1] == 0.25f);
  CHECK(kp_is_absent(&p->inputs[2]) && p->inputs[2].struct_size == sizeof(kp_tensor));
  CHECK(!kp_is_constant(&p->inputs[3]) && kp_is_layout(&p->outputs[0], "any"));
  CHECK(p->num_attributes == 7 && !strcmp(p->attributes[0].name, "alpha"));
  CHECK(kp_find_attribute(p, "alpha")->type == KP_REALS && kp_real(p, "alpha", 0, 0) == 1.0);
  CHECK(kp_integer(p, "strides", 1, 0) == 2 && kp_find_attribute(p, "strides")->count == 2);
  CHECK(kp_integer(p, "flag", 0, 0) == 1 && kp_integer(p, "count", 0, 0) == 7);
  CHECK(kp_find_attribute(p, "empty")->count == 0);
  CHECK(kp_find_attribute(p, "empty")->type == KP_INTEGERS);
  CHECK(kp_real(p, "mixed", 0, 0) == 1.0 && kp_real(p, "mixed", 1, 0) == -INFINITY);
  CHECK(!strcmp(kp_string(p, "mode", ""), "same"));
  CHECK(p->num_epilogues == 2 && p->epilogues[0].input == 3 && p->epilogues[1].beta == 6.0);
  core_problem_free(parsed);
}

static void test_refusals(void) {
  static const struct {
    const char *old, *replacement, *says;
  } cases[] = {
      {"\"operator\":\"conv2d\",", "", "\"operator\" is missing"},
      {"\"operator\":", "\"more\":1,\"operator\":", "unknown key \"more\""},
      {"uint8", "complex64", "unknown dtype"},
      {"[1,3,8,8]", "[1,-3,8,8]", "extent 1 must be"},
      {"[1,3,8,8]", "[1,3,8.0,8]", "extent 2 must be"},
      {"[1,3,8,8]", "[4294967296,4294967296,1,1]", "more than int64"},
      {"[1,3,8,8]", "[0,9223372036854775807,8,8]", "more than int64"},
      {"[1,3,8,8]", "[3,8,8]", "layout \"nhwc\" is of rank 4, got rank 3"},
      {"nhwc", "nwhc", "unknown layout"},
      {"\"axis\":-1", "\"axis\":4", "from -1 to 3"},
      {"[0.5]", "[0.5,0.5]", "expected 1 scales, got 2"},
      {"[0.5]", "[0]", "scale 0 must be"},
      {"[0.5]", "[NaN]", "scale 0 must be"},
      {"[0.5]", "[\"x\"]", "expected a number"},
      {"[0,-1]", "[0]", "expected 2 zero points, got 1"},
      {"[0,-1]", "[0,2147483648]", "zero point 1 must be"},
      {"\"constant\":true", "\"constant\":1", "\"constant\" must be a boolean"},
      {"\"operator_inputs\":3", "\"operator_inputs\":5", "from 0 to 4"},
      {"[1,2,8,8],\"layout\":\"any\"}],\"attributes\"",
       "[1,2,8,8],\"layout\":\"any\",\"constant\":true}],\"attributes\"", "outputs[0]"},
      {"\"mode\":\"same\"", "\"mode\":[\"same\"]", "attribute \"mode\""},
      {"\"mode\":\"same\"", "\"mode\":{}", "attribute \"mode\""},
      {"[1,-Infinity]", "[true,-Infinity]", "attribute \"mixed\""},
      {"\"input\":3", "\"input\":2", "output 0's dtype and shape"},
      {"\"input\":3", "\"input\":0", "output 0's dtype and shape"},
      {"\"input\":3", "\"input\":4", "one of 4, got 4"},
      {"\"input\":3", "\"input\":-1", "one of 4, got -1"},
      {"\"input\":-1", "\"input\":3", "\"clip\" takes no input"},
      {"\"beta\":6.0", "\"beta\":\"6\"", "\"beta\" must be a number"},
      {"\"medium\"", "\"low\"", "highest, high or medium"},
      {"\"threads\":4", "\"threads\":0", "from 1 to"},
      {"\"device_type\":1", "\"device_type\":0", "\"device_type\" must be"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[4096];
    core_problem *parsed;
    kp_error error;
    CHECK(replace(whole, cases[i].old, cases[i].replacement, text, sizeof text));
    CHECK(core_problem_parse(text, strlen(text), &parsed, &error) == KP_INVALID_ARGUMENT);
    CHECK(!parsed);
    CHECK_SAYS(error, "problem: ");
    CHECK_SAYS(error, cases[i].says);
  }
}

int main(void) {
  test_whole();
  test_refusals();
  return check_result();
}
