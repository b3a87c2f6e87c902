/*
 * libcuda.h: what the parts of this CUDA driver for tests share. Its devices' memory is the
 * host's, and work is done when it is enqueued, or when a graph that holds it is launched.
 *
 * Types and numbers are those of the driver's documentation.
 */
#ifndef LIBCUDA_H
#define LIBCUDA_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))

typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  NO_BINARY_FOR_GPU = 209,
  INVALID_HANDLE = 400,
  ILLEGAL_STATE = 401,
  NOT_FOUND = 500,
  ILLEGAL_ADDRESS = 700,
  NOT_SUPPORTED = 801,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
  CAPTURE_MERGE = 902,
  CAPTURE_UNMATCHED = 903,
  CAPTURE_UNJOINED = 904,
  CAPTURE_ISOLATION = 905,
  CAPTURE_IMPLICIT = 906,
  CAPTURED_EVENT = 907,
  CAPTURE_WRONG_THREAD = 908,
};

enum { MAX_DEVICES = 8, MAX_BLOCK = 1024, SHARED_BYTES = 48 << 10, MOST_SHARED_BYTES = 227 << 10 };

/* ---- What was called (log.c) ------------------------------------------------- */

/** Count a call by its function's name. */
void note_call(const char *function);

/** Count a launch by its kernel's name. */
void note_launch(const char *kernel);

/** Write a line to the file that LIBCUDA_LOG names: {"kind": "text"}. */
void note(const char *kind, const char *text);

/* ---- Devices and contexts (device.c) ----------------------------------------- */

typedef struct context {
  CUdevice device;
  int users;
  unsigned flags;
} context;

/** Held during each call; recursive, since a kernel may not, but a callback might call again. */
extern pthread_mutex_t driver_lock;

/** What every call gives once a kernel broke: ILLEGAL_ADDRESS, after which nothing works. */
extern CUresult lost;

int device_count(void);

/** The calling thread's current context, or NULL. */
context *current_context(void);

void lock_driver(const char *function);
void unlock_driver(int *unused);

/**
 * Begin a function of the driver: it holds the lock until it returns, and is counted. The first
 * needs nothing more; ENTER_INITIALIZED needs cuInit, ENTER also a device that isn't lost, and
 * ENTER_CONTEXT a context that is current.
 */
#define ENTER_ALWAYS                                            \
  __attribute__((cleanup(unlock_driver), unused)) int held = 0; \
  lock_driver(__func__)
bool is_initialized(void);
#define ENTER_INITIALIZED                          \
  ENTER_ALWAYS;                                    \
  do {                                             \
    if (!is_initialized()) return NOT_INITIALIZED; \
  } while (0)
#define ENTER                         \
  ENTER_INITIALIZED;                  \
  do {                                \
    if (lost != SUCCESS) return lost; \
  } while (0)
#define ENTER_CONTEXT                                      \
  ENTER;                                                   \
  do {                                                     \
    if (current_context() == NULL) return INVALID_CONTEXT; \
  } while (0)

/* ---- Memory (memory.c) ------------------------------------------------------- */

typedef struct allocation {
  uintptr_t start, size;
  CUdevice device; /* -1: the host's, pinned */
} allocation;

/** Return the live allocation that an address lies in, or NULL. */
const allocation *allocation_of(uintptr_t address);

/** Say whether one side of a copy may be touched: all of it allocated, if it is a device's. */
bool may_touch(uintptr_t address, size_t bytes, bool of_device);

/**
 * Return the live allocations as [start, end), sorted; they stay as they are until the
 * next allocation.
 */
const uintptr_t (*spans(size_t *count))[2];

/* ---- Modules (module.c) ------------------------------------------------------ */

typedef struct function function;

typedef struct launch {
  function *function;
  unsigned grid[3], block[3], shared;
  uint64_t *parameters; /* copies, each in words of its own; NULL: not known */
  void **pointers;
} launch;

/** Run a launch that was checked. */
CUresult run_launch(const launch *one);

/** Return a launch whose parameters are copies of its own. */
launch copy_of_launch(const launch *one);

void free_launch(launch *one);

/* ---- Streams (stream.c) ------------------------------------------------------ */

typedef struct stream stream;

typedef struct work {
  enum { COPY, SET, LAUNCH, HOST_FUNCTION } kind;
  uintptr_t target, source, count; /* a copy's bytes; a set's elements */
  bool to_device, from_device;     /* whether a copy's sides must be allocated */
  uint32_t value, width;           /* of a set: bytes of an element */
  launch launch;
  void (*host)(void *);
  void *data;
} work;

/**
 * Do work, or add it to the graph that a stream records.
 *
 * Parameters
 * ----------
 * stream: NULL or 1 for the default stream, 2 for each thread's own.
 * work: kept by the stream where it records, else freed when it is done.
 */
CUresult enqueue(stream *on, work what);

/** Say whether a call that may wait or allocate is forbidden to the thread by what it records. */
CUresult unsafe(void);

#endif
