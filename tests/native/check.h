/* check.h: checks that say where they failed and go on. */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <stdio.h>
#include <string.h>

static int failures;

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      failures++;                                                            \
      fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #condition); \
    }                                                                        \
  } while (0)

/* The message holds the text. */
#define CHECK_SAYS(error, text)                                                      \
  do {                                                                               \
    if (!strstr((error).message, text)) {                                            \
      failures++;                                                                    \
      fprintf(stderr, "%s:%d: \"%s\" isn't in \"%s\"\n", __FILE__, __LINE__, (text), \
              (error).message);                                                      \
    }                                                                                \
  } while (0)

static inline int check_result(void) {
  if (failures) fprintf(stderr, "%d checks failed\n", failures);
  return failures != 0;
}

#endif
