/*
 * convolution.h: convolutions by a work-item for each pixel of the result: with few products for
 * each (depthwise), and transposed ones, which add up what reaches the pixel.
 */
typedef struct {
  real numbers[NUMBERS];
  int count, groups, channels, outputs, height, width, y_height, y_width;
  int size[2], strides[2], pads[2], dilations[2];
#if CENTRED
  int zero, y_zero, low, high;
#endif
} convolution_parameters;

/* Operands of 8 bits are less their zero points; a channel of a group has its own multiplier. */
#if CENTRED
#define POINTS GLOBAL const int *zeros, GLOBAL const float *multipliers,
#define X_VALUE(at) (LOAD(TYPE_A, x, at) - p.zero)
#define W_VALUE(at) (LOAD(TYPE_B, w, at) - zeros[output % p.outputs])
#define REQUANTIZE                                                     \
  const float scaled = (float)value * multipliers[output % p.outputs]; \
  value = stored_of(rint(scaled), p.y_zero, p.low, p.high);
#else
#define POINTS
#define X_VALUE(at) LOAD(TYPE_A, x, at)
#define W_VALUE(at) LOAD(TYPE_B, w, at)
#define REQUANTIZE
#endif

#define PLACES                                                                     \
  const int at = GROUP(0) * GROUP_ITEMS + ITEM(0);                                 \
  if (at >= p.count) return;                                                       \
  const int column = at % p.y_width, row = at / p.y_width % p.y_height;            \
  const int output = at / p.y_width / p.y_height % (p.groups * p.outputs);         \
  const int image = at / p.y_width / p.y_height / (p.groups * p.outputs);          \
  const int group = output / p.outputs;                                            \
  const int x_base = (image * p.groups + group) * p.channels * p.height * p.width; \
  const int window = p.size[0] * p.size[1], pixels = p.height * p.width;

#if HAS_BIAS
#define BIAS_BUFFER INPUT(COMPUTED) bias,
#define ADD_BIAS value += LOAD(COMPUTED, bias, output);
#else
#define BIAS_BUFFER
#define ADD_BIAS
#endif

KERNEL(GROUP_ITEMS)
void direct(INPUT(TYPE_A) x, INPUT(TYPE_B) w, POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y,
            const convolution_parameters p) {
  PLACES
  real value = 0;
  for (int i = 0; i < p.size[0]; i++) {
    const int h = row * p.strides[0] - p.pads[0] + i * p.dilations[0];
    if (h < 0 || h >= p.height) continue;
    for (int j = 0; j < p.size[1]; j++) {
      const int v = column * p.strides[1] - p.pads[1] + j * p.dilations[1];
      if (v < 0 || v >= p.width) continue;
      const int x_at = x_base + h * p.width + v;
      const int w_at = output * p.channels * window + i * p.size[1] + j;
      for (int c = 0; c < p.channels; c++)
        value += X_VALUE(x_at + c * pixels) * W_VALUE(w_at + c * window);
    }
  }
  ADD_BIAS
  REQUANTIZE
  EPILOGUE
  STORE(TYPE_Y, y, at, value);
}

KERNEL(GROUP_ITEMS)
void transposed(INPUT(TYPE_A) x, INPUT(TYPE_B) w,
                POINTS BIAS_BUFFER EPILOGUE_BUFFERS OUTPUT(TYPE_Y) y,
                const convolution_parameters p) {
  PLACES
  real value = 0;
  for (int i = 0; i < p.size[0]; i++) {
    const int above = row + p.pads[0] - i * p.dilations[0], h = above / p.strides[0];
    if (above < 0 || above % p.strides[0] != 0 || h >= p.height) continue;
    for (int j = 0; j < p.size[1]; j++) {
      const int before = column + p.pads[1] - j * p.dilations[1], v = before / p.strides[1];
      if (before < 0 || before % p.strides[1] != 0 || v >= p.width) continue;
      const int x_at = x_base + h * p.width + v;
      const int w_at =
          (group * p.channels * p.outputs + output % p.outputs) * window + i * p.size[1] + j;
      for (int c = 0; c < p.channels; c++)
        value += X_VALUE(x_at + c * pixels) * W_VALUE(w_at + c * p.outputs * window);
    }
  }
  ADD_BIAS
  REQUANTIZE
  EPILOGUE
  STORE(TYPE_Y, y, at, value);
}
