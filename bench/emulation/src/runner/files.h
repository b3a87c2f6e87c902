/* files.h: whole files in memory; each complains and returns 0 (NULL) where it fails. */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of a file of at most 16 MiB, "-": of standard input. To be freed. */
char *file_read_text(const char *path, size_t *length);
/* Reads a file that must hold exactly so many bytes. */
int file_read(const char *path, void *data, uint64_t bytes);
int file_write(const char *path, const void *data, uint64_t bytes);

#endif
