/* report.h: messages that grow line by line. */
#ifndef REPLAY_REPORT_H
#define REPLAY_REPORT_H

#include "kernel_pack.h"
#include "replay.h"

/* Writes the message where `error` isn't NULL, and returns `status`. */
__attribute__((format(printf, 3, 4))) replay_status replay_fail(replay_error *error,
                                                                replay_status status,
                                                                const char *format, ...);
replay_status replay_fail_with(replay_error *error, kp_status status, const kp_error *inner);
replay_status replay_out_of_memory(replay_error *error);

/* A list of things, each named once, joined by "; ". */
typedef struct report {
  char text[sizeof(replay_error)];
  size_t used;
  uint32_t left_out; /* that no longer fit */
} report;

__attribute__((format(printf, 2, 3))) void report_add(report *r, const char *format, ...);

#endif
