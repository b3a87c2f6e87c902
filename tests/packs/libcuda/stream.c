/*
 * stream.c: streams and events, what they record, and graphs of it.
 *
 * Work is done when it is enqueued. A stream that records adds it to its capture instead, in the
 * order of the calls, which is one that the dependencies allow. Each stream of a capture knows how
 * far it is behind each other: so work that nothing joined is found.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcuda.h"

enum {
  MAGIC_STREAM = 0x57EA3,
  MAGIC_EVENT = 0xE7E27,
  MAGIC_GRAPH = 0x62A94,
  MAGIC_EXECUTABLE = 0xE8EC,
  NON_BLOCKING = 1,
  NO_TIMING = 2,
  MOST_STREAMS = 16, /* of one capture */
};
enum { GLOBAL, THREAD_LOCAL, RELAXED };

typedef struct graph {
  int magic;
  work *works;
  size_t count, room;
} graph;

typedef struct capture {
  graph *made;
  stream *origin, *streams[MOST_STREAMS];
  size_t num_streams;
  pthread_t thread;
  int mode;
  bool is_spoiled;
  struct capture *next;
} capture;

struct stream {
  int magic;
  context *context;
  unsigned flags;
  int priority;
  capture *capture; /* NULL: it doesn't record */
  size_t number;    /* among the capture's streams */
  size_t behind[MOST_STREAMS];
};

typedef struct event {
  int magic;
  context *context;
  unsigned flags;
  bool was_recorded;
  struct timespec time;
  capture *capture; /* NULL: its last record isn't in a graph that is being recorded */
  size_t behind[MOST_STREAMS];
} event;

typedef struct executable {
  int magic;
  graph works;
} executable;

static capture *captures; /* those that go on */
static _Thread_local int mode_of_thread = GLOBAL;
static stream legacy[MAX_DEVICES], per_thread[MAX_DEVICES];

/* ---- Which stream ------------------------------------------------------------ */

static stream *default_stream(stream *all, unsigned flags) {
  context *now = current_context();
  stream *found = &all[now->device];
  if (found->magic == 0) *found = (stream){.magic = MAGIC_STREAM, .context = now, .flags = flags};
  return found;
}

/** Return the stream of a handle, or NULL. */
static stream *stream_of(stream *handle) {
  switch ((uintptr_t)handle) {
    case 0:
    case 1:
      return default_stream(legacy, 0);
    case 2:
      return default_stream(per_thread, 0);
    default:
      return handle->magic == MAGIC_STREAM ? handle : NULL;
  }
}

static bool is_legacy(const stream *one) { return one == &legacy[one->context->device]; }

/* ---- Recording --------------------------------------------------------------- */

static CUresult spoil(capture *one, CUresult status) {
  one->is_spoiled = true;
  return status;
}

CUresult unsafe(void) {
  if (mode_of_thread == RELAXED) return SUCCESS;
  for (capture *one = captures; one; one = one->next) {
    bool own = pthread_equal(one->thread, pthread_self());
    bool forbids = own ? one->mode != RELAXED : one->mode == GLOBAL && mode_of_thread == GLOBAL;
    if (forbids) return spoil(one, CAPTURE_UNSUPPORTED);
  }
  return SUCCESS;
}

/** Return a capture that the default stream may not be used beside: of a stream that waits for it.
 */
static capture *beside_legacy(void) {
  context *now = current_context();
  for (capture *one = captures; one; one = one->next)
    for (size_t i = 0; i < one->num_streams; i++) {
      const stream *each = one->streams[i];
      if (each->context == now && !(each->flags & NON_BLOCKING)) return one;
    }
  return NULL;
}

static CUresult legacy_stream(void) {
  capture *beside = beside_legacy();
  return beside ? spoil(beside, CAPTURE_IMPLICIT) : SUCCESS;
}

/** Return why a stream can't be used now, if it can't. */
static CUresult usable(stream *one) {
  if (one == NULL || one->context != current_context()) return INVALID_HANDLE;
  if (is_legacy(one)) return legacy_stream();
  return one->capture && one->capture->is_spoiled ? CAPTURE_INVALIDATED : SUCCESS;
}

static CUresult run(const work *one) {
  switch (one->kind) {
    case COPY: /* a graph may be launched when what it copies is gone */
      if (!may_touch(one->target, one->count, one->to_device) ||
          !may_touch(one->source, one->count, one->from_device))
        return lost = ILLEGAL_ADDRESS;
      memmove((void *)one->target, (const void *)one->source, one->count);
      return SUCCESS;
    case SET:
      if (!may_touch(one->target, one->count * one->width, true)) return lost = ILLEGAL_ADDRESS;
      for (size_t i = 0; i < one->count; i++) /* little-endian, as devices are */
        memcpy((char *)one->target + i * one->width, &one->value, one->width);
      return SUCCESS;
    case LAUNCH:
      return run_launch(&one->launch);
    case HOST_FUNCTION:
      one->host(one->data);
      return SUCCESS;
  }
  return INVALID_VALUE;
}

static void add(graph *to, work what) {
  if (to->count == to->room)
    to->works = realloc(to->works, (to->room = 2 * to->room + 16) * sizeof *to->works);
  to->works[to->count++] = what;
}

CUresult enqueue(stream *on, work what) {
  stream *one = stream_of(on);
  CUresult status = usable(one);
  if (status == SUCCESS && one->capture) {
    add(one->capture->made, what);
    one->behind[one->number] = one->capture->made->count;
    return SUCCESS;
  }
  if (status == SUCCESS) status = run(&what);
  if (what.kind == LAUNCH) free_launch(&what.launch);
  return status;
}

static void join_capture(stream *one, capture *joined) {
  one->capture = joined;
  one->number = joined->num_streams;
  memset(one->behind, 0, sizeof one->behind);
  joined->streams[joined->num_streams++] = one;
}

API CUresult cuStreamBeginCapture_v2(stream *on, int mode) {
  ENTER_CONTEXT;
  stream *one = stream_of(on);
  if (one == NULL) return INVALID_HANDLE;
  if (is_legacy(one)) return CAPTURE_UNSUPPORTED;
  if (one->capture) return ILLEGAL_STATE;
  if (mode < GLOBAL || mode > RELAXED) return INVALID_VALUE;
  capture *made = calloc(1, sizeof *made);
  made->made = calloc(1, sizeof *made->made);
  made->made->magic = MAGIC_GRAPH;
  made->origin = one;
  made->thread = pthread_self();
  made->mode = mode;
  made->next = captures;
  captures = made;
  join_capture(one, made);
  return SUCCESS;
}

static void empty(graph *one) {
  for (size_t i = 0; i < one->count; i++)
    if (one->works[i].kind == LAUNCH) free_launch(&one->works[i].launch);
  free(one->works);
  *one = (graph){0};
}

/** Say whether the stream that began is behind all that the others enqueued. */
static bool is_joined(const capture *one) {
  for (size_t i = 0; i < one->num_streams; i++)
    if (one->origin->behind[i] < one->streams[i]->behind[i]) return false;
  return true;
}

API CUresult cuStreamEndCapture(stream *on, graph **made) {
  ENTER_CONTEXT;
  stream *one = stream_of(on);
  if (one == NULL || made == NULL) return one ? INVALID_VALUE : INVALID_HANDLE;
  *made = NULL;
  capture *ended = one->capture;
  if (ended == NULL) return ILLEGAL_STATE;
  if (ended->origin != one) return spoil(ended, CAPTURE_UNMATCHED);
  if (ended->mode != RELAXED && !pthread_equal(ended->thread, pthread_self()))
    return spoil(ended, CAPTURE_WRONG_THREAD);
  CUresult status = SUCCESS;
  if (ended->is_spoiled)
    status = CAPTURE_INVALIDATED;
  else if (!is_joined(ended))
    status = CAPTURE_UNJOINED;
  for (size_t i = 0; i < ended->num_streams; i++) ended->streams[i]->capture = NULL;
  capture **link = &captures;
  while (*link != ended) link = &(*link)->next;
  *link = ended->next;
  if (status == SUCCESS) {
    *made = ended->made;
  } else {
    empty(ended->made);
  }
  return status; /* the capture stays: events may still name it */
}

API CUresult cuStreamIsCapturing(stream *on, int *state) {
  ENTER_CONTEXT;
  stream *one = stream_of(on);
  if (one == NULL) return INVALID_HANDLE;
  if (is_legacy(one)) {
    *state = 0;
    return beside_legacy() ? CAPTURE_IMPLICIT : SUCCESS; /* to ask spoils nothing */
  }
  *state = one->capture ? 1 + one->capture->is_spoiled : 0;
  return SUCCESS;
}

API CUresult cuThreadExchangeStreamCaptureMode(int *mode) {
  ENTER;
  if (*mode < GLOBAL || *mode > RELAXED) return INVALID_VALUE;
  int before = mode_of_thread;
  mode_of_thread = *mode;
  *mode = before;
  return SUCCESS;
}

/* ---- Streams ----------------------------------------------------------------- */

API CUresult cuStreamCreateWithPriority(stream **made, unsigned flags, int priority) {
  ENTER_CONTEXT;
  if (flags & ~(unsigned)NON_BLOCKING) return INVALID_VALUE;
  *made = malloc(sizeof **made);
  **made = (stream){
      .magic = MAGIC_STREAM, .context = current_context(), .flags = flags, .priority = priority};
  return SUCCESS;
}

API CUresult cuStreamCreate(stream **made, unsigned flags) {
  ENTER_ALWAYS;
  return cuStreamCreateWithPriority(made, flags, 0);
}

/** The handle stays known as one that was destroyed. */
API CUresult cuStreamDestroy_v2(stream *one) {
  ENTER;
  if ((uintptr_t)one <= 2 || one->magic != MAGIC_STREAM) return INVALID_HANDLE;
  if (one->capture) return spoil(one->capture, CAPTURE_UNSUPPORTED);
  one->magic = 0;
  return SUCCESS;
}

/** All is done already; but what is recorded can't be waited for. */
static CUresult wait_for(stream *on) {
  stream *one = stream_of(on);
  CUresult status = usable(one);
  if (status) return status;
  return one->capture ? spoil(one->capture, CAPTURE_UNSUPPORTED) : unsafe();
}

API CUresult cuStreamSynchronize(stream *on) {
  ENTER_CONTEXT;
  return wait_for(on);
}

API CUresult cuStreamQuery(stream *on) {
  ENTER_CONTEXT;
  return wait_for(on);
}

API CUresult cuStreamGetFlags(stream *on, unsigned *flags) {
  ENTER_CONTEXT;
  stream *one = stream_of(on);
  if (one == NULL) return INVALID_HANDLE;
  *flags = one->flags;
  return SUCCESS;
}

API CUresult cuStreamGetPriority(stream *on, int *priority) {
  ENTER_CONTEXT;
  stream *one = stream_of(on);
  if (one == NULL) return INVALID_HANDLE;
  *priority = one->priority;
  return SUCCESS;
}

API CUresult cuStreamGetCtx(stream *on, context **found) {
  ENTER_CONTEXT;
  stream *one = stream_of(on);
  if (one == NULL) return INVALID_HANDLE;
  *found = one->context;
  return SUCCESS;
}

API CUresult cuLaunchHostFunc(stream *on, void (*function)(void *), void *data) {
  ENTER_CONTEXT;
  return enqueue(on, (work){.kind = HOST_FUNCTION, .host = function, .data = data});
}

/* ---- Events ------------------------------------------------------------------ */

static bool is_event(const event *one) { return one && one->magic == MAGIC_EVENT; }

API CUresult cuEventCreate(event **made, unsigned flags) {
  ENTER_CONTEXT;
  *made = calloc(1, sizeof **made);
  (*made)->magic = MAGIC_EVENT;
  (*made)->context = current_context();
  (*made)->flags = flags;
  return SUCCESS;
}

API CUresult cuEventDestroy_v2(event *one) {
  ENTER;
  if (!is_event(one)) return INVALID_HANDLE;
  one->magic = 0;
  return SUCCESS;
}

API CUresult cuEventRecord(event *one, stream *on) {
  ENTER_CONTEXT;
  stream *from = stream_of(on);
  if (!is_event(one)) return INVALID_HANDLE;
  CUresult status = usable(from);
  if (status) return status;
  if (one->context != from->context) return INVALID_HANDLE;
  one->was_recorded = true;
  one->capture = from->capture;
  memcpy(one->behind, from->behind, sizeof one->behind);
  clock_gettime(CLOCK_MONOTONIC, &one->time);
  return SUCCESS;
}

static bool goes_on(const capture *one) {
  for (const capture *each = captures; each; each = each->next)
    if (each == one) return true;
  return false;
}

API CUresult cuStreamWaitEvent(stream *on, event *one, unsigned flags) {
  ENTER_CONTEXT;
  stream *waiting = stream_of(on);
  if (!is_event(one) || flags) return flags ? NOT_SUPPORTED : INVALID_HANDLE;
  CUresult status = usable(waiting);
  if (status || !one->was_recorded) return status;
  capture *from = one->capture;
  if (from == NULL) return waiting->capture ? spoil(waiting->capture, CAPTURE_ISOLATION) : SUCCESS;
  if (!goes_on(from)) return INVALID_VALUE;
  if (is_legacy(waiting)) return spoil(from, CAPTURE_IMPLICIT);
  if (waiting->capture && waiting->capture != from) {
    spoil(from, CAPTURE_MERGE);
    return spoil(waiting->capture, CAPTURE_MERGE);
  }
  if (waiting->capture == NULL) {
    if (from->num_streams == MOST_STREAMS) return NOT_SUPPORTED;
    join_capture(waiting, from);
  }
  for (size_t i = 0; i < MOST_STREAMS; i++)
    if (waiting->behind[i] < one->behind[i]) waiting->behind[i] = one->behind[i];
  /* Joining counts as work of its own: who began must be behind it. */
  waiting->behind[waiting->number] = from->made->count;
  return SUCCESS;
}

static CUresult event_done(const event *one) {
  if (!is_event(one)) return INVALID_HANDLE;
  if (one->capture && goes_on(one->capture)) return spoil(one->capture, CAPTURED_EVENT);
  return unsafe();
}

API CUresult cuEventSynchronize(event *one) {
  ENTER_CONTEXT;
  return event_done(one);
}

API CUresult cuEventQuery(event *one) {
  ENTER_CONTEXT;
  return event_done(one);
}

API CUresult cuEventElapsedTime_v2(float *milliseconds, const event *start, const event *end) {
  ENTER_CONTEXT;
  if (!is_event(start) || !is_event(end)) return INVALID_HANDLE;
  if (start->flags & NO_TIMING || end->flags & NO_TIMING) return INVALID_HANDLE;
  if (!start->was_recorded || !end->was_recorded) return INVALID_HANDLE;
  if (start->capture || end->capture) return INVALID_HANDLE;
  double seconds = (double)(end->time.tv_sec - start->time.tv_sec);
  double nanoseconds = (double)(end->time.tv_nsec - start->time.tv_nsec);
  *milliseconds = (float)(seconds * 1e3 + nanoseconds * 1e-6);
  return SUCCESS;
}

API CUresult cuEventElapsedTime(float *milliseconds, const event *start, const event *end) {
  ENTER_ALWAYS;
  return cuEventElapsedTime_v2(milliseconds, start, end);
}

/* ---- Graphs ------------------------------------------------------------------ */

API CUresult cuGraphGetNodes(const graph *one, void **nodes, size_t *count) {
  ENTER;
  if (one == NULL || one->magic != MAGIC_GRAPH || nodes) return INVALID_VALUE;
  *count = one->count;
  return SUCCESS;
}

API CUresult cuGraphInstantiateWithFlags(executable **made, graph *from, uint64_t flags) {
  ENTER;
  if (from == NULL || from->magic != MAGIC_GRAPH || flags) return INVALID_VALUE;
  *made = calloc(1, sizeof **made);
  (*made)->magic = MAGIC_EXECUTABLE;
  for (size_t i = 0; i < from->count; i++) {
    work what = from->works[i];
    if (what.kind == LAUNCH) what.launch = copy_of_launch(&what.launch);
    add(&(*made)->works, what);
  }
  return SUCCESS;
}

API CUresult cuGraphDestroy(graph *one) {
  ENTER;
  if (one == NULL || one->magic != MAGIC_GRAPH) return INVALID_VALUE;
  empty(one);
  return SUCCESS;
}

API CUresult cuGraphExecDestroy(executable *one) {
  ENTER;
  if (one == NULL || one->magic != MAGIC_EXECUTABLE) return INVALID_VALUE;
  empty(&one->works);
  one->magic = 0;
  return SUCCESS;
}

API CUresult cuGraphUpload(const executable *one, stream *on) {
  ENTER_CONTEXT;
  (void)on;
  return one && one->magic == MAGIC_EXECUTABLE ? SUCCESS : INVALID_VALUE;
}

API CUresult cuGraphLaunch(const executable *one, stream *on) {
  ENTER_CONTEXT;
  if (one == NULL || one->magic != MAGIC_EXECUTABLE) return INVALID_VALUE;
  stream *target = stream_of(on);
  CUresult status = usable(target);
  if (status) return status;
  if (target->capture) return NOT_SUPPORTED; /* a graph in a graph */
  for (size_t i = 0; status == SUCCESS && i < one->works.count; i++)
    status = run(&one->works.works[i]);
  return status;
}
