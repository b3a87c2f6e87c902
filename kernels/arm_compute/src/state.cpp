#include "state.h"

#include <algorithm>
#include <cstdlib>
#include <new>

using arm_compute::TensorInfo;
using arm_compute::TensorShape;
using arm_compute::experimental::MemoryInfo;
using arm_compute::experimental::MemoryLifetime;

namespace {

/* What the library asks for, up to pages, is for speed alone on this architecture. */
uint64_t aligned(uint64_t bytes) {
  return (bytes + KP_ALIGNMENT - 1) / KP_ALIGNMENT * KP_ALIGNMENT;
}

OwnMemory allocate(uint64_t bytes) {
  if (bytes == 0) return nullptr;
  void *memory = aligned_alloc(KP_ALIGNMENT, aligned(bytes));
  if (!memory) throw std::bad_alloc();
  return OwnMemory(static_cast<uint8_t *>(memory));
}

}  // namespace

State::State(const Plan &plan)
    : planned_(plan.tensors),
      staged_bytes_(plan.staged_bytes),
      scratch_bytes_(plan.staged_bytes),
      kept_bytes_(plan.kept_bytes),
      binds_constants_(plan.binds_constants) {
  for (const PlannedTensor &tensor : planned_) tensors_.emplace_back(tensor.info);
  for (const Step &step : plan.steps) {
    calls_.push_back(step.make(tensors_));
    prepares_.push_back(step.prepares);
    place_workspace(*calls_.back());
  }
}

/* Calls follow one another, so that their temporary memory may be the same. */
void State::place_workspace(Call &call) {
  uint64_t end = staged_bytes_;
  for (const MemoryInfo &wanted : call.workspace()) {
    if (wanted.size == 0) continue;
    uint64_t &used = wanted.lifetime == MemoryLifetime::Temporary    ? end
                     : wanted.lifetime == MemoryLifetime::Persistent ? kept_bytes_
                                                                     : preparing_bytes_;
    areas_.push_back({View(TensorInfo(TensorShape(wanted.size), 1, arm_compute::DataType::U8)),
                      wanted.lifetime, used});
    used += aligned(wanted.size);
    call.place(wanted.slot, &areas_.back().view);
  }
  scratch_bytes_ = std::max(scratch_bytes_, end);
}

bool State::wants_padding() const {
  return std::any_of(tensors_.begin(), tensors_.end(),
                     [](const View &view) { return view.info()->has_padding(); });
}

void State::prepare(const void *const *buffers) {
  kept_ = allocate(kept_bytes_);
  const OwnMemory preparing = allocate(preparing_bytes_);
  for (Area &area : areas_)
    if (area.lifetime != MemoryLifetime::Temporary)
      area.view.set((area.lifetime == MemoryLifetime::Persistent ? kept_ : preparing).get() +
                    area.offset);
  for (size_t i = 0; i < tensors_.size(); i++) {
    const PlannedTensor &planned = planned_[i];
    if (planned.memory == Memory::kept)
      tensors_[i].set(kept_.get() + planned.offset);
    else if (planned.memory == Memory::buffer && planned.info.are_values_constant())
      tensors_[i].set(const_cast<void *>(buffers[planned.index]));
  }
  for (size_t i = 0; i < calls_.size(); i++) {
    if (prepares_[i])
      calls_[i]->run();
    else if (binds_constants_)
      calls_[i]->prepare();
  }
}

void State::run(void *const *buffers, void *scratch) {
  uint8_t *const base = static_cast<uint8_t *>(scratch);
  for (size_t i = 0; i < tensors_.size(); i++) {
    const PlannedTensor &planned = planned_[i];
    if (planned.memory == Memory::buffer)
      tensors_[i].set(buffers[planned.index]);
    else if (planned.memory == Memory::scratch)
      tensors_[i].set(base + planned.offset);
  }
  for (Area &area : areas_)
    if (area.lifetime == MemoryLifetime::Temporary) area.view.set(base + area.offset);
  for (size_t i = 0; i < calls_.size(); i++)
    if (!prepares_[i]) calls_[i]->run();
}
