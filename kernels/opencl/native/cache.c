/*
 * cache.c: built programs kept on disk, where the opener names a folder. A file's name is a hash
 * of all that the result depends on; what can't be read, or doesn't build, is made anew. Like the
 * file of kernels, the folder is to be trusted: nobody else may write to it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices.h"
#include "fail.h"
#include "pack.h"

enum { PATH_ROOM = 4096, MAX_BINARY = 1 << 28 };

/* FNV-1a of 64 bits, over texts with their ends. */
static uint64_t hash_text(uint64_t hash, const char *text) {
  for (const char *c = text;; c++) {
    hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    if (!*c) return hash;
  }
}

static int write_path(const kp_pack *pack, const image_program *source, const char *options,
                      char *path) {
  static const uint64_t starts[] = {14695981039346656037u, 9650029242287828579u};
  uint64_t hashes[2];
  char *driver = device_text(&pack->cl, pack->device, CL_DRIVER_VERSION);
  if (!driver) return 0;
  for (int i = 0; i < 2; i++) {
    const char *parts[] = {pack->description, driver, options, source->text};
    hashes[i] = starts[i];
    for (int j = 0; j < 4; j++) hashes[i] = hash_text(hashes[i], parts[j]);
  }
  free(driver);
  int length = snprintf(path, PATH_ROOM, "%s/%016llx%016llx.clbin", pack->cache,
                        (unsigned long long)hashes[0], (unsigned long long)hashes[1]);
  return length > 0 && length < PATH_ROOM;
}

static unsigned char *read_binary(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  unsigned char *data = NULL;
  long end = fseek(file, 0, SEEK_END) ? -1 : ftell(file);
  if (end > 0 && end <= MAX_BINARY && !fseek(file, 0, SEEK_SET)) data = malloc((size_t)end);
  if (data && fread(data, 1, (size_t)end, file) != (size_t)end) {
    free(data);
    data = NULL;
  }
  fclose(file);
  *size = data ? (size_t)end : 0;
  return data;
}

cl_program cache_load(const kp_pack *pack, const image_program *source, const char *options) {
  char path[PATH_ROOM];
  size_t size;
  if (!pack->cache || !write_path(pack, source, options, path)) return NULL;
  unsigned char *data = read_binary(path, &size);
  if (!data) return NULL;
  const unsigned char *binary = data;
  cl_int loaded, status;
  cl_program program = pack->cl.CreateProgramWithBinary(pack->context, 1, &pack->device, &size,
                                                        &binary, &loaded, &status);
  free(data);
  if (status) return NULL;
  if (!loaded && !pack->cl.BuildProgram(program, 1, &pack->device, options, NULL, NULL))
    return program;
  pack->cl.ReleaseProgram(program);
  return NULL;
}

/* Under another name first, so that nobody reads half of it. */
static void write_binary(const char *path, const unsigned char *data, size_t size) {
  char unfinished[PATH_ROOM + 32];
  snprintf(unfinished, sizeof unfinished, "%s.%ld", path, (long)getpid());
  FILE *file = fopen(unfinished, "wb");
  if (!file) return;
  int written = fwrite(data, 1, size, file) == size;
  if (fclose(file) || !written || rename(unfinished, path)) remove(unfinished);
}

void cache_store(const kp_pack *pack, const image_program *source, const char *options,
                 cl_program program) {
  char path[PATH_ROOM];
  size_t size = 0;
  if (!pack->cache || !write_path(pack, source, options, path)) return;
  if (pack->cl.GetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL)) return;
  unsigned char *data = size ? malloc(size) : NULL;
  if (!data) return;
  if (!pack->cl.GetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof data, &data, NULL))
    write_binary(path, data, size);
  free(data);
}
