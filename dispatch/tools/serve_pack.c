/*
 * serve_pack: opens a kernel pack and serves its kernels over its standard streams, so that another
 * process, on another machine or outside an emulator, can hold them to the conformance kit.
 *
 *   serve_pack LIBRARY [--option NAME=VALUE]...
 *
 * LIBRARY   the pack's shared library
 * --option  one of the pack's options: library=PATH, level=NAME
 *
 * A request is a header (number, what, bytes that follow) and its fields; the reply has the same
 * number, a status and its fields. Numbers have 64 bits, little-endian; texts and memory are a
 * length and the bytes. The replies to `run` may come in any order: runs have threads of their own;
 * `release` has no reply.
 * dispatch/conformance/remote.py is the other side.
 *
 * Every buffer of a run, scratch included, lies between guards and is exactly as large as the
 * contract says; scratch is poisoned, and so are constants after the call that they were passed to.
 * Of a pack whose device has a memory of its own buffers lie there, between guards of their own.
 * Exits with 2 on wrong arguments, 1 on a broken request.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "call.h"
#include "error.h"
#include "message.h"
#include "serve_device.h"

enum { QUERY = 1, PREPARE = 2, PACK = 3, RUN = 4, RELEASE = 5 };
enum { ABSENT = 0, BYTES = 1, PACKED = 2, SHARED = 3 };
enum { MAX_OPTIONS = 16, GUARD = 128, PATTERN = 0xA5, POISON = 0xFF };

/* A prepared kernel and the packed forms of its constants. */
typedef struct {
  core_call *call;
  uint32_t num_inputs, num_outputs;
  void **packed;    /* by input; on a device handles */
  void **constants; /* of a device: handles */
} ready;

typedef struct {
  core_pack *pack;
  ready **table; /* by handle; NULL: released */
  uint64_t count, room;
} server;

static device_side device;

/* ---- Guarded memory ------------------------------------------------------------------- */

typedef struct {
  unsigned char *raw, *data;
  uint64_t size, raw_size;
} guarded;

/* `offset`: by how much the address misses the contract's alignment. */
static int guarded_alloc(guarded *g, uint64_t size, uint64_t offset) {
  g->size = size;
  g->raw_size = size + 2 * GUARD + 2 * KP_ALIGNMENT;
  g->raw = g->raw_size < size ? NULL : malloc(g->raw_size);
  if (!g->raw) return 0;
  memset(g->raw, PATTERN, g->raw_size);
  uint64_t address = (uint64_t)(uintptr_t)g->raw + GUARD;
  g->data = g->raw + GUARD + (KP_ALIGNMENT - address % KP_ALIGNMENT) % KP_ALIGNMENT + offset;
  return 1;
}

static int guards_broken(const guarded *g) {
  for (const unsigned char *p = g->raw; p < g->raw + g->raw_size; p++)
    if ((p < g->data || p >= g->data + g->size) && *p != PATTERN) return 1;
  return 0;
}

/* ---- Asking --------------------------------------------------------------------------- */

static const kp_kernel *kernel_of(const server *s, uint64_t index) {
  return index < core_pack_num_kernels(s->pack) ? core_pack_kernel(s->pack, index) : NULL;
}

static void query(const server *s, reader *request, writer *reply) {
  const kp_kernel *kernel = kernel_of(s, read_number(request));
  text problem_text = read_text(request);
  core_problem *problem = NULL;
  kp_error error;
  if (!kernel || request->failed) {
    write_failure(reply, "query: no such kernel");
  } else if (core_problem_parse(problem_text.data, problem_text.size, &problem, &error)) {
    write_failure(reply, error.message);
  } else {
    core_answer *held = core_query(s->pack, kernel, problem);
    if (!held) {
      write_failure(reply, "query: no memory for an answer");
    } else {
      const kp_answer *a = &held->answer;
      char reason[512] = "";
      if (a->code == KP_NO_LIBRARY) core_reason(s->pack, kernel, problem, reason, sizeof reason);
      write_number(reply, (uint64_t)a->code);
      write_number(reply, a->flags);
      write_memory(reply, &a->cost, sizeof a->cost);
      write_number(reply, a->scratch_bytes);
      write_number(reply, a->may_overwrite);
      write_number(reply, held->num_inputs);
      write_number(reply, held->num_outputs);
      for (uint32_t i = 0; i < held->num_inputs + held->num_outputs; i++)
        write_string(reply, a->layouts[i]);
      for (uint32_t i = 0; i < held->num_inputs; i++) write_number(reply, a->packed_bytes[i]);
      write_string(reply, a->subject);
      write_string(reply, a->limit);
      write_number(reply, (uint64_t)a->has_got);
      write_number(reply, (uint64_t)a->got);
      write_string(reply, reason);
    }
    core_answer_free(held);
  }
  core_problem_free(problem);
}

/* ---- Preparing ------------------------------------------------------------------------ */

static void release(ready *r) {
  if (!r) return;
  core_call_release(r->call);
  for (uint32_t i = 0; r->packed && i < r->num_inputs; i++) {
    if (!device.memory)
      free(r->packed[i]);
    else if (r->packed[i])
      device_side_free(&device, r->packed[i]);
  }
  for (uint32_t i = 0; r->constants && i < r->num_inputs; i++)
    if (r->constants[i]) device_side_free(&device, r->constants[i]);
  free(r->packed);
  free(r->constants);
  free(r);
}

static int keep(server *s, ready *r, uint64_t *handle) {
  if (s->count == s->room) {
    uint64_t room = s->room ? 2 * s->room : 64;
    ready **table = realloc(s->table, room * sizeof *table);
    if (!table) return 0;
    s->table = table;
    s->room = room;
  }
  *handle = s->count;
  s->table[s->count++] = r;
  return 1;
}

static ready *ready_of(const server *s, uint64_t handle) {
  return handle < s->count ? s->table[handle] : NULL;
}

/* Reads a constant for each input; they stay where the request has them, or go to the device,
 * where `r` holds them. */
static const void **read_constants(reader *request, ready *r) {
  const void **constants = calloc(r->num_inputs + 1, sizeof *constants);
  for (uint32_t i = 0; constants && i < r->num_inputs; i++) {
    if (!read_number(request)) continue;
    text value = read_text(request);
    constants[i] = value.data;
    if (!device.memory || request->failed) continue;
    if (device_side_copy(&device, value.data, value.size, &r->constants[i], NULL)) {
      r->constants[i] = NULL;
      request->failed = 1;
    }
    constants[i] = r->constants[i];
  }
  return constants;
}

static void prepare(server *s, reader *request, writer *reply) {
  const kp_kernel *kernel = kernel_of(s, read_number(request));
  text problem_text = read_text(request);
  core_problem *problem = NULL;
  kp_error error = {""};
  if (!kernel || request->failed) {
    write_failure(reply, "prepare: no such kernel");
    return;
  }
  if (core_problem_parse(problem_text.data, problem_text.size, &problem, &error)) {
    write_failure(reply, error.message);
    return;
  }
  const kp_problem *p = core_problem_get(problem);
  if (device_side_open(s->pack, p->device, &device, &error)) {
    write_failure(reply, error.message);
    core_problem_free(problem);
    return;
  }
  ready *r = calloc(1, sizeof *r);
  const void **constants = NULL;
  uint64_t handle = 0;
  if (r) {
    r->num_inputs = p->num_inputs;
    r->num_outputs = p->num_outputs;
    r->packed = calloc(p->num_inputs + 1, sizeof *r->packed);
    r->constants = calloc(p->num_inputs + 1, sizeof *r->constants);
    if (r->packed && r->constants) constants = read_constants(request, r);
  }
  if (!constants)
    write_failure(reply, "prepare: out of memory");
  else if (request->failed)
    write_failure(reply, "prepare: the request is cut short, or the device is full");
  else if (core_call_prepare(s->pack, kernel, problem, constants, &r->call, &error))
    write_failure(reply, error.message);
  else if (!keep(s, r, &handle))
    write_failure(reply, "prepare: out of memory");
  if (reply->status) {
    release(r);
  } else {
    write_number(reply, handle);
    for (uint32_t i = 0; i < r->num_inputs; i++)
      write_number(reply, core_call_packed_bytes(r->call, i));
  }
  free(constants);
  core_problem_free(problem);
}

static kp_status pack_on_device(ready *r, uint32_t input, text value, kp_error *error) {
  void *source;
  if (r->packed[input]) device_side_free(&device, r->packed[input]);
  r->packed[input] = NULL;
  kp_status status = device_side_copy(&device, value.data, value.size, &source, error);
  if (status) return status;
  status = device_side_copy(&device, NULL, core_call_packed_bytes(r->call, input),
                            &r->packed[input], error);
  if (!status) status = core_call_pack(r->call, input, source, r->packed[input], error);
  device_side_free(&device, source);
  return status;
}

static void pack(server *s, reader *request, writer *reply) {
  ready *r = ready_of(s, read_number(request));
  uint64_t input = read_number(request);
  text value = read_text(request);
  kp_error error = {""};
  if (!r || request->failed || input >= r->num_inputs ||
      !core_call_packed_bytes(r->call, (uint32_t)input)) {
    write_failure(reply, "pack: no such constant");
    return;
  }
  if (device.memory) {
    if (pack_on_device(r, (uint32_t)input, value, &error)) write_failure(reply, error.message);
    return;
  }
  free(r->packed[input]);
  r->packed[input] = aligned_alloc(
      KP_ALIGNMENT,
      (core_call_packed_bytes(r->call, (uint32_t)input) / KP_ALIGNMENT + 1) * KP_ALIGNMENT);
  if (!r->packed[input])
    write_failure(reply, "pack: out of memory");
  else if (core_call_pack(r->call, (uint32_t)input, value.data, r->packed[input], &error))
    write_failure(reply, error.message);
}

static void forget(server *s, reader *request) {
  uint64_t handle = read_number(request);
  release(ready_of(s, handle));
  if (handle < s->count) s->table[handle] = NULL;
}

/* ---- Running -------------------------------------------------------------------------- */

typedef struct run_task {
  ready *prepared;
  void *memory; /* of the request */
  reader request;
  writer reply;
  struct run_task *next;
} run_task;

static kp_status call(const ready *r, void *const *buffers, guarded *scratch) {
  const core_call *c = r->call;
  int before;
  kp_status status = core_threads_enter(c->pack->process, c->threads, &before);
  if (!status) status = core_call_run_with(c, buffers, scratch->data, NULL);
  core_threads_leave(c->threads, before);
  return status;
}

/* Runs on copies of the host's buffers there; writes what went wrong into `message`. */
static void call_on_device(const ready *r, uint32_t count, guarded *memory, void **buffers,
                           mirror *mirrors, char *message, size_t room) {
  kp_error error = {""};
  kp_status status = KP_OK;
  int broken = 0;
  for (uint32_t i = 0; !status && i <= count; i++) {
    if (!memory[i].raw) continue;
    status = mirror_make(&device, memory[i].data, memory[i].size, &mirrors[i], &error);
    for (uint32_t j = i; j < count; j++) /* itself, and those that share its memory */
      if (buffers[j] == memory[i].data) buffers[j] = mirrors[i].part;
  }
  if (!status) {
    status = core_call_run_with(r->call, buffers, mirrors[count].part, device.queue);
    if (status) core_fail(&error, status, "the kernel reported status %d", (int)status);
  }
  for (uint32_t i = 0; !status && i <= count; i++) {
    if (!memory[i].raw) continue;
    status = mirror_read(&device, &mirrors[i], memory[i].data, &broken, &error);
    if (broken) memory[i].raw[0] = (unsigned char)~PATTERN; /* as if it were the host's */
  }
  if (status) snprintf(message, room, "%s", error.message);
}

/* Reads one buffer of a run; `memory` and `buffers`: those before it too. */
static int read_buffer(const ready *r, reader *request, uint32_t index, guarded *memory,
                       void **buffers) {
  uint64_t kind = read_number(request), number = kind == ABSENT ? 0 : read_number(request);
  if (kind == PACKED && number < r->num_inputs) {
    buffers[index] = r->packed[number];
  } else if (kind == SHARED && number < index) {
    buffers[index] = buffers[number];
  } else if (kind == BYTES && number < KP_ALIGNMENT) {
    text bytes = read_text(request);
    if (request->failed || !guarded_alloc(&memory[index], bytes.size, number)) return 0;
    if (bytes.size) memcpy(memory[index].data, bytes.data, bytes.size);
    buffers[index] = memory[index].data;
  } else if (kind != ABSENT) {
    return 0;
  }
  return !request->failed;
}

static void run_on(const ready *r, reader *request, writer *reply, guarded *memory,
                   void **buffers) {
  uint32_t count = r->num_inputs + r->num_outputs;
  guarded *scratch = &memory[count];
  for (uint32_t i = 0; i < count; i++)
    if (!read_buffer(r, request, i, memory, buffers)) {
      write_failure(reply, "run: a buffer is missing or wrong");
      return;
    }
  if (!guarded_alloc(scratch, core_call_scratch_bytes(r->call), 0)) {
    write_failure(reply, "run: out of memory");
    return;
  }
  memset(scratch->data, POISON, scratch->size);
  char message[sizeof(kp_error)] = "";
  if (device.memory) {
    mirror *mirrors = calloc(count + 1u, sizeof *mirrors);
    pthread_mutex_lock(&device.running);
    if (mirrors)
      call_on_device(r, count, memory, buffers, mirrors, message, sizeof message);
    else
      snprintf(message, sizeof message, "run: out of memory");
    for (uint32_t i = 0; mirrors && i <= count; i++) mirror_free(&device, &mirrors[i]);
    pthread_mutex_unlock(&device.running);
    free(mirrors);
  } else {
    kp_status status = call(r, buffers, scratch);
    if (status) snprintf(message, sizeof message, "the kernel reported status %d", (int)status);
  }
  for (uint32_t i = 0; i <= count; i++)
    if (memory[i].raw && guards_broken(&memory[i]))
      snprintf(message, sizeof message, "wrote outside of %s %u",
               i < r->num_inputs ? "input"
               : i < count       ? "output"
                                 : "scratch",
               i < r->num_inputs ? i : i - r->num_inputs);
  if (*message) {
    write_failure(reply, message);
    return;
  }
  for (uint32_t i = 0; i < count; i++)
    if (memory[i].raw) write_memory(reply, memory[i].data, memory[i].size);
}

static void finish(run_task *task) {
  uint32_t count = task->prepared->num_inputs + task->prepared->num_outputs;
  guarded *memory = calloc(count + 1, sizeof *memory);
  void **buffers = calloc(count + 1, sizeof *buffers);
  if (memory && buffers)
    run_on(task->prepared, &task->request, &task->reply, memory, buffers);
  else
    write_failure(&task->reply, "run: out of memory");
  for (uint32_t i = 0; memory && i <= count; i++) free(memory[i].raw);
  free(memory);
  free(buffers);
  send_reply(&task->reply);
  free(task->memory);
  free(task);
}

/* Runs wait for a thread. Threads stay: an emulator never gives back what one has cost it. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t arrived;
  run_task *first, *last;
  uint64_t waiting, idle; /* runs, threads */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};

static void *work(void *unused) {
  (void)unused;
  for (;;) {
    pthread_mutex_lock(&queue.lock);
    queue.idle++;
    while (!queue.first) pthread_cond_wait(&queue.arrived, &queue.lock);
    queue.idle--;
    queue.waiting--;
    run_task *task = queue.first;
    queue.first = task->next;
    pthread_mutex_unlock(&queue.lock);
    finish(task);
  }
  return NULL;
}

/* Leaves the run to a thread, which then owns the request's memory; starts one where all are busy.
 * Returns 0 where it can't. */
static int start_run(const server *s, reader request, void *memory, writer *reply) {
  ready *r = ready_of(s, read_number(&request));
  run_task *task = r ? calloc(1, sizeof *task) : NULL;
  if (!task) {
    write_failure(reply, r ? "run: out of memory" : "run: no such kernel");
    return 0;
  }
  *task = (run_task){r, memory, request, *reply, NULL};
  pthread_mutex_lock(&queue.lock);
  pthread_t thread;
  int served = queue.waiting < queue.idle;
  if (!served && !pthread_create(&thread, NULL, work, NULL)) {
    pthread_detach(thread);
    served = 1;
  }
  if (served) {
    if (queue.first)
      queue.last->next = task;
    else
      queue.first = task;
    queue.last = task;
    queue.waiting++;
    pthread_cond_signal(&queue.arrived);
  }
  pthread_mutex_unlock(&queue.lock);
  if (served) return 1;
  free(task);
  write_failure(reply, "run: no thread");
  return 0;
}

/* ---- Serving -------------------------------------------------------------------------- */

static void handle(server *s, uint64_t what, reader *request, writer *reply) {
  if (what == QUERY) {
    query(s, request, reply);
  } else if (what == PREPARE) {
    prepare(s, request, reply);
  } else if (what == PACK) {
    pack(s, request, reply);
  } else {
    write_failure(reply, "unknown request");
  }
}

/* Constants are a kernel's for the time of one call. What keeps their address reads NaN. */
static void poison(void *memory, uint64_t size) {
  memset(memory, POISON, size);
  __asm__ volatile("" : : "r"(memory) : "memory"); /* a compiler drops what is freed next */
}

/* The first message: what was opened. */
static void introduce(const core_pack *opened) {
  writer reply = {.number = 0};
  write_string(&reply, core_pack_name(opened));
  write_string(&reply, core_pack_version(opened));
  write_string(&reply, core_pack_library_version(opened));
  write_number(&reply, core_pack_num_kernels(opened));
  for (size_t i = 0; i < core_pack_num_kernels(opened); i++) {
    const kp_kernel *kernel = core_pack_kernel(opened, i);
    write_string(&reply, kernel->name);
    write_string(&reply, kernel->source);
    write_number(&reply, kernel->flags);
  }
  send_reply(&reply);
}

static int serve(server *s) {
  for (;;) {
    uint64_t header[3]; /* number, what, bytes */
    if (!receive(header, sizeof header)) return 0;
    void *memory = malloc(header[2] ? header[2] : 1);
    if (!memory || !receive(memory, header[2])) {
      fputs("serve_pack: a request is cut short or too large\n", stderr);
      free(memory);
      return 1;
    }
    reader request = {memory, header[2], 0};
    writer reply = {.number = header[0]};
    if (header[1] == RUN && start_run(s, request, memory, &reply)) continue;
    if (header[1] == RELEASE)
      forget(s, &request);
    else if (header[1] != RUN)
      handle(s, header[1], &request, &reply);
    if (header[1] != RELEASE) send_reply(&reply);
    poison(memory, header[2]);
    free(memory);
  }
}

static int read_options(int argc, char **argv, kp_option *options, size_t *count) {
  for (int i = 2; i < argc; i += 2) {
    char *equals = i + 1 < argc ? strchr(argv[i + 1], '=') : NULL;
    if (strcmp(argv[i], "--option") || !equals || *count == MAX_OPTIONS) return 0;
    *equals = 0;
    options[(*count)++] = (kp_option){argv[i + 1], equals + 1};
  }
  return argc > 1;
}

int main(int argc, char **argv) {
  kp_option options[MAX_OPTIONS];
  size_t num_options = 0;
  if (!read_options(argc, argv, options, &num_options)) {
    fputs("usage: serve_pack LIBRARY [--option NAME=VALUE]...\n", stderr);
    return 2;
  }
  if (!open_streams()) {
    perror("serve_pack: standard streams");
    return 1;
  }
  server s = {0};
  kp_error error = {""};
  if (core_pack_open(argv[1], options, num_options, &s.pack, &error)) {
    writer reply = {.number = 0};
    write_failure(&reply, error.message);
    send_reply(&reply);
    return 0;
  }
  introduce(s.pack);
  return serve(&s);
}
