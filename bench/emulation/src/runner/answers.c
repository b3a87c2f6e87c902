#include "answers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "complain.h"

static void print_string(const char *text) {
  putchar('"');
  for (; text && *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < 0x20)
      printf("\\u%04x", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void print_member(const char *name, const char *text) {
  printf(",\"%s\":", name);
  print_string(text);
}

static void print_yes(const core_answer *asked) {
  const kp_answer *answer = &asked->answer;
  /* A cost that isn't a number would be no JSON; such a kernel comes last. */
  printf(",\"cost\":%.17g,\"layouts\":[", isfinite(answer->cost) ? answer->cost : 1e300);
  for (uint32_t i = 0; i < asked->num_inputs + asked->num_outputs; i++) {
    if (i) putchar(',');
    print_string(answer->layouts[i]);
  }
  putchar(']');
}

static void print_no(const core_pack *pack, const kp_kernel *kernel, const core_problem *problem,
                     const kp_answer *answer) {
  char reason[512];
  print_member("subject", answer->subject);
  print_member("limit", answer->limit);
  if (answer->has_got) printf(",\"got\":\"%" PRId64 "\"", answer->got);
  core_reason(pack, kernel, problem, reason, sizeof reason);
  if (*reason) print_member("reason", reason);
}

static int is_of(const kp_kernel *kernel, const char *operator_name) {
  const char *name = strchr(kernel->name, '.') + 1; /* the grammar has been checked */
  size_t length = strlen(operator_name);
  return !strncmp(name, operator_name, length) && name[length] == '.';
}

int answers_print(const core_pack *pack, const core_problem *problem) {
  printf("{\"pack\":");
  print_string(core_pack_name(pack));
  print_member("version", core_pack_version(pack));
  print_member("library", core_pack_library_version(pack));
  puts("}");
  for (size_t i = 0; i < core_pack_num_kernels(pack); i++) {
    const kp_kernel *kernel = core_pack_kernel(pack, i);
    if (!is_of(kernel, core_problem_get(problem)->operator_name)) continue;
    core_answer *asked = core_query(pack, kernel, problem);
    if (!asked) return complain("memory ran out");
    printf("{\"kernel\":");
    print_string(kernel->name);
    printf(",\"code\":%d", (int)asked->answer.code);
    if (asked->answer.code == KP_YES)
      print_yes(asked);
    else
      print_no(pack, kernel, problem, &asked->answer);
    puts("}");
    core_answer_free(asked);
  }
  return 1;
}
