/*
 * run_problem.c: asks a pack's kernels for one problem, or runs one of them between markers.
 *
 *   run_problem --problem JSON PACK --kernels
 *   run_problem --problem JSON PACK --kernel NAME [--input RAW]... [--output RAW]... [--runs N]
 *
 * PACK       --pack LIBRARY [--option NAME=VALUE]..., or --naive: plain loops
 * --problem  a file with the line that dispatch.Problem.to_json writes; "-": standard input
 * --kernels  prints a line of JSON for the pack, then one for each kernel of the operator: what it
 *            answers
 * --kernel   prepares it, packs the constants, runs it once to warm up, and N times (1) with a
 *            marker before and after each; every layout must be one that it takes
 * --input    an input's bytes in its layout, in the problem's order; "-": an absent one
 * --output   where an output's bytes are written
 *
 * The markers are hints that aarch64 CPUs take for NOPs; count_instructions.c counts between them.
 * Exits with 1 on a failure, 2 on wrong arguments, 3 where the pack can't be used here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "answers.h"
#include "arguments.h"
#include "complain.h"
#include "core.h"
#include "execution.h"
#include "files.h"
#include "naive.h"

enum { FAILED = 1, WRONG_ARGUMENTS = 2, UNAVAILABLE = 3 };

static const char usage[] =
    "usage: run_problem --problem JSON (--pack LIBRARY [--option NAME=VALUE]... | --naive)\n"
    "                   (--kernels | --kernel NAME [--input RAW]... [--output RAW]... [--runs "
    "N])\n";

static int with_problem(const arguments *a, const core_problem *problem) {
  core_pack *pack;
  kp_error error = {""};
  kp_status status = a->naive ? core_pack_open_table(naive_pack_table(), NULL, 0, &pack, &error)
                              : core_pack_open(a->pack, a->options, a->num_options, &pack, &error);
  if (status) {
    complain("%s", error.message);
    return status == KP_UNAVAILABLE || status == KP_WRONG_VERSION ? UNAVAILABLE : FAILED;
  }
  int right = a->kernels ? answers_print(pack, problem) : execution_run(a, pack, problem);
  core_pack_close(pack);
  return right && !fflush(stdout) ? 0 : FAILED;
}

int main(int argc, char **argv) {
  static arguments a;
  if (!arguments_parse(argc, argv, &a)) {
    fputs(usage, stderr);
    return WRONG_ARGUMENTS;
  }
  size_t length;
  char *text = file_read_text(a.problem, &length);
  if (!text) return FAILED;
  core_problem *problem;
  kp_error error = {""};
  int status = FAILED;
  if (core_problem_parse(text, length, &problem, &error)) {
    complain("%s", error.message);
  } else {
    status = with_problem(&a, problem);
    core_problem_free(problem);
  }
  free(text);
  return status;
}
