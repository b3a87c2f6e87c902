/* frame.c: working memory for one run at a time, kept between runs without a lock: a lock could
 * be held by a thread that a fork leaves behind. */
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "scratch.h"

static void point_into_arena(const replay *model, frame *f) {
  const plan *p = &model->plan;
  for (uint32_t s = 0; s < p->num_steps; s++) {
    const kp_problem *problem = plan_problem(p, &p->steps[s]);
    void **pointers = f->pointers + model->steps[s].first_pointer;
    for (uint32_t i = 0; i < problem->num_inputs + problem->num_outputs; i++) {
      int32_t index = p->steps[s].buffers[i];
      if (index != PLAN_ABSENT && p->buffers[index].kind == PLAN_ARENA)
        pointers[i] = f->arena + p->buffers[index].offset;
    }
  }
}

static frame *make_frame(const replay *model) {
  uint64_t arena = model->plan.arena_bytes, bytes;
  if (__builtin_add_overflow(arena, (uint64_t)KP_ALIGNMENT, &bytes)) return NULL;
  uint64_t scratch_offset = bytes / KP_ALIGNMENT * KP_ALIGNMENT;
  if (__builtin_add_overflow(scratch_offset, model->scratch_bytes, &bytes)) return NULL;
  frame *f = malloc(sizeof *f + model->num_pointers * sizeof *f->pointers);
  char *memory = core_aligned_alloc(bytes);
  if (!f || !memory) {
    free(f);
    free(memory);
    return NULL;
  }
  memset(memory, 0, arena); /* a plan that reads before it writes gets nobody else's data */
  f->arena = memory;
  f->scratch = memory + scratch_offset;
  memcpy(f->pointers, model->template_pointers, model->num_pointers * sizeof *f->pointers);
  point_into_arena(model, f);
  return f;
}

frame *frame_take(replay *model) {
  for (int i = 0; i < KEPT_FRAMES; i++) {
    if (!atomic_load_explicit(&model->frames[i], memory_order_relaxed)) continue;
    frame *f = atomic_exchange_explicit(&model->frames[i], NULL, memory_order_acquire);
    if (f) return f;
  }
  return make_frame(model);
}

void frame_return(replay *model, frame *f) {
  for (int i = 0; i < KEPT_FRAMES; i++) {
    frame *empty = NULL;
    if (atomic_compare_exchange_strong_explicit(&model->frames[i], &empty, f, memory_order_release,
                                                memory_order_relaxed))
      return;
  }
  frame_free(f);
}

void frame_free(frame *f) {
  if (!f) return;
  free(f->arena);
  free(f);
}
