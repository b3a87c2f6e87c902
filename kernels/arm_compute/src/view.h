/* A tensor of the library's over memory that somebody else owns. */
#ifndef KERNELS_ARM_COMPUTE_VIEW_H
#define KERNELS_ARM_COMPUTE_VIEW_H

#include <cstdint>
#include <deque>

#include "arm_compute/core/ITensor.h"
#include "arm_compute/core/TensorInfo.h"

/* The library's own tensor allocates when it is given an address; this one doesn't. */
class View final : public arm_compute::ITensor {
 public:
  explicit View(const arm_compute::TensorInfo &info) : info_(info) {}
  arm_compute::ITensorInfo *info() const override {
    return const_cast<arm_compute::TensorInfo *>(&info_);
  }
  arm_compute::ITensorInfo *info() override { return &info_; }
  uint8_t *buffer() const override { return address_; }
  void set(void *address) { address_ = static_cast<uint8_t *>(address); }

 private:
  arm_compute::TensorInfo info_;
  uint8_t *address_ = nullptr;
};

using Views = std::deque<View>; /* calls hold their addresses */

#endif
