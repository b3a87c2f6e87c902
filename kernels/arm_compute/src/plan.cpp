#include "plan.h"

#include <climits>
#include <cstring>

#include "arm_compute/core/ITensorPack.h"
#include "cost.h"
#include "tensor.h"

using arm_compute::ITensorPack;

void Call::place(int, View *) {}

bool Plan::refuse(kp_answer_code code, const char *subject, const char *limit) {
  kp_refuse(answer, code, subject, limit);
  return false;
}

bool Plan::refuse_number(kp_answer_code code, const char *subject, const char *limit, int64_t got) {
  kp_refuse_number(answer, code, subject, limit, got);
  return false;
}

bool Plan::accept(const arm_compute::Status &status, const char *what) {
  if (status.error_code() == arm_compute::ErrorCode::OK) return true;
  words = status.error_description();
  return refuse(KP_NO_LIBRARY, what, "a case that the Arm Compute Library serves");
}

/* Scales for each channel go with signed weights that are centred. */
static bool check_quantization(Plan &plan, const kp_tensor &tensor) {
  const kp_quantization *quantization = tensor.quantization;
  if (!quantization) return true;
  if (!plan.is_quantized()) return plan.refuse(KP_NO_QUANTIZATION, "quantization", "none");
  if (quantization->axis < 0) return true;
  if (!kp_is_dtype(&tensor, kDLInt, 8))
    return plan.refuse(KP_NO_QUANTIZATION, "scales for each channel", "of int8");
  for (int64_t i = 0; i < quantization->count; i++)
    if (quantization->zero_points[i] != 0)
      return plan.refuse_number(KP_NO_QUANTIZATION, "zero points for each channel", "0",
                                quantization->zero_points[i]);
  return true;
}

static bool check_tensor(Plan &plan, const kp_tensor &tensor) {
  if (kp_is_absent(&tensor)) return true;
  if (!check_quantization(plan, tensor)) return false;
  if (tensor_dtype(tensor) == arm_compute::DataType::UNKNOWN)
    return plan.refuse_number(KP_NO_DTYPE, "bits of a tensor's dtype",
                              "float32, float16, int32, int8 or uint8", tensor.dl.dtype.bits);
  if (tensor.dl.strides) return plan.refuse(KP_NO_LAYOUT, "strides", "a dense layout");
  if (tensor.dl.ndim < 0 || tensor.dl.ndim > MOST_DIMENSIONS)
    return plan.refuse_number(KP_NO_RANK, "rank", "<= 6", tensor.dl.ndim);
  if (!kp_is_layout(&tensor, "nchw") && !kp_is_layout(&tensor, "any")) {
    if (!kp_is_layout(&tensor, "nhwc")) return plan.refuse(KP_NO_LAYOUT, "layout", "nchw or nhwc");
    if (tensor.dl.ndim != 4)
      return plan.refuse_number(KP_NO_LAYOUT, "rank of a tensor in an image layout", "4",
                                tensor.dl.ndim);
  }
  /* The library holds offsets in bytes in 32 bits. */
  int64_t bytes = tensor.dl.dtype.bits / 8;
  for (int i = 0; i < tensor.dl.ndim; i++) {
    const int64_t extent = tensor.dl.shape[i];
    if (extent < 1) return plan.refuse_number(KP_NO_SHAPE, "extent of a tensor", ">= 1", extent);
    if (extent > INT32_MAX || bytes > INT32_MAX / extent)
      return plan.refuse(KP_NO_MEMORY, "bytes of a tensor", "fewer than 2^31");
    bytes *= extent;
  }
  return true;
}

bool Plan::check() {
  if (problem->device.device_type != kDLCPU)
    return refuse_number(KP_NO_DEVICE, "device type", "the CPU (1)", problem->device.device_type);
  if (problem->num_outputs != 1)
    return refuse_number(KP_NO_SHAPE, "number of outputs", "1", problem->num_outputs);
  for (uint32_t i = 0; i < problem->num_inputs; i++)
    if (!check_tensor(*this, problem->inputs[i])) return false;
  return check_tensor(*this, problem->outputs[0]);
}

bool Plan::check_plain(uint32_t inputs) {
  if (problem->num_inputs != inputs)
    return refuse_number(KP_NO_SHAPE, "number of inputs", "the operator's", problem->num_inputs);
  if (problem->num_epilogues)
    return refuse_number(KP_NO_EPILOGUE, "steps of the epilogue", "0", problem->num_epilogues);
  if (tensor_dtype(problem->outputs[0]) != dtype) return refuse(KP_NO_DTYPE, "y.dtype", "x.dtype");
  return true;
}

bool Plan::check_sums(bool sums) {
  if (!sums || dtype != arm_compute::DataType::F16 || problem->precision == KP_MEDIUM) return true;
  return refuse(KP_NO_PRECISION, "precision", "medium: sums are in half precision");
}

bool Plan::check_quantized_constants() {
  if (!is_quantized()) return true;
  static const char *const names[] = {"x", "w", "bias"};
  for (uint32_t i = 1; i < 3; i++)
    if (!kp_is_absent(&problem->inputs[i]) && !kp_is_constant(&problem->inputs[i]))
      return refuse(KP_NO_CONSTANT, names[i], "constant: it is packed once");
  return true;
}

static uint64_t aligned(uint64_t bytes) {
  return (bytes + KP_ALIGNMENT - 1) / KP_ALIGNMENT * KP_ALIGNMENT;
}

TensorId Plan::buffer(uint32_t index, const arm_compute::TensorInfo &info) {
  tensors.push_back({info, Memory::buffer, index, 0});
  return tensors.size() - 1;
}

TensorId Plan::scratch(const arm_compute::TensorInfo &info) {
  tensors.push_back({info, Memory::scratch, 0, staged_bytes});
  staged_bytes += aligned(info.total_size());
  return tensors.size() - 1;
}

TensorId Plan::kept(const arm_compute::TensorInfo &info) {
  tensors.push_back({info, Memory::kept, 0, kept_bytes});
  kept_bytes += aligned(info.total_size());
  return tensors.size() - 1;
}

TensorId Plan::copied(uint32_t input, const arm_compute::TensorInfo &info) {
  const TensorId from = buffer(input, info), to = kept(info);
  add_code(
      [=](Views &tensors) {
        memcpy(tensors[to].buffer(), tensors[from].buffer(), tensors[to].info()->total_size());
      },
      true);
  return to;
}

namespace {

class OperatorCall final : public Call {
 public:
  OperatorCall(std::unique_ptr<arm_compute::experimental::IOperator> made,
               const std::vector<Plan::Argument> &arguments, Views &tensors)
      : operator_(std::move(made)) {
    for (const Plan::Argument &argument : arguments)
      pack_.add_tensor(argument.slot,
                       static_cast<arm_compute::ITensor *>(&tensors[argument.tensor]));
  }
  arm_compute::experimental::MemoryRequirements workspace() const override {
    return operator_->workspace();
  }
  void place(int slot, View *memory) override {
    pack_.add_tensor(slot, static_cast<arm_compute::ITensor *>(memory));
  }
  void prepare() override {
    ITensorPack passing = pack_; /* some leave tensors of their own in it, which they destroy */
    operator_->prepare(passing);
  }
  void run() override { operator_->run(pack_); }

 private:
  std::unique_ptr<arm_compute::experimental::IOperator> operator_;
  ITensorPack pack_;
};

class FunctionCall final : public Call {
 public:
  explicit FunctionCall(std::unique_ptr<arm_compute::IFunction> made)
      : function_(std::move(made)) {}
  void prepare() override { function_->prepare(); }
  void run() override { function_->run(); }

 private:
  std::unique_ptr<arm_compute::IFunction> function_;
};

class CodeCall final : public Call {
 public:
  CodeCall(std::function<void(Views &)> code, Views &tensors)
      : code_(std::move(code)), tensors_(tensors) {}
  void run() override { code_(tensors_); }

 private:
  std::function<void(Views &)> code_;
  Views &tensors_;
};

}  // namespace

void Plan::add_operator(std::vector<Argument> arguments, MakeOperator make) {
  steps.push_back({[arguments = std::move(arguments), make = std::move(make)](Views &tensors) {
                     Infos infos;
                     for (const Argument &argument : arguments)
                       infos.push_back(tensors[argument.tensor].info());
                     return std::make_unique<OperatorCall>(make(infos), arguments, tensors);
                   },
                   false});
}

void Plan::add_function(MakeFunction make) {
  steps.push_back({[make = std::move(make)](Views &tensors) {
                     return std::make_unique<FunctionCall>(make(tensors));
                   },
                   false});
}

void Plan::add_code(std::function<void(Views &)> code, bool prepares) {
  steps.push_back({[code = std::move(code)](Views &tensors) {
                     return std::make_unique<CodeCall>(code, tensors);
                   },
                   prepares});
}

void Plan::answer_layout(uint32_t tensor, const char *layout) {
  char *to = answer->layouts[tensor];
  size_t i = 0;
  for (; layout[i] && i + 1 < KP_LAYOUT_SIZE; i++) to[i] = layout[i];
  to[i] = 0;
}

void Plan::work(const Work &work) { seconds += cost_seconds(*this, work); }
