/* check.h: the libraries' errors. */
#ifndef KERNELS_CUDA_CHECK_H
#define KERNELS_CUDA_CHECK_H

#include "cuda.h"

/* 0, or -1 with "cuda: WHAT: the library's text". */
int check_cuda(int status, const char *what, error *e);
int check_dnn(cudnnStatus_t status, const char *what, error *e);
int check_blas(cublasStatus_t status, const char *what, error *e);
/* After a launch on `stream`. */
int check_kernel(const struct cuda *g, int status, const char *kernel, cudaStream_t stream,
                 error *e);

#endif
