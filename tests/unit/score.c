/* The figures behind score: tallies, intervals, JSON texts. */
#include "../../common/base/json.h"
#include "../../src/scoring/auroc.h"
#include "../../src/scoring/interval.h"
#include "../../src/scoring/report.h"
#include "../../src/scoring/tally.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ASSERT_NEAR(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static const class_kind kinds[] = {CLASS_BASE, CLASS_BASE, CLASS_NOVEL};

static void test_accuracies(void **state)
{
    (void)state;
    tally *t;
    error e = {0};
    const int32_t labels[] = {0, 0, 0, 1, 1, 2, 2, 2};
    const int32_t predictions[] = {0, 0, 2, 1, 0, 2, 2, 1};
    assert_int_equal(tally_new(3, kinds, &t, &e), 0);
    assert_int_equal(tally_add(t, labels, predictions, NULL, 5, &e), 0);
    assert_int_equal(tally_add(t, labels + 5, predictions + 5, NULL, 3, &e), 0);
    tally_figures f = tally_get(t);
    assert_int_equal(f.rows, 8);
    assert_int_equal(f.unknown_rows, 0);
    ASSERT_NEAR(f.base, 3.0 / 5, 1e-12);
    ASSERT_NEAR(f.novel, 2.0 / 3, 1e-12);
    ASSERT_NEAR(f.all, 5.0 / 8, 1e-12);
    ASSERT_NEAR(f.harmonic_mean, 2 / (5.0 / 3 + 3.0 / 2), 1e-12);
    assert_true(isnan(f.loss) && isnan(f.auroc) && isnan(f.rejected_unknown));
    assert_int_equal(tally_class_rows(t, 0), 3);
    assert_int_equal(tally_class_hits(t, 0), 2);
    assert_int_equal(tally_confusion(t, 0, 2), 1);
    assert_int_equal(tally_confusion(t, 2, 0), 0);
    assert_int_equal(tally_confusion(t, 2, 1), 1);
    tally_free(t);
}

static void test_no_novel_class(void **state)
{
    (void)state;
    tally *t;
    error e = {0};
    const class_kind base[] = {CLASS_BASE, CLASS_BASE};
    const int32_t labels[] = {0, 1}, predictions[] = {1, 0};
    assert_int_equal(tally_new(2, base, &t, &e), 0);
    tally_figures f = tally_get(t);
    assert_true(isnan(f.base) && isnan(f.all) && isnan(f.loss));
    assert_int_equal(tally_add(t, labels, predictions, NULL, 2, &e), 0);
    f = tally_get(t);
    assert_true(isnan(f.novel) && isnan(f.harmonic_mean));
    ASSERT_NEAR(f.all, 0, 0);
    tally_free(t);
}

static void test_harmonic_mean_of_nothing_right(void **state)
{
    (void)state;
    tally *t;
    error e = {0};
    const int32_t labels[] = {0, 2}, predictions[] = {1, 0};
    assert_int_equal(tally_new(3, kinds, &t, &e), 0);
    assert_int_equal(tally_add(t, labels, predictions, NULL, 2, &e), 0);
    assert_true(tally_get(t).harmonic_mean == 0);
    tally_free(t);
}

/* The loss by its definition, with scores that overflow exp unless the largest is taken out. */
static void test_loss(void **state)
{
    (void)state;
    tally *t;
    error e = {0};
    const int32_t labels[] = {0, 1}, predictions[] = {0, 0};
    const float scores[] = {1, 2, 3, 2000, 1999, 0};
    assert_int_equal(tally_new(3, kinds, &t, &e), 0);
    assert_int_equal(tally_add(t, labels, predictions, scores, 2, &e), 0);
    double first = log(exp(1) + exp(2) + exp(3)) - 1, second = log(1 + exp(-1)) + 1;
    ASSERT_NEAR(tally_get(t).loss, (first + second) / 2, 1e-9);
    tally_free(t);
}

/* Rows of a class the model does not have are counted apart, whatever was predicted for them. */
static void test_unknown_rows(void **state)
{
    (void)state;
    tally *t;
    error e = {0};
    const int32_t labels[] = {0, 3, 4, 1}, predictions[] = {0, 0, -1, -1};
    const float scores[] = {5, 0, 0, 1, 0, 0, -2, -3, -4, 1, 0.5f, 0};
    assert_int_equal(tally_new(3, kinds, &t, &e), 0);
    assert_int_equal(tally_add(t, labels, predictions, scores, 4, &e), 0);
    tally_figures f = tally_get(t);
    assert_int_equal(f.rows, 4);
    assert_int_equal(f.unknown_rows, 2);
    assert_int_equal(f.rejected, 2);
    ASSERT_NEAR(f.all, 0.5, 1e-12);
    ASSERT_NEAR(f.rejected_known, 0.5, 1e-12);
    ASSERT_NEAR(f.rejected_unknown, 0.5, 1e-12);
    /* Known maxima 5 and 1, unknown 1 and -2: of the four pairs three are in order and one is a
     * tie. */
    ASSERT_NEAR(f.auroc, 3.5 / 4, 1e-12);
    tally_free(t);
}

/* Against the definition over all pairs: spread out, so near to each other that only the last bits
 * differ, with many ties, and of both signs. */
static void test_auroc_is_exact(void **state)
{
    (void)state;
    enum { N = 500 };
    static const struct {
        float middle, width;
    } cases[] = {{0, 20},    {0.9998f, 2e-4f}, {0.998f, 2e-3f},
                 {1, 1e-6f}, {-3e4f, 1e-1f},   {0, 1e-40f}};
    static float scores[2 * N];
    static int32_t labels[2 * N], predictions[2 * N];
    const class_kind one[] = {CLASS_BASE};
    srand(7);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double above = 0;
        for (int i = 0; i < 2 * N; i++) {
            labels[i] = i % 2;
            float at = (float)(rand() % 1000) / 1000 + (i % 2 ? -0.6f : -0.4f);
            scores[i] = cases[c].middle + cases[c].width * at;
        }
        for (int k = 0; k < 2 * N; k += 2)
            for (int u = 1; u < 2 * N; u += 2)
                above += scores[k] > scores[u] ? 1 : scores[k] == scores[u] ? 0.5 : 0;
        tally *t;
        error e = {0};
        assert_int_equal(tally_new(1, one, &t, &e), 0);
        assert_int_equal(tally_add(t, labels, predictions, scores, N, &e), 0);
        tally_get(t); /* a figure in between changes none that follows */
        assert_int_equal(tally_add(t, labels + N, predictions, scores + N, N, &e), 0);
        ASSERT_NEAR(tally_get(t).auroc, above / N / N, 1e-12);
        assert_true(above > 0 && above < N * N);
        assert_false(tally_get(t).too_many_scores);
        tally_free(t);
    }
}

static void test_auroc_of_zeros_and_too_many_rows(void **state)
{
    (void)state;
    auroc *a;
    error e = {0};
    assert_int_equal(auroc_new(4, &a, &e), 0);
    assert_true(isnan(auroc_value(a)));
    assert_int_equal(auroc_add(a, true, 0.0f, &e), 0);
    assert_true(isnan(auroc_value(a)));
    assert_int_equal(auroc_add(a, false, -0.0f, &e), 0);
    ASSERT_NEAR(auroc_value(a), 0.5, 0);
    assert_int_equal(auroc_add(a, false, -1, &e), 0);
    assert_int_equal(auroc_add(a, true, 1, &e), 0);
    ASSERT_NEAR(auroc_value(a), 3.5 / 4, 0);
    assert_false(auroc_overflowed(a));
    assert_int_equal(auroc_add(a, true, 1, &e), 0);
    assert_true(auroc_overflowed(a) && isnan(auroc_value(a)));
    assert_int_equal(auroc_add(a, false, 1, &e), 0);
    assert_true(isnan(auroc_value(a)));
    auroc_free(a);
}

static void test_predictions_out_of_range(void **state)
{
    (void)state;
    tally *t;
    error e = {0};
    const int32_t fine = 0, three = 3, minus = -2, none = -1;
    assert_int_equal(tally_new(3, kinds, &t, &e), 0);
    assert_int_equal(tally_add(t, &fine, &three, NULL, 1, &e), -1);
    assert_non_null(strstr(e.text, "prediction 3"));
    assert_int_equal(tally_add(t, &fine, &minus, NULL, 1, &e), -1);
    assert_int_equal(tally_add(t, &none, &fine, NULL, 1, &e), -1);
    assert_non_null(strstr(e.text, "label -1"));
    tally_free(t);
}

/* Table values of Student's t, two-sided 95 %. */
static void test_student(void **state)
{
    (void)state;
    ASSERT_NEAR(student_point(0.95, 1), 12.7062, 1e-4);
    ASSERT_NEAR(student_point(0.95, 2), 4.30265, 1e-5);
    ASSERT_NEAR(student_point(0.95, 4), 2.77645, 1e-5);
    ASSERT_NEAR(student_point(0.95, 9), 2.26216, 1e-5);
    ASSERT_NEAR(student_point(0.95, 120), 1.97993, 1e-5);
    ASSERT_NEAR(student_two_sided(1, 1), 0.5, 1e-12);
}

static void test_interval(void **state)
{
    (void)state;
    const double values[] = {1, 2, 3, 4};
    interval found = interval_of(values, 4);
    ASSERT_NEAR(found.mean, 2.5, 1e-12);
    ASSERT_NEAR(found.half, 3.182446 * sqrt(5.0 / 3) / 2, 1e-5);
    assert_true(isnan(interval_of(values, 1).half));
    assert_true(isnan(interval_of(values, 0).mean));
}

static void check_quoted(const char *text, const char *wanted)
{
    char *quoted = json_quote(text);
    assert_string_equal(quoted, wanted);
    free(quoted);
}

static void test_json_quote(void **state)
{
    (void)state;
    check_quoted("", "\"\"");
    check_quoted("a \"b\" \\", "\"a \\\"b\\\" \\\\\"");
    check_quoted("line\nend\x1f", "\"line\\u000aend\\u001f\"");
    check_quoted("caf\xC3\xA9", "\"caf\xC3\xA9\"");
    check_quoted("\xF0\x9F\x9A\xA2", "\"\xF0\x9F\x9A\xA2\"");
    /* No UTF-8: a lone byte, a cut character, an overlong form, a surrogate, past the last
     * character. */
    check_quoted("a\xFFz", "\"a\\ufffdz\"");
    check_quoted("\xC3", "\"\\ufffd\"");
    check_quoted("\xE0\x80\x80", "\"\\ufffd\\ufffd\\ufffd\"");
    check_quoted("\xED\xA0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
    check_quoted("\xF4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void test_json_number(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(json_number(0.125, text), "0.125");
    assert_string_equal(json_number(NAN, text), "null");
    assert_string_equal(json_number(-INFINITY, text), "null");
    assert_string_equal(json_number(0.7, text), "0.7");
    assert_string_equal(json_number(3000000000.0, text), "3000000000");
    const double numbers[] = {1.0 / 3, M_PI * 1e-300, 4999999.0 / 7000001, 1234567890123.25, -0.0};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_true(strtod(json_number(numbers[i], text), NULL) == numbers[i]);
}

static void test_figure_choice(void **state)
{
    (void)state;
    figure_choice choice;
    error e = {0};
    assert_int_equal(figure_choice_parse("base,novel,all", &choice, &e), 0);
    for (size_t i = 0; tally_figure_name(i); i++) {
        const char *name = tally_figure_name(i);
        bool wanted = !strcmp(name, "base") || !strcmp(name, "novel") || !strcmp(name, "all") ||
                      !strcmp(name, "harmonic_mean");
        assert_int_equal(choice.chosen[i], wanted);
    }
    assert_int_equal(figure_choice_parse("loss,bas", &choice, &e), -1);
    assert_non_null(strstr(e.text, "'bas'"));
    assert_int_equal(figure_choice_parse("loss,", &choice, &e), -1);
    assert_int_equal(figure_choice_parse("", &choice, &e), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracies),
        cmocka_unit_test(test_no_novel_class),
        cmocka_unit_test(test_harmonic_mean_of_nothing_right),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_unknown_rows),
        cmocka_unit_test(test_auroc_is_exact),
        cmocka_unit_test(test_auroc_of_zeros_and_too_many_rows),
        cmocka_unit_test(test_predictions_out_of_range),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_json_quote),
        cmocka_unit_test(test_json_number),
        cmocka_unit_test(test_figure_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
