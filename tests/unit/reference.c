/* reference.c: the reference itself: known answers of a network, worked by PyTorch, and small cases
 * worked by hand.
 *
 *   reference --dump DIR    writes what reference_answers.py works the known answers from */
#include "fixture.h"

#include "../../kernels/random.h"

/* ---- a network with known answers ---- */

enum { ROWS = 7, CLASSES = 4, STEPS = 3, PIXELS = 9 * 11 * 3 };
static const char all_layers[] = "conv:3x5x6:same batchnorm relu maxpool:2 save "
                                 "conv:3x3x6:same:nobias batchnorm:3 add conv:2x3x5 "
                                 "avgpool scale:0.5 dense:8 relu";

typedef struct {
    network net;
    backend *b;
    program *p;
    uint8_t images[ROWS * PIXELS];
    int32_t labels[ROWS];
    float *parameters;
} bench;

static const uint32_t order[ROWS] = {0, 1, 2, 3, 4, 5, 6};

static void bench_new(bench *t, head_kind head, optimizer_kind kind)
{
    draws s = {42}; /* always the same: the answers are written below */
    t->b = reference_open();
    must(network_parse(all_layers, (extent){9, 11, 3}, head, CLASSES, &t->net, e));
    program_spec spec = {.net = &t->net,
                         .batch = ROWS,
                         .training = true,
                         .optimizer = {kind, 0.9f, 0.99f, 1e-3f, 0.85f, 0.05f},
                         .label_smoothing = 0.2f};
    must(t->b->program_new(t->b, &spec, &t->p, e));
    t->parameters = array_new(t->net.total, sizeof *t->parameters);
    network_initialise(&t->net, 3, t->parameters);
    for (size_t i = 0; i < sizeof t->images; i++)
        t->images[i] = (uint8_t)draw_bits(&s);
    for (size_t r = 0; r < ROWS; r++)
        t->labels[r] = (int32_t)draw_below(&s, CLASSES);
    must(t->b->parameters_set(t->b, t->p, t->parameters, e));
    must(t->b->data_set(t->b, t->p, t->images, t->labels, ROWS, e));
}

static void bench_free(bench *t)
{
    t->b->program_free(t->b, t->p);
    t->b->close(t->b);
    network_free(&t->net);
    free(t->parameters);
}

/* What is known: the loss before training; its sum over three steps; the loss in evaluation after
 * them; the root mean squares of the first gradient, of the last parameters and of the last
 * embeddings. */
typedef struct {
    double first, steps, evaluated, gradient, parameters, embedding;
} answers;

static answers bench_run(bench *t, float *gradient, float *parameters, float *embedding)
{
    const float rate[STEPS] = {0.1f, 0.05f, 0.02f};
    size_t total = t->net.total;
    metrics first = {0}, steps = {0}, evaluated = {0};
    must(t->b->gradients(t->b, t->p, order, ROWS, gradient, &first, e));
    for (int i = 0; i < STEPS; i++)
        must(t->b->train(t->b, t->p, order, ROWS, rate + i, &steps, e));
    must(t->b->parameters_get(t->b, t->p, parameters, e));
    must(backend_embed(t->b, t->p, t->images, ROWS, embedding, e));
    must(t->b->evaluate(t->b, t->p, order, ROWS, &evaluated, e));
    return (answers){first.loss / ROWS,      steps.loss / ROWS,
                     evaluated.loss / ROWS,  rms(gradient, total),
                     rms(parameters, total), rms(embedding, ROWS * t->net.dimension)};
}

static const struct {
    head_kind head;
    optimizer_kind kind;
    answers right;
} known[] = {
#include "reference_answers.h"
};

static void assert_near(const char *what, double got, double right)
{
    if (!(fabs(got - right) <= 2e-6 * fabs(right)))
        fail_msg("%s: %.9g, not %.9g", what, got, right);
}

static void a_network_has_pytorchs_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bench t = {0};
        bench_new(&t, known[i].head, known[i].kind);
        float *gradient = poisoned_new(t.net.total), *parameters = poisoned_new(t.net.total);
        float *embedding = poisoned_new(ROWS * t.net.dimension);
        answers a = bench_run(&t, gradient, parameters, embedding), r = known[i].right;
        assert_near("first loss", a.first, r.first);
        assert_near("loss of the steps", a.steps, r.steps);
        assert_near("loss in evaluation", a.evaluated, r.evaluated);
        assert_near("gradient", a.gradient, r.gradient);
        assert_near("parameters", a.parameters, r.parameters);
        assert_near("embedding", a.embedding, r.embedding);
        free(gradient);
        free(parameters);
        free(embedding);
        bench_free(&t);
    }
}

/* ---- pictures ---- */

/* What random.h says, done step by step on whole pictures. */
static void see_plainly(const uint8_t *image, int height, int width, random_view v, int cutout,
                        double *out)
{
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            out[y * width + x] = 0;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int to_y = y + v.dy, to_x = (v.flip ? width - 1 - x : x) + v.dx;
            if (to_y >= 0 && to_y < height && to_x >= 0 && to_x < width)
                out[to_y * width + to_x] = image[y * width + x] / 255.0;
        }
    }
    for (int y = v.cy - cutout / 2; y < v.cy - cutout / 2 + cutout; y++)
        for (int x = v.cx - cutout / 2; x < v.cx - cutout / 2 + cutout; x++)
            if (y >= 0 && y < height && x >= 0 && x < width)
                out[y * width + x] = 0;
}

/* A network without layers shows the pictures themselves. */
static void views_are_as_described(void **state)
{
    (void)state;
    enum { HEIGHT = 7, WIDTH = 10, PICTURES = 50, SIZE = HEIGHT * WIDTH, FIRST = 1000 };
    const augmentation each[] = {
        {true, 0, 0}, {false, 3, 0}, {false, 0, 4}, {false, 0, 3}, {true, 2, 5}};
    draws s = draw_named("views");
    uint8_t images[PICTURES * SIZE];
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)draw_bits(&s);
    backend *b = reference_open();
    network net;
    must(network_parse("", (extent){HEIGHT, WIDTH, 1}, HEAD_COSINE, 2, &net, e));
    float *seen = poisoned_new(PICTURES * SIZE);
    for (int k = 0; k < 5; k++) {
        program *p = NULL;
        program_spec spec = {.net = &net, .batch = 16, .seed = fixture_seed, .augment = each[k]};
        must(b->program_new(b, &spec, &p, e));
        for (uint32_t view = 0; view < 3; view++) {
            must(b->embed_submit(b, p, images, PICTURES, FIRST, view, seen, e));
            must(b->embed_wait(b, p, e));
            for (size_t r = 0; r < PICTURES; r++) {
                double right[SIZE];
                random_view v = {0};
                if (view)
                    v = random_augment(fixture_seed, view, FIRST + r, each[k].flip, each[k].shift,
                                       each[k].cutout, HEIGHT, WIDTH);
                see_plainly(images + r * SIZE, HEIGHT, WIDTH, v, view ? each[k].cutout : 0, right);
                for (size_t i = 0; i < SIZE; i++)
                    assert_true(seen[r * SIZE + i] == (float)right[i]);
            }
        }
        b->program_free(b, p);
    }
    free(seen);
    network_free(&net);
    b->close(b);
}

/* With one picture and the softmax head the gradient of the label's weights is (p - 1) f, and the
 * loss is -log p: so both tell f, what dropout let through. */
static void dropout_keeps_the_mean(void **state)
{
    (void)state;
    enum { SIZE = 400, CLASS = 1 };
    const uint32_t row = 0;
    const int32_t label = CLASS;
    uint8_t image[SIZE];
    draws s = draw_named("dropout");
    for (size_t i = 0; i < SIZE; i++)
        image[i] = (uint8_t)(1 + draw_below(&s, 255));
    backend *b = reference_open();
    network net;
    program *p = NULL;
    must(network_parse("dropout:0.2", (extent){20, 20, 1}, HEAD_SOFTMAX, 3, &net, e));
    program_spec spec = {.net = &net, .batch = 1, .training = true, .seed = fixture_seed};
    must(b->program_new(b, &spec, &p, e));
    float *parameters = array_new(net.total, sizeof *parameters),
          *gradient = poisoned_new(net.total);
    network_initialise(&net, 1, parameters);
    must(b->parameters_set(b, p, parameters, e));
    must(b->data_set(b, p, image, &label, 1, e));
    metrics m = {0};
    must(b->gradients(b, p, &row, 1, gradient, &m, e));
    size_t dropped = 0;
    for (size_t i = 0; i < SIZE; i++) {
        double f = (double)gradient[CLASS * SIZE + i] / (exp(-m.loss) - 1);
        bool keeps = random_dropout_keeps(fixture_seed, 0, 0, i, random_dropout_threshold(0.2f));
        dropped += !keeps;
        assert_true(fabs(f - (keeps ? image[i] / 255.0 / 0.8 : 0)) < 1e-5);
    }
    assert_in_range(dropped, 30, 130);
    free(parameters);
    free(gradient);
    b->program_free(b, p);
    network_free(&net);
    b->close(b);
}

/* ---- embeddings ---- */

static void top_k_puts_the_lower_index_first(void **state)
{
    (void)state;
    const float scores[] = {1, 3, 2, 3, -1, 0, -2, -2, -2, -2};
    const uint32_t right[] = {1, 3, 2, 0, 1, 2};
    uint32_t index[6];
    float value[6];
    backend *b = reference_open();
    must(b->algebra.top_k(&b->algebra, scores, 2, 5, 3, index, value, e));
    for (int i = 0; i < 6; i++) {
        assert_int_equal(index[i], right[i]);
        assert_true(value[i] == scores[(i / 3) * 5 + (int)right[i]]);
    }
    error e = {""};
    assert_int_equal(b->algebra.top_k(&b->algebra, scores, 2, 5, 6, index, value, &e), -1);
    b->close(b);
}

static void normalise_divides_by_the_length(void **state)
{
    (void)state;
    float x[] = {3, -4, 0, 0, 1e-40f, 0, 3e38f, 0};
    const float right[] = {0.6f, -0.8f, 0, 0, 1, 0, 1, 0};
    backend *b = reference_open();
    must(b->algebra.normalise(&b->algebra, x, 4, 2, e));
    for (int i = 0; i < 8; i++)
        assert_true(x[i] == right[i]);
    b->close(b);
}

static void products_are_taken_row_by_row(void **state)
{
    (void)state;
    const float x[] = {1, 2, -3, 4}, w[] = {1, 1, -1, 0, 1, 1};
    const float right[] = {3, -1, 3, 1, 3, 1};
    float scores[6], features[6], similarity[2];
    uint32_t nearest[2];
    backend *b = reference_open();
    must(b->algebra.scores(&b->algebra, x, 2, 2, w, 3, scores, e));
    must(b->algebra.features(&b->algebra, x, 2, 2, w, 3, features, e));
    must(b->algebra.assign(&b->algebra, x, 2, 2, w, 3, nearest, similarity, e));
    for (int i = 0; i < 6; i++) {
        assert_true(scores[i] == right[i]);
        assert_true(features[i] == (right[i] > 0 ? right[i] : 0));
    }
    assert_int_equal(nearest[0], 0); /* the first of two equals */
    assert_int_equal(nearest[1], 1);
    assert_true(similarity[0] == 3 && similarity[1] == 3);
    b->close(b);
}

static void moments_add_up(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, -1, 5, 5};
    const int32_t labels[] = {1, -1, 1};
    double sums[4], counts[2], gram[4];
    moments *m = NULL;
    backend *b = reference_open();
    must(b->algebra.moments_new(&b->algebra, 2, 2, true, &m, e));
    must(b->algebra.moments_add(&b->algebra, m, x, labels, 3, e));
    must(b->algebra.moments_get(&b->algebra, m, sums, counts, gram, e));
    const double right_sums[] = {0, 0, 6, 7}, right_gram[] = {35, 24, 24, 30};
    for (int i = 0; i < 4; i++)
        assert_true(sums[i] == right_sums[i] && gram[i] == right_gram[i]);
    assert_true(counts[0] == 0 && counts[1] == 2);
    b->algebra.moments_free(&b->algebra, m);
    b->close(b);
}

static void equations_are_solved(void **state)
{
    (void)state;
    double matrix[] = {3, 99, 2, 2}, right[] = {8, 4, 7, 2}; /* (matrix + I) X = right */
    const double solution[] = {1.25, 1, 1.5, 0};
    backend *b = reference_open();
    must(b->algebra.solve(&b->algebra, matrix, 2, 1, right, 2, e));
    for (int i = 0; i < 4; i++)
        assert_true(fabs(right[i] - solution[i]) < 1e-14);
    double singular[] = {1, 1, 1, 1}, zero[] = {0, 0};
    error e = {""};
    assert_int_equal(b->algebra.solve(&b->algebra, singular, 2, 0, zero, 1, &e), -1);
    assert_non_null(strstr(e.text, "positive definite"));
    b->close(b);
}

static void eigenvalues_ascend(void **state)
{
    (void)state;
    double matrix[] = {2, 1, 0, 1, 2, 0, 0, 0, -5}, values[3];
    const double right[] = {-5, 1, 3}, half = sqrt(0.5);
    backend *b = reference_open();
    must(b->algebra.eigen(&b->algebra, matrix, 3, values, e));
    for (int i = 0; i < 3; i++)
        assert_true(fabs(values[i] - right[i]) < 1e-14);
    assert_true(fabs(fabs(matrix[2]) - 1) < 1e-14);
    assert_true(fabs(matrix[3] + matrix[4]) < 1e-14 && fabs(fabs(matrix[3]) - half) < 1e-14);
    assert_true(fabs(matrix[6] - matrix[7]) < 1e-14 && fabs(fabs(matrix[6]) - half) < 1e-14);
    b->close(b);
}

/* ---- main ---- */

static void dump_array(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0)
        fail_msg("%s", path);
}

/* The heads differ in their parameters, and so in what these begin with. */
static void dump_head(const char *folder, head_kind head)
{
    bench t = {0};
    char name[64];
    bench_new(&t, head, OPTIMIZER_ADAM);
    dump_array(folder, "images", t.images, sizeof t.images);
    dump_array(folder, "labels", t.labels, sizeof t.labels);
    snprintf(name, sizeof name, "parameters.%s", head_name(head));
    dump_array(folder, name, t.parameters, t.net.total * sizeof *t.parameters);
    for (size_t k = 0; k < t.net.parameter_count; k++) {
        const parameter *q = &t.net.parameters[k];
        printf("%s %s %zu", head_name(head), q->name, q->start);
        for (size_t i = 0; i < q->rank; i++)
            printf(" %zu", q->shape[i]);
        putchar('\n');
    }
    bench_free(&t);
}

int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_has_pytorchs_answers),
        cmocka_unit_test(views_are_as_described),
        cmocka_unit_test(dropout_keeps_the_mean),
        cmocka_unit_test(top_k_puts_the_lower_index_first),
        cmocka_unit_test(normalise_divides_by_the_length),
        cmocka_unit_test(products_are_taken_row_by_row),
        cmocka_unit_test(moments_add_up),
        cmocka_unit_test(equations_are_solved),
        cmocka_unit_test(eigenvalues_ascend),
    };
    if (count == 3 && strcmp(words[1], "--dump") == 0)
        return dump_head(words[2], HEAD_COSINE), dump_head(words[2], HEAD_SOFTMAX), 0;
    fixture_begin();
    return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
