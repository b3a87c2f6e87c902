/*
 * A plan: the library's objects that serve one problem, in order, and where each of their tensors
 * lies. Every operator's file is one function that makes a plan; query() reads the answer off it,
 * prepare() keeps it.
 *
 * The library's objects hold addresses and positions while they run, the stateless ones too (their
 * matrix products do), so that two runs can't share one. A plan therefore has recipes, and makes
 * as many states as there are runs at a time: see state.h.
 */
#ifndef KERNELS_ARM_COMPUTE_PLAN_H
#define KERNELS_ARM_COMPUTE_PLAN_H

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "arm_compute/core/Error.h"
#include "arm_compute/core/TensorInfo.h"
#include "arm_compute/runtime/IFunction.h"
#include "arm_compute/runtime/IOperator.h"
#include "pack.h"
#include "view.h"

/* One line of an operator's list: with each dtype it makes one kernel. */
struct KernelRow {
  const char *operator_name;
  const char *algorithm;
  unsigned dtypes; /* bits of KernelDtype */
  uint32_t flags;  /* of kp_kernel */
  bool (*build)(class Plan &plan);
  int parameter; /* the file's own */
  const char *source;
};

enum KernelDtype : unsigned {
  F32 = 1,
  F16 = 2,
  Q8 = 4,
  QU8 = 8,
  FLOATS = F32 | F16,
  QUANTIZED = Q8 | QU8
};

#define SOURCE_LINE_(line) #line
#define SOURCE_LINE(line) SOURCE_LINE_(line)
#define SOURCE __FILE__ ":" SOURCE_LINE(__LINE__)

/* Where a tensor's bytes lie. */
enum class Memory {
  buffer,  /* run()'s buffers[index] */
  scratch, /* run()'s scratch + offset */
  kept,    /* the state's own: made of a constant when it is prepared */
};

struct PlannedTensor {
  arm_compute::TensorInfo info;
  Memory memory;
  uint32_t index;
  uint64_t offset;
};

using TensorId = size_t;

/* One object of the library, configured, or code of this pack's own. */
class Call {
 public:
  virtual ~Call() = default;
  virtual arm_compute::experimental::MemoryRequirements workspace() const { return {}; }
  /* Where the workspace's entry of `slot` lies from now on. */
  virtual void place(int slot, View *memory);
  /* Called once, when the tensors that hold constants have their addresses. */
  virtual void prepare() {}
  virtual void run() = 0;
};

/* Makes a call over a state's tensors; may throw. */
using Recipe = std::function<std::unique_ptr<Call>(Views &tensors)>;

struct Step {
  Recipe make;
  bool prepares; /* works on constants: run when a state is prepared, and never again */
};

/* What a step costs: see cost.h. */
struct Work {
  double flops = 0;
  double efficiency = 1; /* the share of the processor's arithmetic, or of its bandwidth */
  double bytes = 0;
};

class Plan {
 public:
  Plan(const KernelRow &row, arm_compute::DataType dtype, const kp_problem *problem,
       kp_answer *answer)
      : row(row), dtype(dtype), problem(problem), answer(answer) {}

  const KernelRow &row;
  const arm_compute::DataType dtype; /* of the kernel's name */
  const kp_problem *problem;         /* null once the plan is kept */
  kp_answer *answer;                 /* likewise */
  std::vector<PlannedTensor> tensors;
  std::vector<Step> steps;
  uint64_t staged_bytes = 0; /* of scratch, before the calls' own */
  uint64_t kept_bytes = 0;
  bool binds_constants = false; /* a state's calls are prepared, with the constants' values */
  double seconds = 0;
  std::string words; /* the library's, on a refusal */

  /* These return false, after a refusal was written to `answer`. */
  bool refuse(kp_answer_code code, const char *subject, const char *limit);
  bool refuse_number(kp_answer_code code, const char *subject, const char *limit, int64_t got);
  /* Refuses unless the library's validate() said yes. */
  bool accept(const arm_compute::Status &status, const char *what);
  bool is_quantized() const {
    return dtype == arm_compute::DataType::QASYMM8 ||
           dtype == arm_compute::DataType::QASYMM8_SIGNED;
  }

  /* Common refusals: devices, quantisation, ranks, empty and oversized tensors. */
  bool check();
  /* `inputs` inputs, no epilogue, and an output of the kernel's dtype. */
  bool check_plain(uint32_t inputs);
  /* Refuses what adds up in half precision, unless the caller gives up as much: `sums` says
   * whether this problem adds anything up. */
  bool check_sums(bool sums);
  /* Of a product of quantised tensors: the library packs the bias with the weights, once. */
  bool check_quantized_constants();

  /* An input or (num_inputs + number) an output as it lies in the caller's memory. */
  TensorId buffer(uint32_t index, const arm_compute::TensorInfo &info);
  TensorId scratch(const arm_compute::TensorInfo &info);
  TensorId kept(const arm_compute::TensorInfo &info);

  /* A copy of a constant input that a state keeps, since the library holds its address. */
  TensorId copied(uint32_t input, const arm_compute::TensorInfo &info);

  const arm_compute::ITensorInfo *info(TensorId tensor) const { return &tensors[tensor].info; }

  /* An operator, with the library's numbers for its tensors. `configure` makes and configures it
   * over the tensors' descriptions, in the order of `arguments`. */
  struct Argument {
    int slot;
    TensorId tensor;
  };
  using Infos = std::vector<arm_compute::ITensorInfo *>;
  using MakeOperator =
      std::function<std::unique_ptr<arm_compute::experimental::IOperator>(const Infos &infos)>;
  void add_operator(std::vector<Argument> arguments, MakeOperator make);
  /* A function, which holds its tensors. */
  using MakeFunction = std::function<std::unique_ptr<arm_compute::IFunction>(Views &tensors)>;
  void add_function(MakeFunction make);
  /* Code of this pack. */
  void add_code(std::function<void(Views &tensors)> code, bool prepares = false);

  /* How many threads a run takes. The number decides how products are split, so that where results
   * mustn't depend on it they are one thread's. */
  int threads() const {
    const bool fixed = problem->deterministic && !(row.flags & KP_KERNEL_DETERMINISTIC);
    return fixed || problem->threads < 1 ? 1 : problem->threads;
  }

  void answer_layout(uint32_t tensor, const char *layout);
  void work(const Work &work);
};

#endif
