/*
 * count_instructions.c: a plug-in of QEMU's TCG that counts the aarch64 instructions which a
 * program retires between two markers, by class.
 *
 *   qemu-aarch64 -plugin libcount_instructions.so,out=FILE PROGRAM
 *
 * Markers are hints that every CPU takes for NOPs: "hint #0x60" starts the counting, "hint #0x61"
 * stops it; neither is counted. At the program's end FILE gets a line for each figure: the classes,
 * "intervals" (how often the counting ran), "open" (1: it wasn't stopped), "threads".
 *
 * Instructions are counted by runs: stretches of a translation block without a marker, each with
 * one call when it begins. A run that a signal or a fault leaves early counts as a whole, and
 * threads that count at once lose counts; "threads" tells of those.
 *
 * Compiled when it is needed, with PLUGIN_API set to the interface's version of the QEMU at hand;
 * the declarations below are those parts of it that are used, as Debian 12 ships no qemu-plugin.h.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "a64.h"

/* ---- QEMU's interface ---------------------------------------------------------------- */

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct qemu_info {
  const char *target_name;
  struct {
    int min, cur;
  } version;
  bool system_emulation;
} qemu_info;
enum { CB_NO_REGS = 0 };

void qemu_plugin_register_vcpu_init_cb(plugin_id id, void (*call)(plugin_id, unsigned int));
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*call)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
                                            void (*call)(unsigned int, void *), int flags,
                                            void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*call)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
#if PLUGIN_API < 3
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *data, size_t size);
#endif

EXPORT extern int qemu_plugin_version;
EXPORT int qemu_plugin_install(plugin_id id, const qemu_info *info, int argc, char **argv);

int qemu_plugin_version = PLUGIN_API;

/* ---- Counting ------------------------------------------------------------------------ */

static const uint32_t start_marker = 0xD5032C1F, stop_marker = 0xD5032C3F;

typedef struct run {
  struct run *next;
  uint64_t times;
  uint32_t instructions[A64_NUM_CLASSES];
} run;

static run *runs;
static bool counting;
static uint64_t intervals, threads;
static const char *path;

static void count_run(unsigned int cpu, void *data) {
  (void)cpu;
  ((run *)data)->times += counting;
}

static void start(unsigned int cpu, void *data) {
  (void)cpu;
  (void)data;
  counting = true;
  intervals++;
}

static void stop(unsigned int cpu, void *data) {
  (void)cpu;
  (void)data;
  counting = false;
}

static uint32_t word_of(const struct qemu_plugin_insn *insn) {
  uint32_t word;
#if PLUGIN_API < 3
  memcpy(&word, qemu_plugin_insn_data(insn), sizeof word);
#else
  if (qemu_plugin_insn_data(insn, &word, sizeof word) != sizeof word) return 0;
#endif
  return word;
}

static run *new_run(struct qemu_plugin_insn *first) {
  run *made = calloc(1, sizeof *made);
  if (!made) {
    fputs("count_instructions: memory ran out\n", stderr);
    exit(1);
  }
  made->next = runs;
  runs = made;
  qemu_plugin_register_vcpu_insn_exec_cb(first, count_run, CB_NO_REGS, made);
  return made;
}

/* Blocks of several threads are translated one at a time. */
static void translate(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  run *current = NULL;
  for (size_t i = 0, count = qemu_plugin_tb_n_insns(block); i < count; i++) {
    struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
    uint32_t word = word_of(insn);
    if (word == start_marker || word == stop_marker) {
      qemu_plugin_register_vcpu_insn_exec_cb(insn, word == start_marker ? start : stop, CB_NO_REGS,
                                             NULL);
      current = NULL;
      continue;
    }
    if (!current) current = new_run(insn);
    current->instructions[a64_classify(word)]++;
  }
}

static void count_thread(plugin_id id, unsigned int cpu) {
  (void)id;
  (void)cpu;
  threads++;
}

static void report(plugin_id id, void *data) {
  (void)id;
  (void)data;
  uint64_t totals[A64_NUM_CLASSES] = {0};
  for (const run *r = runs; r; r = r->next)
    for (int c = 0; c < A64_NUM_CLASSES; c++) totals[c] += r->times * r->instructions[c];
  FILE *file = fopen(path, "w");
  if (file) {
    for (int c = 0; c < A64_NUM_CLASSES; c++)
      fprintf(file, "%s %" PRIu64 "\n", a64_class_name((a64_class)c), totals[c]);
    fprintf(file, "intervals %" PRIu64 "\nopen %d\nthreads %" PRIu64 "\n", intervals, counting,
            threads);
  }
  if (!file || fclose(file)) fprintf(stderr, "count_instructions: %s can't be written\n", path);
}

int qemu_plugin_install(plugin_id id, const qemu_info *info, int argc, char **argv) {
  if (info->system_emulation || strcmp(info->target_name, "aarch64")) {
    fprintf(stderr, "count_instructions: expected user emulation of aarch64, got %s\n",
            info->target_name);
    return 1;
  }
  if (argc != 1 || strncmp(argv[0], "out=", 4) || !argv[0][4]) {
    fputs("count_instructions: expected the one argument out=FILE\n", stderr);
    return 1;
  }
  path = argv[0] + 4;
  qemu_plugin_register_vcpu_init_cb(id, count_thread);
  qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
  qemu_plugin_register_atexit_cb(id, report, NULL);
  return 0;
}
