/* Python's limited interface, and NumPy's. */
#ifndef DISPATCH_SRC_PYTHON_NUMPY_API_H_
#define DISPATCH_SRC_PYTHON_NUMPY_API_H_

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL dispatch_numpy
#ifndef DISPATCH_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#endif
