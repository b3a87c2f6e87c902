/* The list of kernels, made once: what the dispatcher's side asks this library for. */
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include "arm_compute/core/CPP/CPPTypes.h"
#include "arm_compute/core/Version.h"
#include "guard.h"
#include "kernels.h"
#include "prepared.h"
#include "scheduler.h"

using arm_compute::CPUInfo;
using arm_compute::DataType;

namespace {

constexpr struct {
  unsigned bit;
  DataType dtype;
  const char *suffix, *name;
} dtypes[] = {
    {F32, DataType::F32, "f32", "float32"},
    {F16, DataType::F16, "f16", "float16"},
    {Q8, DataType::QASYMM8_SIGNED, "i8", "quantised int8"},
    {QU8, DataType::QASYMM8, "u8", "quantised uint8"},
};

const KernelRow *const files[] = {
#define X(name) name##_kernels,
    KERNEL_FILES(X)
#undef X
};

class Kernels {
 public:
  Kernels() {
    for (const KernelRow *file : files)
      for (const KernelRow *row = file; row->operator_name; row++)
        for (const auto &dtype : dtypes)
          if (row->dtypes & dtype.bit) add(*row, dtype.dtype, dtype.suffix, dtype.name);
    for (const kp_kernel &kernel : kernels_) list_.push_back(&kernel);
  }

  const std::vector<const kp_kernel *> &list() const { return list_; }

 private:
  void add(const KernelRow &row, DataType dtype, const char *suffix, const char *dtype_name) {
    names_.push_back(std::string("arm_compute.") + row.operator_name + "." + row.algorithm + "." +
                     suffix);
    contexts_.push_back({&row, dtype, dtype_name});
    kernels_.push_back({sizeof(kp_kernel), row.flags, names_.back().c_str(), row.source,
                        &contexts_.back(), prepared_query, prepared_reason, prepared_make, nullptr,
                        prepared_run, prepared_release});
  }

  /* Kernels point to the others, which must stay where they are. */
  std::deque<std::string> names_;
  std::deque<KernelContext> contexts_;
  std::deque<kp_kernel> kernels_;
  std::vector<const kp_kernel *> list_;
};

std::string processor() {
  const CPUInfo &cpu = scheduler_cpu();
  const struct {
    bool has;
    const char *name;
  } features[] = {
      {cpu.has_fp16(), "fp16"}, {cpu.has_dotprod(), "dot product"},
      {cpu.has_i8mm(), "i8mm"}, {cpu.has_bf16(), "bf16"},
      {cpu.has_sve(), "SVE"},   {cpu.has_sve2(), "SVE2"},
  };
  std::string text = "Advanced SIMD";
  for (const auto &feature : features)
    if (feature.has) text = text + ", " + feature.name;
  return text;
}

}  // namespace

extern "C" KP_EXPORT kp_status arm_compute_shim_open(const char *library, kp_pack *pack,
                                                     kp_error *error) {
  return guard(error->message, sizeof error->message, [&] {
    scheduler_install();
    static const Kernels kernels;
    pack->kernels = kernels.list().data();
    pack->num_kernels = kernels.list().size();
    snprintf(pack->description, sizeof pack->description, "%s, %s", library, processor().c_str());
    return KP_OK;
  });
}

extern "C" KP_EXPORT void *arm_compute_shim_bound(void) {
  return reinterpret_cast<void *>(&arm_compute::build_information);
}
