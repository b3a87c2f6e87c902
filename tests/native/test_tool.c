/* Arguments: replay_run, the fake pack's library, a folder to write to. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "model.h"

static char text[16384]; /* what the last command printed */

/* Runs a program, by Meson's wrapper where the build's machine can't run it itself. */
static void execute(const char *const *arguments) {
  enum { MOST = 32 };
  char *words[MOST + 1], *wrapper = getenv("MESON_EXE_WRAPPER");
  int count = 0;
  for (char *w = wrapper ? strtok(wrapper, " ") : NULL; w && count < MOST; w = strtok(NULL, " "))
    words[count++] = w;
  for (; *arguments && count < MOST; arguments++) words[count++] = (char *)*arguments;
  words[count] = NULL;
  execvp(words[0], words);
}

/* The exit status of a program whose output goes to `text`. */
static int run(const char *const *arguments) {
  int ends[2];
  if (pipe(ends)) return -1;
  pid_t child = fork();
  if (!child) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    execute(arguments);
    _exit(127);
  }
  close(ends[1]);
  size_t used = 0;
  for (ssize_t n; (n = read(ends[0], text + used, sizeof text - 1 - used)) > 0;) used += (size_t)n;
  text[used] = 0;
  close(ends[0]);
  int state;
  waitpid(child, &state, 0);
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

static void check_printed(const char *wanted) {
  CHECK(strstr(text, wanted));
  if (!strstr(text, wanted)) fprintf(stderr, "\"%s\" isn't in:\n%s\n", wanted, text);
}

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
  CHECK(run(whole) == 0);
  check_printed("5 steps, arena 128 bytes");
  check_printed("input x float32 [2,3]");
  check_printed("3 runs: median");
  check_printed("fake.scale.bound.f32");
  FILE *written = fopen(output, "rb");
  CHECK(written && fread(y, sizeof y, 1, written) == 1);
  if (written) fclose(written);
  for (int i = 0; i < 6; i++) CHECK(y[i] == model_y(x[i], 0.5f));

  const char *pattern[] = {argv[1], model, "--pack", argv[2], "--plan", "cpu", NULL};
  CHECK(run(pattern) == 0);
  check_printed("10 runs");
  const char *no_plan[] = {argv[1], model, "--pack", argv[2], "--plan", "gpu", NULL};
  CHECK(run(no_plan) == 1);
  check_printed("no plan \"gpu\"");
  const char *short_input[] = {argv[1], model, "--pack", argv[2], "--input", model, NULL};
  CHECK(run(short_input) == 1);
  check_printed("doesn't hold exactly 24 bytes");
  const char *no_file[] = {argv[1], "/nowhere", NULL};
  CHECK(run(no_file) == 1);
  check_printed("/nowhere: No such file");
  const char *no_library[] = {argv[1], model, "--pack", argv[2], "--library", "/nowhere", NULL};
  CHECK(run(no_library) == 1);
  check_printed("the fake library isn't at /nowhere");
  const char *bad_option[] = {argv[1], model, "--speed", "9", NULL};
  CHECK(run(bad_option) == 2);
  check_printed("usage:");
  unlink(model);
  unlink(input);
  unlink(output);
  return check_result();
}
