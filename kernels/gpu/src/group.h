/*
 * group.h: what a group's work-items make of their values together. A group takes BESIDE rows, one
 * by default: neighbours take neighbouring rows, whose elements lie beside each other. ROW_ITEMS of
 * them, a power of two, share a row, and ROW_ITEM says which one an item is.
 *
 * COMBINE_GROUP(value, combine, shared) leaves the same in the `value` of each that shares a row;
 * `shared` is local memory for GROUP_SIZE values. With SUB_GROUPS, neighbours exchange values
 * without memory first: `combine` takes each of its arguments once, and BESIDE is a power of two
 * that is no larger than a sub-group.
 */
#ifndef BESIDE
#define BESIDE 1
#endif
#define GROUP_SIZE (ROW_ITEMS * BESIDE)
#define ROW (GROUP(0) * BESIDE + ITEM(0) % BESIDE)
#define ROW_ITEM (ITEM(0) / BESIDE)

#if SUB_GROUPS
#ifndef __CUDACC__
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#endif
#define COMBINE_GROUP(value, combine, shared)                               \
  {                                                                         \
    const int row_ = ITEM(0) % BESIDE;                                      \
    for (int step_ = SUB_GROUP_SIZE / 2; step_ >= BESIDE; step_ /= 2)       \
      value = combine(value, VALUE_ACROSS(value, step_));                   \
    BARRIER();                                                              \
    if (SUB_GROUP_ITEM < BESIDE) shared[SUB_GROUP * BESIDE + row_] = value; \
    BARRIER();                                                              \
    value = shared[row_];                                                   \
    for (int k_ = 1; k_ < GROUP_SIZE / SUB_GROUP_SIZE; k_++)                \
      value = combine(value, shared[k_ * BESIDE + row_]);                   \
  }
#else
#define COMBINE_GROUP(value, combine, shared)                                         \
  {                                                                                   \
    BARRIER();                                                                        \
    shared[ITEM(0)] = value;                                                          \
    BARRIER();                                                                        \
    for (int step_ = ROW_ITEMS / 2; step_ > 0; step_ /= 2) {                          \
      if (ROW_ITEM < step_)                                                           \
        shared[ITEM(0)] = combine(shared[ITEM(0)], shared[ITEM(0) + step_ * BESIDE]); \
      BARRIER();                                                                      \
    }                                                                                 \
    value = shared[ITEM(0) % BESIDE];                                                 \
  }
#endif
