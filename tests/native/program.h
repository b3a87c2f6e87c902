/* program.h: runs a program and keeps what it printed. */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char program_text[16384]; /* what the last program printed */

/* Runs a program, by Meson's wrapper where the build's machine can't run it itself. */
static inline void execute(const char *const *arguments) {
  enum { MOST_WORDS = 40 };
  char *words[MOST_WORDS + 1], *wrapper = getenv("MESON_EXE_WRAPPER");
  int count = 0;
  for (char *w = wrapper ? strtok(wrapper, " ") : NULL; w && count < MOST_WORDS;
       w = strtok(NULL, " "))
    words[count++] = w;
  for (; *arguments && count < MOST_WORDS; arguments++) words[count++] = (char *)*arguments;
  words[count] = NULL;
  execvp(words[0], words);
}

/* The exit status of a program whose output goes to `program_text`. */
static inline int run_program(const char *const *arguments) {
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
  size_t used = 0, room = sizeof program_text - 1;
  for (ssize_t n; (n = read(ends[0], program_text + used, room - used)) > 0;) used += (size_t)n;
  program_text[used] = 0;
  close(ends[0]);
  int state;
  waitpid(child, &state, 0);
  return WIFEXITED(state) ? WEXITSTATUS(state) : -1;
}

static inline void check_printed(const char *wanted) {
  CHECK(strstr(program_text, wanted));
  if (!strstr(program_text, wanted))
    fprintf(stderr, "\"%s\" isn't in:\n%s\n", wanted, program_text);
}

#endif
