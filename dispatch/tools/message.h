/* message.h: the fields of serve_pack's requests and replies, and its streams. */
#ifndef DISPATCH_MESSAGE_H
#define DISPATCH_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that a request holds; not ended by 0. */
typedef struct text {
  const char *data;
  uint64_t size;
} text;

typedef struct reader {
  const unsigned char *next;
  uint64_t left;
  int failed; /* more was asked for than there is */
} reader;

uint64_t read_number(reader *r);
text read_text(reader *r);

typedef struct writer {
  uint64_t number; /* the request's */
  uint64_t status; /* 1: the one field is the reason */
  unsigned char *data;
  uint64_t size, room;
} writer;

void write_number(writer *w, uint64_t value);
void write_memory(writer *w, const void *data, uint64_t size);
void write_string(writer *w, const char *string); /* NULL: "" */
/* Drops what was written. */
void write_failure(writer *w, const char *reason);

/* Keeps standard output for replies; what libraries print goes to standard error. */
int open_streams(void);
/* Returns 0 where the stream ends first. */
int receive(void *destination, uint64_t size);
/* Sends as one piece, whatever other threads send, and frees the fields. Ends the program where
 * nobody reads any more. */
void send_reply(writer *w);

#endif
