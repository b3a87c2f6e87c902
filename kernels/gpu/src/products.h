/*
 * products.h: what tiled.h and blocked.h share. Products of matrices, y[m][n] = sum over k of
 * a[m][k] * b[k][n], many at once; and CONVOLUTIONs as such products of filters and images, of
 * which b is what is seen through the WINDOW (implicit GEMM), or, where that is a pixel, the image.
 *
 * Operands of 8 bits, of dtypes TYPE_A and TYPE_B, are CENTRED when they are brought: less zero
 * points of the problem's, whose sums become stored values again, or of tensors'. A channel, of
 * which the result has one for each m of a convolution and one for each n else, may have a zero
 * point and a multiplier of its own.
 */
#define NOT_CENTRED 0
#define BY_PARAMETERS 1
#define BY_TENSORS 2

typedef struct {
  real numbers[NUMBERS];
  real alpha;
  int m, n, k, tiles_m, tiles_n;
#if CENTRED == BY_PARAMETERS
  int zero, y_zero, low, high;
#endif
#if WINDOW
  int groups, channels, height, width, y_width;
  int size[2], strides[2], pads[2], dilations[2];
#else
  int a_row, a_column, b_row, b_column;
  int batch_extents[RANK], a_strides[RANK], b_strides[RANK];
#endif
} gemm_parameters;

#if CONVOLUTION
#if WINDOW
#define CHANNEL_GROUPS p.groups
#else
#define CHANNEL_GROUPS p.batch_extents[RANK - 1]
#endif
#define CHANNEL(batch, down, across) ((batch) % CHANNEL_GROUPS * p.m + (down))
#else
#define CHANNEL(batch, down, across) (across)
#endif

#if CONVOLUTION
#define TYPE_FIRST TYPE_B
#define TYPE_SECOND TYPE_A
#else
#define TYPE_FIRST TYPE_A
#define TYPE_SECOND TYPE_B
#endif

/* ZERO of the operand with one zero point, ZEROS of the other's channels. */
#if CENTRED == BY_PARAMETERS
#define POINTS GLOBAL const int *zeros, GLOBAL const float *multipliers,
#define ZERO p.zero
#define ZEROS(channel) zeros[channel]
#elif CENTRED == BY_TENSORS
#if HAS_POINT
#define FIRST_POINT INPUT(TYPE_FIRST) point,
#define ZERO LOAD(TYPE_FIRST, point, 0)
#else
#define FIRST_POINT
#define ZERO 0
#endif
#if HAS_POINTS
#define POINTS FIRST_POINT INPUT(TYPE_SECOND) points,
#define ZEROS(channel) LOAD(TYPE_SECOND, points, (channel) * POINTS_STEP)
#else
#define POINTS FIRST_POINT
#define ZEROS(channel) 0
#endif
#else
#define POINTS
#endif

/* A channel's zero point, as each operand has it. */
#if CONVOLUTION
#define A_ZERO(row) ZEROS(CHANNEL(batch, row, 0))
#define B_ZERO(column) ZERO
#else
#define A_ZERO(row) ZERO
#define B_ZERO(column) ZEROS(CHANNEL(batch, 0, column))
#endif
#if CENTRED == NOT_CENTRED
#define A_VALUE(at, row) LOAD(TYPE_A, a, at)
#define B_VALUE(at, column) LOAD(TYPE_B, b, at)
#else
#define A_VALUE(at, row) (LOAD(TYPE_A, a, at) - A_ZERO(row))
#define B_VALUE(at, column) (LOAD(TYPE_B, b, at) - B_ZERO(column))
#endif

/* Where a pixel or a tap lies that isn't there: beyond all images, whatever is added. */
#define NOWHERE (-(1 << 24))

/* Where the matrices of a batch begin. */
#if WINDOW
#define FIND_BASES                                            \
  const int a_base = batch % p.groups * p.m * p.k;            \
  const int b_base = batch * p.channels * p.height * p.width; \
  const int a_row = p.k, a_column = 1;
#else
#define FIND_BASES                                   \
  int a_base = 0, b_base = 0, rest_ = batch;         \
  const int a_row = p.a_row, a_column = p.a_column;  \
  for (int axis = RANK - 1; axis >= 0; axis--) {     \
    const int place = rest_ % p.batch_extents[axis]; \
    a_base += place * p.a_strides[axis];             \
    b_base += place * p.b_strides[axis];             \
    rest_ /= p.batch_extents[axis];                  \
  }
#endif

#if CENTRED == BY_PARAMETERS
#define REQUANTIZE                                                       \
  const float scaled = (float)value * multipliers[CHANNEL(batch, m, n)]; \
  value = stored_of(rint(scaled), p.y_zero, p.low, p.high);
#else
#define REQUANTIZE
#endif
#if HAS_BIAS
#define BIAS_BUFFER INPUT(COMPUTED) bias,
#define ADD_BIAS value += LOAD(COMPUTED, bias, CHANNEL(batch, m, n));
#else
#define BIAS_BUFFER
#define ADD_BIAS
#endif

/* Writes the result of row m and column n from its sum. */
#define FINISH(sum)                             \
  {                                             \
    const int at = (batch * p.m + m) * p.n + n; \
    real value = (sum) * p.alpha;               \
    ADD_BIAS                                    \
    REQUANTIZE                                  \
    EPILOGUE                                    \
    STORE(TYPE_Y, y, at, value);                \
  }
