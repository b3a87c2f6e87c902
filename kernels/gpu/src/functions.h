/*
 * functions.h: what is computed of single elements, in `real`, the type that COMPUTED is computed
 * in. IS_FLOATING says whether that is a floating one. NaN comes out where it went in.
 */
typedef REAL(COMPUTED) real;

DEVICE real smaller_of(real a, real b) { return a < b || a != a ? a : b; }
DEVICE real larger_of(real a, real b) { return a > b || a != a ? a : b; }
DEVICE real relu_of(real x) { return x < 0 ? 0 : x; }
DEVICE real clip_of(real x, real low, real high) { return smaller_of(larger_of(x, low), high); }
DEVICE real sign_of(real x) { return x != x ? x : (real)((x > 0) - (x < 0)); }

#if IS_FLOATING
/* Some libraries' aren't 1 far from 0, where infinity may be multiplied with the difference. */
DEVICE real erf_of(real x) { return x > 6 ? 1 : x < -6 ? -1 : erf(x); }
DEVICE real tanh_of(real x) { return x > 20 ? 1 : x < -20 ? -1 : tanh(x); }
DEVICE real sigmoid_of(real x) { return 1 / (1 + exp(-x)); }
DEVICE real silu_of(real x) { return x / (1 + exp(-x)); }
DEVICE real hard_sigmoid_of(real x, real alpha, real beta) {
  return clip_of(alpha * x + beta, 0, 1);
}
DEVICE real hard_swish_of(real x) { return x * clip_of(x / 6 + (real)0.5, 0, 1); }
DEVICE real leaky_relu_of(real x, real alpha) { return x >= 0 ? x : alpha * x; }
DEVICE real elu_of(real x, real alpha) { return x > 0 ? x : alpha * expm1(x); }
DEVICE real gelu_of(real x) {
  return (real)0.5 * x * (1 + erf_of(x * (real)0.70710678118654752440));
}
DEVICE real gelu_tanh_of(real x) {
  return (real)0.5 * x *
         (1 + tanh_of((real)0.79788456080286535588 * (x + (real)0.044715 * x * x * x)));
}
/* With the divisor's sign, zeros too. */
DEVICE real modulus_of(real a, real b) {
  const real rest = fmod(a, b);
  return rest == 0 ? copysign((real)0, b) : (rest < 0) != (b < 0) ? rest + b : rest;
}
DEVICE real linear_of(real x, real alpha, real beta) { return alpha * x + beta; }
#else
/* Sums and products of integers wrap around, which only unsigned ones may. */
#if COMPUTED_BYTES == 8
typedef uint64 unsigned_real;
#else
typedef uint unsigned_real;
#endif
DEVICE real wrapped_sum(real a, real b) { return (real)((unsigned_real)a + (unsigned_real)b); }
DEVICE real wrapped_difference(real a, real b) {
  return (real)((unsigned_real)a - (unsigned_real)b);
}
DEVICE real wrapped_product(real a, real b) { return (real)((unsigned_real)a * (unsigned_real)b); }
/* Toward zero; 0 where `b` is 0. */
DEVICE real quotient_of(real a, real b) {
  const int is_minus_one = IS_SIGNED && b == (real)-1;
  const real divisor = b == 0 || is_minus_one ? 1 : b;
  const real quotient = a / divisor;
  return b == 0 ? 0 : is_minus_one ? wrapped_difference(0, a) : quotient;
}
/* Of the quotient above; 0 where `b` is 0. */
DEVICE real rest_of(real a, real b) { return b == 0 || (IS_SIGNED && b == (real)-1) ? 0 : a % b; }
DEVICE real modulus_of(real a, real b) {
  const real rest = rest_of(a, b);
  return IS_SIGNED && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
DEVICE real power_of(real a, real b) {
  if (IS_SIGNED && b < 0) {
    if (a == 1 || a == (real)-1) return b & 1 ? a : 1;
    return 0;
  }
  real result = 1;
  for (real factor = a; b > 0; b >>= 1, factor = wrapped_product(factor, factor))
    if (b & 1) result = wrapped_product(result, factor);
  return result;
}
#endif

/* The stored value of a rounded quotient, within `low` to `high` (decision 12). */
DEVICE int stored_of(float whole, int zero, int low, int high) {
  const float least = (float)(low - zero), most = (float)(high - zero);
  return (int)(whole < least ? least : whole > most ? most : whole) + zero;
}
