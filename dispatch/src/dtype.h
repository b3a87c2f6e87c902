/* dtype.h: NumPy's and ml_dtypes' names of the element types. */
#ifndef DISPATCH_DTYPE_H
#define DISPATCH_DTYPE_H

#include "kernel_pack.h"

/* 1 and the type where the name is known, else 0. */
int core_dtype_from_name(const char *name, DLDataType *dtype);
/* NULL where there is no name. */
const char *core_dtype_name(DLDataType dtype);

#endif
