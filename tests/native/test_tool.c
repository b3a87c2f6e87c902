/* Arguments: replay_run, the fake pack's library, a folder to write to. */
#include "check.h"
#include "model.h"
#include "program.h"

int main(int argc, char **argv) {
  static char model[4096], input[4096], output[4096];
  const float x[6] = {1, 2, 3, 4, 5, 6};
  float y[6] = {0};
  size_t bytes;
  if (argc != 4) return 1;
  snprintf(model, sizeof model, "%s/test_tool.safetensors", argv[3]);
  snprintf(input, sizeof input, "%s/test_tool.input", argv[3]);
  snprintf(output, sizeof output, "%s/test_tool.output", argv[3]);
  uint8_t *file = model_file("{\"cpu\":" MODEL_PLAN("fake.add.plain.f32") "}", &bytes);
  CHECK(write_bytes(model, file, bytes) && write_bytes(input, x, sizeof x));
  free(file);

  const char *whole[] = {argv[1],    model,  "--pack", argv[2], "--input", input,
                         "--output", output, "--runs", "3",     "--steps", NULL};
  CHECK(run_program(whole) == 0);
  check_printed("5 steps, arena 128 bytes");
  check_printed("input x float32 [2,3]");
  check_printed("3 runs: median");
  check_printed("fake.scale.bound.f32");
  FILE *written = fopen(output, "rb");
  CHECK(written && fread(y, sizeof y, 1, written) == 1);
  if (written) fclose(written);
  for (int i = 0; i < 6; i++) CHECK(y[i] == model_y(x[i], 0.5f));

  const char *pattern[] = {argv[1], model, "--pack", argv[2], "--plan", "cpu", NULL};
  CHECK(run_program(pattern) == 0);
  check_printed("10 runs");
  const char *no_plan[] = {argv[1], model, "--pack", argv[2], "--plan", "gpu", NULL};
  CHECK(run_program(no_plan) == 1);
  check_printed("no plan \"gpu\"");
  const char *short_input[] = {argv[1], model, "--pack", argv[2], "--input", model, NULL};
  CHECK(run_program(short_input) == 1);
  check_printed("doesn't hold exactly 24 bytes");
  const char *no_file[] = {argv[1], "/nowhere", NULL};
  CHECK(run_program(no_file) == 1);
  check_printed("/nowhere: No such file");
  const char *no_library[] = {argv[1], model, "--pack", argv[2], "--option", "library=/nowhere",
                              NULL};
  CHECK(run_program(no_library) == 1);
  check_printed("the fake library isn't at /nowhere");
  const char *bad_option[] = {argv[1], model, "--speed", "9", NULL};
  CHECK(run_program(bad_option) == 2);
  check_printed("usage:");
  unlink(model);
  unlink(input);
  unlink(output);
  return check_result();
}
