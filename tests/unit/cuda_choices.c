/* cuda_choices.c: what kernels/cuda decides and says without a GPU: precision, errors, kept
 * algorithms. */
#include "fixture.h"

#include "../../kernels/absence.h"
#include "../../kernels/cuda/choices.h"

/* ---- precision ---- */

static void auto_is_bf16_where_the_card_computes_it(void **state)
{
    (void)state;
    static const struct {
        int major, minor;
        precision_kind is;
    } cards[] = {{7, 5, PRECISION_FP32}, {8, 0, PRECISION_BF16}, {8, 6, PRECISION_BF16},
                 {8, 9, PRECISION_BF16}, {9, 0, PRECISION_BF16}, {10, 0, PRECISION_BF16},
                 {12, 0, PRECISION_BF16}};
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        precision_kind got = PRECISION_AUTO;
        must(precision_choose(PRECISION_AUTO, cards[i].major, cards[i].minor, &got, e));
        assert_int_equal(got, cards[i].is);
        must(precision_choose(PRECISION_FP32, cards[i].major, cards[i].minor, &got, e));
        assert_int_equal(got, PRECISION_FP32);
    }
}

static void what_a_card_cannot_compute_is_refused(void **state)
{
    (void)state;
    static const struct {
        precision_kind wanted;
        int major, minor;
        const char *says;
    } cases[] = {{PRECISION_BF16, 7, 5, "--precision fp32"},
                 {PRECISION_TF32, 7, 5, "tf32 takes compute capability 8.0"},
                 {PRECISION_AUTO, 7, 0, "7.5 or more: use --device cpu"},
                 {PRECISION_FP32, 6, 1, "compute capability 6.1"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        precision_kind got = PRECISION_AUTO;
        error e = {""};
        assert_int_equal(
            precision_choose(cases[i].wanted, cases[i].major, cases[i].minor, &got, &e), -1);
        if (!strstr(e.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
        assert_int_equal(got, PRECISION_AUTO);
    }
}

/* ---- errors ---- */

static void bytes_are_said_in_their_unit(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1536, "1.5 KiB"},
                 {(size_t)1 << 20, "1.0 MiB"},
                 {(size_t)80 << 30, "80.0 GiB"},
                 {(size_t)3 << 40, "3.0 TiB"},
                 {SIZE_MAX, "16777216.0 TiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[32];
        assert_string_equal(memory_text(cases[i].bytes, text), cases[i].text);
    }
}

static void out_of_memory_says_asked_free_and_what_helps(void **state)
{
    (void)state;
    error e = {""};
    assert_int_equal(memory_refuse(&e, (size_t)3 << 30, "the training set", (size_t)1 << 29,
                                   (size_t)80 << 30, "train on fewer pictures"),
                     -1);
    assert_string_equal(e.text,
                        "cuda: out of memory: 3.0 GiB wanted for the training set, 512.0 MiB of "
                        "80.0 GiB free; train on fewer pictures");
}

static void absences_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        absence why;
        const char *says;
    } cases[] = {{ABSENT_DRIVER, "there is no driver (libcuda.so.1)"},
                 {ABSENT_NEWER_DRIVER, "the driver is older"},
                 {ABSENT_DEVICE, "there is no device (CUDA_VISIBLE_DEVICES"},
                 {ABSENT_NUMBER, "there is no device cuda:5; there are cuda:0 to cuda:3"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error e = {""};
        assert_int_equal(absence_refuse(&e, cases[i].why, 5, 4), -1);
        if (!strstr(e.text, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.text, cases[i].says);
        assert_null(strchr(e.text, '\n'));
        assert_true(cases[i].why == ABSENT_NUMBER || strstr(e.text, "--device cpu"));
    }
}

static void the_only_device_is_named_alone(void **state)
{
    (void)state;
    error e = {""};
    absence_refuse(&e, ABSENT_NUMBER, 1, 1);
    assert_non_null(strstr(e.text, "there is only cuda:0"));
}

/* ---- algorithms ---- */

static layer some_conv(void)
{
    return (layer){.kind = LAYER_CONV,
                   .kernel_height = 3,
                   .kernel_width = 5,
                   .stride_height = 1,
                   .stride_width = 1,
                   .dilation_height = 1,
                   .dilation_width = 1,
                   .groups = 1,
                   .pad = {1, 2, 1, 2},
                   .in = {32, 30, 3},
                   .out = {32, 30, 16}};
}

/* Whatever an algorithm depends on makes another key. */
static void every_part_of_a_key_counts(void **state)
{
    (void)state;
    layer l = some_conv();
    conv_key base =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, false, true, false, false);
    conv_key others[32];
    size_t count = 0;
    others[count++] =
        conv_key_make(CONV_BACKWARD_DATA, &l, 8, 64, PRECISION_BF16, false, true, false, false);
    others[count++] =
        conv_key_make(CONV_BACKWARD_WEIGHT, &l, 8, 64, PRECISION_BF16, false, true, false, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 3, 64, PRECISION_BF16, false, true, false, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 8, 63, PRECISION_BF16, false, true, false, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_FP32, false, true, false, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, true, true, false, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, false, false, false, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, false, true, true, false);
    others[count++] =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, false, true, false, true);
    size_t *parts[] = {&l.kernel_height,   &l.kernel_width,   &l.stride_height, &l.stride_width,
                       &l.dilation_height, &l.dilation_width, &l.groups,        &l.pad.top,
                       &l.pad.left,        &l.pad.bottom,     &l.pad.right,     &l.in.height,
                       &l.in.width,        &l.out.height,     &l.out.width,     &l.out.channels};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        ++*parts[i];
        others[count++] =
            conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, false, true, false, false);
        --*parts[i];
    }
    conv_key again =
        conv_key_make(CONV_FORWARD, &l, 8, 64, PRECISION_BF16, false, true, false, false);
    assert_memory_equal(&base, &again, sizeof base);
    for (size_t i = 0; i < count; i++)
        if (memcmp(&base, &others[i], sizeof base) == 0)
            fail_msg("key %zu does not differ", i);
}

static void choices_are_kept(void **state)
{
    (void)state;
    enum { MANY = 100 };
    conv_choices kept = {0};
    layer l = some_conv();
    conv_choice got = {7, 7, 7, false};
    conv_key key = conv_key_make(CONV_FORWARD, &l, 8, 1, PRECISION_BF16, false, true, false, false);
    assert_false(choices_find(&kept, &key, &got));
    assert_int_equal(got.algorithm, 7);
    for (size_t rows = 1; rows <= MANY; rows++) {
        key = conv_key_make(CONV_FORWARD, &l, 8, rows, PRECISION_BF16, false, true, false, false);
        assert_int_equal(choices_add(&kept, &key, (conv_choice){(int)rows, 1, rows * 10, rows % 2}),
                         0);
    }
    for (size_t rows = MANY; rows >= 1; rows--) {
        key = conv_key_make(CONV_FORWARD, &l, 8, rows, PRECISION_BF16, false, true, false, false);
        assert_true(choices_find(&kept, &key, &got));
        assert_int_equal(got.algorithm, rows);
        assert_int_equal(got.workspace, rows * 10);
        assert_int_equal(got.fused, rows % 2);
    }
    key = conv_key_make(CONV_BACKWARD_DATA, &l, 8, 1, PRECISION_BF16, false, true, false, false);
    assert_false(choices_find(&kept, &key, &got));
    choices_free(&kept);
    assert_int_equal(kept.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_is_bf16_where_the_card_computes_it),
        cmocka_unit_test(what_a_card_cannot_compute_is_refused),
        cmocka_unit_test(bytes_are_said_in_their_unit),
        cmocka_unit_test(out_of_memory_says_asked_free_and_what_helps),
        cmocka_unit_test(absences_are_told_apart),
        cmocka_unit_test(the_only_device_is_named_alone),
        cmocka_unit_test(every_part_of_a_key_counts),
        cmocka_unit_test(choices_are_kept),
    };
    return cmocka_run_group_tests_name("cuda_choices", tests, NULL, NULL);
}
