/* qsoftmax.h: softmax along rows of stored values; a group takes a row, as in rows.h. */
DEVICE int larger(int a, int b) { return a > b ? a : b; }
#define SUM(a, b) ((a) + (b))

typedef struct {
  real x_scale, y_scale;
  int length, inner, y_zero, low, high;
} qsoftmax_parameters;

KERNEL(ROW_ITEMS) void qsoftmax(INPUT(TYPE_A) x, OUTPUT(TYPE_Y) y, const qsoftmax_parameters p) {
  LOCAL int largest_of[ROW_ITEMS];
  LOCAL real sum_of[ROW_ITEMS];
  const int item = ITEM(0), row = GROUP(0);
  const int base = row / p.inner * p.length * p.inner + row % p.inner;
  int largest = -256;
  for (int k = item; k < p.length; k += ROW_ITEMS) {
    const int value = LOAD(TYPE_A, x, base + k * p.inner);
    largest = value > largest ? value : largest;
  }
  COMBINE_GROUP(largest, larger, largest_of)
  real total = 0;
  for (int k = item; k < p.length; k += ROW_ITEMS)
    total += exp((real)(LOAD(TYPE_A, x, base + k * p.inner) - largest) * p.x_scale);
  COMBINE_GROUP(total, SUM, sum_of)
  const real multiplier = 1 / (total * p.y_scale);
  for (int k = item; k < p.length; k += ROW_ITEMS) {
    const int at = base + k * p.inner;
    const real value = exp((real)(LOAD(TYPE_A, x, at) - largest) * p.x_scale) * multiplier;
    STORE(TYPE_Y, y, at, stored_of((float)rint(value), p.y_zero, p.low, p.high));
  }
}
