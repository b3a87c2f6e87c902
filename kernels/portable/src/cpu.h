/* What the processor can do, by level. */
#ifndef PORTABLE_CPU_H
#define PORTABLE_CPU_H

/* The first feature that `level` needs and the processor lacks; NULL when it has them all. */
const char *cpu_missing_feature(const char *level);

#endif
