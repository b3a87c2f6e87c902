/* The contract's tensors in the library's terms. */
#ifndef KERNELS_ARM_COMPUTE_TENSOR_H
#define KERNELS_ARM_COMPUTE_TENSOR_H

#include "arm_compute/core/TensorInfo.h"
#include "kernel_pack.h"

enum { MOST_DIMENSIONS = 6 }; /* of the library's shapes */

/* The library's name for a dtype, quantised or not, UNKNOWN for one that it lacks; a bool is an
 * 8-bit 0 or 1. */
arm_compute::DataType tensor_dtype(const kp_tensor &tensor);

/*
 * A tensor as it lies in memory. The library's shapes begin with the dimension that varies
 * fastest: (W, H, C, N) of "nchw", (C, W, H, N) of "nhwc".
 */
arm_compute::TensorInfo tensor_info(const kp_tensor &tensor, const char *layout);

/* A dense tensor of a shape that begins with the slowest dimension, as the contract's do. */
arm_compute::TensorInfo dense_info(std::initializer_list<int64_t> shape,
                                   arm_compute::DataType dtype);

bool tensor_is_any(const kp_tensor &tensor);
bool tensor_same_shape(const kp_tensor &a, const kp_tensor &b);

/* Extents from dimension `first` up to (not including) `last`, multiplied. */
int64_t tensor_extent(const kp_tensor &tensor, int first, int last);

#endif
