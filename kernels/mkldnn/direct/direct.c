/* direct.c: one primitive, its weights reordered once, executed with arguments made once. */
#include "direct.h"

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGUMENTS = 8, RANK = 4 };

struct direct {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_t primitive;
  dnnl_exec_arg_t arguments[MAX_ARGUMENTS];
  void *owned[MAX_ARGUMENTS]; /* memory of ours behind an argument, or NULL */
  int count;
  char implementation[96];
};

/* What making one needs, all freed at the end. */
struct build {
  direct *made;
  const kp_problem *problem;
  kp_error *error;
  dnnl_memory_desc_t x, w, plain_w, bias, y;
  dnnl_primitive_attr_t attributes;
  dnnl_post_ops_t operations;
  dnnl_primitive_desc_t description;
  int operand;        /* index of the input that is added after the convolution, or -1 */
  int operand_number; /* of its post-operation */
};

static int fail(kp_error *error, const char *text) {
  snprintf(error->message, sizeof error->message, "%s", text);
  return 0;
}

static int succeeded(struct build *b, dnnl_status_t status, const char *call) {
  if (status == dnnl_success) return 1;
  snprintf(b->error->message, sizeof b->error->message, "%s: %s", call, dnnl_status2str(status));
  return 0;
}
#define TRY(call) succeeded(b, call, #call)

static const int64_t *integers_of(const kp_problem *problem, const char *name) {
  for (uint32_t i = 0; i < problem->num_attributes; i++)
    if (!strcmp(problem->attributes[i].name, name)) return problem->attributes[i].integers;
  return NULL;
}

static dnnl_data_type_t type_of(const kp_tensor *tensor) {
  const DLDataType type = tensor->dl.dtype;
  if (type.code == kDLFloat && type.bits == 32) return dnnl_f32;
  return type.code == kDLBfloat && type.bits == 16 ? dnnl_bf16 : dnnl_data_type_undef;
}

static dnnl_format_tag_t tag_of(const kp_tensor *tensor) {
  static const struct {
    const char *layout;
    dnnl_format_tag_t tag;
  } tags[] = {
      {"nchw", dnnl_nchw}, {"nhwc", dnnl_nhwc}, {"nChw16c", dnnl_nChw16c}, {"nChw8c", dnnl_nChw8c}};
  for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
    if (!strcmp(tensor->layout, tags[i].layout)) return tags[i].tag;
  return dnnl_format_tag_undef;
}

static int describe_tensors(struct build *b) {
  const kp_problem *p = b->problem;
  const kp_tensor *x = &p->inputs[0], *w = &p->inputs[1], *y = &p->outputs[0];
  const int64_t groups = *integers_of(p, "groups"), *shape = w->dl.shape;
  const dnnl_data_type_t type = type_of(x);
  if (type == dnnl_data_type_undef) return fail(b->error, "only float32 and bfloat16 are served");
  const dnnl_dims_t weights = {groups, shape[0] / groups, shape[1], shape[2], shape[3]};
  const int64_t *dims = groups > 1 ? weights : weights + 1;
  const int rank = groups > 1 ? RANK + 1 : RANK;
  const dnnl_format_tag_t plain = groups > 1 ? dnnl_goihw : dnnl_oihw;
  if (!TRY(dnnl_memory_desc_create_with_tag(&b->x, RANK, x->dl.shape, type, tag_of(x))) ||
      !TRY(dnnl_memory_desc_create_with_tag(&b->y, RANK, y->dl.shape, type, tag_of(y))) ||
      !TRY(dnnl_memory_desc_create_with_tag(&b->plain_w, rank, dims, type, plain)) ||
      !TRY(dnnl_memory_desc_create_with_tag(&b->w, rank, dims, type, dnnl_format_tag_any)))
    return 0;
  if (p->num_operator_inputs < 3 || p->inputs[2].flags & KP_TENSOR_ABSENT) return 1;
  return TRY(dnnl_memory_desc_create_with_tag(&b->bias, 1, p->inputs[2].dl.shape, type, dnnl_a));
}

static int describe_epilogue(struct build *b) {
  b->operand = -1;
  if (!TRY(dnnl_primitive_attr_create(&b->attributes)) ||
      !TRY(dnnl_post_ops_create(&b->operations)) ||
      !TRY(dnnl_primitive_attr_set_scratchpad_mode(b->attributes, dnnl_scratchpad_mode_user)))
    return 0;
  for (uint32_t i = 0; i < b->problem->num_epilogues; i++) {
    const kp_epilogue *step = &b->problem->epilogues[i];
    if (!strcmp(step->name, "add") && b->operand < 0) {
      b->operand = step->input;
      b->operand_number = (int)i;
      if (!TRY(dnnl_post_ops_append_binary(b->operations, dnnl_binary_add, b->y))) return 0;
    } else if (!strcmp(step->name, "relu")) {
      if (!TRY(dnnl_post_ops_append_eltwise(b->operations, dnnl_eltwise_relu, 0, 0))) return 0;
    } else if (!strcmp(step->name, "clip")) {
      if (!TRY(dnnl_post_ops_append_eltwise(b->operations, dnnl_eltwise_clip, (float)step->alpha,
                                            (float)step->beta)))
        return 0;
    } else {
      return fail(b->error, "only relu, clip and one sum may follow");
    }
  }
  return TRY(dnnl_primitive_attr_set_post_ops(b->attributes, b->operations));
}

static int describe_convolution(struct build *b) {
  const kp_problem *p = b->problem;
  const int64_t *pads = integers_of(p, "pads"), *dilations = integers_of(p, "dilations");
  const dnnl_dims_t holes = {dilations[0] - 1, dilations[1] - 1};
  if (!TRY(dnnl_convolution_forward_primitive_desc_create(
          &b->description, b->made->engine, dnnl_forward_inference, dnnl_convolution_direct, b->x,
          b->w, b->bias, b->y, integers_of(p, "strides"), holes, pads, pads + 2, b->attributes)))
    return 0;
  const char *name = "";
  dnnl_primitive_desc_query(b->description, dnnl_query_impl_info_str, 0, &name);
  snprintf(b->made->implementation, sizeof b->made->implementation, "%s", name);
  return TRY(dnnl_primitive_create(&b->made->primitive, b->description));
}

/* Adds an argument over `buffer`, or over memory of our own where that is NULL. */
static int add_argument(struct build *b, int name, const_dnnl_memory_desc_t desc, void *buffer) {
  direct *made = b->made;
  const size_t bytes = dnnl_memory_desc_get_size(desc);
  if (!bytes) return 1;
  if (!buffer) {
    buffer = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!buffer) return fail(b->error, "out of memory");
    made->owned[made->count] = buffer;
  }
  dnnl_exec_arg_t *argument = &made->arguments[made->count++];
  argument->arg = name;
  return TRY(dnnl_memory_create(&argument->memory, desc, made->engine, buffer));
}

/* Puts the weights into the order that the primitive takes. */
static int reorder_weights(struct build *b, void *source, dnnl_memory_t target) {
  const_dnnl_memory_desc_t wanted =
      dnnl_primitive_desc_query_md(b->description, dnnl_query_weights_md, 0);
  dnnl_memory_t plain = NULL;
  dnnl_primitive_desc_t description = NULL;
  dnnl_primitive_t reorder = NULL;
  int good = TRY(dnnl_memory_create(&plain, b->plain_w, b->made->engine, source)) &&
             TRY(dnnl_reorder_primitive_desc_create(&description, b->plain_w, b->made->engine,
                                                    wanted, b->made->engine, NULL)) &&
             TRY(dnnl_primitive_create(&reorder, description));
  if (good) {
    const dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, target}};
    good = TRY(dnnl_primitive_execute(reorder, b->made->stream, 2, arguments));
  }
  if (reorder) dnnl_primitive_destroy(reorder);
  if (description) dnnl_primitive_desc_destroy(description);
  if (plain) dnnl_memory_destroy(plain);
  return good;
}

static int bind(struct build *b, void *const *buffers) {
  direct *made = b->made;
  const_dnnl_memory_desc_t w =
      dnnl_primitive_desc_query_md(b->description, dnnl_query_weights_md, 0);
  const_dnnl_memory_desc_t scratch =
      dnnl_primitive_desc_query_md(b->description, dnnl_query_scratchpad_md, 0);
  if (!add_argument(b, DNNL_ARG_WEIGHTS, w, NULL) ||
      !reorder_weights(b, buffers[1], made->arguments[0].memory) ||
      !add_argument(b, DNNL_ARG_SRC, b->x, buffers[0]) ||
      !add_argument(b, DNNL_ARG_DST, b->y, buffers[b->problem->num_inputs]) ||
      !add_argument(b, DNNL_ARG_SCRATCHPAD, scratch, NULL))
    return 0;
  if (b->bias && !add_argument(b, DNNL_ARG_BIAS, b->bias, buffers[2])) return 0;
  return b->operand < 0 ||
         add_argument(b, DNNL_ARG_ATTR_MULTIPLE_POST_OP(b->operand_number) | DNNL_ARG_SRC_1, b->y,
                      buffers[b->operand]);
}

static void finish(struct build *b) {
  const dnnl_memory_desc_t all[] = {b->x, b->w, b->plain_w, b->bias, b->y};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i]) dnnl_memory_desc_destroy(all[i]);
  if (b->operations) dnnl_post_ops_destroy(b->operations);
  if (b->attributes) dnnl_primitive_attr_destroy(b->attributes);
  if (b->description) dnnl_primitive_desc_destroy(b->description);
}

direct *direct_create(const kp_problem *problem, void *const *buffers, kp_error *error) {
  if (strcmp(problem->operator_name, "conv2d")) {
    fail(error, "only conv2d is served");
    return NULL;
  }
  direct *made = calloc(1, sizeof *made);
  if (!made) return fail(error, "out of memory"), NULL;
  struct build build = {.made = made, .problem = problem, .error = error}, *b = &build;
  const int good =
      TRY(dnnl_engine_create(&made->engine, dnnl_cpu, 0)) &&
      TRY(dnnl_stream_create(&made->stream, made->engine, dnnl_stream_default_flags)) &&
      describe_tensors(b) && describe_epilogue(b) && describe_convolution(b) && bind(b, buffers);
  finish(b);
  if (good) return made;
  direct_release(made);
  return NULL;
}

const char *direct_implementation(const direct *handle) { return handle->implementation; }

int direct_run(const void *handle, void *const *buffers, void *queue) {
  const direct *made = handle;
  (void)buffers, (void)queue;
  return dnnl_primitive_execute(made->primitive, made->stream, made->count, made->arguments);
}

void direct_release(direct *handle) {
  if (!handle) return;
  for (int i = 0; i < handle->count; i++) {
    if (handle->arguments[i].memory) dnnl_memory_destroy(handle->arguments[i].memory);
    free(handle->owned[i]);
  }
  if (handle->primitive) dnnl_primitive_destroy(handle->primitive);
  if (handle->stream) dnnl_stream_destroy(handle->stream);
  if (handle->engine) dnnl_engine_destroy(handle->engine);
  free(handle);
}
