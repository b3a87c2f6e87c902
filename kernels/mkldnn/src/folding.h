/* Tensors seen with fewer dimensions, where only the order of the bytes counts. */
#ifndef MKLDNN_FOLDING_H
#define MKLDNN_FOLDING_H

#include "plan.h"

/*
 * Settles the layouts of tensors that are worked on element by element: those
 * of output 0's shape take the first layout that one of them names ("nchw"
 * where none does). Returns that layout, or NULL after a refusal.
 */
const char *fold_shared_layout(struct plan *plan);

/* Elements in memory, a last block's filling included. */
int64_t fold_stored_elements(const kp_tensor *tensor, const char *layout);

/* The stored elements as one row. */
const_dnnl_memory_desc_t fold_row(struct plan *plan, int64_t elements, dnnl_data_type_t dtype);

#endif
