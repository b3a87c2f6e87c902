#include "arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "complain.h"

enum { MAX_RUNS = 1000000 };

static int add_option(arguments *a, char *text) {
  char *equals = strchr(text, '=');
  if (!equals || equals == text) return complain("--option must be NAME=VALUE, got \"%s\"", text);
  if (a->num_options == ARGUMENTS_MAX_OPTIONS) return complain("too many --option");
  *equals = 0;
  a->options[a->num_options++] = (kp_option){text, equals + 1};
  return 1;
}

static int add_file(const char **list, size_t *count, const char *name, const char *value) {
  if (*count == ARGUMENTS_MAX_FILES) return complain("too many %s", name);
  list[(*count)++] = value;
  return 1;
}

static int read_runs(arguments *a, const char *text) {
  char *end;
  errno = 0;
  a->runs = strtol(text, &end, 10);
  if (!errno && end != text && !*end && a->runs >= 1 && a->runs <= MAX_RUNS) return 1;
  return complain("--runs must be a number from 1 to 1000000, got \"%s\"", text);
}

static int set_once(const char **place, const char *name, const char *value) {
  if (*place) return complain("%s is given twice", name);
  *place = value;
  return 1;
}

static int take(arguments *a, const char *name, char *value) {
  if (!strcmp(name, "--problem")) return set_once(&a->problem, name, value);
  if (!strcmp(name, "--pack")) return set_once(&a->pack, name, value);
  if (!strcmp(name, "--kernel")) return set_once(&a->kernel, name, value);
  if (!strcmp(name, "--option")) return add_option(a, value);
  if (!strcmp(name, "--input")) return add_file(a->inputs, &a->num_inputs, name, value);
  if (!strcmp(name, "--output")) return add_file(a->outputs, &a->num_outputs, name, value);
  if (!strcmp(name, "--runs")) return read_runs(a, value);
  return complain("unknown argument \"%s\"", name);
}

int arguments_parse(int argc, char **argv, arguments *a) {
  a->runs = 1;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--kernels")) {
      a->kernels = 1;
    } else if (!strcmp(argv[i], "--naive")) {
      a->naive = 1;
    } else if (i + 1 == argc) {
      return complain("\"%s\" is unknown or lacks its value", argv[i]);
    } else {
      if (!take(a, argv[i], argv[i + 1])) return 0;
      i++;
    }
  }
  if (!a->problem) return complain("--problem is missing");
  if (!a->pack == !a->naive) return complain("one of --pack and --naive is needed");
  if (!a->kernel == !a->kernels) return complain("one of --kernels and --kernel is needed");
  if (a->naive && a->num_options) return complain("--naive takes no --option");
  if (a->kernels && (a->num_inputs || a->num_outputs))
    return complain("--kernels takes neither --input nor --output");
  return 1;
}
