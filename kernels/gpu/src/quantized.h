/* quantized.h: between real and stored values, and stored values of two tensors (decision 12). */
typedef struct {
  int count, channels, inner, low, high;
} quantize_parameters;

/* One scale and zero point for each channel, of which the tensors may have one alone. */
#define CHANNEL_OF(index) ((index) / p.inner % p.channels)

KERNEL(GROUP_ITEMS)
void quantize(INPUT(TYPE_A) x, GLOBAL const float *scales, GLOBAL const int *zeros,
              OUTPUT(TYPE_Y) y, const quantize_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int c = CHANNEL_OF(index);
  const float quotient = (float)LOAD(TYPE_A, x, index) / scales[c];
  STORE(TYPE_Y, y, index, stored_of(rint(quotient), zeros[c], p.low, p.high));
}

KERNEL(GROUP_ITEMS)
void dequantize(INPUT(TYPE_A) x, GLOBAL const float *scales, GLOBAL const int *zeros,
                OUTPUT(TYPE_Y) y, const quantize_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int c = CHANNEL_OF(index);
  STORE(TYPE_Y, y, index, (float)((int)LOAD(TYPE_A, x, index) - zeros[c]) * scales[c]);
}

typedef struct {
  float a_ratio, b_ratio;
  int count, a_zero, b_zero, y_zero, low, high;
  int extents[RANK], a_strides[RANK], b_strides[RANK];
} binary_parameters;

KERNEL(GROUP_ITEMS)
void binary(INPUT(TYPE_A) a_values, INPUT(TYPE_B) b_values, OUTPUT(TYPE_Y) y,
            const binary_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  int rest = index, a_at = 0, b_at = 0;
  for (int axis = RANK - 1; axis >= 0; axis--) {
    const int place = rest % p.extents[axis];
    a_at += place * p.a_strides[axis];
    b_at += place * p.b_strides[axis];
    rest /= p.extents[axis];
  }
  const int a = (int)LOAD(TYPE_A, a_values, a_at) - p.a_zero;
  const int b = (int)LOAD(TYPE_B, b_values, b_at) - p.b_zero;
#if MULTIPLIES
  const float scaled = (float)(a * b) * p.a_ratio;
#else
  const float a_part = ROUNDED_PRODUCT((float)a, p.a_ratio);
  const float b_part = ROUNDED_PRODUCT((float)b, p.b_ratio);
  const float scaled = a_part + b_part;
#endif
  STORE(TYPE_Y, y, index, stored_of(rint(scaled), p.y_zero, p.low, p.high));
}
