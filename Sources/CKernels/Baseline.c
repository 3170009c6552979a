/* The kernels for any processor of the architecture. */
#include "Kernels.h"

#define MTL_LEVEL(name) name##_baseline
#include "Level.h"
