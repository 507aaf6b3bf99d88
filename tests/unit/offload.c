/* offload.c: which call is done where, and that the answers do not tell. The reference stands for
 * the GPU. */
#include "../../kernels/offload.h"
#include "conform_embedding.h"

enum { DIMENSION = 24, COUNT = 40, CLASSES = 5, ROWS = 60 };

/* What was said. */
typedef struct {
    int taken, refused;
    char why[200];
} heard;

static void told(void *context, const backend *taken, const char *why)
{
    heard *h = context;
    h->taken += taken != NULL;
    h->refused += why != NULL;
    if (taken)
        assert_string_equal(taken->name, "reference");
    if (why)
        snprintf(h->why, sizeof h->why, "%s", why);
}

/* A slow CPU beside a quick device, which takes so many seconds to wake. */
static offload_costs costs_of(double start)
{
    return (offload_costs){.start = start,
                           .cpu = 1e6,
                           .cpu_double = 5e5,
                           .device = 1e12,
                           .device_double = 1e12,
                           .link = 1e12};
}

static offload *open_beside(const char *device, offload_costs costs, heard *h)
{
    offload *o;
    error e = {""};
    backend_options options = {.threads = 1};
    assert_int_equal(offload_open(&options, device, &costs, told, h, &o, &e), 0);
    assert_string_equal(offload_cpu(o)->name, "cpu");
    for (size_t at = 0; at < offsetof(algebra, own); at += sizeof(void *)) /* none is left out */
        assert_true(*(void **)((char *)offload_algebra(o) + at) != NULL);
    return o;
}

/* Begun on the CPU, gone on with on the device, or all on one of them: 0, 1, 2 turns of three
 * before it wakes. */
static void test_sums_add_up(void **state)
{
    (void)state;
    draws s = draw_named("sums");
    error e = {""};
    float *x = normal_new(&s, 3 * ROWS * DIMENSION);
    int32_t labels[3 * ROWS];
    for (size_t i = 0; i < 3 * ROWS; i++)
        labels[i] = (int32_t)draw_below(&s, CLASSES + 1) - 1;
    double one = 2.0 * (ROWS * DIMENSION + ROWS * DIMENSION * DIMENSION) / 1e6;
    for (int before = 0; before <= 3; before++) {
        double sums[2][CLASSES * DIMENSION], counts[2][CLASSES], gram[2][DIMENSION * DIMENSION];
        for (int turn = 0; turn < 2; turn++) {
            heard h = {0};
            backend *b = turn ? reference_open() : NULL;
            offload *o = turn ? NULL : open_beside("reference", costs_of((before + 0.5) * one), &h);
            algebra *a = turn ? &b->algebra : offload_algebra(o);
            moments *m;
            assert_int_equal(a->moments_new(a, DIMENSION, CLASSES, true, &m, &e), 0);
            for (size_t i = 0; i < 3; i++)
                assert_int_equal(
                    a->moments_add(a, m, x + i * ROWS * DIMENSION, labels + i * ROWS, ROWS, &e), 0);
            assert_int_equal(a->moments_get(a, m, sums[turn], counts[turn], gram[turn], &e), 0);
            a->moments_free(a, m);
            if (b)
                b->close(b);
            else
                offload_close(o);
            assert_int_equal(h.taken, !turn && before < 3);
        }
        verdict v = {0};
        judge_doubles(&v, "sums", sums[0], sums[1], CLASSES * DIMENSION, 1e-6);
        judge_doubles(&v, "counts", counts[0], counts[1], CLASSES, 0);
        judge_doubles(&v, "gram", gram[0], gram[1], DIMENSION * DIMENSION, 1e-6);
        verdict_close(&v);
    }
    free(x);
}

/* Every function, asleep and awake. */
static void test_answers_are_the_same(void **state)
{
    (void)state;
    static const embedding_test tests[] = {
        test_scores, test_features, test_normalise, test_top_k,         test_assign,
        test_sums,   test_gram,     test_solve,     test_solve_refuses, test_eigen};
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        for (int awake = 0; awake <= 1; awake++) {
            heard h = {0};
            draws s = draw_named("same");
            offload *o = open_beside("reference", costs_of(awake ? 0 : 1e9), &h);
            conform_embedding(offload_algebra(o), tests[i], (sizes){30, 17, 6}, &s);
            offload_close(o);
            assert_int_equal(h.taken,
                             awake && tests[i] != test_normalise && tests[i] != test_top_k);
        }
}

/* What the link costs more for than the CPU takes never wakes it, however much of it there is. */
static void test_copying_is_counted(void **state)
{
    (void)state;
    draws s = draw_named("copies");
    error e = {""};
    heard h = {0};
    float *x = normal_new(&s, ROWS * DIMENSION), *w = normal_new(&s, COUNT * DIMENSION),
          *scores = normal_new(&s, ROWS * COUNT);
    offload_costs costs = {.start = 1e-3,
                           .cpu = 1e9,
                           .cpu_double = 5e8,
                           .device = 1e12,
                           .device_double = 1e12,
                           .link = 1e9};
    offload *o = open_beside("reference", costs, &h);
    algebra *a = offload_algebra(o);
    for (int i = 0; i < 1000; i++) /* of one class: 48 operations for 100 bytes */
        assert_int_equal(a->scores(a, x, ROWS, DIMENSION, w, 1, scores, &e), 0);
    assert_int_equal(h.taken, 0);
    for (int i = 0; i < 1000 && !h.taken; i++) /* of forty: 1,920 for 256 */
        assert_int_equal(a->scores(a, x, ROWS, DIMENSION, w, COUNT, scores, &e), 0);
    assert_int_equal(h.taken, 1);
    offload_close(o);
    free(x);
    free(w);
    free(scores);
}

static void test_no_device(void **state)
{
    (void)state;
    heard h = {0};
    draws s = draw_named("none");
    setenv("LOWSHOT_PLUGIN", "/nowhere/backend-cuda.so", 1);
    offload *o = open_beside("cuda", costs_of(0), &h);
    for (int i = 0; i < 3; i++)
        conform_embedding(offload_algebra(o), test_scores, (sizes){30, 17, 6}, &s);
    assert_int_equal(h.refused, 1);
    assert_int_equal(h.taken, 0);
    assert_non_null(strstr(h.why, "there is no plug-in /nowhere/backend-cuda.so"));
    offload_close(o);
    unsetenv("LOWSHOT_PLUGIN");
}

/* A few thousand embeddings of some classes are the CPU's, and a hundred thousand of a thousand
 * classes a device's. */
static void test_usual_costs(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 16; threads *= 2) {
        offload_costs c = offload_costs_of(threads);
        double few = 5000.0 * 512, many = 1e5 * 512;
        assert_true(2 * few * 100 / c.cpu - 4 * few / c.link < c.start);
        assert_true(threads > 2 || 2 * many * 1000 / c.cpu - 4 * (many + 1e8) / c.link -
                                           2 * many * 1000 / c.device >
                                       c.start);
    }
    assert_true(offload_costs_of(0).cpu > 0);
}

int main(void)
{
    fixture_begin();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_add_up),        cmocka_unit_test(test_answers_are_the_same),
        cmocka_unit_test(test_copying_is_counted), cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_usual_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
