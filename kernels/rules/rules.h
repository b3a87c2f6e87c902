/*
 * rules.h: what each operator's schema demands of shapes, dtypes and attributes.
 *
 * A problem may come from a file that somebody damaged. A kernel that computes addresses from
 * one tensor's extents and an attribute must know that they fit the others'.
 */
#ifndef OPERATOR_RULES_H
#define OPERATOR_RULES_H

#include "kernel_pack.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Refuses a problem whose tensors and attributes contradict each other or what `operator_name`
 * takes, and an operator that has no rule here. Returns 1 when it does. */
int rules_refuse(const char *operator_name, const kp_problem *problem, kp_answer *answer);

#ifdef __cplusplus
}
#endif
#endif
