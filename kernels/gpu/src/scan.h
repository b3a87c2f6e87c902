/*
 * scan.h: running sums of rows of `length` elements, `inner` apart, of which `inner` rows lie side
 * by side. A group takes BESIDE of `rows`; each of the work-items that share a row adds up a
 * stretch of it, then goes over it again from what all stretches before come to.
 */
#if IS_FLOATING
#define SUM(a, b) ((a) + (b))
#else
#define SUM(a, b) wrapped_sum(a, b)
#endif

typedef struct {
  int length, inner, rows;
} scan_parameters;

KERNEL(GROUP_SIZE) void cumsum(INPUT(COMPUTED) x, OUTPUT(COMPUTED) y, const scan_parameters p) {
  LOCAL real shared[GROUP_SIZE];
  /* Beyond the last row is the last one again, which isn't written. */
  const int item = ROW_ITEM, row = ROW < p.rows ? ROW : p.rows - 1;
  const int stretch = (p.length + ROW_ITEMS - 1) / ROW_ITEMS;
  const int begin = item * stretch < p.length ? item * stretch : p.length;
  const int end = begin + stretch < p.length ? begin + stretch : p.length;
  const int step = REVERSE ? -p.inner : p.inner;
  const int base = row / p.inner * p.length * p.inner + row % p.inner;
  const int first = REVERSE ? base + (p.length - 1) * p.inner : base;
  real sum = 0;
  for (int k = begin; k < end; k++) sum = SUM(sum, LOAD(COMPUTED, x, first + k * step));
  shared[ITEM(0)] = sum;
  BARRIER();
  sum = 0;
  for (int other = 0; other < item; other++)
    sum = SUM(sum, shared[other * BESIDE + ITEM(0) % BESIDE]);
  if (ROW >= p.rows) return;
  for (int k = begin; k < end; k++) {
    const int at = first + k * step;
    const real after = SUM(sum, LOAD(COMPUTED, x, at));
    STORE(COMPUTED, y, at, EXCLUSIVE ? sum : after);
    sum = after;
  }
}
