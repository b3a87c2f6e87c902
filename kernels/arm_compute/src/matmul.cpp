/*
 * matmul and linear. Dimensions before the last two are rows as far as b is the same for them; the
 * others are products of their own, one after another.
 */
#include <climits>
#include <cstring>

#include "activation.h"
#include "arm_compute/core/ITensorPack.h"
#include "arm_compute/runtime/experimental/operators/CpuAdd.h"
#include "arm_compute/runtime/experimental/operators/CpuGemm.h"
#include "arm_compute/runtime/experimental/operators/CpuTranspose.h"
#include "epilogue.h"
#include "tensor.h"

using arm_compute::ActivationLayerInfo;
using arm_compute::GEMMInfo;
using arm_compute::ITensorInfo;
using arm_compute::ITensorPack;
using arm_compute::TensorInfo;
using arm_compute::experimental::op::CpuAdd;
using arm_compute::experimental::op::CpuGemm;
using arm_compute::experimental::op::CpuTranspose;

namespace {

enum { LINEAR = 1 };

struct Product {
  const kp_tensor *a, *b, *bias, *y;
  int64_t rows, inner, columns; /* of one product */
  bool transposed_a, transposed_b;
  float alpha;
  std::vector<int64_t> a_batch, b_batch; /* of each product: which matrix of a and of b */
};

/* Extent `from_end` places before the last two dimensions. */
int64_t batch_extent(const kp_tensor &tensor, int from_end) {
  const int axis = tensor.dl.ndim - 3 - from_end;
  return axis < 0 ? 1 : tensor.dl.shape[axis];
}

/* The matrix of `tensor` that belongs to the output's matrix number `index`. */
int64_t batch_of(const kp_tensor &tensor, const kp_tensor &y, int64_t index) {
  int64_t found = 0, stride = 1;
  for (int i = 0; i < y.dl.ndim - 2; i++) {
    const int64_t extent = batch_extent(tensor, i), whole = batch_extent(y, i);
    if (extent > 1) found += index % whole * stride;
    index /= whole;
    stride *= extent;
  }
  return found;
}

void read_batches(Product &p) {
  const int64_t batches = tensor_extent(*p.y, 0, p.y->dl.ndim - 2);
  const bool shared_b = tensor_extent(*p.b, 0, p.b->dl.ndim - 2) == 1;
  const bool whole_a = tensor_extent(*p.a, 0, p.a->dl.ndim - 2) == batches;
  if (batches == 1 || (shared_b && whole_a && !p.transposed_a)) {
    p.rows *= batches;
    p.a_batch = p.b_batch = {0};
    return;
  }
  for (int64_t i = 0; i < batches; i++) {
    p.a_batch.push_back(batch_of(*p.a, *p.y, i));
    p.b_batch.push_back(batch_of(*p.b, *p.y, i));
  }
}

bool read_problem(Plan &plan, Product &p) {
  const kp_problem &problem = *plan.problem;
  const bool linear = plan.row.parameter == LINEAR;
  p.a = &problem.inputs[0];
  p.b = &problem.inputs[1];
  p.bias = kp_is_absent(&problem.inputs[2]) ? nullptr : &problem.inputs[2];
  p.y = &problem.outputs[0];
  for (uint32_t i = 0; i <= problem.num_inputs; i++) {
    const kp_tensor &tensor = i < problem.num_inputs ? problem.inputs[i] : *p.y;
    if (kp_is_absent(&tensor)) continue;
    if (!kp_is_layout(&tensor, "nchw") && !tensor_is_any(tensor))
      return plan.refuse(KP_NO_LAYOUT, "layout", "nchw");
    plan.answer_layout(i, "nchw");
  }
  p.transposed_a = !linear && kp_integer(&problem, "transpose_a", 0, 0);
  p.transposed_b = linear || kp_integer(&problem, "transpose_b", 0, 0);
  p.alpha = linear ? 1 : static_cast<float>(kp_real(&problem, "alpha", 0, 1));
  const int64_t *a = p.a->dl.shape, *y = p.y->dl.shape;
  const int a_rank = p.a->dl.ndim, y_rank = p.y->dl.ndim;
  p.columns = y[y_rank - 1];
  if (linear) {
    p.inner = a[a_rank - 1];
    p.rows = tensor_extent(*p.a, 0, a_rank - 1);
    p.a_batch = p.b_batch = {0};
  } else {
    p.rows = y[y_rank - 2];
    p.inner = a[a_rank - (p.transposed_a ? 2 : 1)];
    read_batches(p);
  }
  return true;
}

/* The matrices of each product, and which ones of a and b they are. */
struct Matrices {
  TensorInfo a, turned_a, b, bias, y;
  bool turns_a, has_bias;
  GEMMInfo info;
  std::vector<int64_t> a_batch, b_batch;
};

/* A call that makes one product after another. */
class ProductCall final : public Call {
 public:
  ProductCall(const Matrices &m, Views &tensors, const std::vector<TensorId> &ids)
      : tensors_(tensors),
        ids_(ids),
        a_batch_(m.a_batch),
        b_batch_(m.b_batch),
        a_(m.a),
        turned_a_(m.turned_a),
        b_(m.b),
        bias_(m.bias),
        y_(m.y) {
    if (m.turns_a) {
      transpose_ = std::make_unique<CpuTranspose>();
      transpose_->configure(a_.info(), turned_a_.info());
      turning_ = {{arm_compute::ACL_SRC, &a_}, {arm_compute::ACL_DST, &turned_a_}};
    }
    View &a = m.turns_a ? turned_a_ : a_;
    gemm_.configure(a.info(), b_.info(), m.has_bias ? bias_.info() : nullptr, y_.info(), 1,
                    m.has_bias ? 1 : 0, m.info);
    multiplying_ = {
        {arm_compute::ACL_SRC_0, &a}, {arm_compute::ACL_SRC_1, &b_}, {arm_compute::ACL_DST, &y_}};
    if (m.has_bias) multiplying_.add_tensor(arm_compute::ACL_SRC_2, &bias_);
  }

  arm_compute::experimental::MemoryRequirements workspace() const override {
    return gemm_.workspace();
  }
  void place(int slot, View *memory) override {
    multiplying_.add_tensor(slot, static_cast<arm_compute::ITensor *>(memory));
  }

  void prepare() override {
    if (!b_.info()->are_values_constant()) return;
    b_.set(tensors_[ids_[1]].buffer());
    gemm_.prepare(multiplying_);
  }

  void run() override {
    if (ids_.size() > 4) turned_a_.set(tensors_[ids_[4]].buffer());
    bias_.set(tensors_[ids_[2]].buffer());
    for (size_t i = 0; i < a_batch_.size(); i++) {
      a_.set(part(0, a_, a_batch_[i]));
      b_.set(part(1, b_, b_batch_[i]));
      y_.set(part(3, y_, static_cast<int64_t>(i)));
      if (transpose_) transpose_->run(turning_);
      gemm_.run(multiplying_);
    }
  }

 private:
  uint8_t *part(size_t which, const View &matrix, int64_t index) const {
    return tensors_[ids_[which]].buffer() +
           static_cast<size_t>(index) * matrix.info()->total_size();
  }

  Views &tensors_;
  std::vector<TensorId> ids_; /* a, b, the bias, y, the turned a */
  std::vector<int64_t> a_batch_, b_batch_;
  View a_, turned_a_, b_, bias_, y_;
  std::unique_ptr<CpuTranspose> transpose_;
  CpuGemm gemm_;
  ITensorPack turning_, multiplying_;
};

/* The bias as a term of its own, where a factor comes before it. */
bool add_bias(Plan &plan, TensorId y, TensorId bias) {
  if (!plan.accept(CpuAdd::validate(plan.info(y), plan.info(bias), plan.info(y),
                                    arm_compute::ConvertPolicy::SATURATE),
                   "bias"))
    return false;
  plan.add_operator(
      {{arm_compute::ACL_SRC_0, y}, {arm_compute::ACL_SRC_1, bias}, {arm_compute::ACL_DST, y}},
      [](const Plan::Infos &infos) {
        auto made = std::make_unique<CpuAdd>();
        made->configure(infos[0], infos[1], infos[2], arm_compute::ConvertPolicy::SATURATE);
        return made;
      });
  plan.work({.bytes = static_cast<double>(plan.info(y)->total_size()) * 2});
  return true;
}

TensorInfo matrix(int64_t rows, int64_t columns, bool transposed, arm_compute::DataType dtype) {
  return transposed ? dense_info({columns, rows}, dtype) : dense_info({rows, columns}, dtype);
}

/* Short products don't fill the registers. */
double efficiency_of(const Product &p) {
  const double rows = static_cast<double>(p.rows);
  return 0.8 * rows / (rows + 4);
}

bool build(Plan &plan) {
  Product p{};
  if (!plan.check_sums(true) || !read_problem(plan, p)) return false;
  const bool one = p.a_batch.size() == 1;
  const bool packs = one && kp_is_constant(p.b);
  const bool scales = p.alpha != 1;
  const Epilogue epilogue = scales ? Epilogue() : epilogue_split(*plan.problem);
  Matrices m;
  m.a = matrix(p.rows, p.inner, p.transposed_a, plan.dtype);
  m.turned_a = matrix(p.rows, p.inner, false, plan.dtype);
  m.b = matrix(p.inner, p.columns, p.transposed_b, plan.dtype);
  m.b.set_are_values_constant(packs);
  m.bias = dense_info({p.columns}, plan.dtype);
  m.y = matrix(p.rows, p.columns, false, plan.dtype);
  m.turns_a = p.transposed_a;
  m.has_bias = p.bias && !scales;
  m.a_batch = p.a_batch;
  m.b_batch = p.b_batch;
  m.info = GEMMInfo(false, false, packs);
  m.info.set_pretranspose_B(p.transposed_b);
  m.info.set_fast_math(plan.problem->precision == KP_MEDIUM);
  m.info.set_activation_info(epilogue.fused);
  if (p.transposed_a && !plan.accept(CpuTranspose::validate(&m.a, &m.turned_a), "transpose of a"))
    return false;
  if (!plan.accept(CpuGemm::validate(&m.turned_a, &m.b, m.has_bias ? &m.bias : nullptr, &m.y, 1,
                                     m.has_bias ? 1 : 0, m.info),
                   "product"))
    return false;
  const TensorId a = plan.buffer(0, tensor_info(*p.a, "nchw"));
  const TensorId b = plan.buffer(1, tensor_info(*p.b, "nchw"));
  const TensorId bias = p.bias ? plan.buffer(2, m.bias) : a;
  const TensorId y = plan.buffer(plan.problem->num_inputs, tensor_info(*p.y, "nchw"));
  std::vector<TensorId> ids = {a, b, bias, y};
  if (p.transposed_a) ids.push_back(plan.scratch(m.turned_a));
  plan.binds_constants = packs;
  plan.steps.push_back(
      {[m, ids](Views &tensors) { return std::make_unique<ProductCall>(m, tensors, ids); }, false});
  const double products = static_cast<double>(p.a_batch.size());
  plan.work({2.0 * static_cast<double>(kp_elements(p.y)) * static_cast<double>(p.inner),
             efficiency_of(p),
             static_cast<double>(kp_bytes(p.a) + kp_bytes(p.b) * (packs ? 1 : 3) + kp_bytes(p.y))});
  plan.seconds += (products - 1) * 1e-6;
  if (scales) {
    using Function = ActivationLayerInfo::ActivationFunction;
    if (!activations_add(plan, {{Function::LINEAR, p.alpha, 0}}, y, y)) return false;
    if (p.bias && !add_bias(plan, y, bias)) return false;
  }
  return epilogue_add(plan, epilogue, y, "nchw");
}

}  // namespace

#define ROW(operator_name, parameter) {operator_name, "gemm", FLOATS, 0, build, parameter, SOURCE}

extern const KernelRow matmul_kernels[];
const KernelRow matmul_kernels[] = {ROW("linear", LINEAR), ROW("matmul", 0), {}};
