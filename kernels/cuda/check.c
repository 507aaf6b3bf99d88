#include "check.h"

#include <stdio.h>

int check_cuda(int status, const char *what, error *e)
{
    if (status == cudaSuccess)
        return 0;
    (void)cudaGetLastError(); /* so that it is not reported again elsewhere */
    return error_set(e, "cuda: %s: %s (%s)", what, cudaGetErrorString((cudaError_t)status),
                     cudaGetErrorName((cudaError_t)status));
}

int check_dnn(cudnnStatus_t status, const char *what, error *e)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return 0;
    return error_set(e, "cuda: cuDNN: %s: %s", what, cudnnGetErrorString(status));
}

int check_blas(cublasStatus_t status, const char *what, error *e)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return 0;
    return error_set(e, "cuda: cuBLAS: %s: %s", what, cublasGetStatusString(status));
}

int check_kernel(const struct cuda *g, int status, const char *kernel, cudaStream_t stream,
                 error *e)
{
    if (status == cudaSuccess && g->wait) {
        enum cudaStreamCaptureStatus capture;
        status = (int)cudaStreamIsCapturing(stream, &capture);
        if (status == cudaSuccess && capture == cudaStreamCaptureStatusNone)
            status = (int)cudaStreamSynchronize(stream);
    }
    if (status == cudaSuccess)
        return 0;
    char what[64];
    snprintf(what, sizeof what, "kernel %s", kernel);
    return check_cuda(status, what, e);
}
