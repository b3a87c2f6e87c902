#include "cpu.h"

#include <stddef.h>
#include <string.h>

typedef struct {
  const char *level, *feature;
  int present;
} requirement;

const char *cpu_missing_feature(const char *level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#define NEEDS(level, feature) {level, feature, __builtin_cpu_supports(feature) != 0}
  const requirement requirements[] = {
      NEEDS("avx2", "avx2"),
      NEEDS("avx2", "fma"),
      NEEDS("avx2", "f16c"),
      NEEDS("avx512", "avx2"),
      NEEDS("avx512", "fma"),
      NEEDS("avx512", "f16c"),
      NEEDS("avx512", "avx512f"),
      NEEDS("avx512", "avx512bw"),
      NEEDS("avx512", "avx512dq"),
      NEEDS("avx512", "avx512vl"),
      NEEDS("avx512_bf16", "avx2"),
      NEEDS("avx512_bf16", "fma"),
      NEEDS("avx512_bf16", "f16c"),
      NEEDS("avx512_bf16", "avx512f"),
      NEEDS("avx512_bf16", "avx512bw"),
      NEEDS("avx512_bf16", "avx512dq"),
      NEEDS("avx512_bf16", "avx512vl"),
      NEEDS("avx512_bf16", "avx512vnni"),
      NEEDS("avx512_bf16", "avx512bf16"),
  };
#undef NEEDS
  for (size_t i = 0; i < sizeof requirements / sizeof *requirements; i++)
    if (!requirements[i].present && strcmp(requirements[i].level, level) == 0)
      return requirements[i].feature;
#else
  (void)level;
#endif
  return NULL;
}
