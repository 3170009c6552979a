/* The one parallel-for, on libgomp's pool, which oneDNN and OpenBLAS use too.

   clang's own OpenMP support would bring a second runtime (libomp) and so a second pool; calling GOMP_parallel is what
   gcc compiles `#pragma omp parallel` to. */
#include "CKernels.h"

#include <stdlib.h>
#include <unistd.h>

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);
int omp_in_parallel(void);
void omp_set_num_threads(int threads);

/* A waiting thread spins this often before it sleeps; about 15 us. Measured on 2 cores, in us a region:

     spins                 300000 (libgomp's own)   3000   1000   100
     idle machine, 50 us region           53          54     57   107
     two busy neighbours, 5 us region  25000          56     45    36
*/
static const char spin_count[] = "1000";

void mtl_prepare_process(char *const arguments[]) {
  if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY")) return;
  /* libgomp read its environment when it was loaded, so only a new start changes it. */
  if (setenv("GOMP_SPINCOUNT", spin_count, 1)) return;
  execv("/proc/self/exe", arguments);
}

/* As libgomp read it from the environment, before anybody changed it. */
static int default_threads;

__attribute__((constructor)) static void read_default(void) { default_threads = omp_get_max_threads(); }

int mtl_default_thread_count(void) { return default_threads; }

/* The setting belongs to the thread that makes it, so each remembers its own. */
static _Thread_local int used_threads;

void mtl_use_threads(int threads) {
  if (used_threads == threads) return;
  omp_set_num_threads(threads);
  used_threads = threads;
}

static _Thread_local bool owns_pool;

void mtl_claim_pool(void) { owns_pool = true; }

long mtl_piece_count(long count, long grain, long threads) {
  long most = grain > 0 ? count / grain : count;
  if (most > threads) most = threads;
  return most > 1 ? most : 1;
}

struct region {
  long count, pieces;
  mtl_range_body body;
  void *context;
};

static inline long cut(const struct region *region, long piece) {
  return (long)((__int128)region->count * piece / region->pieces);
}

static void run_pieces(void *data) {
  const struct region *region = data;
  int team = omp_get_num_threads();
  for (long piece = omp_get_thread_num(); piece < region->pieces; piece += team)
    region->body(cut(region, piece), cut(region, piece + 1), region->context);
}

MTL_SWIFT_CALL void mtl_parallel(long count, long grain, long threads, mtl_range_body body, void *context) {
  if (count <= 0) return;
  struct region region = {count, mtl_piece_count(count, grain, threads), body, context};
  if (region.pieces == 1) {
    body(0, count, context);
  } else if (!owns_pool || omp_in_parallel()) {
    for (long piece = 0; piece < region.pieces; piece++)
      body(cut(&region, piece), cut(&region, piece + 1), context);
  } else {
    /* Always the whole team, even for fewer pieces: libgomp ends and starts threads when a team changes its size. */
    GOMP_parallel(run_pieces, &region, (unsigned)threads, 0);
  }
}
