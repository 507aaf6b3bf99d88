/* runtime.cc: stands in for CUDA's runtime: devices, memory, streams, events and graphs. */
#include "queue.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <sys/mman.h>
#include <ctime>
#include <unistd.h>
#include <vector>

using emulated::misuse;
using emulated::work;

struct CUgraph_st {
    struct node {
        work does;
        std::vector<size_t> after;
    };
    std::vector<node> nodes;
};
struct CUgraphExec_st {
    std::vector<CUgraph_st::node> nodes;
};
struct CUevent_st {
    uint64_t recorded, done;
    double time; /* when it was done, in milliseconds */
    CUgraph_st *graph; /* that it was last recorded into */
    std::vector<size_t> after;
};
struct CUstream_st {
    struct item {
        work does;
        CUevent_st *records, *awaits;
        uint64_t number; /* of the event's recording */
    };
    std::deque<item> items;
    CUgraph_st *graph; /* being captured */
    bool origin;
    std::vector<size_t> after; /* nodes that the next one comes after */
};

static std::set<CUstream_st *> streams;
static CUstream_st by_default;
static cudaError_t last_error;

static cudaError_t failed(cudaError_t error)
{
    last_error = error;
    return error;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

namespace emulated
{
void misuse(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("emulated CUDA: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

/* SplitMix64. */
uint64_t random_below(uint64_t limit)
{
    static uint64_t state = setting("EMULATED_SEED", 1);
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % limit;
}

bool capturing()
{
    for (CUstream_st *s : streams)
        if (s->graph)
            return true;
    return false;
}
} // namespace emulated

/* ---- streams ----------------------------------------------------------------------------------------- */

static bool can_go(const CUstream_st *s)
{
    if (s->items.empty())
        return false;
    const CUstream_st::item &head = s->items.front();
    return !head.awaits || head.awaits->done >= head.number;
}

/* One item of any stream that has one to do. */
static bool do_one()
{
    std::vector<CUstream_st *> able;
    if (can_go(&by_default))
        able.push_back(&by_default);
    for (CUstream_st *s : streams)
        if (can_go(s))
            able.push_back(s);
    if (able.empty())
        return false;
    CUstream_st *s = able[emulated::random_below(able.size())];
    CUstream_st::item item = s->items.front();
    s->items.pop_front();
    if (item.does)
        item.does();
    if (item.records) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        item.records->done = item.number;
        item.records->time = (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
    }
    return true;
}

static void finish(const CUstream_st *s)
{
    while (!s->items.empty())
        if (!do_one())
            misuse("streams wait for each other");
}

static void finish_all()
{
    finish(&by_default);
    for (CUstream_st *s : streams)
        finish(s);
}

static void put(CUstream_st *s, CUstream_st::item item)
{
    s->items.push_back(item);
    for (uint64_t n = emulated::random_below(3); n > 0; n--)
        do_one();
}

static CUstream_st *stream_of(cudaStream_t s)
{
    if (s && !streams.count(s))
        misuse("a stream that is none, or was destroyed");
    return s ? s : &by_default;
}

void emulated::enqueue(cudaStream_t stream, work w)
{
    CUstream_st *s = stream_of(stream);
    if (!s->graph) {
        put(s, {w, nullptr, nullptr, 0});
        return;
    }
    s->graph->nodes.push_back({w, s->after});
    s->after = {s->graph->nodes.size() - 1};
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    *stream = new CUstream_st();
    streams.insert(*stream);
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    finish(stream_of(stream));
    streams.erase(stream);
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    CUstream_st *s = stream_of(stream);
    if (s->graph)
        return failed(cudaErrorStreamCaptureUnsupported);
    finish(s);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    if (emulated::capturing())
        return failed(cudaErrorStreamCaptureUnsupported);
    finish_all();
    return cudaSuccess;
}

/* ---- events ------------------------------------------------------------------------------------------ */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = new CUevent_st();
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    CUstream_st *s = stream_of(stream);
    event->graph = s->graph;
    if (s->graph)
        event->after = s->after;
    else
        put(s, {nullptr, event, nullptr, ++event->recorded});
    return cudaSuccess;
}

/* Waiting for a captured event brings a stream into the capture. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    CUstream_st *s = stream_of(stream);
    if (!event->graph && s->graph)
        return failed(cudaErrorStreamCaptureUnsupported);
    if (event->graph) {
        if (s->graph && s->graph != event->graph)
            return failed(cudaErrorStreamCaptureUnsupported);
        s->graph = event->graph;
        s->after.insert(s->after.end(), event->after.begin(), event->after.end());
    } else if (event->recorded) {
        put(s, {nullptr, nullptr, event, event->recorded});
    }
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    if (event->graph)
        return failed(cudaErrorStreamCaptureUnsupported);
    for (uint64_t wanted = event->recorded; event->done < wanted;)
        if (!do_one())
            misuse("waiting for an event that never comes");
    return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to)
{
    if (!from->done || !to->done)
        return failed(cudaErrorInvalidValue);
    static float last = 1000;
    *milliseconds = getenv("EMULATED_CLOCK") ? last *= 0.999f : (float)(to->time - from->time);
    return cudaSuccess;
}

/* ---- graphs ------------------------------------------------------------------------------------------ */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
    CUstream_st *s = stream_of(stream);
    if (!stream || s->graph)
        return failed(cudaErrorStreamCaptureUnsupported);
    s->graph = new CUgraph_st();
    s->origin = true;
    s->after.clear();
    return cudaSuccess;
}

/* Whether `node` is among those after which the end comes. */
static void mark_before(const CUgraph_st *g, size_t node, std::vector<bool> &marked)
{
    if (marked[node])
        return;
    marked[node] = true;
    for (size_t before : g->nodes[node].after)
        mark_before(g, before, marked);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    CUstream_st *s = stream_of(stream);
    if (!s->graph || !s->origin)
        return failed(cudaErrorStreamCaptureUnsupported);
    CUgraph_st *g = s->graph;
    std::vector<bool> joined(g->nodes.size());
    for (size_t node : s->after)
        mark_before(g, node, joined);
    for (CUstream_st *other : streams) {
        if (other->graph == g) {
            other->graph = nullptr;
            other->origin = false;
            other->after.clear();
        }
    }
    for (bool j : joined) {
        if (!j) {
            delete g;
            return failed(cudaErrorStreamCaptureUnjoined);
        }
    }
    *graph = g;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    *status = stream_of(stream)->graph ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long)
{
    *made = new CUgraphExec_st{graph->nodes};
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    finish_all(); /* CUDA lets what was launched end */
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream)
{
    stream_of(stream);
    return cudaSuccess;
}

static void graph_run(const CUgraphExec_st *g)
{
    std::vector<size_t> missing(g->nodes.size()), able;
    std::vector<std::vector<size_t>> behind(g->nodes.size());
    for (size_t i = 0; i < g->nodes.size(); i++) {
        missing[i] = g->nodes[i].after.size();
        for (size_t before : g->nodes[i].after)
            behind[before].push_back(i);
        if (missing[i] == 0)
            able.push_back(i);
    }
    while (!able.empty()) {
        std::swap(able[emulated::random_below(able.size())], able.back());
        size_t node = able.back();
        able.pop_back();
        g->nodes[node].does();
        for (size_t next : behind[node])
            if (--missing[next] == 0)
                able.push_back(next);
    }
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream)
{
    emulated::enqueue(stream, [graph] { graph_run(graph); });
    return cudaSuccess;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

struct piece {
    size_t bytes, mapped;
    void *map;
};
static std::map<const char *, piece> device_pieces, pinned_pieces;
static size_t taken;
enum { ALIGNMENT = 256, POISON = 0xFF };

static const piece *piece_find(const std::map<const char *, piece> &pieces, const void *memory,
                               size_t bytes)
{
    const char *at = (const char *)memory;
    auto after = pieces.upper_bound(at);
    if (after == pieces.begin())
        return nullptr;
    --after;
    return at + bytes <= after->first + after->second.bytes ? &after->second : nullptr;
}

bool emulated::on_device(const void *memory, size_t bytes)
{
    return piece_find(device_pieces, memory, bytes) != nullptr;
}

void emulated::need_device(const void *memory, size_t bytes, const char *what)
{
    if (!on_device(memory, bytes))
        misuse("%s: %zu bytes that are not, or not all, on the device", what, bytes);
}

static size_t card_bytes()
{
    return setting("EMULATED_MEMORY", (uint64_t)16 << 30);
}

/* Of large pieces, which are workspaces, both ends: the whole would take longer than the tests. */
static void poison(char *at, size_t bytes)
{
    const size_t large = 64 << 20, end = 1 << 20;
    memset(at, POISON, bytes < large ? bytes : end);
    if (bytes >= large)
        memset(at + bytes - end, POISON, end);
}

/* Ends where a page begins that cannot be touched, but for the alignment. */
cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    if (emulated::capturing())
        return failed(cudaErrorStreamCaptureUnsupported);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t mapped = (room + page - 1) / page * page + page;
    if (bytes > card_bytes() - taken)
        return failed(cudaErrorMemoryAllocation);
    char *map = (char *)mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map + mapped - page, page, PROT_NONE) != 0)
        misuse("no memory for the card's");
    char *at = map + mapped - page - room;
    poison(at, room);
    device_pieces[at] = {bytes, mapped, map};
    taken += bytes;
    *memory = at;
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory)
{
    if (!memory)
        return cudaSuccess;
    if (emulated::capturing())
        return failed(cudaErrorStreamCaptureUnsupported);
    finish_all();
    auto found = device_pieces.find((const char *)memory);
    if (found == device_pieces.end())
        misuse("cudaFree of what cudaMalloc did not give");
    taken -= found->second.bytes;
    munmap(found->second.map, found->second.mapped);
    device_pieces.erase(found);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **memory, size_t bytes)
{
    *memory = malloc(bytes);
    if (!*memory)
        return failed(cudaErrorMemoryAllocation);
    memset(*memory, POISON, bytes);
    pinned_pieces[(const char *)*memory] = {bytes, 0, nullptr};
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *memory)
{
    finish_all();
    if (!pinned_pieces.erase((const char *)memory))
        misuse("cudaFreeHost of what cudaMallocHost did not give");
    free(memory);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *total = card_bytes();
    *free_bytes = *total - taken;
    return cudaSuccess;
}

static void sides_check(const void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (bytes && (emulated::on_device(to, bytes) != to_device ||
                  emulated::on_device(from, bytes) != from_device))
        misuse("a copy of %zu bytes whose sides are not where its kind says", bytes);
}

/* From pageable memory the bytes are taken at once; to it, the call ends when they have come; pinned memory
 * is read and written when the stream comes to it. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    CUstream_st *s = stream_of(stream);
    bool host_in = kind == cudaMemcpyHostToDevice, host_out = kind == cudaMemcpyDeviceToHost;
    bool pageable = (host_in && !piece_find(pinned_pieces, from, bytes)) ||
                    (host_out && !piece_find(pinned_pieces, to, bytes));
    sides_check(to, from, bytes, kind);
    if (pageable && s->graph)
        return failed(cudaErrorStreamCaptureUnsupported);
    if (pageable && host_in) {
        auto staged = std::make_shared<std::vector<char>>((const char *)from, (const char *)from + bytes);
        emulated::enqueue(stream, [=] { memcpy(to, staged->data(), bytes); });
        return cudaSuccess;
    }
    emulated::enqueue(stream, [=] { memcpy(to, from, bytes); });
    return pageable ? cudaStreamSynchronize(stream) : cudaSuccess;
}

/* On the default stream, for which ours do not wait; device to device it may return before it is done. */
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    if (emulated::capturing())
        return failed(cudaErrorStreamCaptureUnsupported);
    cudaError_t status = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
    if (status == cudaSuccess && kind == cudaMemcpyDeviceToHost)
        finish(&by_default);
    return status;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream)
{
    emulated::need_device(memory, bytes, "memset");
    emulated::enqueue(stream, [=] { memset(memory, value, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemset(void *memory, int value, size_t bytes)
{
    if (emulated::capturing())
        return failed(cudaErrorStreamCaptureUnsupported);
    return cudaMemsetAsync(memory, value, bytes, nullptr);
}

/* ---- devices and errors ------------------------------------------------------------------------------ */

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = (int)setting("EMULATED_DEVICES", 1);
    return *count ? cudaSuccess : failed(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    int count = 0;
    cudaGetDeviceCount(&count);
    return device < count ? cudaSuccess : failed(cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int)
{
    const char *capability = getenv("EMULATED_CAPABILITY");
    *properties = {};
    snprintf(properties->name, sizeof properties->name, "emulated");
    properties->totalGlobalMem = card_bytes();
    properties->multiProcessorCount = 1;
    if (!capability || sscanf(capability, "%d.%d", &properties->major, &properties->minor) != 2) {
        properties->major = 9;
        properties->minor = 0;
    }
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaError";
}

const char *cudaGetErrorString(cudaError_t error)
{
    static char text[32];
    snprintf(text, sizeof text, "error %d", (int)error);
    return text;
}
