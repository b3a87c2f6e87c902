/* complain.h: one sentence to standard error. */
#ifndef BENCH_COMPLAIN_H
#define BENCH_COMPLAIN_H

/* Returns 0, as those do who complain. */
__attribute__((format(printf, 1, 2))) int complain(const char *format, ...);

#endif
