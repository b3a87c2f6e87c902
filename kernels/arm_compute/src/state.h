/*
 * A state: a plan's objects, configured, with the tensors that they hold. A run takes a state and
 * puts it back. States are made when more runs overlap than ever before, each with a copy of the
 * packed weights of its own, since the library's objects keep the addresses of theirs.
 */
#ifndef KERNELS_ARM_COMPUTE_STATE_H
#define KERNELS_ARM_COMPUTE_STATE_H

#include <memory>
#include <vector>

#include "plan.h"

struct FreeMemory {
  void operator()(void *memory) const { free(memory); }
};
using OwnMemory = std::unique_ptr<uint8_t, FreeMemory>;

class State {
 public:
  /* Configures the plan's objects. Throws what the library throws. */
  explicit State(const Plan &plan);

  uint64_t scratch_bytes() const { return scratch_bytes_; }
  /* The library wants memory around a tensor, which the caller's doesn't have. */
  bool wants_padding() const;

  /* Packs the constants; `buffers` has an entry for each input at least, of which the constants'
   * alone are read. */
  void prepare(const void *const *buffers);
  void run(void *const *buffers, void *scratch);

 private:
  struct Area { /* of a call's workspace */
    View view;
    arm_compute::experimental::MemoryLifetime lifetime;
    uint64_t offset;
  };

  void place_workspace(Call &call);

  const std::vector<PlannedTensor> &planned_;
  Views tensors_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<char> prepares_; /* of each call */
  std::deque<Area> areas_;
  uint64_t staged_bytes_, scratch_bytes_, kept_bytes_, preparing_bytes_ = 0;
  bool binds_constants_;
  OwnMemory kept_;
};

#endif
