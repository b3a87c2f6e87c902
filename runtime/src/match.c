#include "match.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const replay_pack *find_pack(replay_pack *const *packs, size_t num_packs, const char *kernel,
                                    int name_length) {
  for (size_t i = 0; i < num_packs; i++) {
    const char *name = core_pack_name(packs[i]);
    if (strlen(name) == (size_t)name_length && !strncmp(name, kernel, (size_t)name_length))
      return packs[i];
  }
  return NULL;
}

static void describe_refusal(const plan_step *step, const kp_answer *answer, report *missing) {
  char got[40] = "";
  if (answer->has_got) snprintf(got, sizeof got, ", got %" PRId64, answer->got);
  report_add(missing, "kernel %.100s refuses step %.60s here: %.80s must be %.80s%s (refusal %d)",
             step->kernel, step->node, answer->subject ? answer->subject : "the problem",
             answer->limit ? answer->limit : "another", got, answer->code);
}

double match_plan(const plan *p, replay_pack *const *packs, size_t num_packs, match *matches,
                  report *missing) {
  double seconds = 0;
  for (uint32_t i = 0; i < p->num_steps; i++) {
    const plan_step *step = &p->steps[i];
    int length = (int)strcspn(step->kernel, ".");
    matches[i].pack = find_pack(packs, num_packs, step->kernel, length);
    if (!matches[i].pack) {
      report_add(missing, "pack %.*s isn't open", length > 60 ? 60 : length, step->kernel);
      continue;
    }
    matches[i].kernel = core_pack_find(matches[i].pack, step->kernel);
    if (!matches[i].kernel) {
      report_add(missing, "pack %s %s (%s) has no kernel %.100s", core_pack_name(matches[i].pack),
                 core_pack_version(matches[i].pack), core_pack_library_version(matches[i].pack),
                 step->kernel);
      continue;
    }
    core_answer *answer =
        core_query(matches[i].pack, matches[i].kernel, p->problems[step->problem]);
    if (!answer) {
      report_add(missing, "memory ran out");
      return seconds;
    }
    if (answer->answer.code != KP_YES) describe_refusal(step, &answer->answer, missing);
    seconds += answer->answer.cost;
    core_answer_free(answer);
  }
  return seconds;
}
