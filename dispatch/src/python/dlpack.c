/* DLPack's capsules to NumPy's arrays and back, over the same memory.
 *
 * NumPy's own `from_dlpack` knows neither bfloat16 nor writable imports, and gives none of the
 * former away. Source: the DLPack specification, https://dmlc.github.io/dlpack/latest/. */
#define DISPATCH_IMPORTS_NUMPY
#include "numpy_api.h"

#include "kernel_pack.h"

#include <stdbool.h>

typedef struct managed_tensor {
  DLTensor tensor;
  void *context;
  void (*deleter)(struct managed_tensor *);
} managed_tensor;

static const char NAME[] = "dltensor", USED[] = "used_dltensor", OWNER[] = "dispatch.dlpack";

enum { MAX_RANK = 32 }; /* NumPy's before 2.0 */

/* ---- Element types --------------------------------------------------------------- */

static PyArray_Descr *bfloat16; /* no type of NumPy's own */

static const struct {
  uint8_t code, bits;
  int number;
} types[] = {
    {kDLFloat, 16, NPY_FLOAT16}, {kDLFloat, 32, NPY_FLOAT32}, {kDLFloat, 64, NPY_FLOAT64},
    {kDLInt, 8, NPY_INT8},       {kDLInt, 16, NPY_INT16},     {kDLInt, 32, NPY_INT32},
    {kDLInt, 64, NPY_INT64},     {kDLUInt, 8, NPY_UINT8},     {kDLUInt, 16, NPY_UINT16},
    {kDLUInt, 32, NPY_UINT32},   {kDLUInt, 64, NPY_UINT64},   {kDLBool, 8, NPY_BOOL},
};
enum { TYPES = sizeof types / sizeof *types };

/* A new reference; NULL with an exception for a type that isn't the project's. */
static PyArray_Descr *descr_of(DLDataType type) {
  if (type.lanes == 1 && type.code == kDLBfloat && type.bits == 16) {
    Py_INCREF((PyObject *)bfloat16);
    return bfloat16;
  }
  for (int i = 0; i < TYPES && type.lanes == 1; i++)
    if (types[i].code == type.code && types[i].bits == type.bits)
      return PyArray_DescrFromType(types[i].number);
  PyErr_Format(PyExc_BufferError, "DLPack dtype code %d, %d bits, %d lanes: not served", type.code,
               type.bits, type.lanes);
  return NULL;
}

static bool type_of(PyArrayObject *array, DLDataType *type) {
  PyArray_Descr *descr = PyArray_DESCR(array);
  *type = (DLDataType){kDLBfloat, 16, 1};
  if (PyArray_EquivTypes(descr, bfloat16)) return true;
  for (int i = 0; i < TYPES && PyArray_ISNBO(descr->byteorder); i++) {
    PyArray_Descr *known = PyArray_DescrFromType(types[i].number);
    const bool same = known && PyArray_EquivTypes(descr, known);
    Py_XDECREF((PyObject *)known);
    *type = (DLDataType){types[i].code, types[i].bits, 1};
    if (same) return true;
  }
  PyErr_Format(PyExc_BufferError, "dtype %R has no DLPack type here", (PyObject *)descr);
  return false;
}

/* ---- In ------------------------------------------------------------------------- */

static void give_back(PyObject *owner) {
  managed_tensor *managed = PyCapsule_GetPointer(owner, OWNER);
  if (managed && managed->deleter) managed->deleter(managed);
}

static bool read_extents(const DLTensor *tensor, npy_intp itemsize, npy_intp *shape,
                         npy_intp *strides, bool *is_empty) {
  if (tensor->ndim < 0 || tensor->ndim > MAX_RANK) {
    PyErr_Format(PyExc_BufferError, "DLPack tensor of %d dimensions: 0 to %d are served",
                 tensor->ndim, MAX_RANK);
    return false;
  }
  if (tensor->ndim && !tensor->shape) {
    PyErr_SetString(PyExc_BufferError, "DLPack tensor without extents");
    return false;
  }
  int64_t dense = itemsize;
  for (int i = tensor->ndim - 1; i >= 0; i--) {
    int64_t bytes = dense;
    const bool bad =
        tensor->shape[i] < 0 || __builtin_mul_overflow(dense, tensor->shape[i], &dense) ||
        (tensor->strides && __builtin_mul_overflow(tensor->strides[i], itemsize, &bytes));
    if (bad) {
      PyErr_SetString(PyExc_BufferError, "DLPack tensor of negative or too large extents");
      return false;
    }
    shape[i] = tensor->shape[i];
    strides[i] = bytes;
  }
  *is_empty = dense == 0;
  return true;
}

/* Takes `descr` over. */
static PyObject *view_of(managed_tensor *managed, PyArray_Descr *descr) {
  const DLTensor *tensor = &managed->tensor;
  const npy_intp itemsize = PyDataType_ELSIZE(descr);
  npy_intp shape[MAX_RANK], strides[MAX_RANK];
  bool is_empty;
  if (!read_extents(tensor, itemsize, shape, strides, &is_empty)) {
    Py_DECREF((PyObject *)descr);
    return NULL;
  }
  if (is_empty) return PyArray_Empty(tensor->ndim, shape, descr, 0);
  if (!tensor->data) {
    Py_DECREF((PyObject *)descr);
    PyErr_SetString(PyExc_BufferError, "DLPack tensor without memory");
    return NULL;
  }
  return PyArray_NewFromDescr(&PyArray_Type, descr, tensor->ndim, shape, strides,
                              (char *)tensor->data + tensor->byte_offset, NPY_ARRAY_WRITEABLE,
                              NULL);
}

PyDoc_STRVAR(
    from_capsule_doc,
    "from_capsule(capsule, /)\n--\n\n"
    "Return a NumPy array over the memory of a DLPack capsule on the CPU, and use it up.\n\n"
    "Raises\n------\n"
    "BufferError\n    If its element type isn't one of the project's, or it is damaged.\n"
    "ValueError\n    If it is no capsule, or used up.\n");

static PyObject *from_capsule(PyObject *module, PyObject *capsule) {
  (void)module;
  managed_tensor *managed = PyCapsule_GetPointer(capsule, NAME);
  if (!managed) return NULL;
  const int32_t device = managed->tensor.device.device_type;
  if (device != kDLCPU && device != kDLCUDAHost)
    return PyErr_Format(PyExc_BufferError, "it is on DLPack device %d", device);
  PyArray_Descr *descr = descr_of(managed->tensor.dtype);
  PyObject *array = descr ? view_of(managed, descr) : NULL;
  if (!array) return NULL;
  PyObject *owner = PyCapsule_New(managed, OWNER, give_back);
  if (!owner || PyCapsule_SetName(capsule, USED)) {
    if (owner) PyCapsule_SetDestructor(owner, NULL); /* the capsule still has it */
    Py_XDECREF(owner);
    Py_DECREF(array);
    return NULL;
  }
  if (PyArray_SIZE((PyArrayObject *)array) == 0) {
    Py_DECREF(owner); /* nothing lies in its memory */
  } else if (PyArray_SetBaseObject((PyArrayObject *)array, owner)) {
    Py_DECREF(array);
    return NULL;
  }
  return array;
}

/* ---- Out ------------------------------------------------------------------------ */

typedef struct {
  managed_tensor managed;
  PyObject *array;
  int64_t extents[]; /* shape, then strides */
} exported;

/* Called by the consumer, on any thread; after Python's end there is nothing left to free. */
static void release(managed_tensor *managed) {
  exported *held = managed->context;
  if (!Py_IsInitialized()) return;
  const PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF(held->array);
  PyMem_Free(held);
  PyGILState_Release(state);
}

static void drop_unused(PyObject *capsule) {
  if (!PyCapsule_IsValid(capsule, NAME)) return;
  managed_tensor *managed = PyCapsule_GetPointer(capsule, NAME);
  managed->deleter(managed);
}

static bool fill(exported *held, PyArrayObject *array) {
  DLTensor *tensor = &held->managed.tensor;
  const int rank = PyArray_NDIM(array);
  const npy_intp itemsize = PyArray_ITEMSIZE(array);
  if (!type_of(array, &tensor->dtype)) return false;
  tensor->data = PyArray_DATA(array);
  tensor->device = (DLDevice){kDLCPU, 0};
  tensor->ndim = rank;
  tensor->shape = held->extents;
  tensor->strides = held->extents + rank;
  for (int i = 0; i < rank; i++) {
    if (PyArray_STRIDES(array)[i] % itemsize) {
      PyErr_SetString(PyExc_BufferError, "an array whose strides aren't whole elements");
      return false;
    }
    tensor->shape[i] = PyArray_DIMS(array)[i];
    tensor->strides[i] = PyArray_STRIDES(array)[i] / itemsize;
  }
  return true;
}

PyDoc_STRVAR(to_capsule_doc,
             "to_capsule(array, /)\n--\n\n"
             "Return a DLPack capsule over a NumPy array's memory, which its consumer keeps.\n\n"
             "Raises\n------\n"
             "BufferError\n    If DLPack has no word for its dtype or strides.\n"
             "TypeError\n    If it is no array.\n");

static PyObject *to_capsule(PyObject *module, PyObject *array) {
  (void)module;
  if (!PyArray_Check(array)) {
    PyErr_SetString(PyExc_TypeError, "to_capsule: expected a NumPy array");
    return NULL;
  }
  const size_t rank = (size_t)PyArray_NDIM((PyArrayObject *)array);
  exported *held = PyMem_Calloc(1, sizeof *held + 2 * rank * sizeof *held->extents);
  if (!held) return PyErr_NoMemory();
  held->managed.context = held;
  held->managed.deleter = release;
  PyObject *capsule =
      fill(held, (PyArrayObject *)array) ? PyCapsule_New(&held->managed, NAME, drop_unused) : NULL;
  if (!capsule) {
    PyMem_Free(held);
    return NULL;
  }
  held->array = array;
  Py_INCREF(array);
  return capsule;
}

PyDoc_STRVAR(setup_doc, "setup(bfloat16, /)\n--\n\nSay which dtype bfloat16 is.\n");

static PyObject *setup(PyObject *module, PyObject *dtype) {
  (void)module;
  if (!PyArray_DescrCheck(dtype)) {
    PyErr_SetString(PyExc_TypeError, "setup: expected a dtype");
    return NULL;
  }
  Py_INCREF(dtype);
  Py_XDECREF((PyObject *)bfloat16);
  bfloat16 = (PyArray_Descr *)dtype;
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"from_capsule", from_capsule, METH_O, from_capsule_doc},
    {"to_capsule", to_capsule, METH_O, to_capsule_doc},
    {"setup", setup, METH_O, setup_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "dispatch._dlpack", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__dlpack(void) {
  import_array();
  return PyModule_Create(&definition);
}
