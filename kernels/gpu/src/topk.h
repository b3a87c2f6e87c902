/*
 * topk.h: the best `k` of each row of `length` elements, `inner` apart, of which `inner` rows lie
 * side by side, one after the other: in each round the group finds what comes next after the last.
 * A group takes BESIDE of `rows`.
 */
typedef struct {
  int length, inner, rows, k;
} top_k_parameters;

/* Whether element (a, i) comes before (b, j). NaN is the largest; a place below 0 is beyond all. */
DEVICE int comes_before(real a, int i, real b, int j) {
  const int a_nan = a != a, b_nan = b != b;
  if (i < 0 || j < 0) return i >= 0;
  if (a_nan != b_nan) return LARGEST ? a_nan : b_nan;
  if (!a_nan && a != b) return LARGEST ? a > b : a < b;
  return i < j;
}

KERNEL(GROUP_SIZE)
void top_k(INPUT(COMPUTED) x, OUTPUT(COMPUTED) values, OUTPUT(i64) indices,
           const top_k_parameters p) {
  LOCAL real bests[GROUP_SIZE];
  LOCAL int places[GROUP_SIZE];
  /* Beyond the last row is the last one again, which isn't written. */
  const int own = ITEM(0), item = ROW_ITEM, row = ROW < p.rows ? ROW : p.rows - 1;
  const int outer = row / p.inner, column = row % p.inner;
  const int base = outer * p.length * p.inner + column;
  real last = 0;
  int last_place = -1;
  for (int round = 0; round < p.k; round++) {
    real best = 0;
    int place = -1;
    for (int k = item; k < p.length; k += ROW_ITEMS) {
      const real value = LOAD(COMPUTED, x, base + k * p.inner);
      const int is_left = round == 0 || comes_before(last, last_place, value, k);
      if (is_left && comes_before(value, k, best, place)) {
        best = value;
        place = k;
      }
    }
    bests[own] = best;
    places[own] = place;
    BARRIER();
    for (int step = ROW_ITEMS / 2; step > 0; step /= 2) {
      const int other = own + step * BESIDE;
      if (item < step && comes_before(bests[other], places[other], bests[own], places[own])) {
        bests[own] = bests[other];
        places[own] = places[other];
      }
      BARRIER();
    }
    last = bests[own % BESIDE];
    last_place = places[own % BESIDE];
    BARRIER();
    if (item == 0 && ROW < p.rows) {
      const int at = (outer * p.k + round) * p.inner + column;
      STORE(COMPUTED, values, at, last);
      STORE(i64, indices, at, last_place);
    }
  }
}
