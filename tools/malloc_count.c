/* Counts calls of the C allocator and the bytes asked for, in all threads; to be loaded with LD_PRELOAD.

   What is asked for while oneDNN or OpenBLAS run is counted apart: oneDNN makes a few small objects at each call, and
   buffers in its matrix products, which nobody outside can prevent. At the end of the process a line of four numbers is
   written to the file that MALLOC_COUNT_FILE names: calls and bytes of the program, calls and bytes of those libraries.

   glibc only: the real allocator is reached by its other names, so that nothing has to be looked up. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* The number of library calls that are under way; worker threads see it too. */
static atomic_int in_library;
static atomic_long calls[2], bytes[2];

static void note(size_t size) {
  int who = atomic_load_explicit(&in_library, memory_order_relaxed) > 0;
  atomic_fetch_add_explicit(&calls[who], 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&bytes[who], (long)size, memory_order_relaxed);
}

void *malloc(size_t size) {
  note(size);
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  note(count * size);
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  note(size);
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  note(size);
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  note(size);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  note(size);
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : ENOMEM;
}

/* The library functions that compute, passed on to the real ones. */

typedef int (*execute_function)(const void *primitive, void *stream, int count, const void *arguments);
typedef int (*dnnl_sgemm_function)(
    char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
    int64_t ldb, float beta, float *c, int64_t ldc);
typedef void (*cblas_sgemm_function)(
    int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
    float beta, float *c, int ldc);

static execute_function real_execute;
static dnnl_sgemm_function real_dnnl_sgemm;
static cblas_sgemm_function real_cblas_sgemm;

__attribute__((constructor)) static void find(void) {
  real_execute = (execute_function)dlsym(RTLD_NEXT, "dnnl_primitive_execute");
  real_dnnl_sgemm = (dnnl_sgemm_function)dlsym(RTLD_NEXT, "dnnl_sgemm");
  real_cblas_sgemm = (cblas_sgemm_function)dlsym(RTLD_NEXT, "cblas_sgemm");
}

int dnnl_primitive_execute(const void *primitive, void *stream, int count, const void *arguments) {
  in_library++;
  int status = real_execute(primitive, stream, count, arguments);
  in_library--;
  return status;
}

int dnnl_sgemm(
    char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b,
    int64_t ldb, float beta, float *c, int64_t ldc) {
  in_library++;
  int status = real_dnnl_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  in_library--;
  return status;
}

void cblas_sgemm(
    int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
    float beta, float *c, int ldc) {
  in_library++;
  real_cblas_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  in_library--;
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("MALLOC_COUNT_FILE");
  long counted[4] = {calls[0], bytes[0], calls[1], bytes[1]};
  FILE *file = path ? fopen(path, "w") : NULL;
  if (!file) return;
  fprintf(file, "%ld %ld %ld %ld\n", counted[0], counted[1], counted[2], counted[3]);
  fclose(file);
}
