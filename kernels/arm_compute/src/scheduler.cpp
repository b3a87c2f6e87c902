#include "scheduler.h"

#include <omp.h>

#include <atomic>
#include <exception>
#include <memory>
#include <mutex>

#include "arm_compute/core/CPP/ICPPKernel.h"
#include "arm_compute/core/ITensorPack.h"
#include "arm_compute/runtime/Scheduler.h"

using arm_compute::ICPPKernel;
using arm_compute::ITensorPack;
using arm_compute::ThreadInfo;
using arm_compute::Window;

namespace {

thread_local unsigned limit; /* 0: the caller isn't this pack */

/*
 * The library asks num_threads() when it is configured and again when it runs, and sizes its
 * scratch space by it, so the limit must be the same at both times. Another user of the library in
 * this process (PyTorch) has no limit and sets the number as it always does.
 */
class Team final : public arm_compute::IScheduler {
 public:
  void set_num_threads(unsigned threads) override { others_ = threads; }

  unsigned num_threads() const override {
    if (limit) return limit;
    const unsigned others = others_;
    return others ? others : static_cast<unsigned>(omp_get_max_threads());
  }

  void schedule(ICPPKernel *kernel, const Hints &hints) override {
    ITensorPack none;
    schedule_common(kernel, hints, kernel->window(), none);
  }

  void schedule_op(ICPPKernel *kernel, const Hints &hints, const Window &window,
                   ITensorPack &tensors) override {
    schedule_common(kernel, hints, window, tensors);
  }

 protected:
  void run_workloads(std::vector<Workload> &workloads) override {
    const int count = static_cast<int>(workloads.size());
    const int asked = static_cast<int>(num_threads());
    const int threads = count < asked ? count : asked;
    if (threads < 1) return;
    if (threads == 1) {
      ThreadInfo info = thread_info(0, 1);
      for (Workload &workload : workloads) workload(info);
      return;
    }
    std::exception_ptr first;
    std::mutex guards_first;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int i = 0; i < count; i++) {
      try {
        ThreadInfo info = thread_info(omp_get_thread_num(), threads);
        workloads[static_cast<size_t>(i)](info);
      } catch (...) { /* nothing may leave a parallel region */
        const std::lock_guard<std::mutex> lock(guards_first);
        if (!first) first = std::current_exception();
      }
    }
    if (first) std::rethrow_exception(first);
  }

 private:
  ThreadInfo thread_info(int thread, int threads) {
    ThreadInfo info;
    info.thread_id = thread;
    info.num_threads = threads;
    info.cpu_info = &cpu_info();
    return info;
  }

  std::atomic<unsigned> others_{0};
};

}  // namespace

void scheduler_install() {
  static const bool installed = [] {
    arm_compute::Scheduler::set(std::make_shared<Team>());
    return true;
  }();
  (void)installed;
}

arm_compute::CPUInfo &scheduler_cpu() { return arm_compute::Scheduler::get().cpu_info(); }

ThreadLimit::ThreadLimit(int threads) : before_(limit) {
  limit = threads > 1 ? static_cast<unsigned>(threads) : 1;
}

ThreadLimit::~ThreadLimit() { limit = before_; }
