/* The eager call where an earlier one was like it: from Python's arguments to the kernel.
 *
 * Whatever isn't plain (other kinds of arrays, settings' changes, the first call of its kind) goes
 * to the function in Python that `setup` was given, which serves every call. */
#define DISPATCH_IMPORTS_NUMPY
#include "remembered.h"

#include <string.h>

typedef kp_status (*run_function)(const core_call *, void *const *);

static struct {
  run_function run;
  PyObject *current, *unset;      /* functions: the setting in force or None; where it is None */
  PyObject *constant, *quantized; /* types */
  PyObject *others;               /* the function in Python */
  PyObject *array, *values, *quantization, *steps, *operands; /* names of attributes */
} with;

/* ---- Keys ---------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
  return hash ^ hash >> 32;
}

static bool add_array(remembered_key *key, remembered_input *input, PyObject *x) {
  PyArrayObject *array = (PyArrayObject *)x;
  const int rank = PyArray_NDIM(array);
  if (rank > REMEMBERED_RANK) return false;
  input->what = (PyObject *)PyArray_DESCR(array);
  input->rank = rank;
  for (int i = 0; i < rank; i++) {
    input->extents[i] = PyArray_DIMS(array)[i];
    input->extents[rank + i] = PyArray_STRIDES(array)[i];
  }
  for (int i = 0; i < 2 * rank; i++) key->hash = mix(key->hash, (uint64_t)input->extents[i]);
  return true;
}

/* A quantised array's attribute, borrowed: slots hold it as long as the array lives. */
static PyObject *slot(PyObject *x, PyObject *name) {
  PyObject *value = PyObject_GetAttr(x, name);
  if (value) {
    Py_DECREF(value);
  } else {
    PyErr_Clear();
  }
  return value;
}

static bool add_quantized(remembered_key *key, remembered_input *input, PyObject *x) {
  PyObject *array = slot(x, with.array);
  if (!array || array != slot(x, with.values) || !PyArray_CheckExact(array)) return false;
  input->quantization = slot(x, with.quantization);
  return input->quantization && add_array(key, input, array);
}

static bool add_input(remembered_key *key, PyObject *x) {
  if (key->num_inputs == REMEMBERED_INPUTS) return false;
  remembered_input *input = &key->inputs[key->num_inputs++];
  input->what = x;
  input->quantization = NULL;
  input->rank = 0;
  if (PyArray_CheckExact(x)) {
    if (!add_array(key, input, x)) return false;
  } else if ((PyObject *)Py_TYPE(x) == with.quantized) {
    if (!add_quantized(key, input, x)) return false;
  } else if (x != Py_None && (PyObject *)Py_TYPE(x) != with.constant) {
    return false;
  }
  key->hash = mix(key->hash, (uintptr_t)input->what);
  return true;
}

static bool add_inputs(remembered_key *key, PyObject *inputs) {
  const Py_ssize_t count = PyTuple_Size(inputs);
  for (Py_ssize_t i = 0; i < count; i++)
    if (!add_input(key, PyTuple_GetItem(inputs, i))) return false;
  return true;
}

static bool add_hash(remembered_key *key, PyObject *value) {
  const Py_hash_t hash = PyObject_Hash(value);
  if (hash == -1) {
    PyErr_Clear();
    return false;
  }
  key->hash = mix(key->hash, (uint64_t)hash);
  return true;
}

/* Whether calls of these arguments may be remembered here; no exception is set. */
static bool make_key(remembered_key *key, PyObject *operator, PyObject *setting, PyObject *inputs,
                     PyObject *operands, PyObject *attributes, PyObject *steps) {
  key->operator = operator;
  key->setting = setting;
  key->attributes = attributes;
  key->steps = steps;
  key->num_inputs = 0;
  key->hash = mix((uintptr_t)operator, (uintptr_t)setting);
  return add_inputs(key, inputs) && (!operands || add_inputs(key, operands)) &&
         add_hash(key, attributes) && add_hash(key, steps);
}

/* ---- Calls --------------------------------------------------------------------- */

static PyArrayObject *stored(PyObject *x) {
  return (PyArrayObject *)(PyArray_CheckExact(x) ? x : slot(x, with.array));
}

static bool same_shape(PyArrayObject *array, int rank, const npy_intp *shape) {
  return PyArray_NDIM(array) == rank &&
         (rank == 0 || memcmp(PyArray_DIMS(array), shape, (size_t)rank * sizeof *shape) == 0);
}

/* Whether the kernel may write straight into the caller's array. */
static bool fits(const remembered_call *call, PyObject *out, PyArrayObject *const *inputs) {
  if (!PyArray_CheckExact(out)) return false;
  PyArrayObject *array = (PyArrayObject *)out;
  if (PyArray_DESCR(array) != call->dtype || !same_shape(array, call->rank, call->shape) ||
      !PyArray_IS_C_CONTIGUOUS(array) || !PyArray_ISWRITEABLE(array))
    return false;
  const char *data = PyArray_DATA(array);
  for (uint32_t i = 0; i < call->num_live; i++) {
    const char *input = PyArray_DATA(inputs[i]);
    if (data + call->output_bytes <= input || input + call->bytes[i] <= data) continue;
    if (!(call->may_overwrite >> call->live[i] & 1) || input != data ||
        PyArray_DESCR(inputs[i]) != call->dtype || !same_shape(inputs[i], call->rank, call->shape))
      return false;
  }
  return true;
}

static PyObject *input_at(PyObject *inputs, PyObject *operands, Py_ssize_t index) {
  const Py_ssize_t count = PyTuple_Size(inputs);
  return index < count ? PyTuple_GetItem(inputs, index) : PyTuple_GetItem(operands, index - count);
}

/* The result; NULL without an exception where the function in Python must serve the call. */
static PyObject *run(const remembered_call *call, PyObject *inputs, PyObject *operands,
                     PyObject *out) {
  PyArrayObject *live[REMEMBERED_INPUTS];
  void *b[CORE_FEW_BUFFERS];
  memcpy(b, call->fixed, sizeof b);
  for (uint32_t i = 0; i < call->num_live; i++) {
    live[i] = stored(input_at(inputs, operands, call->live[i]));
    b[call->live[i]] = PyArray_DATA(live[i]);
  }
  PyObject *result;
  if (out == Py_None) {
    Py_INCREF((PyObject *)call->dtype);
    result = PyArray_Empty(call->rank, call->shape, call->dtype, 0);
    if (!result) return NULL;
  } else {
    if (!fits(call, out, live)) return NULL;
    Py_INCREF(out);
    result = out;
  }
  b[call->key.num_inputs] = PyArray_DATA((PyArrayObject *)result);
  kp_status status;
  Py_BEGIN_ALLOW_THREADS;
  status = with.run(call->handle, b);
  Py_END_ALLOW_THREADS;
  if (status) {
    Py_DECREF(result);
    return NULL;
  }
  if (!call->quantization) return result;
  PyObject *array = result;
  result = PyObject_CallFunctionObjArgs(with.quantized, array, call->quantization, NULL);
  Py_DECREF(array);
  return result;
}

static PyObject *setting_in_force(void) {
  PyObject *setting = PyObject_CallNoArgs(with.current);
  if (setting != Py_None) return setting;
  Py_DECREF(setting);
  return PyObject_CallNoArgs(with.unset);
}

PyDoc_STRVAR(call_doc,
             "call(operator, inputs, attributes, out=None, epilogue=None, /)\n--\n\n"
             "Run an operator.\n\n"
             "Parameters\n----------\n"
             "operator\n    Its schema.\n"
             "inputs\n    Arrays, quantised arrays, constants, or None for an absent one.\n"
             "attributes\n    In the schema's order, as the caller gave them.\n"
             "out\n    Where to write the result (for several outputs, a tuple); for a\n"
             "    quantised result, where to write its stored values.\n"
             "epilogue\n    What follows on the result.\n");

static PyObject *eager_call(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
  (void)module;
  if (count < 3 || count > 5 || !PyTuple_Check(arguments[1]) || !PyTuple_Check(arguments[2])) {
    PyErr_SetString(PyExc_TypeError,
                    "call: expected an operator, tuples of inputs and attributes, out, epilogue");
    return NULL;
  }
  PyObject *out = count > 3 ? arguments[3] : Py_None;
  PyObject *epilogue = count > 4 ? arguments[4] : Py_None;
  PyObject *steps = NULL, *operands = NULL, *setting = NULL, *result = NULL;
  if (epilogue == Py_None) {
    steps = PyTuple_New(0);
  } else {
    steps = PyObject_GetAttr(epilogue, with.steps);
    operands = steps ? PyObject_GetAttr(epilogue, with.operands) : NULL;
    if (!operands) goto end;
  }
  setting = setting_in_force();
  if (!steps || !setting) goto end;
  remembered_key key;
  if (make_key(&key, arguments[0], setting, arguments[1], operands, arguments[2], steps)) {
    remembered_call *call = remembered_find(&key);
    if (call) {
      result = run(call, arguments[1], operands, out);
      remembered_leave(call);
    }
  }
  if (!result && !PyErr_Occurred())
    result = PyObject_CallFunctionObjArgs(with.others, arguments[0], arguments[1], arguments[2],
                                          out, epilogue, NULL);
end:
  Py_XDECREF(steps);
  Py_XDECREF(operands);
  Py_XDECREF(setting);
  return result;
}

/* ---- Remembering ----------------------------------------------------------------- */

static bool take_fixed(remembered_call *call, PyObject *fixed) {
  for (Py_ssize_t i = 0; i < call->key.num_inputs; i++) {
    call->fixed[i] = PyLong_AsVoidPtr(PyTuple_GetItem(fixed, i));
    if (!call->fixed[i] && PyErr_Occurred()) return false;
  }
  return true;
}

static bool take_output(remembered_call *call, PyObject *like) {
  PyArrayObject *array = (PyArrayObject *)like;
  call->rank = PyArray_NDIM(array);
  if (call->rank > REMEMBERED_RANK) return false;
  call->output_bytes = (size_t)PyArray_NBYTES(array);
  for (int i = 0; i < call->rank; i++) call->shape[i] = PyArray_DIMS(array)[i];
  call->dtype = PyArray_DESCR(array);
  return true;
}

static void take_inputs(remembered_call *call, PyObject *inputs) {
  for (Py_ssize_t i = 0; i < call->key.num_inputs; i++) {
    PyObject *x = PyTuple_GetItem(inputs, i);
    if (x == Py_None || (PyObject *)Py_TYPE(x) == with.constant) continue;
    Py_INCREF(call->key.inputs[i].what);
    Py_XINCREF(call->key.inputs[i].quantization);
    call->bytes[call->num_live] = (size_t)PyArray_NBYTES(stored(x));
    call->live[call->num_live++] = (uint32_t)i;
  }
}

PyDoc_STRVAR(keep_doc,
             "keep(operator, setting, inputs, attributes, steps, handle, fixed, like, "
             "may_overwrite, quantization, owner, /)\n--\n\n"
             "Serve calls like this one here from now on, if they can be compared.\n\n"
             "Parameters\n----------\n"
             "operator, setting, inputs, attributes, steps\n    Of the call.\n"
             "handle\n    The address of the prepared call.\n"
             "fixed\n    For each input the address of its constant, 0 without.\n"
             "like\n    A dense array of the result's shape and dtype.\n"
             "may_overwrite\n    A bit for each input whose memory the result may take.\n"
             "quantization\n    The result's, or None.\n"
             "owner\n    Is kept as long as the call is remembered.\n");

static PyObject *eager_keep(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *operator, *setting, *inputs, *attributes, *steps, *handle, *fixed, *like, *owner;
  PyObject *quantization;
  unsigned int may_overwrite;
  if (!PyArg_ParseTuple(arguments, "OOO!O!O!OO!O!IOO:keep", &operator, &setting, &PyTuple_Type,
                        &inputs, &PyTuple_Type, &attributes, &PyTuple_Type, &steps, &handle,
                        &PyTuple_Type, &fixed, &PyArray_Type, &like, &may_overwrite, &quantization,
                        &owner))
    return NULL;
  if (PyTuple_Size(fixed) != PyTuple_Size(inputs)) {
    PyErr_SetString(PyExc_ValueError, "keep: fixed: expected as many addresses as inputs");
    return NULL;
  }
  remembered_call *call = PyMem_Calloc(1, sizeof *call);
  if (!call) return PyErr_NoMemory();
  remembered_call *known = NULL;
  if (!make_key(&call->key, operator, setting, inputs, NULL, attributes, steps) ||
      (known = remembered_find(&call->key)) || !take_output(call, like)) {
    if (known) remembered_leave(known);
    PyMem_Free(call);
    Py_RETURN_NONE;
  }
  call->handle = PyLong_AsVoidPtr(handle);
  if (!call->handle || !take_fixed(call, fixed)) {
    PyMem_Free(call);
    if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "keep: handle: expected an address");
    return NULL;
  }
  take_inputs(call, inputs);
  call->may_overwrite = may_overwrite;
  call->quantization = quantization == Py_None ? NULL : quantization;
  call->owner = owner;
  Py_INCREF(operator);
  Py_INCREF(setting);
  Py_INCREF(attributes);
  Py_INCREF(steps);
  Py_INCREF(owner);
  Py_INCREF((PyObject *)call->dtype);
  Py_XINCREF(call->quantization);
  remembered_add(call);
  Py_RETURN_NONE;
}

PyDoc_STRVAR(forget_doc, "forget()\n--\n\nForget every call.\n");

static PyObject *eager_forget(PyObject *module, PyObject *unused) {
  (void)module;
  (void)unused;
  remembered_clear();
  Py_RETURN_NONE;
}

PyDoc_STRVAR(
    setup_doc,
    "setup(run, current, unset, constant, quantized, others, /)\n--\n\n"
    "Say what calls are made of.\n\n"
    "Parameters\n----------\n"
    "run\n    The address of `core_call_run_aligned`.\n"
    "current, unset\n    Functions: the setting in force or None; the setting where it is None.\n"
    "constant, quantized\n    The types of constants and of quantised arrays.\n"
    "others\n    The function that serves every call.\n");

static PyObject *eager_setup(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *address;
  if (!PyArg_ParseTuple(arguments, "OOOOOO:setup", &address, &with.current, &with.unset,
                        &with.constant, &with.quantized, &with.others))
    return NULL;
  void *run = PyLong_AsVoidPtr(address);
  if (!run) return NULL;
  memcpy(&with.run, &run, sizeof run);
  /* They are kept as long as the process lives. */
  Py_INCREF(with.current);
  Py_INCREF(with.unset);
  Py_INCREF(with.constant);
  Py_INCREF(with.quantized);
  Py_INCREF(with.others);
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"call", (PyCFunction)(void (*)(void))eager_call, METH_FASTCALL, call_doc},
    {"keep", eager_keep, METH_VARARGS, keep_doc},
    {"forget", eager_forget, METH_NOARGS, forget_doc},
    {"setup", eager_setup, METH_VARARGS, setup_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "dispatch._eager", NULL, -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__eager(void) {
  import_array();
  const struct {
    PyObject **slot;
    const char *name;
  } names[] = {{&with.array, "array"},
               {&with.values, "values"},
               {&with.quantization, "quantization"},
               {&with.steps, "steps"},
               {&with.operands, "operands"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    *names[i].slot = PyUnicode_InternFromString(names[i].name);
    if (!*names[i].slot) return NULL;
  }
  return PyModule_Create(&definition);
}
