#include "message.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int replies = -1; /* the stream */

/* ---- Reading -------------------------------------------------------------------------- */

static const void *take(reader *r, uint64_t size) {
  if (r->failed || size > r->left) {
    r->failed = 1;
    return NULL;
  }
  const void *found = r->next;
  r->next += size;
  r->left -= size;
  return found;
}

uint64_t read_number(reader *r) {
  uint64_t value = 0;
  const void *found = take(r, sizeof value);
  if (found) memcpy(&value, found, sizeof value);
  return value;
}

text read_text(reader *r) {
  text result = {NULL, read_number(r)};
  result.data = take(r, result.size);
  if (!result.data) result.size = 0;
  return result;
}

/* ---- Writing -------------------------------------------------------------------------- */

static void append(writer *w, const void *data, uint64_t size) {
  if (w->size + size > w->room) {
    uint64_t room = 2 * (w->size + size);
    unsigned char *grown = realloc(w->data, room);
    if (!grown) {
      fputs("serve_pack: no memory for a reply\n", stderr);
      exit(1);
    }
    w->data = grown;
    w->room = room;
  }
  if (size) memcpy(w->data + w->size, data, size);
  w->size += size;
}

void write_number(writer *w, uint64_t value) { append(w, &value, sizeof value); }

void write_memory(writer *w, const void *data, uint64_t size) {
  write_number(w, size);
  append(w, data, size);
}

void write_string(writer *w, const char *string) {
  write_memory(w, string ? string : "", string ? strlen(string) : 0);
}

void write_failure(writer *w, const char *reason) {
  w->size = 0;
  w->status = 1;
  write_string(w, reason);
}

/* ---- Streams -------------------------------------------------------------------------- */

int open_streams(void) {
  replies = dup(STDOUT_FILENO);
  return replies >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0;
}

int receive(void *destination, uint64_t size) {
  char *next = destination;
  while (size) {
    ssize_t got = read(STDIN_FILENO, next, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    next += got;
    size -= (uint64_t)got;
  }
  return 1;
}

static void send(const void *source, uint64_t size) {
  const char *next = source;
  while (size) {
    ssize_t sent = write(replies, next, size);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) _exit(1);
    next += sent;
    size -= (uint64_t)sent;
  }
}

void send_reply(writer *w) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  const uint64_t header[3] = {w->number, w->status, w->size};
  pthread_mutex_lock(&lock);
  send(header, sizeof header);
  send(w->data, w->size);
  pthread_mutex_unlock(&lock);
  free(w->data);
}
