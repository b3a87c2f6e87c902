/* Arguments: run_problem, the fake pack's library, a folder to write to. */
#include <stdlib.h>

#include "check.h"
#include "program.h"
#include "texts.h"

enum { MOST = 24 };

static const char *runner, *pack;
static char problem[4096], input[4096], other[4096], output[4096];

static int write_file(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  int written = file && fwrite(data, 1, bytes, file) == bytes;
  if (file && fclose(file)) written = 0;
  return written;
}

static int write_text(const char *path, const char *text) {
  return write_file(path, text, strlen(text));
}

static int read_floats(const char *path, float *values, size_t count) {
  FILE *file = fopen(path, "rb");
  int right = file && fread(values, sizeof *values, count, file) == count && fgetc(file) == EOF;
  if (file) fclose(file);
  return right;
}

/* Runs the runner with these arguments, of which "PROBLEM" and so on stand for the files. */
static int run(const char *words) {
  static char copy[4096];
  const char *arguments[MOST + 2] = {runner};
  const char *const names[] = {"PROBLEM", "PACK", "INPUT", "OTHER", "OUTPUT"};
  const char *const values[] = {problem, pack, input, other, output};
  int count = 1;
  snprintf(copy, sizeof copy, "%s", words);
  for (char *word = strtok(copy, " "); word && count <= MOST; word = strtok(NULL, " ")) {
    arguments[count] = word;
    for (int i = 0; i < 5; i++)
      if (!strcmp(word, names[i])) arguments[count] = values[i];
    count++;
  }
  arguments[count] = NULL;
  return run_program(arguments);
}

#define BOTH TENSOR("[2,3]") "," TENSOR("[2,3]")
static const float x[6] = {1, 2, 3, 4, 5, 6}, y[6] = {10, 20, 30, 40, 50, 60};

/* ---- Asking --------------------------------------------------------------------------- */

static void test_answers(void) {
  CHECK(
      write_text(problem, PROBLEM("scale", TENSOR("[2,3]") "," CONSTANT("[1]"), TENSOR("[2,3]"))));
  CHECK(run("--problem PROBLEM --pack PACK --kernels") == 0);
  check_printed("{\"pack\":\"fake\",\"version\":\"2.0\",\"library\":\"fake library 1.0\"}\n");
  check_printed("{\"kernel\":\"fake.scale.packed.f32\",\"code\":0,\"cost\":");
  check_printed("\"layouts\":[\"\",\"\",\"\"]}\n");
  CHECK(!strstr(program_text, "fake.add"));
  CHECK(write_text(problem, PROBLEM("add", TENSOR("[2,3]"), TENSOR("[2,3]"))));
  CHECK(run("--problem PROBLEM --pack PACK --kernels") == 0);
  check_printed("\"code\":3,\"subject\":\"inputs\",\"limit\":\"of the operator\",\"got\":\"1\"");
  check_printed("\"reason\":\"the fake library says no\"}\n");
  CHECK(write_text(problem, PROBLEM("tanh", TENSOR("[2,3]"), TENSOR("[2,3]"))));
  CHECK(run("--problem PROBLEM --naive --kernels") == 0);
  check_printed("{\"pack\":\"naive\"");
  CHECK(!strstr(program_text, "\"kernel\""));
}

/* ---- Running -------------------------------------------------------------------------- */

static void test_runs(void) {
  float result[6];
  CHECK(write_text(problem, PROBLEM("add", BOTH, TENSOR("[2,3]"))));
  CHECK(write_file(input, x, sizeof x) && write_file(other, y, sizeof y));
  CHECK(run("--problem PROBLEM --pack PACK --option speed=9 --kernel fake.add.plain.f32 "
            "--input INPUT --input OTHER --output OUTPUT --runs 3") == 0);
  CHECK(read_floats(output, result, 6));
  for (int i = 0; i < 6; i++) CHECK(result[i] == x[i] + y[i]);
}

static void test_packed_and_bound_constants(void) {
  const float w = 0.5f;
  const char *const kernels[] = {"packed", "bound"};
  CHECK(
      write_text(problem, PROBLEM("scale", TENSOR("[2,3]") "," CONSTANT("[1]"), TENSOR("[2,3]"))));
  CHECK(write_file(input, x, sizeof x) && write_file(other, &w, sizeof w));
  for (int k = 0; k < 2; k++) {
    char words[256];
    float result[6];
    snprintf(words, sizeof words,
             "--problem PROBLEM --pack PACK --kernel fake.scale.%s.f32 --input INPUT "
             "--input OTHER --output OUTPUT",
             kernels[k]);
    CHECK(run(words) == 0);
    CHECK(read_floats(output, result, 6));
    for (int i = 0; i < 6; i++) CHECK(result[i] == x[i] * w * (k ? 1 : 2));
  }
}

/* ---- Plain loops ---------------------------------------------------------------------- */

#define NAIVE(OPERATOR, OWN, INPUTS, OUTPUT, ATTRIBUTES, EPILOGUE)                    \
  "{\"operator\":\"" OPERATOR "\",\"inputs\":[" INPUTS "],\"operator_inputs\":" OWN   \
  ",\"outputs\":[" OUTPUT "],\"attributes\":{" ATTRIBUTES "},\"epilogue\":[" EPILOGUE \
  "],\"device\":\"cpu\",\"device_type\":1,\"device_id\":0,\"precision\":\"high\","    \
  "\"deterministic\":false,\"threads\":1}"
#define WINDOW(STRIDE, PAD, DILATION, GROUPS)                                  \
  "\"strides\":[" STRIDE "," STRIDE "],\"pads\":[" PAD "," PAD "," PAD "," PAD \
  "],\"dilations\":[" DILATION "," DILATION "],\"groups\":" GROUPS
#define STEP(NAME, INPUT, ALPHA, BETA) \
  "{\"name\":\"" NAME "\",\"input\":" INPUT ",\"alpha\":" ALPHA ",\"beta\":" BETA "}"

static void test_naive_convolution(void) {
  /* A 2 x 2 image, a 3 x 3 kernel of ones with padding 1: each output is the sum of all pixels. */
  const float image[4] = {1, 2, 3, 4}, ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  float result[4];
  CHECK(write_file(input, image, sizeof image) && write_file(other, ones, sizeof ones));
  CHECK(write_text(problem,
                   NAIVE("conv2d", "3",
                         TENSOR("[1,1,2,2]") "," CONSTANT("[1,1,3,3]") ",null," TENSOR("[1,1,2,2]"),
                         TENSOR("[1,1,2,2]"), WINDOW("1", "1", "1", "1"),
                         STEP("add", "3", "0", "0") "," STEP("clip", "-1", "0", "13"))));
  CHECK(run("--problem PROBLEM --naive --kernel naive.conv2d.loops.f32 --input INPUT "
            "--input OTHER --input - --input INPUT --output OUTPUT") == 0);
  CHECK(read_floats(output, result, 4));
  for (int i = 0; i < 4; i++) CHECK(result[i] == (i < 3 ? 11 + i : 13));
}

/* A pointwise convolution with a weight of 1 hands each pixel to the steps: 1, 2, -3, 4. */
static void check_steps(const char *text, const float *wanted) {
  const float image[4] = {1, 2, -3, 4}, one[1] = {1};
  float result[4];
  CHECK(write_file(input, image, sizeof image) && write_file(other, one, sizeof one));
  CHECK(write_text(problem, text));
  CHECK(run("--problem PROBLEM --naive --kernel naive.conv2d.loops.f32 --input INPUT "
            "--input OTHER --input INPUT --output OUTPUT") == 0);
  CHECK(read_floats(output, result, 4));
  for (int i = 0; i < 4; i++) CHECK(result[i] == wanted[i]);
}

#define STEPS(EPILOGUE)                                                                       \
  NAIVE("conv2d", "2", TENSOR("[1,1,2,2]") "," CONSTANT("[1,1,1,1]") "," TENSOR("[1,1,2,2]"), \
        TENSOR("[1,1,2,2]"), WINDOW("1", "0", "1", "1"), EPILOGUE)

static void test_naive_steps(void) {
  check_steps(STEPS(STEP("mul", "2", "0", "0")), (const float[]){1, 4, 9, 16});
  check_steps(STEPS(STEP("relu", "-1", "0", "0")), (const float[]){1, 2, 0, 4});
  check_steps(STEPS(STEP("linear", "-1", "2", "0.5")), (const float[]){2.5f, 4.5f, -5.5f, 8.5f});
  check_steps(STEPS(STEP("leaky_relu", "-1", "0.5", "0")), (const float[]){1, 2, -1.5f, 4});
  check_steps(STEPS(STEP("hard_sigmoid", "-1", "0.25", "0.5")), (const float[]){0.75f, 1, 0, 1});
  check_steps(STEPS(STEP("hard_swish", "-1", "0", "0") "," STEP("linear", "-1", "6", "0")),
              (const float[]){4, 10, 0, 24});
}

static void test_naive_product(void) {
  const float bias[2] = {100, 200};
  float result[4];
  CHECK(write_file(input, x, sizeof x) && write_file(other, bias, sizeof bias));
  CHECK(write_text(
      problem, NAIVE("matmul", "3", TENSOR("[2,3]") "," TENSOR("[2,3]") "," CONSTANT("[2]"),
                     TENSOR("[2,2]"), "\"alpha\":2.0,\"transpose_a\":0,\"transpose_b\":1", "")));
  CHECK(run("--problem PROBLEM --naive --kernel naive.matmul.loops.f32 --input INPUT "
            "--input INPUT --input OTHER --output OUTPUT") == 0);
  CHECK(read_floats(output, result, 4));
  const float wanted[4] = {128, 264, 164, 354};
  for (int i = 0; i < 4; i++) CHECK(result[i] == wanted[i]);
}

static void check_refused(const char *text, const char *operator_name, const char *wanted) {
  char words[256];
  CHECK(write_text(problem, text));
  CHECK(run("--problem PROBLEM --naive --kernels") == 0);
  check_printed(wanted);
  snprintf(words, sizeof words,
           "--problem PROBLEM --naive --kernel naive.%s.loops.f32 --input INPUT --input OTHER "
           "--output OUTPUT",
           operator_name);
  CHECK(run(words) == 1);
}

#define CONVOLUTION(X, W, Y, ATTRIBUTES, EPILOGUE) \
  NAIVE("conv2d", "2", TENSOR(X) "," TENSOR(W), TENSOR(Y), ATTRIBUTES, EPILOGUE)
#define PRODUCT(A, B, Y) \
  NAIVE("matmul", "2", TENSOR(A) "," TENSOR(B), TENSOR(Y), "\"alpha\":1.0", "")

/* Shapes that contradict themselves would be read beyond their end. */
static void test_naive_refuses_what_does_not_fit(void) {
  const float one[1] = {1};
  CHECK(write_file(input, one, sizeof one) && write_file(other, one, sizeof one));
  check_refused(CONVOLUTION("[1,1,1]", "[1,1,1,1]", "[1,1,1,1]", WINDOW("1", "0", "1", "1"), ""),
                "conv2d", "\"subject\":\"x.rank\"");
  check_refused(CONVOLUTION("[1,1,1,1]", "[1,2,1,1]", "[1,1,1,1]", WINDOW("1", "0", "1", "1"), ""),
                "conv2d", "\"subject\":\"x.shape\"");
  check_refused(CONVOLUTION("[1,1,1,1]", "[1,1,1,1]", "[2,1,1,1]", WINDOW("1", "0", "1", "1"), ""),
                "conv2d", "\"subject\":\"y.shape\"");
  check_refused(CONVOLUTION("[1,1,1,1]", "[1,1,1,1]", "[1,1,1,1]", WINDOW("1", "0", "1", "2"), ""),
                "conv2d", "\"subject\":\"groups\"");
  check_refused(CONVOLUTION("[1,1,1,1]", "[1,1,1,1]", "[1,1,1,1]", WINDOW("0", "0", "1", "1"), ""),
                "conv2d", "\"subject\":\"strides, dilations, pads\"");
  check_refused(CONVOLUTION("[1,1,1,1]", "[1,1,1,1]", "[1,1,1,1]", WINDOW("1", "0", "1", "1"),
                            STEP("tanh", "-1", "0", "0")),
                "conv2d", "\"subject\":\"epilogue\"");
  check_refused(PRODUCT("[1,1]", "[2,1]", "[1,1]"), "matmul", "\"subject\":\"b.shape\"");
  check_refused(PRODUCT("[1,1]", "[1,1]", "[1,2]"), "matmul", "\"subject\":\"y.shape\"");
  check_refused(PRODUCT("[3,1,1]", "[1,1]", "[2,1,1]"), "matmul", "\"subject\":\"a.shape\"");
  check_refused(PRODUCT("[1]", "[1,1]", "[1]"), "matmul", "\"subject\":\"a.rank\"");
}

/* ---- What is wrong -------------------------------------------------------------------- */

static void test_wrong_arguments(void) {
  const struct {
    const char *words, *text;
  } cases[] = {
      {"", "--problem is missing"},
      {"--problem PROBLEM --kernels", "one of --pack and --naive"},
      {"--problem PROBLEM --pack PACK --naive --kernels", "one of --pack and --naive"},
      {"--problem PROBLEM --pack PACK", "one of --kernels and --kernel"},
      {"--problem PROBLEM --naive --kernel a.b.c.d --kernels", "one of --kernels and --kernel"},
      {"--problem PROBLEM --problem PROBLEM --naive --kernels", "--problem is given twice"},
      {"--problem PROBLEM --pack PACK --option x --kernels", "--option must be NAME=VALUE"},
      {"--problem PROBLEM --pack PACK --option =x --kernels", "--option must be NAME=VALUE"},
      {"--problem PROBLEM --naive --option a=b --kernels", "--naive takes no --option"},
      {"--problem PROBLEM --naive --kernels --input INPUT", "neither --input nor --output"},
      {"--problem PROBLEM --naive --kernel a.b.c.d --runs 0", "--runs must be a number"},
      {"--problem PROBLEM --naive --kernel a.b.c.d --runs 9x", "--runs must be a number"},
      {"--problem PROBLEM --naive --kernel a.b.c.d --runs", "lacks its value"},
      {"--problem PROBLEM --naive --speed 9", "unknown argument \"--speed\""},
  };
  CHECK(write_text(problem, PROBLEM("add", BOTH, TENSOR("[2,3]"))));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CHECK(run(cases[i].words) == 2);
    check_printed(cases[i].text);
    check_printed("usage:");
  }
}

static void test_failures(void) {
#define ADD "--problem PROBLEM --pack PACK --kernel fake.add.plain.f32 "
  const struct {
    const char *words, *text;
    int status;
  } cases[] = {
      {"--problem /nowhere --naive --kernels", "/nowhere: can't be read", 1},
      {"--problem INPUT --naive --kernels", "problem", 1},
      {"--problem PROBLEM --pack /nowhere --kernels", "/nowhere", 3},
      {"--problem PROBLEM --pack PACK --option library=/nowhere --kernels",
       "the fake library isn't at /nowhere", 3},
      {"--problem PROBLEM --pack PACK --kernel fake.add.none.f32", "has no kernel", 1},
      {ADD, "2 inputs and 1 outputs, got 0 --input and 0 --output", 1},
      {ADD "--input INPUT --input - --output OUTPUT", "input 1 is present", 1},
      {ADD "--input INPUT --input PROBLEM --output OUTPUT", "doesn't hold exactly 24 bytes", 1},
      {ADD "--input INPUT --input INPUT --output /nowhere/y", "can't be written", 1},
      {"--problem PROBLEM --pack PACK --kernel fake.scale.packed.f32 --input INPUT "
       "--input INPUT --output OUTPUT",
       "refuses this problem", 1},
  };
  CHECK(write_text(problem, PROBLEM("add", BOTH, TENSOR("[2,3]"))));
  CHECK(write_file(input, x, sizeof x));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    CHECK(run(cases[i].words) == cases[i].status);
    check_printed(cases[i].text);
  }
  CHECK(write_text(problem, PROBLEM("fail", TENSOR("[2,3]"), TENSOR("[2,3]"))));
  CHECK(run("--problem PROBLEM --pack PACK --kernel fake.fail.run.f32 --input INPUT "
            "--output OUTPUT") == 1);
  check_printed("the kernel reported status 5");
  CHECK(run("--problem PROBLEM --pack PACK --kernel fake.fail.prepare.f32 --input INPUT "
            "--output OUTPUT") == 1);
  check_printed("can't be prepared");
}

int main(int argc, char **argv) {
  if (argc != 4) return 1;
  runner = argv[1];
  pack = argv[2];
  snprintf(problem, sizeof problem, "%s/test_runner.json", argv[3]);
  snprintf(input, sizeof input, "%s/test_runner.input", argv[3]);
  snprintf(other, sizeof other, "%s/test_runner.other", argv[3]);
  snprintf(output, sizeof output, "%s/test_runner.output", argv[3]);
  test_answers();
  test_runs();
  test_packed_and_bound_constants();
  test_naive_convolution();
  test_naive_steps();
  test_naive_product();
  test_naive_refuses_what_does_not_fit();
  test_wrong_arguments();
  test_failures();
  unlink(problem);
  unlink(input);
  unlink(other);
  unlink(output);
  return check_result();
}
