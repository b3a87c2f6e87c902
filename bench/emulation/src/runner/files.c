#include "files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"

enum { LARGEST_TEXT = 1 << 24 };

char *file_read_text(const char *path, size_t *length) {
  FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
  char *text = malloc(LARGEST_TEXT + 1);
  *length = file && text ? fread(text, 1, LARGEST_TEXT + 1, file) : 0;
  int right = file && text && !ferror(file) && *length <= LARGEST_TEXT;
  if (!right)
    complain("%s: %s", path, *length > LARGEST_TEXT ? "more than 16 MiB" : "can't be read");
  if (file && file != stdin) fclose(file);
  if (right) return text;
  free(text);
  return NULL;
}

int file_read(const char *path, void *data, uint64_t bytes) {
  FILE *file = fopen(path, "rb");
  char more;
  int right = file && fread(data, 1, bytes, file) == bytes && fread(&more, 1, 1, file) == 0;
  if (file) fclose(file);
  if (!right) complain("%s doesn't hold exactly %" PRIu64 " bytes", path, bytes);
  return right;
}

int file_write(const char *path, const void *data, uint64_t bytes) {
  FILE *file = fopen(path, "wb");
  int written = file && fwrite(data, 1, bytes, file) == bytes;
  if (file && fclose(file)) written = 0;
  if (!written) complain("%s can't be written", path);
  return written;
}
