#include "prepared.h"

#include <atomic>
#include <cstdio>
#include <vector>

#include "guard.h"
#include "rules.h"
#include "scheduler.h"
#include "state.h"
#include "tensor.h"

namespace {

/* States that are kept for the next run. */
constexpr size_t resting_states = 16;

bool build(Plan &plan, const KernelContext &context) {
  const kp_problem &problem = *plan.problem;
  if (rules_refuse(plan.row.operator_name, &problem, plan.answer)) return false;
  if (!plan.check()) return false;
  if (problem.num_inputs == 0 || tensor_dtype(problem.inputs[0]) != plan.dtype)
    return plan.refuse(KP_NO_DTYPE, "dtype of the first input", context.dtype_name);
  if (plan.dtype == arm_compute::DataType::F16 && !scheduler_cpu().has_fp16())
    return plan.refuse(KP_NO_CPU_FEATURE, "processor", "half-precision arithmetic (asimdhp)");
  for (uint32_t i = 0; i < problem.num_inputs; i++) plan.answer_layout(i, problem.inputs[i].layout);
  plan.answer_layout(problem.num_inputs, problem.outputs[0].layout);
  return plan.row.build(plan);
}

/* Builds, configures and answers; null after a refusal. */
std::unique_ptr<State> ask(Plan &plan, const KernelContext &context) {
  if (!build(plan, context)) return nullptr;
  auto state = std::make_unique<State>(plan);
  if (state->wants_padding()) {
    plan.refuse(KP_NO_LIBRARY, "padding", "dense tensors");
    return nullptr;
  }
  kp_answer &answer = *plan.answer;
  answer.code = KP_YES;
  answer.subject = answer.limit = nullptr;
  answer.has_got = 0;
  answer.scratch_bytes = state->scratch_bytes();
  answer.cost = plan.seconds;
  if (plan.binds_constants) answer.flags |= KP_ANSWER_BINDS_CONSTANTS;
  return state;
}

const KernelContext &context_of(const kp_kernel *kernel) {
  return *static_cast<const KernelContext *>(kernel->context);
}

/* An answer with room for what a plan writes. */
struct PrivateAnswer {
  explicit PrivateAnswer(const kp_problem &problem)
      : layouts(static_cast<size_t>(problem.num_inputs) + problem.num_outputs),
        packed_bytes(problem.num_inputs) {
    answer.struct_size = sizeof answer;
    answer.layouts = &layouts[0].name;
    answer.packed_bytes = packed_bytes.data();
  }
  struct Layout {
    kp_layout name;
  };
  kp_answer answer = {};
  std::vector<Layout> layouts;
  std::vector<uint64_t> packed_bytes;
};

}  // namespace

struct kp_prepared {
  kp_prepared(const KernelContext &context, const kp_problem *problem, kp_answer *answer)
      : plan(*context.row, context.dtype, problem, answer), threads(plan.threads()) {}
  ~kp_prepared() {
    for (std::atomic<State *> &state : states) delete state.load();
  }

  Plan plan;
  int threads;
  std::atomic<State *> states[resting_states] = {};

  std::unique_ptr<State> take(void *const *buffers) {
    for (std::atomic<State *> &slot : states) {
      /* Reading first keeps a line that others hold from bouncing. */
      if (!slot.load(std::memory_order_relaxed)) continue;
      State *state = slot.exchange(nullptr, std::memory_order_acquire);
      if (state) return std::unique_ptr<State>(state);
    }
    auto state = std::make_unique<State>(plan);
    state->prepare(buffers);
    return state;
  }

  void put(std::unique_ptr<State> state) {
    for (std::atomic<State *> &slot : states) {
      State *expected = nullptr;
      if (slot.compare_exchange_strong(expected, state.get(), std::memory_order_release,
                                       std::memory_order_relaxed)) {
        state.release();
        return;
      }
    }
  }
};

void prepared_query(kp_pack *, const kp_kernel *kernel, const kp_problem *problem,
                    kp_answer *answer) {
  const KernelContext &context = context_of(kernel);
  const kp_status status = guard(nullptr, 0, [&] {
    Plan plan(*context.row, context.dtype, problem, answer);
    const ThreadLimit limit(plan.threads());
    ask(plan, context);
    return KP_OK;
  });
  if (status == KP_OUT_OF_MEMORY)
    kp_refuse(answer, KP_NO_MEMORY, "memory", "enough to configure the library's objects");
  else if (status != KP_OK)
    kp_refuse(answer, KP_NO_LIBRARY, "problem", "one that the library configures");
}

void prepared_reason(kp_pack *, const kp_kernel *kernel, const kp_problem *problem, char *text,
                     size_t size) {
  guard(text, size, [&] {
    const KernelContext &context = context_of(kernel);
    PrivateAnswer room(*problem);
    Plan plan(*context.row, context.dtype, problem, &room.answer);
    const ThreadLimit limit(plan.threads());
    ask(plan, context);
    snprintf(text, size, "%s", plan.words.c_str());
    return KP_OK;
  });
}

kp_status prepared_make(kp_pack *, const kp_kernel *kernel, const kp_problem *problem,
                        const void *const *constants, kp_prepared **result, kp_error *error) {
  return guard(error->message, sizeof error->message, [&] {
    const KernelContext &context = context_of(kernel);
    PrivateAnswer room(*problem);
    auto prepared = std::make_unique<kp_prepared>(context, problem, &room.answer);
    const ThreadLimit limit(prepared->threads);
    std::unique_ptr<State> state = ask(prepared->plan, context);
    if (!state) {
      snprintf(error->message, sizeof error->message,
               "%s can't be prepared for a problem that it refuses (%s: expected %s)", kernel->name,
               room.answer.subject ? room.answer.subject : "?",
               room.answer.limit ? room.answer.limit : "?");
      return KP_INVALID_ARGUMENT;
    }
    state->prepare(constants);
    prepared->plan.problem = nullptr;
    prepared->plan.answer = nullptr;
    prepared->put(std::move(state));
    *result = prepared.release();
    return KP_OK;
  });
}

kp_status prepared_run(const kp_prepared *prepared, void *const *buffers, void *scratch, void *) {
  kp_prepared *shared = const_cast<kp_prepared *>(prepared); /* its states alone change */
  return guard(nullptr, 0, [&] {
    const ThreadLimit limit(prepared->threads);
    std::unique_ptr<State> state = shared->take(buffers);
    state->run(buffers, scratch);
    shared->put(std::move(state));
    return KP_OK;
  });
}

void prepared_release(kp_prepared *prepared) {
  guard(nullptr, 0, [&] {
    delete prepared;
    return KP_OK;
  });
}
