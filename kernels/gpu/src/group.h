/*
 * group.h: what a group's work-items make of their values together. A group takes BESIDE rows, one
 * by default: neighbours take neighbouring rows, whose elements lie beside each other. ROW_ITEMS of
 * them, a power of two, share a row, and ROW_ITEM says which one an item is.
 *
 * COMBINE_GROUP(value, combine, shared) leaves the same in the `value` of each that shares a row;
 * `shared` is local memory for GROUP_SIZE values. With SUB_GROUPS, which want one row, neighbours
 * exchange values without memory first: `combine` takes each of its arguments once.
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
#define COMBINE_GROUP(value, combine, shared)                                                   \
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
