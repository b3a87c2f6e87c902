/*
 * kernel_pack.h: the contract between the dispatcher and a kernel pack.
 *
 * A kernel pack is a shared library that exports one function,
 * `kernel_pack_table`, from which everything else is reached. C11, no
 * dependency. docs/packs.md walks through a whole pack.
 *
 * Rules that hold for every function of a pack:
 *  - It never aborts, prints, throws across the boundary, or leaves a signal
 *    handler behind. It reports failure by a status and a message.
 *  - It may be called from any thread. Calls on one kp_prepared may overlap
 *    as long as each has a scratch buffer of its own.
 *  - Structs carry their size in `struct_size`. A reader uses a field only when
 *    the size says that it is there; new fields are added at the end.
 *  - Strings are UTF-8, NUL-terminated. Strings that a pack returns live as
 *    long as the pack is open.
 */
#ifndef KERNEL_PACK_H
#define KERNEL_PACK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a change breaks packs that were built before it. */
#define KP_CONTRACT_VERSION 1

/* ---- DLPack's types, unless dlpack.h has already declared them ---------- */

#ifndef DLPACK_VERSION
#ifndef DLPACK_MAJOR_VERSION
typedef enum { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3, kDLOpenCL = 4 } DLDeviceType;
typedef enum {
  kDLInt = 0,
  kDLUInt = 1,
  kDLFloat = 2,
  kDLBfloat = 4,
  kDLComplex = 5,
  kDLBool = 6
} DLDataTypeCode;
typedef struct {
  int32_t device_type; /* DLDeviceType */
  int32_t device_id;
} DLDevice;
typedef struct {
  uint8_t code; /* DLDataTypeCode */
  uint8_t bits;
  uint16_t lanes;
} DLDataType;
typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides; /* in elements; NULL: dense */
  uint64_t byte_offset;
} DLTensor;
#endif
#endif

/* ---- Status and errors --------------------------------------------------- */

typedef enum kp_status {
  KP_OK = 0,
  KP_INVALID_ARGUMENT = 1, /* the caller broke the contract */
  KP_OUT_OF_MEMORY = 2,
  KP_UNAVAILABLE = 3,    /* the vendor's library or the hardware isn't here */
  KP_WRONG_VERSION = 4,  /* the vendor's library is of a version that isn't served */
  KP_LIBRARY_FAILED = 5, /* the vendor's library reported an error */
  KP_INTERNAL = 6
} kp_status;

typedef struct kp_error {
  char message[512]; /* one sentence: what, expected, got, remedy */
} kp_error;

/* ---- Problems ------------------------------------------------------------ */

/*
 * A layout is a name:
 *   "nchw"          dense in the logical order of the dimensions, last
 *                   dimension fastest, whatever the rank ("row-major")
 *   "nhwc"          rank 4, logical N,C,H,W, stored N,H,W,C
 *   "nChw16c", "nChw8c"
 *                   rank 4, channels in blocks of 16 (8), stored
 *                   N,C/16,H,W,16; the last block is filled up with zeros,
 *                   which whoever writes the tensor must write (where it holds
 *                   NaN, NaN will do)
 *   "any"           in a query only: the kernel may choose
 * Logical shapes are always in the order N,C,H,W; weights O,I,H,W.
 */
#define KP_LAYOUT_SIZE 16
typedef char kp_layout[KP_LAYOUT_SIZE];

/*
 * Quantisation: real = scale * (stored - zero_point). Scales are finite and above 0, zero points
 * within the dtype (0 for int32). A tensor without it is plain, and no operator takes one for the
 * other. docs/decisions/0012-quantised-tensors.md defines the operators of quantised tensors to
 * the bit; a kernel may be one off. Their bias is plain int32, in units of both scales' product.
 */
typedef struct kp_quantization {
  uint32_t struct_size;
  int32_t axis;  /* -1: one scale for the tensor */
  int64_t count; /* scales and zero points: 1, or the extent of `axis` */
  const float *scales;
  const int32_t *zero_points;
} kp_quantization;

enum {
  KP_TENSOR_CONSTANT = 1, /* the value never changes: it may be packed */
  KP_TENSOR_ABSENT = 2    /* an optional input that was not given; `dl` is zero */
};

typedef struct kp_tensor {
  uint32_t struct_size;
  uint32_t flags;
  DLTensor dl; /* data and strides are NULL: dense in `layout` */
  kp_layout layout;
  const kp_quantization *quantization; /* NULL: not quantised */
} kp_tensor;

typedef enum kp_attribute_type {
  KP_INTEGERS = 0, /* booleans too, as 0 and 1 */
  KP_REALS = 1,
  KP_STRING = 2
} kp_attribute_type;

/* Attributes are complete (defaults filled in) and canonical (padding as
 * numbers); their names are the Python function's keywords. */
typedef struct kp_attribute {
  const char *name;
  kp_attribute_type type;
  uint32_t count; /* 1 for a scalar; for a list its length, possibly 0 */
  const int64_t *integers;
  const double *reals;
  const char *string;
} kp_attribute;

/*
 * What follows the operator on each element of output 0, in order. `name` is
 * an operator's name:
 *   "add", "mul"   with input `input`, of output 0's shape, dtype and layout
 *   "relu", "sigmoid", "tanh", "silu", "hard_swish"
 *   "clip"         alpha = minimum, beta = maximum
 *   "hard_sigmoid" max(0, min(1, alpha * y + beta))
 *   "leaky_relu", "elu"  alpha
 *   "gelu"         alpha = 1: the tanh approximation
 *   "linear"       alpha * y + beta
 * On a quantised output "relu" and "clip" alone; they bound its real value.
 */
typedef struct kp_epilogue {
  const char *name;
  int32_t input; /* index into kp_problem.inputs, or -1 */
  double alpha, beta;
} kp_epilogue;

typedef enum kp_precision {
  KP_HIGHEST = 0, /* products and sums in the operands' precision or better, summed directly */
  KP_HIGH = 1,    /* fast algorithms within the published bound */
  KP_MEDIUM = 2   /* float32 products may be rounded to bfloat16 or TF32 */
} kp_precision;

typedef struct kp_problem {
  uint32_t struct_size;
  const char *operator_name;
  uint32_t num_inputs; /* the operator's own, then the epilogue's */
  uint32_t num_operator_inputs;
  uint32_t num_outputs;
  const kp_tensor *inputs;
  const kp_tensor *outputs;
  uint32_t num_attributes;
  const kp_attribute *attributes; /* sorted by name */
  uint32_t num_epilogues;
  const kp_epilogue *epilogues;
  DLDevice device;
  const char *device_name; /* the project's name of the device's family */
  kp_precision precision;
  int32_t deterministic; /* 1: the same bits whatever the run and the number of threads */
  int32_t threads;       /* >= 1; an upper bound, set before each call of the pack */
} kp_problem;

/* ---- Answers ------------------------------------------------------------- */

/* The catalogue of refusals. KP_YES comes first so that 0 is "yes". */
typedef enum kp_answer_code {
  KP_YES = 0,
  KP_NO_DTYPE = 1,         /* a tensor's dtype, or the combination of dtypes */
  KP_NO_RANK = 2,          /* a tensor's number of dimensions */
  KP_NO_SHAPE = 3,         /* an extent, or how extents go together */
  KP_NO_LAYOUT = 4,        /* a tensor's layout */
  KP_NO_ATTRIBUTE = 5,     /* an attribute's value */
  KP_NO_EPILOGUE = 6,      /* what follows the operator */
  KP_NO_PRECISION = 7,     /* the kernel is less precise than asked */
  KP_NO_DETERMINISM = 8,   /* the result may change from run to run */
  KP_NO_CONSTANT = 9,      /* an input must be constant, or must not be */
  KP_NO_QUANTIZATION = 10, /* scale, zero point or axis */
  KP_NO_CPU_FEATURE = 11,  /* the processor lacks an instruction set */
  KP_NO_MEMORY = 12,       /* the sizes overflow or are more than can be had */
  KP_NO_LIBRARY = 13,      /* the vendor's library declined; reason() has its words */
  KP_NO_DEVICE = 14        /* the pack doesn't serve this device */
} kp_answer_code;

enum {
  /* prepare() keeps what it needs of the constants' values in the prepared
   * kernel, which therefore serves those constants alone. */
  KP_ANSWER_BINDS_CONSTANTS = 1
};

/*
 * Filled in by query(). The caller sets struct_size, `layouts` and
 * `packed_bytes` (num_inputs + num_outputs and num_inputs entries) and zeroes
 * what they point to; an empty layout means "as in the problem".
 */
typedef struct kp_answer {
  uint32_t struct_size;
  int32_t code; /* kp_answer_code */
  uint32_t flags;
  double cost;            /* expected seconds; preference, never ability. That of `layouts` too */
  uint64_t scratch_bytes; /* alignment: KP_ALIGNMENT */
  uint64_t may_overwrite; /* bit i: output 0 may share input i's memory */
  kp_layout *layouts;     /* the layouts the kernel works on, inputs then outputs */
  uint64_t *packed_bytes; /* for a constant input: bytes of its packed form; 0: used as it is */
  /* Of a refusal. Static strings: the caller makes the sentence if asked. */
  const char *subject; /* an attribute, or a tensor's property: "strides", "w.dtype" */
  const char *limit;   /* what would be served: "<= 3", "float32" */
  int64_t got;         /* what came, where it is a number and has_got is 1 */
  int32_t has_got;
} kp_answer;

#define KP_ALIGNMENT 64 /* of scratch, packed constants and planned memory */

/* ---- Kernels ------------------------------------------------------------- */

typedef struct kp_pack kp_pack;         /* an opened pack: the pack's own type */
typedef struct kp_prepared kp_prepared; /* a kernel ready for one problem: likewise */

enum {
  /* The same bits from run to run and with any number of threads. */
  KP_KERNEL_DETERMINISTIC = 1
};

typedef struct kp_kernel {
  uint32_t struct_size;
  uint32_t flags;
  const char *name;    /* pack.operator.algorithm.dtype */
  const char *source;  /* where it is registered: "file:line" */
  const void *context; /* the pack's own */

  /*
   * May this problem be run, and how? Cheap, without side effects, and the
   * same answer every time.
   *
   * A problem may come from a damaged file. Its tensors and layouts are well
   * formed, but only the operator's rule says how shapes, dtypes and attributes
   * go together: a problem that breaks it is refused (KP_NO_SHAPE, KP_NO_RANK,
   * KP_NO_DTYPE, KP_NO_ATTRIBUTE). Values are no part of the problem: run()
   * keeps within its tensors whatever they are, indices too.
   */
  void (*query)(kp_pack *pack, const struct kp_kernel *kernel, const kp_problem *problem,
                kp_answer *answer);

  /* Optional: the refusal's reason in the library's words. */
  void (*reason)(kp_pack *pack, const struct kp_kernel *kernel, const kp_problem *problem,
                 char *text, size_t size);

  /*
   * Makes the kernel ready for a problem that query() said yes to and whose
   * layouts are all concrete. `constants` has num_inputs entries: the value of
   * each constant input in its problem's layout, else NULL. They are only
   * read during the call.
   */
  kp_status (*prepare)(kp_pack *pack, const struct kp_kernel *kernel, const kp_problem *problem,
                       const void *const *constants, kp_prepared **prepared, kp_error *error);

  /* Optional: writes the packed form of constant input `input` to
   * `destination` (packed_bytes of them, aligned). */
  kp_status (*pack_constant)(const kp_prepared *prepared, uint32_t input, const void *source,
                             void *destination, kp_error *error);

  /*
   * Runs. `buffers`: one pointer for each input, then for each output; NULL
   * for an absent input; the packed form for a packed constant. On a CPU they
   * are aligned to the element at least. `queue`: the device's stream, NULL
   * on a CPU; where there is one, run() enqueues and returns. Never allocates,
   * never keeps a buffer.
   */
  kp_status (*run)(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);

  void (*release)(kp_prepared *prepared);
} kp_kernel;

/* ---- Packs --------------------------------------------------------------- */

typedef struct kp_option {
  const char *name; /* "library": path of the vendor's library; others are the pack's own */
  const char *value;
} kp_option;

typedef enum kp_copy_kind {
  KP_HOST_TO_DEVICE = 0,
  KP_DEVICE_TO_HOST = 1,
  KP_DEVICE_TO_DEVICE = 2
} kp_copy_kind;

/*
 * Optional: for a pack whose device has a memory of its own; every slot is then there. A handle
 * is the pack's own word for device memory: what `run`, `prepare` (constants) and `pack_constant`
 * get as buffers, constants, source, destination and scratch, and DLPack's `data`. Nobody else
 * follows it. Such a pack serves one device, whatever its number was where a plan was made.
 */
typedef struct kp_memory {
  uint32_t struct_size;
  /* At least `bytes` bytes and 1, aligned for any kernel. */
  kp_status (*allocate)(kp_pack *pack, DLDevice device, uint64_t bytes, void **handle,
                        kp_error *error);
  /* Of views, too; those are freed before what they are views of. */
  void (*free)(kp_pack *pack, DLDevice device, void *handle);
  /* A handle for `bytes` bytes from `offset` on: what run() gets for a part of an allocation.
   * KP_INVALID_ARGUMENT where the device has no buffers that begin there. */
  kp_status (*view)(kp_pack *pack, void *handle, uint64_t offset, uint64_t bytes, void **view,
                    kp_error *error);
  /* Enqueues; memory of the host's must stay as it is until synchronize(). */
  kp_status (*copy)(kp_pack *pack, void *destination, const void *source, uint64_t bytes,
                    kp_copy_kind kind, void *queue, kp_error *error);
  /* Waits for all that was enqueued, and reports what failed of it. */
  kp_status (*synchronize)(kp_pack *pack, void *queue, kp_error *error);
  /* A queue that runs in order, for callers that have none. */
  kp_status (*open_queue)(kp_pack *pack, DLDevice device, void **queue, kp_error *error);
  void (*close_queue)(kp_pack *pack, void *queue);
} kp_memory;

typedef struct kp_pack_table {
  uint32_t struct_size;
  uint32_t contract_version;
  const char *name;         /* the first part of its kernels' names */
  const char *pack_version; /* of the pack itself */

  /* Finds the vendor's library, checks its version, makes the kernels' list.
   * May be called several times; each pack opened is closed once. */
  kp_status (*open)(const kp_option *options, size_t num_options, kp_pack **pack, kp_error *error);
  void (*close)(kp_pack *pack);

  /* The vendor's library and what it uses of the machine: "acme 3.2.0, AVX-512". */
  const char *(*library_version)(kp_pack *pack);
  const kp_kernel *const *(*kernels)(kp_pack *pack, size_t *count);

  const kp_memory *memory; /* NULL on a CPU */
} kp_pack_table;

/*
 * The one exported function. Returns NULL when the pack can't serve
 * `contract_version`; its own is then read from kernel_pack_contract_version.
 */
#define KP_ENTRY "kernel_pack_table"
#define KP_VERSION_SYMBOL "kernel_pack_contract_version"
typedef const kp_pack_table *(*kp_entry)(uint32_t contract_version);

#if defined(__GNUC__)
#define KP_EXPORT __attribute__((visibility("default")))
#else
#define KP_EXPORT
#endif

/* ---- Helpers for packs, all inline --------------------------------------- */

static inline void kp_refuse(kp_answer *answer, kp_answer_code code, const char *subject,
                             const char *limit) {
  answer->code = (int32_t)code;
  answer->subject = subject;
  answer->limit = limit;
  answer->has_got = 0;
}

static inline void kp_refuse_number(kp_answer *answer, kp_answer_code code, const char *subject,
                                    const char *limit, int64_t got) {
  kp_refuse(answer, code, subject, limit);
  answer->got = got;
  answer->has_got = 1;
}

static inline const kp_attribute *kp_find_attribute(const kp_problem *problem, const char *name) {
  for (uint32_t i = 0; i < problem->num_attributes; i++) {
    const char *a = problem->attributes[i].name, *b = name;
    while (*a && *a == *b) a++, b++;
    if (*a == *b) return &problem->attributes[i];
  }
  return NULL;
}

/* Integer number `index` of an attribute, or `otherwise` where there is none. */
static inline int64_t kp_integer(const kp_problem *problem, const char *name, uint32_t index,
                                 int64_t otherwise) {
  const kp_attribute *a = kp_find_attribute(problem, name);
  return a && a->type == KP_INTEGERS && index < a->count ? a->integers[index] : otherwise;
}

static inline double kp_real(const kp_problem *problem, const char *name, uint32_t index,
                             double otherwise) {
  const kp_attribute *a = kp_find_attribute(problem, name);
  if (!a || index >= a->count) return otherwise;
  return a->type == KP_REALS      ? a->reals[index]
         : a->type == KP_INTEGERS ? (double)a->integers[index]
                                  : otherwise;
}

static inline const char *kp_string(const kp_problem *problem, const char *name,
                                    const char *otherwise) {
  const kp_attribute *a = kp_find_attribute(problem, name);
  return a && a->type == KP_STRING ? a->string : otherwise;
}

static inline int kp_is_dtype(const kp_tensor *t, DLDataTypeCode code, int bits) {
  return t->dl.dtype.code == (uint8_t)code && t->dl.dtype.bits == (uint8_t)bits;
}

static inline int kp_is_layout(const kp_tensor *t, const char *layout) {
  const char *a = t->layout;
  while (*a && *a == *layout) a++, layout++;
  return *a == *layout;
}

static inline int kp_is_absent(const kp_tensor *t) { return (t->flags & KP_TENSOR_ABSENT) != 0; }
static inline int kp_is_constant(const kp_tensor *t) {
  return (t->flags & KP_TENSOR_CONSTANT) != 0;
}

/* Elements of the logical shape (1 for rank 0). */
static inline int64_t kp_elements(const kp_tensor *t) {
  int64_t n = 1;
  for (int32_t i = 0; i < t->dl.ndim; i++) n *= t->dl.shape[i];
  return n;
}

/* Channels of one block: 16 for "nChw16c", 8 for "nChw8c", else 1. */
static inline int64_t kp_block(const kp_tensor *t) {
  return kp_is_layout(t, "nChw16c") ? 16 : kp_is_layout(t, "nChw8c") ? 8 : 1;
}

/* Bytes that the tensor takes in memory, blocks filled up. */
static inline int64_t kp_bytes(const kp_tensor *t) {
  int64_t n = 1, block = kp_block(t);
  for (int32_t i = 0; i < t->dl.ndim; i++)
    n *= i == 1 && block > 1 ? (t->dl.shape[i] + block - 1) / block * block : t->dl.shape[i];
  return n * ((t->dl.dtype.bits + 7) / 8);
}

#ifdef __cplusplus
}
#endif
#endif /* KERNEL_PACK_H */
