/* dynamic.h: stored values by the range that the values themselves have, 0 among them. */
typedef struct {
  int count;
} dynamic_parameters;

/* One group: the scale and the zero point. */
KERNEL(ROW_ITEMS)
void find_range(INPUT(f32) x, OUTPUT(f32) y_scale, OUTPUT(u8) y_zero, const dynamic_parameters p) {
  LOCAL float shared[ROW_ITEMS];
  const int item = ITEM(0);
  float low = 0, high = 0;
  for (int k = item; k < p.count; k += ROW_ITEMS) {
    low = smaller_of(low, x[k]);
    high = larger_of(high, x[k]);
  }
  COMBINE_GROUP(low, smaller_of, shared)
  COMBINE_GROUP(high, larger_of, shared)
  if (item > 0) return;
  const float range = (high - low) / 255.0f;
  const float scale = range == 0 ? 1.0f : range;
  y_scale[0] = scale;
  y_zero[0] = (uchar)stored_of(rint(-low / scale), 0, 0, 255);
}

KERNEL(ROW_ITEMS)
void quantize(INPUT(f32) x, OUTPUT(u8) y, INPUT(f32) y_scale, INPUT(u8) y_zero,
              const dynamic_parameters p) {
  const int index = GROUP(0) * ROW_ITEMS + ITEM(0);
  if (index >= p.count) return;
  y[index] = (uchar)stored_of(rint(x[index] / y_scale[0]), y_zero[0], 0, 255);
}
