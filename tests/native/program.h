/* program.h: runs a program and keeps what it printed. */
#ifndef TESTS_PROGRAM_H
#define TESTS_PROGRAM_H

#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char program_text[16384]; /* what the last program printed */

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
    execv(arguments[0], (char *const *)arguments);
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
