/* oneDNN's functions, found at run time: this pack links to none of them. */
#ifndef MKLDNN_LIBRARY_H
#define MKLDNN_LIBRARY_H

#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

#include "kernel_pack.h"

/* Every function that the pack calls; dnnl_ is left out. */
#define LIBRARY_FUNCTIONS(X)                           \
  X(version)                                           \
  X(get_effective_cpu_isa)                             \
  X(status2str)                                        \
  X(engine_create)                                     \
  X(engine_destroy)                                    \
  X(stream_create)                                     \
  X(stream_destroy)                                    \
  X(memory_create)                                     \
  X(memory_destroy)                                    \
  X(memory_set_data_handle)                            \
  X(memory_desc_create_with_strides)                   \
  X(memory_desc_create_with_tag)                       \
  X(memory_desc_destroy)                               \
  X(memory_desc_equal)                                 \
  X(memory_desc_get_size)                              \
  X(primitive_attr_create)                             \
  X(primitive_attr_destroy)                            \
  X(primitive_attr_set_fpmath_mode)                    \
  X(primitive_attr_set_post_ops)                       \
  X(primitive_attr_set_scales_mask)                    \
  X(primitive_attr_set_scratchpad_mode)                \
  X(primitive_attr_set_zero_points_mask)               \
  X(post_ops_create)                                   \
  X(post_ops_destroy)                                  \
  X(post_ops_append_binary)                            \
  X(post_ops_append_eltwise)                           \
  X(post_ops_append_sum)                               \
  X(primitive_create)                                  \
  X(primitive_destroy)                                 \
  X(primitive_execute)                                 \
  X(primitive_desc_destroy)                            \
  X(primitive_desc_query)                              \
  X(primitive_desc_query_md)                           \
  X(batch_normalization_forward_primitive_desc_create) \
  X(binary_primitive_desc_create)                      \
  X(concat_primitive_desc_create)                      \
  X(convolution_forward_primitive_desc_create)         \
  X(deconvolution_forward_primitive_desc_create)       \
  X(eltwise_forward_primitive_desc_create)             \
  X(layer_normalization_forward_primitive_desc_create) \
  X(lrn_forward_primitive_desc_create)                 \
  X(matmul_primitive_desc_create)                      \
  X(pooling_forward_primitive_desc_create)             \
  X(prelu_forward_primitive_desc_create)               \
  X(reduction_primitive_desc_create)                   \
  X(reorder_primitive_desc_create)                     \
  X(resampling_forward_primitive_desc_create)

struct library {
#define X(name) __typeof__(dnnl_##name) *name;
  LIBRARY_FUNCTIONS(X)
#undef X
  void *handle;
  dnnl_cpu_isa_t isa;
  char description[96]; /* "oneDNN 3.2.0, AVX-512" */
};

/*
 * Loads the library at `path`, or at the place that the environment names, or
 * by its soname. On failure nothing stays open and `error` says why.
 */
kp_status library_open(struct library *library, const char *path, kp_error *error);
void library_close(struct library *library);

#endif
