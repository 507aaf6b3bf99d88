/* finite_differences.c: the reference's gradients against central differences of its loss.
 *
 *   d loss / d w  ~  (loss(w + h) - loss(w - h)) / 2h
 *
 * The loss comes in double and the step actually taken is known exactly, so that little but the h^2
 * of the formula is left. Near a kink (relu at 0, equal values under a max-pool) a difference means
 * nothing. There the slopes above and below differ by twice what the difference is off, where a
 * wrong gradient leaves them alike: such an element is not judged. One unit at its kink may spoil
 * most elements; then other numbers are drawn. */
#include "fixture.h"

typedef struct {
    const char *text;
    size_t frozen;
    bool smooth, augment;
} network_case;

static const network_case cases[] = {
    {.text = ""},
    {.text = "conv:3x3x4:same"},
    {.text = "conv:2x3x4"},
    {.text = "conv:5x3x3:same:nobias conv:3x3x4"},
    {.text = "dense:6 dense:5:nobias"},
    {.text = "conv:1x1x4 relu dense:6"},
    {.text = "conv:1x1x4 maxpool:2 dense:6"},
    {.text = "conv:3x3x4 maxpool:all"},
    {.text = "conv:1x1x4 avgpool"},
    {.text = "conv:1x1x4 dropout:0.4 dense:6 dropout:0.2"},
    {.text = "conv:3x3x4:same:nobias batchnorm dense:6"},
    {.text = "conv:3x3x4:same batchnorm:2 relu dense:6"},
    {.text = "dense:6 batchnorm"},
    {.text = "conv:3x3x4 scale:-0.3 dense:6"},
    {.text = "conv:3x3x3:same save conv:3x3x3:same add dense:6"},
    {.text = "conv:1x1x3 save save conv:3x3x3:same relu add scale:0.5 add dense:6"},
    {.text =
         "conv:3x3x4:same relu conv:3x3x4 relu maxpool:2 dropout:0.25 dense:8 relu dropout:0.5"},
    {.text = "conv:3x3x4:same:stride=2 conv:2x1x3:pad=1,0,0,0:stride=1x2"},
    {.text = "conv:1x1x6 conv:3x3x6:same:groups=6 conv:3x2x4:groups=2:dilation=1x2"},
    {.text = "conv:1x1x4 clip:-0.2,0.3 dense:6"},
    {.text = "conv:1x1x4 leakyrelu:0.2 conv:1x1x4 sigmoid conv:1x1x4 silu"},
    {.text = "conv:1x1x4 hardsigmoid conv:1x1x4 hardswish dense:6"},
    {.text = "conv:1x1x4 gelu conv:1x1x4 tanhgelu dense:6"},
    {.text = "conv:1x1x4 maxpool:3:stride=2:pad=1:ceil dense:6"},
    {.text = "conv:1x1x4 avgpool:3x2:stride=2:pad=1:ceil avgpool:2:stride=1:within:pad=1,0,0,0"},
    {.text = "normalize:0.4,0.5:0.2,0.3 conv:1x1x6 layernorm affine dense:6"},
    {.text = "conv:2x2x6:stride=2 tokens:2 position layernorm conv:1x1x12 attention:2 take:0-2"},
    {.text = "conv:1x1x6 shuffle:3 channels:1-4 conv:1x1x3"},
    {.text = "conv:1x1x3 save conv:3x3x3:same | conv:1x1x3 sigmoid | save | gelu concat "
             "conv:1x1x3 add dense:6"},
    {.text = "conv:1x1x3 save avgpool conv:1x1x3 sigmoid multiply save conv:1x1x2 concat dense:6"},
    {.text = "conv:1x1x3 save conv:1x1x3 | conv:1x1x3 silu multiply save avgpool | multiply"},
    {.text = "conv:3x3x4 relu dense:6", .smooth = true},
    {.text = "conv:3x3x4 relu dense:6", .augment = true},
    {.text = "conv:3x3x4 batchnorm relu dense:6", .frozen = 4},
    {.text = "conv:3x3x4 relu conv:3x3x4 batchnorm relu dense:6", .frozen = 2},
    {.text = "conv:3x3x4 save conv:3x3x4:same relu | conv:1x1x4 add relu dense:6", .frozen = 4},
};

enum { ROWS = 5, CLASSES = 4, ELEMENTS = 24, DRAWS = 6 };
static const extent picture = {5, 6, 2};

typedef struct {
    backend *b;
    network net;
    program *p;
    float *parameters, *gradient;
    double loss;
    uint8_t images[ROWS * 60];
    int32_t labels[ROWS];
} bench;

static const uint32_t order[ROWS] = {3, 0, 4, 1, 2};

static void bench_new(bench *t, const network_case *c, head_kind head, draws *s)
{
    t->b = reference_open();
    must(network_parse(c->text, picture, head, CLASSES, &t->net, e));
    program_spec spec = {.net = &t->net, .batch = ROWS, .training = true, .seed = draw_bits(s)};
    spec.frozen = c->frozen;
    spec.label_smoothing = c->smooth ? 0.3f : 0;
    spec.augment = c->augment ? (augmentation){true, 1, 2} : (augmentation){false, 0, 0};
    must(t->b->program_new(t->b, &spec, &t->p, e));
    t->parameters = normal_new(s, t->net.total);
    t->gradient = poisoned_new(t->net.total);
    for (size_t k = 0; k < t->net.parameter_count; k++) {
        const parameter *q = &t->net.parameters[k];
        for (size_t i = q->start; i < q->start + q->count; i++)
            t->parameters[i] = (float)q->trainable * t->parameters[i] * 0.4f + (float)!q->trainable;
    }
    for (size_t i = 0; i < sizeof t->images; i++)
        t->images[i] = (uint8_t)draw_bits(s);
    for (size_t r = 0; r < ROWS; r++)
        t->labels[r] = (int32_t)draw_below(s, CLASSES);
    must(t->b->data_set(t->b, t->p, t->images, t->labels, ROWS, e));
}

static void bench_free(bench *t)
{
    t->b->program_free(t->b, t->p);
    t->b->close(t->b);
    network_free(&t->net);
    free(t->parameters);
    free(t->gradient);
}

static double loss(bench *t, float *gradient)
{
    metrics m = {0};
    must(t->b->parameters_set(t->b, t->p, t->parameters, e));
    must(t->b->gradients(t->b, t->p, order, ROWS, gradient, &m, e));
    assert_int_equal(m.rows, ROWS);
    return m.loss / ROWS;
}

typedef struct {
    double slope, bend; /* the central difference; the difference of the slopes on its two sides */
} slopes;

static slopes difference(bench *t, float *scratch, size_t i, float h)
{
    float w = t->parameters[i], above = w + h, below = w - h;
    t->parameters[i] = above;
    double high = loss(t, scratch);
    t->parameters[i] = below;
    double low = loss(t, scratch);
    t->parameters[i] = w;
    return (slopes){(high - low) / ((double)above - (double)below),
                    (high - t->loss) / ((double)above - (double)w) -
                        (t->loss - low) / ((double)w - (double)below)};
}

typedef enum { AGREES, DIFFERS, NOT_JUDGED } judgement;

static judgement element_judge(bench *t, float *scratch, size_t i, double scale, double *found)
{
    const float steps[] = {1e-4f, 1e-5f, 1e-3f};
    bool kink = false;
    for (int k = 0; k < 3; k++) {
        slopes d = difference(t, scratch, i, steps[k]);
        double off = fabs(d.slope - (double)t->gradient[i]);
        if (off <= 1e-5 * scale)
            return AGREES;
        kink |= k == 0 && fabs(d.bend) > off;
        if (k == 0)
            *found = d.slope;
    }
    return kink ? NOT_JUDGED : DIFFERS;
}

/* Returns whether elements enough could be judged. */
static bool parameter_check(bench *t, const network_case *c, size_t k, draws *s, verdict *v)
{
    const parameter *q = &t->net.parameters[k];
    bool learns = q->trainable && q->layer >= c->frozen;
    float *scratch = poisoned_new(t->net.total);
    double scale =
        fmax(rms(t->gradient + q->start, q->count), 0.1 * rms(t->gradient, t->net.total));
    size_t wrong = 0, judged = 0, tried = q->count < ELEMENTS ? q->count : ELEMENTS;
    for (size_t n = 0; n < tried; n++) {
        size_t i = q->start + (tried == q->count ? n : draw_below(s, q->count));
        double found = 0;
        judgement j = learns ? element_judge(t, scratch, i, scale, &found) : AGREES;
        judged += j != NOT_JUDGED;
        if (!learns && t->gradient[i] != 0)
            verdict_add(v, "%s: a gradient, though it does not learn\n", q->name);
        else if (j == DIFFERS && ++wrong > tried / 12)
            verdict_add(v, "%s [%zu]: gradient %.9g, difference %.9g\n", q->name, i - q->start,
                        (double)t->gradient[i], found);
    }
    free(scratch);
    return judged >= (tried + 1) / 2;
}

/* Returns whether every parameter could be judged. */
static bool check_draw(const network_case *c, head_kind head, draws *s)
{
    bench t = {0};
    verdict v = {.count = 0};
    bool judged = true;
    bench_new(&t, c, head, s);
    t.loss = loss(&t, t.gradient);
    assert_true(margin_intact(t.gradient, t.net.total));
    for (size_t k = 0; k < t.net.parameter_count; k++)
        judged &= parameter_check(&t, c, k, s, &v);
    bench_free(&t);
    verdict_close(&v);
    return judged;
}

static void check(const char *name, const network_case *c, head_kind head)
{
    draws s = draw_named(name);
    for (int draw = 0; draw < DRAWS; draw++)
        if (check_draw(c, head, &s))
            return;
    fail_msg("no draw of %d could be judged", DRAWS);
}

typedef struct {
    char name[160];
    const network_case *c;
    head_kind head;
} test_case;

static void run_case(void **state)
{
    const test_case *t = *state;
    check(t->name, t->c, t->head);
}

int main(int count, char **words)
{
    enum { CASES = sizeof cases / sizeof *cases };
    static test_case tests[2 * CASES];
    static struct CMUnitTest all[2 * CASES];
    fixture_seed = count == 3 && strcmp(words[1], "--seed") == 0 ? strtoull(words[2], NULL, 10)
                                                                 : (uint64_t)time(NULL);
    printf("# seed %llu\n", (unsigned long long)fixture_seed);
    for (size_t i = 0; i < 2 * CASES; i++) {
        const network_case *c = &cases[i / 2];
        tests[i] = (test_case){.c = c, .head = i % 2 ? HEAD_SOFTMAX : HEAD_COSINE};
        snprintf(tests[i].name, sizeof tests[i].name, "gradient of [%s] %s%s%s%s", c->text,
                 head_name(tests[i].head), c->frozen ? " frozen" : "", c->smooth ? " smoothed" : "",
                 c->augment ? " augmented" : "");
        all[i] = (struct CMUnitTest){tests[i].name, run_case, NULL, NULL, &tests[i]};
    }
    return _cmocka_run_group_tests("finite differences", all, 2 * CASES, NULL, NULL) ? 1 : 0;
}
