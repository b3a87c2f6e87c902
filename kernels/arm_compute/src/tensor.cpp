#include "tensor.h"

#include <cstring>
#include <vector>

using arm_compute::DataLayout;
using arm_compute::DataType;
using arm_compute::QuantizationInfo;
using arm_compute::TensorInfo;
using arm_compute::TensorShape;

DataType tensor_dtype(const kp_tensor &tensor) {
  const DLDataType type = tensor.dl.dtype;
  if (type.lanes != 1) return DataType::UNKNOWN;
  switch (type.code * 256 + type.bits) {
    case kDLFloat * 256 + 32:
      return DataType::F32;
    case kDLFloat * 256 + 16:
      return DataType::F16;
    case kDLInt * 256 + 32:
      return DataType::S32;
    case kDLInt * 256 + 8:
      if (!tensor.quantization) return DataType::S8;
      return tensor.quantization->axis < 0 ? DataType::QASYMM8_SIGNED
                                           : DataType::QSYMM8_PER_CHANNEL;
    case kDLUInt * 256 + 8:
      return tensor.quantization ? DataType::QASYMM8 : DataType::U8;
    case kDLBool * 256 + 8:
      return DataType::U8;
    default:
      return DataType::UNKNOWN;
  }
}

static TensorInfo described(const TensorShape &shape, DataType dtype, DataLayout layout) {
  TensorInfo info(shape, 1, dtype, layout);
  info.set_are_values_constant(false);
  return info;
}

static QuantizationInfo quantization_of(const kp_quantization &quantization) {
  if (quantization.axis < 0)
    return QuantizationInfo(quantization.scales[0], quantization.zero_points[0]);
  return QuantizationInfo(
      std::vector<float>(quantization.scales, quantization.scales + quantization.count));
}

TensorInfo tensor_info(const kp_tensor &tensor, const char *layout) {
  const int rank = tensor.dl.ndim;
  const int64_t *extents = tensor.dl.shape;
  const bool by_pixel = strcmp(layout, "nhwc") == 0;
  static constexpr int slowest_first[] = {0, 2, 3, 1};
  TensorShape shape;
  for (int i = 0; i < rank; i++) {
    const int axis = by_pixel ? slowest_first[i] : i;
    shape.set(static_cast<size_t>(rank - 1 - i), static_cast<size_t>(extents[axis]), false);
  }
  if (rank == 0) shape.set(0, 1, false);
  TensorInfo info =
      described(shape, tensor_dtype(tensor), by_pixel ? DataLayout::NHWC : DataLayout::NCHW);
  info.set_are_values_constant(kp_is_constant(&tensor));
  if (tensor.quantization) info.set_quantization_info(quantization_of(*tensor.quantization));
  return info;
}

TensorInfo dense_info(std::initializer_list<int64_t> extents, DataType dtype) {
  TensorShape shape;
  size_t axis = extents.size();
  for (const int64_t extent : extents) shape.set(--axis, static_cast<size_t>(extent), false);
  return described(shape, dtype, DataLayout::NCHW);
}

bool tensor_is_any(const kp_tensor &tensor) { return kp_is_layout(&tensor, "any"); }

bool tensor_same_shape(const kp_tensor &a, const kp_tensor &b) {
  return a.dl.ndim == b.dl.ndim &&
         (a.dl.ndim == 0 ||
          memcmp(a.dl.shape, b.dl.shape, static_cast<size_t>(a.dl.ndim) * sizeof *a.dl.shape) == 0);
}

int64_t tensor_extent(const kp_tensor &tensor, int first, int last) {
  int64_t product = 1;
  for (int i = first; i < last; i++) product *= tensor.dl.shape[i];
  return product;
}
