/* Everything that is compiled once for each instruction set, which says how wide its vectors are (MTL_WIDTH floats) and
   how many rows and vectors of a product fit in its registers (MTL_BLOCK_ROWS, MTL_BLOCK_COLUMNS). */
#include <stdint.h>
#include <string.h>

#pragma clang fp contract(fast)
/* Vectors are passed to functions that are always inlined, so how they would be passed does not matter. */
#pragma clang diagnostic ignored "-Wpsabi"

#define MTL_JOIN_(a, b) a##b
#define MTL_JOIN(a, b) MTL_JOIN_(a, b)
#define MTL_INLINE static inline __attribute__((always_inline))

#define W 16
#include "Lanes.h"
#include "Pooling.h"
#include "PoolingWindows.h"
#include "SoftmaxTile.h"
#include "ResponseTile.h"
#undef W
#define W 8
#include "Lanes.h"
#include "Pooling.h"
#include "PoolingWindows.h"
#undef W
#define W 4
#include "Lanes.h"
#include "Pooling.h"
#include "PoolingWindows.h"
#undef W
#define W 1
#include "Lanes.h"
#include "Pooling.h"
#include "SoftmaxTile.h"
#include "ResponseTile.h"
#undef W

#include "Vectors.h"
#include "Product.h"
#include "Softmax.h"
#include "PoolingPlain.h"
#include "PoolingUnits.h"
#include "Response.h"
#include "Norm.h"
#include "Patches.h"
#include "SparseBlocks.h"
#include "WinogradTiles.h"
#include "WinogradSteps.h"
#include "Winograd.h"
#include "Halves.h"

#define MTL_ENTRY(result, name, parameters, arguments) .name = name,
const struct mtl_kernel_table MTL_LEVEL(mtl_kernels) = {MTL_KERNELS(MTL_ENTRY)};
