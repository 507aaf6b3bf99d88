#include "graph.h"

#include <math.h>

int graph_capture(const run *r, launch_pass pass, const fused_layer *f, size_t times,
                  cudaGraphExec_t *ready, error *e)
{
    cudaStream_t stream = r->p->gpu->streams[r->slot];
    cudaGraph_t graph = NULL;
    *ready = NULL;
    /* Relaxed: a library may load a kernel meanwhile, which no captured work waits for. */
    if (check_cuda((int)cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed),
                   "beginning a graph", e) < 0)
        return -1;
    int status = 0;
    for (size_t i = 0; i < times && status == 0; i++)
        status = pass(r, f, e);
    int ended = (int)cudaStreamEndCapture(stream, &graph);
    if (status < 0)
        (void)cudaGetLastError();
    else
        status = check_cuda(ended, "ending a graph", e);
    if (status == 0)
        status = check_cuda((int)cudaGraphInstantiate(ready, graph, 0), "making a graph", e);
    if (graph)
        cudaGraphDestroy(graph);
    return status;
}

/* The best of so many launches, after one that warms up. */
static int launches_time(cudaGraphExec_t graph, cudaStream_t stream, size_t turns,
                         cudaEvent_t between[2], float *best, error *e)
{
    *best = INFINITY;
    for (size_t turn = 0; turn <= turns; turn++) {
        float milliseconds = 0;
        if (check_cuda((int)cudaEventRecord(between[0], stream), "timing", e) < 0 ||
            check_cuda((int)cudaGraphLaunch(graph, stream), "timing", e) < 0 ||
            check_cuda((int)cudaEventRecord(between[1], stream), "timing", e) < 0 ||
            check_cuda((int)cudaEventSynchronize(between[1]), "timing", e) < 0 ||
            check_cuda((int)cudaEventElapsedTime(&milliseconds, between[0], between[1]), "timing",
                       e) < 0)
            return -1;
        if (turn > 0 && milliseconds < *best)
            *best = milliseconds;
    }
    return 0;
}

int graph_time(const run *r, launch_pass pass, const fused_layer *f, size_t times, size_t turns,
               double *seconds, error *e)
{
    cudaGraphExec_t graph = NULL;
    cudaEvent_t between[2] = {NULL, NULL};
    float best = 0;
    int status = graph_capture(r, pass, f, times, &graph, e);
    for (int i = 0; i < 2 && status == 0; i++)
        status = check_cuda((int)cudaEventCreateWithFlags(&between[i], 0), "event", e);
    if (status == 0)
        status = launches_time(graph, r->p->gpu->streams[r->slot], turns, between, &best, e);
    *seconds = (double)best * 1e-3 / (double)times;
    for (int i = 0; i < 2; i++)
        if (between[i])
            cudaEventDestroy(between[i]);
    if (graph)
        cudaGraphExecDestroy(graph);
    return status;
}
