/* channels.h: normalisation by each channel's own numbers, or by those of its neighbours. */
typedef struct {
  real numbers[NUMBERS];
  real epsilon;
  int count, channels, inner;
} batch_norm_parameters;

KERNEL(GROUP_ITEMS)
void batch_norm(INPUT(COMPUTED) x, INPUT(COMPUTED) scale, INPUT(COMPUTED) bias,
                INPUT(COMPUTED) mean, INPUT(COMPUTED) variance, EPILOGUE_BUFFERS OUTPUT(COMPUTED) y,
                const batch_norm_parameters p) {
  const int at = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (at >= p.count) return;
  const int c = at / p.inner % p.channels;
  const real factor = LOAD(COMPUTED, scale, c) / sqrt(LOAD(COMPUTED, variance, c) + p.epsilon);
  real value = (LOAD(COMPUTED, x, at) - LOAD(COMPUTED, mean, c)) * factor + LOAD(COMPUTED, bias, c);
  EPILOGUE
  STORE(COMPUTED, y, at, value);
}

typedef struct {
  real factor, beta, bias;
  int count, channels, inner, before, after;
} lrn_parameters;

KERNEL(GROUP_ITEMS) void lrn(INPUT(COMPUTED) x, OUTPUT(COMPUTED) y, const lrn_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int c = index / p.inner % p.channels;
  const int first = c > p.before ? -p.before : -c;
  const int last = c + p.after < p.channels ? p.after : p.channels - 1 - c;
  real squares = 0;
  for (int k = first; k <= last; k++) {
    const real value = LOAD(COMPUTED, x, index + k * p.inner);
    squares += value * value;
  }
  STORE(COMPUTED, y, index, LOAD(COMPUTED, x, index) / pow(p.bias + p.factor * squares, p.beta));
}
