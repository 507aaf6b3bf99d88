#include "cpu.h"

#include "../../common/base/memory.h"
#include "../../common/base/restart.h"
#include "../../common/base/threads.h"
#include "dnnl_compat.h"
#include "embedding.h"
#include "linear.h"
#include "moments.h"
#include "program.h"

#include <cblas.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* OpenBLAS's own; its header is not the one that <cblas.h> means on every machine. */
void openblas_set_num_threads(int threads);
char *openblas_get_corename(void);

/* ---- memory that libraries take ----
 *
 * OpenBLAS takes buffers as it is loaded, and another for the first large product; where it gets
 * none it asks again for ever. So where address space is limited we ask first. */

#define OPENBLAS_BUFFER ((size_t)128 << 20)
#define OPENBLAS_REST ((size_t)16 << 20) /* what starts beside them */
#define ONEDNN_ROOM ((size_t)64 << 20)

static bool space_is_limited(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

static bool has_space(size_t bytes)
{
    if (!space_is_limited())
        return true;
    void *taken = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return taken != MAP_FAILED && munmap(taken, bytes) == 0;
}

/* With the first product's buffer in its hands it needs no other, since one thread calls it. */
static int openblas_prepare(error *e)
{
    enum { SIDE = 64 };
    static double square[SIDE * SIDE];
    if (!space_is_limited())
        return 0;
    if (!has_space(OPENBLAS_BUFFER + OPENBLAS_REST))
        return error_set(e, "out of memory: OpenBLAS needs 128 MiB; raise the limit (ulimit -v)");
    cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, SIDE, SIDE, 1, square, SIDE, 0, square,
                SIDE);
    return 0;
}

int cpu_room(error *e)
{
    if (!has_space(ONEDNN_ROOM))
        return error_set(e, "out of memory: oneDNN needs 64 MiB; raise the limit (ulimit -v)");
    return 0;
}

/* Before any library starts: at a time when there is no more of libc than its calls of the kernel.
 * Loaded, OpenBLAS takes a buffer a processor, two at the least. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(1);
}

static void openblas_can_start(int count, char **words)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    size_t buffers = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 2;
    if (has_space((buffers > 2 ? buffers : 2) * OPENBLAS_BUFFER + OPENBLAS_REST))
        return;
    const char *name = count > 0 ? strrchr(words[0], '/') : NULL;
    say(name ? name + 1 : count > 0 ? words[0] : "cpu");
    say(": out of memory: OpenBLAS begins with 128 MiB a processor; raise the limit (ulimit -v)\n");
    _exit(1);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_all)(int, char **) = openblas_can_start;
#endif

/* ---- processors that OpenBLAS does not know ----
 *
 * On one newer than itself it multiplies by SSE3 (its core Prescott), at a quarter of what the
 * processor does by AVX-512. It chooses as it is loaded and by the environment alone, so that this
 * program begins anew with a core named that the processor has. */
#if defined(__x86_64__)
#define CORE "OPENBLAS_CORETYPE"

/* What a program needs to compute by one of its cores. */
static const char *core_of_processor(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return NULL;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512cd");
    return wide ? "SkylakeX" : "Haswell";
}

__attribute__((constructor)) static void openblas_choose(int count, char **words)
{
    (void)count;
    const char *core = core_of_processor();
    if (!core || getenv(CORE) || strcmp(openblas_get_corename(), "Prescott") != 0 ||
        setenv(CORE, core, 1) < 0)
        return;
    restart(words);
    unsetenv(CORE); /* slowly, then */
}
#endif

/* ---- threads ---- */

void cpu_begin(const cpu *own)
{
    if (omp_get_max_threads() != own->threads)
        omp_set_num_threads(own->threads);
}

/* ---- the processor ---- */

static bool computes(dnnl_cpu_isa_t what)
{
#if defined(__x86_64__)
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)what) == (unsigned)what;
#else
    (void)what;
    return false;
#endif
}

bool cpu_has_avx2(void)
{
    return computes(dnnl_cpu_isa_avx2);
}

bool cpu_has_avx512(void)
{
    return computes(dnnl_cpu_isa_avx512_core);
}

bool cpu_has_avx512_bf16(void)
{
    return computes(dnnl_cpu_isa_avx512_core_bf16);
}

bool cpu_has_tiles(void)
{
    return computes(dnnl_cpu_isa_avx512_core_amx);
}

static const char *processor_name(void)
{
    if (cpu_has_tiles())
        return "AMX";
    if (cpu_has_avx512_bf16())
        return "AVX512-BF16";
    if (cpu_has_avx512())
        return "AVX512";
    if (cpu_has_avx2())
        return "AVX2";
#if defined(__x86_64__)
    return "x86-64";
#elif defined(__aarch64__)
    return "arm64";
#else
    return "CPU";
#endif
}

/* Sapphire Rapids and later, which compute with FP16 too, multiply bf16 fast by tiles alone: their
 * vdpbf16ps takes four times as long as a vfmadd of floats, for twice the products. Where a virtual
 * machine hides the tiles, float embeds 1.6 times as many pictures a second (ResNet-50, ViT-S,
 * Lite0: tests/bench/driver, embed fp32 and bf16). */
static bool bf16_is_faster(void)
{
    bool fp16 = false;
#if defined(__x86_64__)
    unsigned a, b, c, d;
    fp16 = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1u << 23);
#endif
    return cpu_has_tiles() || (cpu_has_avx512_bf16() && !fp16);
}

static int precision_choose(precision_kind asked, precision_kind *out, error *e)
{
    if (asked == PRECISION_TF32)
        return error_set(e, "precision tf32: only GPUs compute it; use fp32, bf16 or auto");
    *out = asked;
    if (asked == PRECISION_AUTO)
        *out = bf16_is_faster() ? PRECISION_BF16 : PRECISION_FP32;
    return 0;
}

/* ---- opening and closing ---- */

static void cpu_close(backend *b)
{
    if (!b)
        return;
    cpu *own = b->own;
    if (own && own->stream)
        dnnl_stream_destroy(own->stream);
    if (own && own->engine)
        dnnl_engine_destroy(own->engine);
    free(own);
    free(b);
}

static void *cpu_host_alloc(backend *b, size_t bytes)
{
    (void)b;
    return memory_aligned(bytes);
}

static void cpu_host_free(backend *b, void *memory)
{
    (void)b;
    free(memory);
}

static int cpu_start(backend *b, const backend_options *options, error *e)
{
    cpu *own = b->own;
    if (precision_choose(options->precision, &b->precision, e) < 0)
        return -1;
    own->type = b->precision == PRECISION_BF16 ? ELEMENT_BF16 : ELEMENT_F32;
    own->threads = threads_usable(options->threads);
    dnnl_status_t status = dnnl_engine_create(&own->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&own->stream, own->engine, dnnl_stream_default_flags);
    if (status != dnnl_success)
        return error_set(e, "oneDNN does not start: %s", dnnl_status_text(status));
    omp_set_dynamic(0); /* what was asked for comes, or our threads wait for ones that do not */
    if (openblas_prepare(e) < 0)
        return -1;
    openblas_set_num_threads(own->threads);
    cpu_begin(own);
    snprintf(b->device, sizeof b->device, "%d thread%s, %s", own->threads,
             own->threads == 1 ? "" : "s", processor_name());
    return 0;
}

static int cpu_open(const backend_options *options, int device, backend **out, error *e)
{
    (void)device;
    backend *b = calloc(1, sizeof *b);
    cpu *own = calloc(1, sizeof *own);
    if (!b || !own) {
        free(b);
        free(own);
        return error_set(e, "out of memory");
    }
    *b = (backend){.name = "cpu",
                   .close = cpu_close,
                   .host_alloc = cpu_host_alloc,
                   .host_free = cpu_host_free,
                   .own = own,
                   .algebra.own = own};
    cpu_program(b);
    cpu_embedding(&b->algebra);
    cpu_moments(&b->algebra);
    cpu_linear(&b->algebra);
    if (cpu_start(b, options, e) < 0) {
        cpu_close(b);
        return -1;
    }
    *out = b;
    return 0;
}

const backend_driver backend_cpu = {BACKEND_ABI, cpu_open};
