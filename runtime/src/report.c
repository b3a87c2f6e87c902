#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

replay_status replay_fail(replay_error *error, replay_status status, const char *format, ...) {
  if (error) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
  }
  return status;
}

replay_status replay_fail_with(replay_error *error, kp_status status, const kp_error *inner) {
  return replay_fail(error, (replay_status)status, "%s", inner->message);
}

replay_status replay_out_of_memory(replay_error *error) {
  return replay_fail(error, REPLAY_OUT_OF_MEMORY, "memory ran out");
}

/* Whether the list holds the item already: between separators or the text's ends. */
static int holds(const report *r, const char *item) {
  size_t length = strlen(item);
  for (const char *at = r->text; (at = strstr(at, item)); at++) {
    int starts = at == r->text || (at >= r->text + 2 && !memcmp(at - 2, "; ", 2));
    int ends = !at[length] || !strncmp(at + length, "; ", 2);
    if (starts && ends) return 1;
  }
  return 0;
}

void report_add(report *r, const char *format, ...) {
  enum { ROOM_FOR_COUNT = 64 };
  char item[2048]; /* several plans' lists together still fit */
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(item, sizeof item, format, arguments);
  va_end(arguments);
  if (holds(r, item)) return;
  size_t room = sizeof r->text - ROOM_FOR_COUNT - r->used;
  size_t needed = strlen(item) + 2;
  if (r->left_out || needed >= room) {
    snprintf(r->text + r->used, ROOM_FOR_COUNT, "; and %u more", ++r->left_out);
    return;
  }
  r->used += (size_t)snprintf(r->text + r->used, room, "%s%s", r->used ? "; " : "", item);
}
