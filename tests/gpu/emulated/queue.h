/* queue.h: what the stand-ins for CUDA's libraries share: streams' work, and checks of what they
 * are given. */
#ifndef EMULATED_QUEUE_H
#define EMULATED_QUEUE_H

#include "cuda_runtime_api.h"

#include <cstdint>
#include <functional>

namespace emulated
{
typedef std::function<void()> work;

/* Put on the stream, to be done some time later; a node of its graph if it captures. */
void enqueue(cudaStream_t stream, work w);
bool capturing(); /* any stream */

/* A number below `limit`, from the seed. */
uint64_t random_below(uint64_t limit);

/* Ends the program: what the caller did is undefined on a GPU. */
[[noreturn]] void misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Whether the bytes lie in one piece of the device's memory. */
bool on_device(const void *memory, size_t bytes);
/* Ends the program if they do not. */
void need_device(const void *memory, size_t bytes, const char *what);
} // namespace emulated

/* A library's pair of functions that make and destroy one of its objects. */
#define EMULATED_OBJECT(status, create, destroy, handle, object)                                   \
    status create(handle *made)                                                                    \
    {                                                                                              \
        *made = new object();                                                                      \
        return (status)0;                                                                          \
    }                                                                                              \
    status destroy(handle gone)                                                                    \
    {                                                                                              \
        delete gone;                                                                               \
        return (status)0;                                                                          \
    }

#endif
