/* Chooses the kernels for the processor at hand and gives them their public names. */
#include "Kernels.h"

static const struct mtl_kernel_table *kernels = &mtl_kernels_baseline;

__attribute__((constructor)) static void choose_kernels(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4"))
    kernels = &mtl_kernels_avx512;
  else if (__builtin_cpu_supports("x86-64-v3"))
    kernels = &mtl_kernels_avx2;
#endif
}

bool mtl_has_bfloat(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

#define MTL_PUBLIC(result, name, parameters, arguments)                                                                \
  result mtl_##name parameters { return kernels->name arguments; }
MTL_KERNELS(MTL_PUBLIC)
