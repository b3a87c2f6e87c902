/*
 * window.h: the largest element or the mean of a sliding window. Channels that lie last, beside
 * each other, are `channels`; others are images of one channel. Quantised elements' sums are exact,
 * and `initial` is the scale of x over that of y.
 */
typedef struct {
  REAL(TYPE_NUMBERS) initial;
  int count, channels, height, width, y_height, y_width;
  int size[2], strides[2], pads[2], dilations[2];
  int counted_low[2], counted_high[2];
#if QUANTIZED
  int zero, y_zero, low, high;
#endif
} window_parameters;

KERNEL(GROUP_ITEMS) void window(INPUT(COMPUTED) x, OUTPUT(TYPE_Y) y, const window_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int pixel = index / p.channels, channel = index - pixel * p.channels;
  const int column = pixel % p.y_width, row = pixel / p.y_width % p.y_height;
  const int image = pixel / p.y_width / p.y_height * p.height * p.width;
  const int top = row * p.strides[0] - p.pads[0], left = column * p.strides[1] - p.pads[1];
#if QUANTIZED
  int result = 0;
#else
  real result = p.initial;
#endif
  for (int i = 0; i < p.size[0]; i++) {
    const int h = top + i * p.dilations[0];
    if (h < 0 || h >= p.height) continue;
    for (int j = 0; j < p.size[1]; j++) {
      const int w = left + j * p.dilations[1];
      if (w < 0 || w >= p.width) continue;
      const real value = LOAD(COMPUTED, x, (image + h * p.width + w) * p.channels + channel);
#if QUANTIZED
      result += value - p.zero;
#elif MEAN
      result += value;
#else
      result = larger_of(result, value);
#endif
    }
  }
#if MEAN
  int counted = 1;
  for (int axis = 0; axis < 2; axis++) {
    const int start = axis == 0 ? top : left, stop = start + p.size[axis];
    const int low = start > p.counted_low[axis] ? start : p.counted_low[axis];
    const int high = stop < p.counted_high[axis] ? stop : p.counted_high[axis];
    counted *= high - low;
  }
#if QUANTIZED
  const float scaled = (float)result * (p.initial / (float)counted);
  result = stored_of(rint(scaled), p.y_zero, p.low, p.high);
#else
  result /= counted;
#endif
#endif
  STORE(TYPE_Y, y, index, result);
}
