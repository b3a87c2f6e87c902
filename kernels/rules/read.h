/* What the rules are made of. Every function returns 1 when it refuses. */
#ifndef OPERATOR_RULES_READ_H
#define OPERATOR_RULES_READ_H

#include <string.h>

#include "kernel_pack.h"

/* Of tensors and attribute lists; an operator's variadic tensors may be more. */
#define RULES_MAX_RANK 64

/* Attributes of a window and factors of a size stay so small that int64 holds their products. */
#define RULES_LARGEST INT32_MAX

int rules_no_shape(kp_answer *answer, const char *subject, const char *limit);
int rules_no_attribute(kp_answer *answer, const char *subject, const char *limit);

/* Integers of an attribute, exactly `count` of them, each from `least` to `most`. */
int rules_integers(const kp_problem *problem, kp_answer *answer, const char *name, int count,
                   int64_t least, int64_t most, int64_t *values);
int rules_integer(const kp_problem *problem, kp_answer *answer, const char *name, int64_t least,
                  int64_t most, int64_t *value);
/* 0 or 1. */
int rules_flag(const kp_problem *problem, kp_answer *answer, const char *name, int64_t *value);
/* Numbers, exactly `count` of them; `values` may be NULL. */
int rules_reals(const kp_problem *problem, kp_answer *answer, const char *name, int count,
                double *values);
/* A string, one of `choices` (ended by NULL); `chosen` may be NULL. */
int rules_choice(const kp_problem *problem, kp_answer *answer, const char *name,
                 const char *const *choices, int *chosen);

int rules_rank(kp_answer *answer, const kp_tensor *tensor, const char *subject, int32_t rank);
int rules_shape(kp_answer *answer, const kp_tensor *tensor, const char *subject, int32_t rank,
                const int64_t *shape);
int rules_same_dtype(kp_answer *answer, const kp_tensor *tensor, const char *subject,
                     const kp_tensor *other);
int rules_same_shape(kp_answer *answer, const kp_tensor *tensor, const char *subject,
                     const kp_tensor *other);
/* Weights of a filter [outputs, ...] of four dimensions; INT64_MAX where they are more. */
int64_t rules_filter_size(const int64_t *shape);
/* An absent tensor, or one of one dimension of `extent` elements of the dtype of `other`. */
int rules_vector(kp_answer *answer, const kp_tensor *tensor, const char *subject, int64_t extent,
                 const kp_tensor *other);

/* The output's shape as NumPy broadcasts the inputs' dimensions, but for the last `skipped`. */
int rules_broadcast(kp_answer *answer, const kp_tensor *const *inputs, int count,
                    const kp_tensor *output, int32_t skipped);

#endif
