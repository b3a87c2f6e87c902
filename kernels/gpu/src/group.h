/*
 * group.h: what a group's work-items make of their values together. COMBINE_GROUP(value, combine,
 * shared, item) leaves the same in each one's `value`; `shared` is local memory for ROW_ITEMS, a
 * power of two. With SUB_GROUPS, neighbours exchange values without memory first: `combine` takes
 * each of its arguments once.
 */
#if SUB_GROUPS
#ifndef __CUDACC__
#pragma OPENCL EXTENSION cl_khr_subgroups : enable
#pragma OPENCL EXTENSION cl_khr_subgroup_shuffle : enable
#endif
#define COMBINE_GROUP(value, combine, shared, item)                                             \
  {                                                                                             \
    for (int step_ = SUB_GROUP_SIZE / 2; step_ > 0; step_ /= 2)                                 \
      value = combine(value, VALUE_ACROSS(value, step_));                                       \
    BARRIER();                                                                                  \
    if (SUB_GROUP_ITEM == 0) shared[SUB_GROUP] = value;                                         \
    BARRIER();                                                                                  \
    value = shared[0];                                                                          \
    for (int k_ = 1; k_ < ROW_ITEMS / SUB_GROUP_SIZE; k_++) value = combine(value, shared[k_]); \
  }
#else
#define COMBINE_GROUP(value, combine, shared, item)                                 \
  {                                                                                 \
    BARRIER();                                                                      \
    shared[item] = value;                                                           \
    BARRIER();                                                                      \
    for (int step_ = ROW_ITEMS / 2; step_ > 0; step_ /= 2) {                        \
      if (item < step_) shared[item] = combine(shared[item], shared[item + step_]); \
      BARRIER();                                                                    \
    }                                                                               \
    value = shared[0];                                                              \
  }
#endif
