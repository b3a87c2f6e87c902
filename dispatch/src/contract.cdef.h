/* What Python sees of kernel_pack.h. The compiler checks it against the header. */

typedef struct {
  int32_t device_type;
  int32_t device_id;
} DLDevice;
typedef struct {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes;
} DLDataType;
typedef struct {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides;
  uint64_t byte_offset;
} DLTensor;

#define KP_CONTRACT_VERSION ...
#define KP_ALIGNMENT ...

typedef enum kp_status {
  KP_OK,
  KP_INVALID_ARGUMENT,
  KP_OUT_OF_MEMORY,
  KP_UNAVAILABLE,
  KP_WRONG_VERSION,
  KP_LIBRARY_FAILED,
  KP_INTERNAL,
  ...
} kp_status;

typedef struct kp_error {
  char message[512];
} kp_error;

typedef char kp_layout[16];

typedef struct kp_quantization {
  uint32_t struct_size;
  int32_t axis;
  int64_t count;
  const float *scales;
  const int32_t *zero_points;
} kp_quantization;

enum { KP_TENSOR_CONSTANT, KP_TENSOR_ABSENT, ... };

typedef struct kp_tensor {
  uint32_t struct_size;
  uint32_t flags;
  DLTensor dl;
  kp_layout layout;
  const kp_quantization *quantization;
} kp_tensor;

typedef enum kp_attribute_type { KP_INTEGERS, KP_REALS, KP_STRING, ... } kp_attribute_type;

typedef struct kp_attribute {
  const char *name;
  kp_attribute_type type;
  uint32_t count;
  const int64_t *integers;
  const double *reals;
  const char *string;
} kp_attribute;

typedef struct kp_epilogue {
  const char *name;
  int32_t input;
  double alpha, beta;
} kp_epilogue;

typedef enum kp_precision { KP_HIGHEST, KP_HIGH, KP_MEDIUM, ... } kp_precision;

typedef struct kp_problem {
  uint32_t struct_size;
  const char *operator_name;
  uint32_t num_inputs;
  uint32_t num_operator_inputs;
  uint32_t num_outputs;
  const kp_tensor *inputs;
  const kp_tensor *outputs;
  uint32_t num_attributes;
  const kp_attribute *attributes;
  uint32_t num_epilogues;
  const kp_epilogue *epilogues;
  DLDevice device;
  const char *device_name;
  kp_precision precision;
  int32_t deterministic;
  int32_t threads;
} kp_problem;

typedef enum kp_answer_code {
  KP_YES,
  KP_NO_DTYPE,
  KP_NO_RANK,
  KP_NO_SHAPE,
  KP_NO_LAYOUT,
  KP_NO_ATTRIBUTE,
  KP_NO_EPILOGUE,
  KP_NO_PRECISION,
  KP_NO_DETERMINISM,
  KP_NO_CONSTANT,
  KP_NO_QUANTIZATION,
  KP_NO_CPU_FEATURE,
  KP_NO_MEMORY,
  KP_NO_LIBRARY,
  KP_NO_DEVICE,
  ...
} kp_answer_code;

enum { KP_ANSWER_BINDS_CONSTANTS, ... };

typedef struct kp_answer {
  uint32_t struct_size;
  int32_t code;
  uint32_t flags;
  double cost;
  uint64_t scratch_bytes;
  uint64_t may_overwrite;
  kp_layout *layouts;
  uint64_t *packed_bytes;
  const char *subject;
  const char *limit;
  int64_t got;
  int32_t has_got;
} kp_answer;

typedef struct kp_pack kp_pack;
typedef struct kp_prepared kp_prepared;

enum { KP_KERNEL_DETERMINISTIC, ... };

typedef struct kp_kernel {
  uint32_t struct_size;
  uint32_t flags;
  const char *name;
  const char *source;
  const void *context;
  void (*query)(kp_pack *pack, const struct kp_kernel *kernel, const kp_problem *problem,
                kp_answer *answer);
  void (*reason)(kp_pack *pack, const struct kp_kernel *kernel, const kp_problem *problem,
                 char *text, size_t size);
  kp_status (*prepare)(kp_pack *pack, const struct kp_kernel *kernel, const kp_problem *problem,
                       const void *const *constants, kp_prepared **prepared, kp_error *error);
  kp_status (*pack_constant)(const kp_prepared *prepared, uint32_t input, const void *source,
                             void *destination, kp_error *error);
  kp_status (*run)(const kp_prepared *prepared, void *const *buffers, void *scratch, void *queue);
  void (*release)(kp_prepared *prepared);
} kp_kernel;

typedef struct kp_option {
  const char *name;
  const char *value;
} kp_option;

typedef enum kp_copy_kind {
  KP_HOST_TO_DEVICE,
  KP_DEVICE_TO_HOST,
  KP_DEVICE_TO_DEVICE,
  ...
} kp_copy_kind;

typedef struct kp_memory {
  uint32_t struct_size;
  kp_status (*allocate)(kp_pack *pack, DLDevice device, uint64_t bytes, void **handle,
                        kp_error *error);
  void (*free)(kp_pack *pack, DLDevice device, void *handle);
  kp_status (*view)(kp_pack *pack, void *handle, uint64_t offset, uint64_t bytes, void **view,
                    kp_error *error);
  kp_status (*copy)(kp_pack *pack, void *destination, const void *source, uint64_t bytes,
                    kp_copy_kind kind, void *queue, kp_error *error);
  kp_status (*synchronize)(kp_pack *pack, void *queue, kp_error *error);
  kp_status (*open_queue)(kp_pack *pack, DLDevice device, void **queue, kp_error *error);
  void (*close_queue)(kp_pack *pack, void *queue);
} kp_memory;

typedef struct kp_pack_table {
  uint32_t struct_size;
  uint32_t contract_version;
  const char *name;
  const char *pack_version;
  kp_status (*open)(const kp_option *options, size_t num_options, kp_pack **pack, kp_error *error);
  void (*close)(kp_pack *pack);
  const char *(*library_version)(kp_pack *pack);
  const kp_kernel *const *(*kernels)(kp_pack *pack, size_t *count);
  const kp_memory *memory;
} kp_pack_table;
