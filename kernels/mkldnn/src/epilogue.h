/* What follows an operator, as oneDNN's post-operations. */
#ifndef MKLDNN_EPILOGUE_H
#define MKLDNN_EPILOGUE_H

#include "plan.h"

/* How the operator sees output 0: its shape may be folded, its layout chosen by oneDNN. */
struct output_view {
  int rank;
  const int64_t *shape;
  const char *layout; /* "any": whatever the primitive chooses */
};

/*
 * Attributes of a primitive with the problem's epilogue, or NULL after a
 * refusal; the caller destroys them once the primitive descriptor is made.
 */
dnnl_primitive_attr_t epilogue_attributes(struct plan *plan, const struct output_view *view);

/* Where each step's own input lies, for the primitive that was made with the attributes. */
struct epilogue_places {
  uint32_t count;
  struct argument arguments[8];
};
/* May add reorders to the plan; to be called before the primitive's own step. */
int epilogue_inputs(struct plan *plan, const struct output_view *view,
                    dnnl_primitive_desc_t primitive, struct epilogue_places *places);
int epilogue_arguments(struct plan *plan, const struct epilogue_places *places);

/* The layout of the first input of the epilogue that has one, or "any". */
const char *epilogue_layout(const kp_problem *problem);

#endif
