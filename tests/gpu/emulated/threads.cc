/* threads.cc: the threads of a block, as fibers. */
#include "emulate.h"
#include "queue.h"

#include <csetjmp>
#include <cstdlib>
#include <set>
#include <ucontext.h>

dim3 threadIdx, blockIdx, blockDim, gridDim;

/* Shared memory: the section that __shared__ puts variables into, in this library alone. */
extern "C" char __start_emulated_shared[] __attribute__((visibility("hidden")));
extern "C" char __stop_emulated_shared[] __attribute__((visibility("hidden")));

namespace emulated
{
enum { THREADS_MOST = 1024, STACK_BYTES = 128 << 10 };
enum state { IDLE, READY, AT_BLOCK, AT_WARP };

struct fiber {
    jmp_buf at;
    char *stack;
    state is;
};

static fiber fibers[THREADS_MOST];
static char slots[THREADS_MOST][8];
static jmp_buf scheduler;
static unsigned running;
static const std::function<void()> *body;

char *warp_slot(unsigned lane)
{
    return slots[running / WARP_SIZE * WARP_SIZE + lane];
}

/* Out of the running fiber, until the scheduler resumes it. */
static void leave(state why)
{
    fiber &f = fibers[running];
    f.is = why;
    if (_setjmp(f.at) == 0)
        _longjmp(scheduler, 1);
}

void block_barrier()
{
    leave(AT_BLOCK);
}

void warp_barrier()
{
    leave(AT_WARP);
}

/* A fiber runs one thread after another, for ever. */
static void fiber_main()
{
    for (;;) {
        leave(IDLE);
        (*body)();
    }
}

static void fiber_new(unsigned i)
{
    static ucontext_t first;
    fibers[i].stack = (char *)malloc(STACK_BYTES);
    if (!fibers[i].stack || getcontext(&first) != 0)
        misuse("no memory for %u threads", i);
    first.uc_stack.ss_sp = fibers[i].stack;
    first.uc_stack.ss_size = STACK_BYTES;
    first.uc_link = nullptr;
    makecontext(&first, fiber_main, 0);
    running = i;
    if (_setjmp(scheduler) == 0)
        setcontext(&first);
}

static void resume(unsigned i)
{
    running = i;
    threadIdx.x = i;
    if (_setjmp(scheduler) == 0)
        _longjmp(fibers[i].at, 1);
}

static bool all_are(unsigned first, unsigned end, state wanted)
{
    for (unsigned i = first; i < end; i++)
        if (fibers[i].is != wanted)
            return false;
    return true;
}

static void set_all(unsigned first, unsigned end, state wanted)
{
    for (unsigned i = first; i < end; i++)
        fibers[i].is = wanted;
}

/* The lanes of a warp, in changing order, until none can go on. */
static void run_warp(unsigned first, unsigned end)
{
    for (;;) {
        unsigned turn = (unsigned)random_below(WARP_SIZE);
        for (unsigned i = 0; i < end - first; i++)
            if (fibers[first + (i ^ turn)].is == READY)
                resume(first + (i ^ turn));
        if (!all_are(first, end, AT_WARP))
            return;
        set_all(first, end, READY);
    }
}

static void run_block(unsigned threads)
{
    memset(__start_emulated_shared, 0xFF, (size_t)(__stop_emulated_shared - __start_emulated_shared));
    set_all(0, threads, READY);
    while (!all_are(0, threads, IDLE)) {
        unsigned warps = threads / WARP_SIZE, turn = (unsigned)random_below(warps);
        for (unsigned w = 0; w < warps; w++) {
            unsigned first = (w + turn) % warps * WARP_SIZE;
            run_warp(first, first + WARP_SIZE);
        }
        if (all_are(0, threads, AT_BLOCK))
            set_all(0, threads, READY);
        else if (!all_are(0, threads, IDLE))
            misuse("a barrier or shuffle that only some threads of a block reach");
    }
}

static void run_grid(dim3 grid, unsigned threads, const std::function<void()> &thread)
{
    for (static unsigned made; made < threads; made++)
        fiber_new(made);
    body = &thread;
    gridDim = grid;
    blockDim = dim3(threads, 1, 1);
    size_t blocks = (size_t)grid.x * grid.y * grid.z, turn = random_below(blocks);
    for (size_t i = 0; i < blocks; i++) {
        size_t b = (i + turn) % blocks;
        blockIdx = dim3((unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                        (unsigned)(b / grid.x / grid.y));
        run_block(threads);
    }
}

/* ---- launches ---------------------------------------------------------------------------------------- */

static std::set<const void *> &loaded()
{
    static std::set<const void *> kernels;
    return kernels;
}

void kernel_loaded(const void *kernel)
{
    loaded().insert(kernel);
}

int launch_work(const void *kernel, dim3 grid, unsigned threads, cudaStream_t stream,
                std::function<void()> thread)
{
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535 ||
        grid.z > 65535 || threads == 0 || threads > THREADS_MOST || threads % WARP_SIZE)
        return cudaErrorInvalidConfiguration;
    if (capturing() && !loaded().count(kernel))
        misuse("a kernel's first launch is captured");
    kernel_loaded(kernel);
    enqueue(stream, [=] { run_grid(grid, threads, thread); });
    return cudaSuccess;
}
} // namespace emulated
