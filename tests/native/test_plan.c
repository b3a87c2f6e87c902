#include "check.h"
#include "model.h"
#include "plan.h"

static void test_whole(void) {
  plan p;
  kp_error error = {""};
  CHECK(plan_parse(model_plan, strlen(model_plan), &p, &error) == KP_OK);
  CHECK(p.num_problems == 2 && p.num_buffers == 7 && p.num_steps == 5);
  CHECK(p.num_inputs == 1 && p.num_outputs == 2 && p.arena_bytes == 128);
  CHECK(p.inputs[0].bytes == 24 && p.inputs[0].element_bytes == 4);
  CHECK(p.buffers[2].kind == PLAN_ARENA && p.buffers[2].offset == 64);
  CHECK(p.steps[1].buffers[1] == 3 && p.steps[1].buffers[2] == 2);
  plan_free(&p);
}

/* Each change of the good plan is refused in words that name the place. */
static void test_refusals(void) {
  static const struct {
    const char *old, *replacement, *says;
  } cases[] = {
      {"\"version\":1", "\"version\":2", "version 2, version 1 is read here"},
      {"\"version\":1,", "\"version\":1,\"more\":1,", "unknown key \"more\""},
      {"\"threads\":1,\"problems\"", "\"threads\":0,\"problems\"", "\"threads\" must be"},
      {"\"threads\":1}", "\"threads\":2}", "problems[0]: its 2 threads"},
      {"\"device_type\":1", "\"device_type\":2", "isn't the others'"},
      {"\"arena_bytes\":128", "\"arena_bytes\":-1", "\"arena_bytes\" must be"},
      {"\"arena_bytes\":128", "\"arena_bytes\":9223372036854775807", "\"arena_bytes\" must be"},
      {"\"arena_bytes\":128", "\"arena_bytes\":64", "buffers[2]: it goes beyond"},
      {"\"arena_bytes\":128", "\"arena_bytes\":95", "buffers[2]: it goes beyond"},
      {"\"offset\":64", "\"offset\":66", "must be a multiple of the element's 4 bytes, got 66"},
      {"\"offset\":64", "\"offset\":-64", "\"offset\" must be"},
      {"\"offset\":0,\"bytes\":24", "\"offset\":0,\"bytes\":20",
       "takes 24 bytes, its buffer has 20"},
      {"\"offset\":0,\"bytes\":24", "\"offset\":0,\"bytes\":-1", "\"bytes\" must be"},
      {"\"kind\":\"input\",\"index\":0", "\"kind\":\"input\",\"index\":1", "\"index\" must be"},
      {"\"index\":0,\"bytes\":24", "\"index\":0,\"bytes\":32",
       "\"bytes\" must be \"x\"'s 24, got 32"},
      {"\"kind\":\"input\"", "\"kind\":\"heap\"", "unknown kind \"heap\""},
      {"\"name\":\"w1\",\"bytes\":4", "\"name\":\"w1\",\"bytes\":8",
       "takes 4 bytes, its buffer has 8"},
      {"\"problem\":0", "\"problem\":2", "steps[0]: \"problem\" must be"},
      {"\"inputs\":[0,0]", "\"inputs\":[0]", "the problem has 2 inputs, got 1"},
      {"\"inputs\":[0,0]", "\"inputs\":[0,7]", "inputs[1] must be one of 7 buffers"},
      {"\"inputs\":[0,0]", "\"inputs\":[0,-2]", "inputs[1] must be one of 7 buffers"},
      {"\"inputs\":[0,0]", "\"inputs\":[0,-1]", "inputs[1]: the tensor has no buffer"},
      {"\"inputs\":[0,0]", "\"inputs\":[0,3]", "takes 24 bytes, its buffer has 4"},
      {"\"inputs\":[1,3]", "\"inputs\":[1,0]", "is constant, its buffer 0 isn't"},
      {"\"outputs\":[1]", "\"outputs\":[0]", "not to an input"},
      {"\"outputs\":[1]", "\"outputs\":[3]", "not to a constant"},
      {"\"outputs\":[1]", "\"outputs\":[-1]", "the tensor has no buffer"},
      {"\"outputs\":[6]", "\"outputs\":[1]", "no step writes output \"z\""},
      {"\"layout\":\"nchw\"", "\"layout\":\"any\"", "can't be \"any\""},
      {"\"name\":\"x\",\"dtype\":\"float32\"", "\"name\":\"x\",\"dtype\":\"int32\"",
       "the tensor is float32, \"x\" is int32"},
      {"{\"dtype\":\"float32\",\"shape\":[2,3],\"layout\":\"nchw\"}", "null",
       "the tensor is absent, yet has buffer 0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[8192];
    plan p;
    kp_error error = {""};
    CHECK(replace(model_plan, cases[i].old, cases[i].replacement, text, sizeof text));
    CHECK(plan_parse(text, strlen(text), &p, &error) != KP_OK);
    CHECK_SAYS(error, "plan: ");
    CHECK_SAYS(error, cases[i].says);
  }
}

static void test_overlap(void) {
  static const struct {
    const char *old, *replacement;
    uint64_t may_overwrite;
    int allowed;
  } cases[] = {
      {"\"inputs\":[2,2]", "\"inputs\":[2,2]", 3, 1},
      {"\"inputs\":[2,2]", "\"inputs\":[2,2]", 1, 0},
      {"\"inputs\":[2,2]", "\"inputs\":[2,2]", 0, 0},
      {"\"inputs\":[2,2]", "\"inputs\":[1,1]", 0, 1},
      /* The first buffer reaches into the second one. */
      {"\"offset\":0,\"bytes\":24", "\"offset\":0,\"bytes\":72", 3, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[8192];
    plan p;
    kp_error error = {""};
    CHECK(replace(model_plan, cases[i].old, cases[i].replacement, text, sizeof text));
    CHECK(plan_parse(text, strlen(text), &p, &error) == KP_OK);
    kp_status status = plan_check_overlap(&p, &p.steps[2], cases[i].may_overwrite, &error);
    CHECK((status == KP_OK) == cases[i].allowed);
    if (status) CHECK_SAYS(error, "shares memory with input");
    if (i == 4) {
      CHECK(plan_check_overlap(&p, &p.steps[1], 3, &error) == KP_INVALID_ARGUMENT);
      CHECK_SAYS(error, "output 0 shares memory with input 0");
    }
    plan_free(&p);
  }
}

int main(void) {
  test_whole();
  test_refusals();
  test_overlap();
  return check_result();
}
