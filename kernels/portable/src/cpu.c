#include "cpu.h"

#include <stddef.h>
#include <string.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

typedef struct {
  const char *level, *feature;
  int present;
} requirement;

#if defined(__x86_64__)
#define HAS(level, feature) {level, feature, __builtin_cpu_supports(feature) != 0}
#define AVX2(level) HAS(level, "avx2"), HAS(level, "fma"), HAS(level, "f16c")
#define AVX512(level)                                                                 \
  AVX2(level), HAS(level, "avx512f"), HAS(level, "avx512bw"), HAS(level, "avx512dq"), \
      HAS(level, "avx512vl")
#define AVX512_BF16(level) AVX512(level), HAS(level, "avx512vnni"), HAS(level, "avx512bf16")
#elif defined(__aarch64__)
/* By the kernel's names, which /proc/cpuinfo shows; an emulator may show another machine's. */
#define HAS(level, feature, type, bit) {level, feature, (getauxval(type) & (bit)) != 0}
#define NEON(level) HAS(level, "asimd", AT_HWCAP, HWCAP_ASIMD)
#define DOTPROD(level) NEON(level), HAS(level, "asimddp", AT_HWCAP, HWCAP_ASIMDDP)
#define FP16(level)                                         \
  DOTPROD(level), HAS(level, "fphp", AT_HWCAP, HWCAP_FPHP), \
      HAS(level, "asimdhp", AT_HWCAP, HWCAP_ASIMDHP)
#define I8MM(level)                                              \
  FP16(level), HAS(level, "asimdfhm", AT_HWCAP, HWCAP_ASIMDFHM), \
      HAS(level, "i8mm", AT_HWCAP2, HWCAP2_I8MM)
#define BF16(level) I8MM(level), HAS(level, "bf16", AT_HWCAP2, HWCAP2_BF16)
#endif

const char *cpu_missing_feature(const char *level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  const requirement requirements[] = {
#if defined(__x86_64__)
      AVX2("avx2"),
      AVX512("avx512"),
      AVX512_BF16("avx512_bf16"),
#elif defined(__aarch64__)
      NEON("neon"),       DOTPROD("dotprod"), FP16("fp16"), I8MM("i8mm"), BF16("bf16"),
#endif
      {"generic", "", 1},
  };
  for (size_t i = 0; i < sizeof requirements / sizeof *requirements; i++)
    if (!requirements[i].present && strcmp(requirements[i].level, level) == 0)
      return requirements[i].feature;
  return NULL;
}
