/* Facts about the contract's tensors that several operators need. */
#ifndef MKLDNN_TENSOR_H
#define MKLDNN_TENSOR_H

#include <string.h>

#include "library.h"

/* oneDNN's name for a dtype, or dnnl_data_type_undef; a bool is an 8-bit 0 or 1. */
static inline dnnl_data_type_t tensor_dtype(const kp_tensor *tensor) {
  const DLDataType type = tensor->dl.dtype;
  if (type.lanes != 1) return dnnl_data_type_undef;
  switch (type.code * 256 + type.bits) {
    case kDLFloat * 256 + 32:
      return dnnl_f32;
    case kDLFloat * 256 + 16:
      return dnnl_f16;
    case kDLBfloat * 256 + 16:
      return dnnl_bf16;
    case kDLInt * 256 + 32:
      return dnnl_s32;
    case kDLInt * 256 + 8:
      return dnnl_s8;
    case kDLUInt * 256 + 8:
    case kDLBool * 256 + 8:
      return dnnl_u8;
    default:
      return dnnl_data_type_undef;
  }
}

static inline int tensor_has_layout(const kp_tensor *tensor, const char *layout) {
  return strncmp(tensor->layout, layout, KP_LAYOUT_SIZE) == 0;
}

static inline int tensor_is_any(const kp_tensor *tensor) {
  return tensor_has_layout(tensor, "any");
}

static inline int tensor_same_shape(const kp_tensor *a, const kp_tensor *b) {
  return a->dl.ndim == b->dl.ndim &&
         (a->dl.ndim == 0 ||
          memcmp(a->dl.shape, b->dl.shape, (size_t)a->dl.ndim * sizeof *a->dl.shape) == 0);
}

/* Whether the layout's last block of channels is filled up. */
static inline int tensor_is_padded(const kp_tensor *tensor) {
  const int64_t block = kp_block(tensor);
  return block > 1 && tensor->dl.ndim > 1 && tensor->dl.shape[1] % block != 0;
}

/* Extents from dimension `first` up to (not including) `last`, multiplied. */
static inline int64_t tensor_extent(const kp_tensor *tensor, int first, int last) {
  int64_t product = 1;
  for (int i = first; i < last; i++) product *= tensor->dl.shape[i];
  return product;
}

#endif
