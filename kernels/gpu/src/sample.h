/*
 * sample.h: images sampled at the places that a grid names, two numbers each, by AXIS_TAPS pixels
 * along each axis.
 */
#define ZEROS 0
#define BORDER 1
#define REFLECTION 2
#define OUTSIDE -1
/* Pixels: what lies farther out, and NaN, is taken to be there. */
#define FAR ((real)1073741824)

typedef struct {
  int count, channels, height, width, places;
} sample_parameters;

/* A place beyond `low` to `high` turned over at them until it is within. */
DEVICE real reflected(real at, real low, real high) {
  const real period = 2 * (high - low), distance = fabs(at - low);
  if (period == 0) return low;
  const real rest = distance - floor(distance / period) * period;
  return low + (rest > high - low ? period - rest : rest);
}

/* Where along an axis a grid's number is; beyond the image padding moves it, but for a cubic,
 * of which padding moves the pixels alone. */
DEVICE real place_of(real given, int extent) {
  const real low = ALIGNED_CORNERS ? (real)0 : (real)-0.5, high = extent - 1 - low;
  real at = ALIGNED_CORNERS ? (given + 1) / 2 * (extent - 1) : ((given + 1) * extent - 1) / 2;
  at = at > -FAR ? at < FAR ? at : FAR : -FAR;
  if (AXIS_TAPS == 1) at = rint(at);
  if (PADDING == ZEROS || AXIS_TAPS == 4) return at;
  if (PADDING == REFLECTION) return reflected(at, low, high);
  return at < 0 ? 0 : at > extent - 1 ? (real)(extent - 1) : at;
}

/* The pixel along an axis that stands for one, which may lie beside the image. */
DEVICE int pixel_of(int index, int extent) {
  if (index >= 0 && index < extent) return index;
  if (PADDING == ZEROS) return OUTSIDE;
  if (PADDING == BORDER || extent == 1) return index < 0 ? 0 : extent - 1;
  const uint period = 2 * ((uint)extent - ALIGNED_CORNERS);
  /* The same distance on the other side of the first pixel, or of its edge. */
  const uint rest = (uint)(index < 0 ? -index - !ALIGNED_CORNERS : index) % period;
  return (int)(rest < (uint)extent ? rest : period - !ALIGNED_CORNERS - rest);
}

DEVICE real cubic_weight(real distance) {
  const real a = (real)-0.75, d = fabs(distance);
  return d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
}

/* Of a tap that lies so far from the place, which is between the middle two. */
DEVICE real weight_of(real fraction, int tap) {
  if (AXIS_TAPS == 1) return 1;
  if (AXIS_TAPS == 2) return tap ? fraction : 1 - fraction;
  return cubic_weight(fraction + 1 - tap);
}

KERNEL(GROUP_ITEMS)
void grid_sample(INPUT(COMPUTED) x, INPUT(COMPUTED) grid, OUTPUT(COMPUTED) y,
                 const sample_parameters p) {
  const int index = GROUP(0) * GROUP_ITEMS + ITEM(0);
  if (index >= p.count) return;
  const int plane = index / p.places, image = plane / p.channels;
  const int place = image * p.places + index % p.places, base = plane * p.height * p.width;
  const real across = place_of(LOAD(COMPUTED, grid, 2 * place), p.width);
  const real down = place_of(LOAD(COMPUTED, grid, 2 * place + 1), p.height);
  const int column = (int)floor(across) - (AXIS_TAPS == 4);
  const int row = (int)floor(down) - (AXIS_TAPS == 4);
  real total = 0;
  for (int a = 0; a < AXIS_TAPS; a++) {
    const int own_row = pixel_of(row + a, p.height);
    const real row_weight = weight_of(down - floor(down), a);
    for (int b = 0; b < AXIS_TAPS; b++) {
      const int own_column = pixel_of(column + b, p.width);
      if (own_row < 0 || own_column < 0) continue;
      total += row_weight * weight_of(across - floor(across), b) *
               LOAD(COMPUTED, x, base + own_row * p.width + own_column);
    }
  }
  STORE(COMPUTED, y, index, total);
}
