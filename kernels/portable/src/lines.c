#include "lines.h"

#define UNROLL _Pragma("GCC unroll 16")

/* ---- Layouts ---------------------------------------------------------------- */

int BASE_NAME(lines_block)(const char *layout) {
  if (strcmp(layout, "nchw") == 0) return 1;
  if (strcmp(layout, "nChw16c") == 0) return 16;
  if (strcmp(layout, "nChw8c") == 0 && F32_LANES <= 8) return 8;
  return 0;
}

static const char *layout_name(int block) {
  return block == 16 ? "nChw16c" : block == 8 ? "nChw8c" : "nchw";
}

int BASE_NAME(lines_layouts)(const kp_problem *problem, int *x_block, int *output_block,
                             kp_answer *answer) {
  const char *x = problem->inputs[0].layout, *output = problem->outputs[0].layout;
  int x_free = strcmp(x, "any") == 0, output_free = strcmp(output, "any") == 0;
  int favourite = F32_LANES == 16 ? 16 : F32_LANES == 8 ? 8 : 1;
  *x_block = x_free ? 0 : BASE_NAME(lines_block)(x);
  *output_block = output_free ? 0 : BASE_NAME(lines_block)(output);
  const char *served = F32_LANES <= 8 ? "nchw, nChw16c or nChw8c" : "nchw or nChw16c";
  if (!x_free && !*x_block) return kp_refuse(answer, KP_NO_LAYOUT, "x", served), 0;
  if (!output_free && !*output_block) return kp_refuse(answer, KP_NO_LAYOUT, "output", served), 0;
  if (x_free) *x_block = output_free ? favourite : *output_block;
  if (output_free) *output_block = *x_block;
  for (uint32_t i = 0; i < problem->num_inputs + 1; i++) {
    int is_output = i == problem->num_inputs, is_other = i >= problem->num_operator_inputs;
    const kp_tensor *t = is_output ? &problem->outputs[0] : &problem->inputs[i];
    if (kp_is_absent(t)) continue;
    const char *wanted = i == 0     ? layout_name(*x_block)
                         : is_other ? layout_name(*output_block)
                                    : "nchw";
    if (!kp_is_layout(t, wanted) && !kp_is_layout(t, "any"))
      return kp_refuse(answer, KP_NO_LAYOUT,
                       is_other ? "epilogue"
                       : i == 1 ? "w"
                                : "bias",
                       wanted),
             0;
    if (answer->layouts) strcpy(answer->layouts[i], wanted);
  }
  return 1;
}

/* ---- Loading ---------------------------------------------------------------- */

/* Of blocks: `channels` of them from one block, at line's channel `at`. */
LEVEL_INLINE void load_blocked(storage s, const void *base, int64_t offset, int block,
                               int64_t count, float *line, int at) {
  for (int64_t i = 0; i < count; i++)
    for (int j = 0; j < block; j += F32_LANES)
      store_f32(line + i * LINE_CHANNELS + at + j,
                load_stored(s, base, offset + i * block + j, F32_LANES));
}

/* Turns F32_LANES channels of as many pixels into pixels of as many channels. */
LEVEL_INLINE void turn_square(storage s, const void *base, int64_t offset, int64_t plane,
                              float *line, int64_t pixel_stride) {
  f32v rows[F32_LANES];
  UNROLL for (int k = 0; k < F32_LANES; k++) rows[k] =
      load_stored(s, base, offset + k * plane, F32_LANES);
  transpose_f32(rows);
  UNROLL for (int k = 0; k < F32_LANES; k++) store_f32(line + k * pixel_stride, rows[k]);
}

/* The same where there are fewer of either. */
LEVEL_INLINE void turn_part(storage s, const void *base, int64_t offset, int64_t plane,
                            int channels, int pixels, float *line) {
  float from[F32_LANES * F32_LANES], to[F32_LANES * F32_LANES];
  for (int k = 0; k < F32_LANES; k++)
    store_f32(from + k * F32_LANES,
              k < channels ? load_stored(s, base, offset + k * plane, pixels) : (f32v){0});
  turn_square(STORED_F32, from, 0, F32_LANES, to, F32_LANES);
  for (int k = 0; k < pixels; k++)
    store_f32(line + k * LINE_CHANNELS, load_f32(to + k * F32_LANES));
}

LEVEL_INLINE void load_square(storage s, const void *base, int64_t offset, int64_t plane,
                              int channels, int pixels, float *line) {
  if (channels >= F32_LANES && pixels == F32_LANES)
    turn_square(s, base, offset, plane, line, LINE_CHANNELS);
  else
    turn_part(s, base, offset, plane, channels, pixels, line);
}

LEVEL_INLINE void load_planar(storage s, const void *base, int64_t offset, int64_t plane,
                              int channels, int64_t count, float *line) {
  for (int64_t i = 0; i < count; i += F32_LANES) {
    int pixels = (int)kernel_min(F32_LANES, count - i);
    for (int j = 0; j < LINE_CHANNELS; j += F32_LANES)
      load_square(s, base, offset + j * plane + i, plane, channels - j, pixels,
                  line + i * LINE_CHANNELS + j);
  }
}

void BASE_NAME(lines_load)(const image *im, const void *base, int64_t batch, int64_t channel,
                           int64_t y, int64_t x, int64_t count, float *line) {
  int64_t plane = im->height * im->width, pixel = y * im->width + x;
  if (im->block == 1) {
    int64_t offset = (batch * im->channels + channel) * plane + pixel;
    int channels = (int)kernel_min(LINE_CHANNELS, im->channels - channel);
    FOR_STORAGE(im->stored, load_planar, base, offset, plane, channels, count, line);
    return;
  }
  int64_t blocks = (im->channels + im->block - 1) / im->block;
  for (int at = 0; at < LINE_CHANNELS; at += im->block) {
    int64_t number = (channel + at) / im->block;
    int64_t offset = ((batch * blocks + number) * plane + pixel) * im->block;
    if (number >= blocks)
      for (int64_t i = 0; i < count; i++)
        memset(line + i * LINE_CHANNELS + at, 0, (size_t)im->block * sizeof *line);
    else if (im->block == 16)
      FOR_STORAGE(im->stored, load_blocked, base, offset, 16, count, line, at);
    else
      FOR_STORAGE(im->stored, load_blocked, base, offset, 8, count, line, at);
  }
}

/* ---- Storing ---------------------------------------------------------------- */

static void store_planar(const image *im, const epilogue *e, void *const *buffers, void *output,
                         const float *bias, int64_t offset, int channels, int count,
                         const float *line) {
  float turned[LINE_CHANNELS * LINE_PIXELS] __attribute__((aligned(KP_ALIGNMENT)));
  int width = (count + F32_LANES - 1) / F32_LANES * F32_LANES;
  for (int i = 0; i < count; i += F32_LANES)
    for (int j = 0; j < LINE_CHANNELS; j += F32_LANES) {
      f32v rows[F32_LANES];
      UNROLL for (int k = 0; k < F32_LANES; k++) rows[k] =
          i + k < count ? load_f32(line + (i + k) * LINE_CHANNELS + j) : (f32v){0};
      transpose_f32(rows);
      UNROLL for (int k = 0; k < F32_LANES; k++) store_f32(turned + (j + k) * width + i, rows[k]);
    }
  epilogue_tile t = {
      .values = turned,
      .rows = channels,
      .columns = count,
      .width = width,
      .scale = 1,
      .row_bias = bias,
      .output = output,
      .offset = offset,
      .row_stride = im->height * im->width,
  };
  BASE_NAME(epilogue_store_f32)(e, buffers, &t);
}

static void store_block(const image *im, const epilogue *e, void *const *buffers, void *output,
                        const float *bias, int64_t offset, int channels, int count,
                        const float *line) {
  epilogue_tile t = {
      .values = line,
      .rows = count,
      .columns = im->block,
      .width = LINE_CHANNELS,
      .scale = 1,
      .column_bias = bias,
      .output = output,
      .offset = offset,
      .row_stride = im->block,
  };
  BASE_NAME(epilogue_store_f32)(e, buffers, &t);
  if (channels >= im->block) return;
  int64_t bytes = storage_bytes(im->stored);
  char *rest = (char *)output + (offset + channels) * bytes;
  for (int i = 0; i < count; i++, rest += im->block * bytes)
    memset(rest, 0, (size_t)((im->block - channels) * bytes));
}

void BASE_NAME(lines_store)(const image *im, const epilogue *e, void *const *buffers, void *output,
                            const float *bias, int64_t batch, int64_t channel, int64_t y, int64_t x,
                            int count, const float *line) {
  int64_t plane = im->height * im->width, pixel = y * im->width + x;
  int channels = (int)kernel_min(LINE_CHANNELS, im->channels - channel);
  if (im->block == 1) {
    store_planar(im, e, buffers, output, bias, (batch * im->channels + channel) * plane + pixel,
                 channels, count, line);
    return;
  }
  int64_t blocks = (im->channels + im->block - 1) / im->block;
  for (int at = 0; at < channels; at += im->block) {
    int64_t offset = ((batch * blocks + (channel + at) / im->block) * plane + pixel) * im->block;
    store_block(im, e, buffers, output, bias ? bias + at : NULL, offset, channels - at, count,
                line + at);
  }
}
