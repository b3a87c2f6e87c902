/* Sliding windows as the library has them: it pads an image alike on both sides. */
#ifndef QNNPACK_WINDOW_H
#define QNNPACK_WINDOW_H

#include "plan.h"

/* Each vertically, then horizontally. */
struct window {
  int64_t extent[2], output[2]; /* of the image, and how often the window fits */
  int64_t kernel[2], strides[2], dilations[2];
  int64_t pads[2];
};

/* Of x and y, images, with the problem's attributes; `kernel` is the window's own extent. */
struct window window_of(const kp_problem *problem, const int64_t *kernel);

static inline int64_t window_taps(const struct window *w) { return w->kernel[0] * w->kernel[1]; }

/* Whether as much padding behind the image as before it gives the output. What the window doesn't
 * reach makes no difference. */
int window_pads_alike(const struct window *w);

/* The padding below (on the right of) the image that the window reaches. */
int64_t window_reached_behind(const struct window *w, int i);

/* Leaves all padding to the copy of x. Returns 0 after a refusal. */
int window_pad_in_scratch(struct plan *plan, struct window *w);

#endif
