/* window.h: the largest element or the mean of a sliding window. */
typedef struct {
  real initial;
  int count, height, width, y_height, y_width;
  int size[2], strides[2], pads[2], dilations[2];
  int counted_low[2], counted_high[2];
} window_parameters;

KERNEL void window(GLOBAL const STORED(COMPUTED) * x, GLOBAL STORED(COMPUTED) * y,
                   const window_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int column = index % p.y_width, row = index / p.y_width % p.y_height;
  const int image = index / p.y_width / p.y_height * p.height * p.width;
  const int top = row * p.strides[0] - p.pads[0], left = column * p.strides[1] - p.pads[1];
  real result = p.initial;
  for (int i = 0; i < p.size[0]; i++) {
    const int h = top + i * p.dilations[0];
    if (h < 0 || h >= p.height) continue;
    for (int j = 0; j < p.size[1]; j++) {
      const int w = left + j * p.dilations[1];
      if (w < 0 || w >= p.width) continue;
      const real value = LOAD(COMPUTED, x, image + h * p.width + w);
#if MEAN
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
  result /= counted;
#endif
  STORE(COMPUTED, y, index, result);
}
