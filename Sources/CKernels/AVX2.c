/* The kernels for processors with AVX2 and FMA (x86-64-v3). */
#if defined(__x86_64__)
#include "Kernels.h"

#include <stdint.h>
#include <string.h>

#define MTL_LEVEL(name) name##_avx2
#define MTL_WIDTH 8
#define MTL_BLOCK_ROWS 4
#define MTL_BLOCK_COLUMNS 3
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#include "Level.h"
#pragma clang attribute pop
#endif
