/* The kernels for any processor of the architecture. */
#include "Kernels.h"

#define MTL_LEVEL(name) name##_baseline
#define MTL_WIDTH 4
#define MTL_BLOCK_ROWS 4
#define MTL_BLOCK_COLUMNS 3
#include "Level.h"
