/* Checkpoints, and the models that training begins and ends with. */
#include "../../src/training/checkpoint.h"
#include "../../common/base/output.h"
#include "../../src/training/training_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const extent input = {4, 4, 1};
static const char text[] = "conv:3x3x2 relu dense:3 batchnorm";

static class_list make_list(const char *const *names, size_t count)
{
    class_list list = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(class_list_add(&list, names[i]), i);
    return list;
}

static model make_model(double scale)
{
    model m;
    error e = {""};
    class_list classes = make_list((const char *[]){"a", "b"}, 2);
    assert_int_equal(training_model_new(text, input, HEAD_COSINE, scale, &classes, 1, &m, &e), 0);
    class_list_free(&classes);
    return m;
}

static char *temporary_path(void)
{
    static char path[64];
    strcpy(path, "/tmp/checkpoint-test-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    return path;
}

static void a_checkpoint_comes_back(void **state)
{
    (void)state;
    error e = {""};
    model m = make_model(0), back;
    training_state s, again;
    char *path = temporary_path();
    assert_int_equal(training_state_new(m.net.total, &s, &e), 0);
    for (size_t i = 0; i < m.net.total; i++) {
        s.parameters[i] = (float)i;
        s.first[i] = (float)i * 0.5f;
        s.second[i] = (float)i * 0.25f;
    }
    s.epoch = 3;
    s.step = 1875;
    assert_int_equal(model_note_text(&m, CHECKPOINT_SETTINGS, "batch=64 seed=1"), 0);
    size_t tensors = m.tensor_count;
    assert_int_equal(checkpoint_save(path, &m, &s, &e), 0);
    assert_int_equal(m.tensor_count, tensors);
    assert_int_equal(checkpoint_load(path, &back, &again, &e), 0);
    assert_int_equal(back.tensor_count, tensors);
    assert_int_equal(again.epoch, 3);
    assert_int_equal(again.step, 1875);
    assert_memory_equal(again.parameters, s.parameters, m.net.total * sizeof(float));
    assert_memory_equal(again.first, s.first, m.net.total * sizeof(float));
    assert_memory_equal(again.second, s.second, m.net.total * sizeof(float));
    assert_string_equal(model_get_text(&back, CHECKPOINT_SETTINGS), "batch=64 seed=1");
    unlink(path);
    training_state_free(&s);
    training_state_free(&again);
    model_free(&m);
    model_free(&back);
}

static void a_finished_model_is_no_checkpoint(void **state)
{
    (void)state;
    error e = {""};
    model m = make_model(0), back;
    training_state s;
    output *out;
    char *path = temporary_path();
    assert_int_equal(output_open(path, true, &out, &e), 0);
    assert_int_equal(model_save(&m, out, &e), 0);
    assert_int_equal(output_commit(out, &e), 0);
    assert_int_equal(checkpoint_load(path, &back, &s, &e), -1);
    assert_non_null(strstr(e.text, "not a checkpoint but a finished model"));
    unlink(path);
    model_free(&m);
}

static void damaged_counts_are_refused(void **state)
{
    (void)state;
    error e = {""};
    model m = make_model(0), back;
    training_state s, again;
    char *path = temporary_path();
    assert_int_equal(training_state_new(m.net.total, &s, &e), 0);
    assert_int_equal(checkpoint_save(path, &m, &s, &e), 0);
    assert_int_equal(model_load(path, &back, &e), 0);
    ((double *)model_find(&back, "checkpoint/progress")->data)[1] = 0.5;
    output *out;
    assert_int_equal(output_open(path, true, &out, &e), 0);
    assert_int_equal(model_save(&back, out, &e), 0);
    assert_int_equal(output_commit(out, &e), 0);
    model_free(&back);
    assert_int_equal(checkpoint_load(path, &back, &again, &e), -1);
    assert_non_null(strstr(e.text, "damaged"));
    unlink(path);
    training_state_free(&s);
    model_free(&m);
}

static void the_first_other_setting_is_named(void **state)
{
    (void)state;
    const struct {
        const char *had, *have, *says;
    } cases[] = {
        {"batch=64 rate=0.1", "batch=64 rate=0.2", "had rate=0.1, this one has rate=0.2"},
        {"batch=64", "batch=6", "had batch=64, this one has batch=6"},
        {"batch=6", "batch=64", "had batch=6, this one has batch=64"},
        {"rate=1", "batch=64 rate=1", "had none, this one has batch=64"},
        {"", "rate=1", "had none"},
        {"batch=64 rate=1", "rate=1", "this one lacks"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error e = {""};
        assert_int_equal(checkpoint_compare(cases[i].had, cases[i].have, &e), -1);
        assert_non_null(strstr(e.text, cases[i].says));
    }
    error e = {""};
    assert_int_equal(checkpoint_compare("batch=64 rate=1", "batch=64 rate=1", &e), 0);
}

static float first_of(const model *m, const char *name)
{
    return *(const float *)model_find(m, name)->data;
}

static void a_new_model_is_fresh(void **state)
{
    (void)state;
    model m = make_model(0), scaled = make_model(4);
    assert_float_equal(first_of(&m, "head/scale"), 10, 0);
    assert_float_equal(first_of(&scaled, "head/scale"), 4, 0);
    assert_true(first_of(&m, "head/weight") != 0);
    assert_float_equal(first_of(&m, "0.conv/weight"), first_of(&scaled, "0.conv/weight"), 0);
    assert_int_equal(m.kinds[0], CLASS_BASE);
    model_free(&m);
    model_free(&scaled);
}

static void a_model_is_extended_at_its_end(void **state)
{
    (void)state;
    error e = {""};
    model m = make_model(0);
    class_list classes = make_list((const char *[]){"c", "b", "d"}, 3);
    float *weight = model_find(&m, "head/weight")->data;
    for (size_t i = 0; i < 2 * m.net.dimension; i++)
        weight[i] = 7;
    assert_int_equal(training_model_extend(&m, input, 0, &classes, 5, &e), 0);
    assert_int_equal(m.classes.count, 4);
    assert_string_equal(m.classes.names[2], "c");
    assert_string_equal(m.classes.names[3], "d");
    assert_int_equal(m.kinds[1], CLASS_BASE);
    assert_int_equal(m.kinds[2], CLASS_NOVEL);
    weight = model_find(&m, "head/weight")->data;
    for (size_t i = 0; i < 4 * m.net.dimension; i++)
        assert_true(i < 2 * m.net.dimension ? weight[i] == 7 : weight[i] != 7 && weight[i] != 0);
    assert_int_equal(training_model_extend(&m, (extent){5, 4, 1}, 0, &classes, 5, &e), -1);
    assert_non_null(strstr(e.text, "4 x 4 x 1"));
    class_list_free(&classes);
    model_free(&m);
}

static void put(model *m, const char *name, tensor_type type, size_t rank, const size_t *shape)
{
    tensor *t;
    error e = {""};
    assert_int_equal(model_put(m, name, type, rank, shape, &t, &e), 0);
}

static void training_drops_what_it_made_untrue(void **state)
{
    (void)state;
    for (int frozen = 0; frozen < 2; frozen++) {
        model m = make_model(0);
        size_t parameters = m.tensor_count, dimension = m.net.dimension;
        put(&m, "head/bias", TYPE_F32, 1, (size_t[]){2});
        put(&m, "proxies/weight", TYPE_F32, 3, (size_t[]){2, 4, dimension});
        put(&m, "imprint/sum", TYPE_F64, 2, (size_t[]){2, dimension});
        put(&m, "imprint/count", TYPE_F64, 1, (size_t[]){2});
        training_model_finish(&m, frozen);
        assert_null(model_find(&m, "head/bias"));
        assert_null(model_find(&m, "proxies/weight"));
        assert_true((model_find(&m, "imprint/sum") != NULL) == frozen);
        assert_true((model_find(&m, "imprint/count") != NULL) == frozen);
        assert_int_equal(m.tensor_count, parameters + (frozen ? 2 : 0));
        model_free(&m);
    }
}

static void network_texts_are_read(void **state)
{
    (void)state;
    error e = {""};
    char *read, *path = temporary_path(), name[80];
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("# mine\nconv:3x3x2 relu # first\n dense:3\n", file);
    fclose(file);
    snprintf(name, sizeof name, "@%s", path);
    assert_int_equal(training_network(name, &read, &e), 0);
    network net;
    assert_int_equal(network_parse(read, input, HEAD_COSINE, 2, &net, &e), 0);
    assert_string_equal(net.text, "conv:3x3x2 relu dense:3");
    network_free(&net);
    free(read);
    unlink(path);
    assert_int_equal(training_network(name, &read, &e), -1);
    assert_int_equal(training_network("lenet", &read, &e), -1);
    assert_non_null(strstr(e.text, "keras-cnn"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_comes_back),
        cmocka_unit_test(a_finished_model_is_no_checkpoint),
        cmocka_unit_test(damaged_counts_are_refused),
        cmocka_unit_test(the_first_other_setting_is_named),
        cmocka_unit_test(a_new_model_is_fresh),
        cmocka_unit_test(a_model_is_extended_at_its_end),
        cmocka_unit_test(training_drops_what_it_made_untrue),
        cmocka_unit_test(network_texts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
