/*
 * Lines of pixels with their channels side by side, LINE_CHANNELS of them: the form that
 * kernels with channels in vectors' lanes work on, whatever the layout in memory.
 */
#ifndef PORTABLE_LINES_H
#define PORTABLE_LINES_H

#include "epilogue.h"

#define LINE_CHANNELS 16
#define LINE_PIXELS 64 /* the longest line that is stored at once */

typedef struct image {
  storage stored;
  int block; /* channels of a block: 1 (nchw), 8 or 16 */
  int64_t channels, height, width;
} image;

/* The block of a layout; 0 for one that isn't served. */
int BASE_NAME(lines_block)(const char *layout);

/* Resolves the layouts of x and of the output, which the epilogue's inputs follow. "any" becomes
 * the other's layout, or the level's favourite. Returns 0 where it has refused. */
int BASE_NAME(lines_layouts)(const kp_problem *problem, int *x_block, int *output_block,
                             kp_answer *answer);

/* `count` pixels from (y, x) on, channels [channel, channel + 16) (those past the last are zero):
 * count * LINE_CHANNELS floats. `channel` is a multiple of 16; the pixels are in the image. */
void BASE_NAME(lines_load)(const image *im, const void *base, int64_t batch, int64_t channel,
                           int64_t y, int64_t x, int64_t count, float *line);

/* Stores as many pixels, at most LINE_PIXELS, with bias (16 floats, or NULL) and epilogue; fills
 * up the last block. */
void BASE_NAME(lines_store)(const image *im, const epilogue *e, void *const *buffers, void *output,
                            const float *bias, int64_t batch, int64_t channel, int64_t y, int64_t x,
                            int count, const float *line);

#endif
