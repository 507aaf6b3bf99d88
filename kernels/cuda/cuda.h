/* cuda.h: a device, as the host's files of this folder share it.
 *
 * The backend has two streams with a cuDNN handle and a workspace each. Training runs on the first,
 * with the weights' gradients beside it on the second; embedding uses them in turn, a batch each
 * ("slots"). */
#ifndef KERNELS_CUDA_CUDA_H
#define KERNELS_CUDA_CUDA_H

#include "../backend.h"
#include "choices.h"
#include "kernels.h"

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <cusolverDn.h>

struct cuda {
    int device;
    struct cudaDeviceProp properties;
    precision_kind precision;
    element type; /* of activations */
    bool deterministic;
    bool wait; /* $LOWSHOT_CUDA_WAIT: after every launch, so that a kernel that fails is named */
    cudaStream_t streams[2];
    /* Made when first wanted; NULL before. */
    cudnnHandle_t dnn[2];
    cublasHandle_t blas;        /* of calls on embeddings */
    cublasHandle_t products[2]; /* of layers, one a stream */
    cublasLtHandle_t lt;
    cusolverDnHandle_t solver;
    conv_choices choices;
    void *scratch; /* for calls on embeddings */
    size_t scratch_bytes;
};

#endif
