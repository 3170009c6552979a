/* The kernels for processors with AVX-512 (x86-64-v4). */
#if defined(__x86_64__)
#include "Kernels.h"

#include <stdint.h>
#include <string.h>

#define MTL_LEVEL(name) name##_avx512
#define MTL_WIDTH 16
#define MTL_BLOCK_ROWS 6
#define MTL_BLOCK_COLUMNS 4
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#include "Level.h"
#pragma clang attribute pop
#endif
