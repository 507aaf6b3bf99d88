/* Models in memory and as files, whole and damaged. */
#include "../../common/base/output.h"
#include "../../common/model/packing.h"
#include "../../common/model/settings.h"
#include "../../common/model/sums.h"
#include "../../common/stream/mark.h"

#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char small_net[] = "conv:3x3x2:same relu batchnorm maxpool:2 dense:5 relu";
static const extent small_input = {4, 4, 1};

static class_list three_classes(void)
{
    class_list list = {0};
    assert_int_equal(class_list_add(&list, "cat"), 0);
    assert_int_equal(class_list_add(&list, "dog"), 1);
    assert_int_equal(class_list_add(&list, "ship"), 2);
    return list;
}

static void fill(tensor *t, float first)
{
    size_t count = tensor_rows(t) * tensor_row_size(t);
    for (size_t i = 0; i < count; i++) {
        if (t->type == TYPE_F32)
            ((float *)t->data)[i] = first + (float)i / 8;
        else
            ((double *)t->data)[i] = first + (double)i / 8;
    }
}

static model make_model(const char *text, head_kind head)
{
    model m;
    error e = {0};
    class_list classes = three_classes();
    int status = model_new(text, small_input, 5, head, &classes, CLASS_BASE, &m, &e);
    if (status < 0)
        fail_msg("%s", e.text);
    class_list_free(&classes);
    for (size_t i = 0; i < m.tensor_count; i++)
        fill(&m.tensors[i].value, (float)i);
    return m;
}

static void put(model *m, const char *name, tensor_type type, size_t rank, size_t a, size_t b)
{
    error e = {0};
    tensor *t;
    const size_t shape[] = {a, b};
    assert_int_equal(model_put(m, name, type, rank, shape, &t, &e), 0);
    fill(t, 1);
}

/* The bytes that model_save writes. */
static char *saved(const model *m, size_t *bytes)
{
    char path[] = "/tmp/model-test-XXXXXX";
    error e = {0};
    output *out;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(output_open(path, true, &out, &e), 0);
    if (model_save(m, out, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(output_commit(out, &e), 0);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *data = malloc(1 << 20);
    assert_non_null(data);
    *bytes = fread(data, 1, 1 << 20, f);
    fclose(f);
    unlink(path);
    return data;
}

static void assert_same(const model *a, const model *b)
{
    assert_string_equal(a->net.text, b->net.text);
    assert_int_equal(a->net.head, b->net.head);
    assert_int_equal(a->net.dimension, b->net.dimension);
    assert_int_equal(a->net.total, b->net.total);
    assert_int_equal(a->norm, b->norm);
    assert_true(class_list_equal(&a->classes, &b->classes));
    assert_memory_equal(a->kinds, b->kinds, a->classes.count * sizeof *a->kinds);
    assert_int_equal(a->tensor_count, b->tensor_count);
    for (size_t i = 0; i < a->tensor_count; i++) {
        const tensor *x = &a->tensors[i].value, *y = model_find(b, a->tensors[i].name);
        assert_non_null(y);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->rank, y->rank);
        assert_memory_equal(x->shape, y->shape, x->rank * sizeof *x->shape);
        assert_memory_equal(x->data, y->data, tensor_bytes(x));
    }
}

static void check_round_trip(model *m)
{
    size_t bytes;
    model back;
    error e = {0};
    char *data = saved(m, &bytes);
    if (model_load_memory(data, bytes, MODEL_SUMS, &back, &e) < 0)
        fail_msg("%s", e.text);
    assert_same(m, &back);
    assert_int_equal(model_fingerprint(m), model_fingerprint(&back));
    size_t again;
    char *twice = saved(&back, &again);
    assert_int_equal(bytes, again);
    assert_memory_equal(data, twice, bytes);
    free(data);
    free(twice);
    model_free(&back);
}

static void test_round_trip(void **state)
{
    (void)state;
    model m = make_model(small_net, HEAD_COSINE);
    m.kinds[2] = CLASS_NOVEL;
    m.norm = NORM_NONE;
    put(&m, "imprint/sum", TYPE_F64, 2, 3, 5);
    put(&m, "imprint/count", TYPE_F64, 1, 3, 0);
    put(&m, "something/else", TYPE_F32, 2, 7, 2);
    check_round_trip(&m);
    model_free(&m);
}

static void test_round_trip_without_network(void **state)
{
    (void)state;
    for (int head = HEAD_COSINE; head <= HEAD_SOFTMAX; head++) {
        model m = make_model(NULL, (head_kind)head);
        assert_string_equal(m.net.text, "");
        assert_int_equal(m.net.total, 15 + (head == HEAD_COSINE));
        assert_int_equal(m.net.parameter_count, 1 + (head == HEAD_COSINE));
        assert_true(!model_find(&m, "head/scale") == (head == HEAD_SOFTMAX));
        assert_int_equal(model_fingerprint(&m), 0);
        check_round_trip(&m);
        model_free(&m);
    }
}

static void test_notes(void **state)
{
    (void)state;
    model m = make_model(NULL, HEAD_COSINE), back;
    error e = {0};
    double number = 0;
    char long_key[65];
    memset(long_key, 'k', 64);
    long_key[64] = 0;
    assert_int_equal(model_note_number(&m, "ridge/lambda", 1e-3), 0);
    assert_int_equal(model_note_number(&m, "ridge/features", 3000), 0);
    assert_int_equal(model_note_number(&m, "shift", -4), 0);
    assert_int_equal(model_note_text(&m, "augment", "flip"), 0);
    assert_int_equal(model_note_text(&m, "augment", "flip,shift:4"), 0);
    assert_int_equal(model_note_number(&m, long_key, 1), -1);
    assert_int_equal(model_note_text(&m, "gone", "soon"), 0);
    model_note_drop(&m, "gone");
    size_t bytes;
    char *data = saved(&m, &bytes);
    assert_int_equal(model_load_memory(data, bytes, MODEL_SUMS, &back, &e), 0);
    assert_int_equal(back.note_count, 4);
    assert_true(model_get_number(&back, "ridge/lambda", &number) && number == 1e-3);
    assert_true(model_get_number(&back, "ridge/features", &number) && number == 3000);
    assert_true(model_get_number(&back, "shift", &number) && number == -4);
    assert_string_equal(model_get_text(&back, "augment"), "flip,shift:4");
    assert_null(model_get_text(&back, "shift"));
    assert_null(model_get_text(&back, "gone"));
    assert_false(model_get_number(&back, "augment", &number));
    free(data);
    model_free(&back);
    model_free(&m);
}

/* Symmetric sums are written as triangles and come back whole, of every size. */
static void test_triangles(void **state)
{
    (void)state;
    size_t bytes, smaller;
    for (size_t side = 1; side < 70; side += 3) {
        model m = make_model(small_net, HEAD_COSINE);
        put(&m, "imprint/count", TYPE_F64, 1, 3, 0);
        put(&m, "imprint/sum", TYPE_F64, 2, 3, 5);
        put(&m, "imprint/feature-sum", TYPE_F64, 2, 3, side);
        assert_int_equal(model_note_number(&m, "ridge/features", (double)side), 0);
        assert_int_equal(model_note_number(&m, "ridge/seed", 1), 0);
        put(&m, "imprint/feature-gram", TYPE_F64, 2, side, side);
        double *gram = model_find(&m, "imprint/feature-gram")->data;
        for (size_t i = 0; i < side; i++)
            for (size_t j = 0; j <= i; j++)
                gram[i * side + j] = gram[j * side + i] = (double)(i * i) - 3 / (1 + (double)j);
        check_round_trip(&m);
        free(saved(&m, &bytes));
        put(&m, "own/numbers", TYPE_F64, 1, side * (side - 1) / 2 + 1, 0);
        free(saved(&m, &smaller));
        assert_true(smaller > bytes + side * (side - 1) / 2 * sizeof(double));
        assert_true(bytes <
                    side * (side + 1) / 2 * sizeof(double) + 3 * side * sizeof(double) + 2600);
        model_free(&m);
    }
}

/* A weight as bf16 is the nearest one, the even one of two, and never infinite; what is no weight
 * stays whole; a second writing changes nothing. */
static void test_halves(void **state)
{
    (void)state;
    static const float is[] = {1.00390625f, 1.01171875f, 1.0039064f, -3.4e38f, 1e-40f, -0.0f, 0.1f};
    static const float as[] = {1.0f,          1.015625f, 1.0078125f,    -0x1.fep127f,
                               9.183550e-41f, -0.0f,     0.10009765625f};
    error e = {0};
    size_t whole_bytes, half_bytes;
    model m = make_model(small_net, HEAD_COSINE), back;
    float *weight = model_find(&m, "4.dense/weight")->data;
    memcpy(weight, is, sizeof is);
    free(saved(&m, &whole_bytes));
    assert_int_equal(weights_precision(&m, true, &e), 0);
    char *data = saved(&m, &half_bytes);
    assert_memory_equal(weight, is, sizeof is);
    assert_int_equal(model_load_memory(data, half_bytes, MODEL_SUMS, &back, &e), 0);
    assert_true(half_bytes + 2 * m.net.parameters[0].count < whole_bytes);
    assert_memory_equal(model_find(&back, "4.dense/weight")->data, as, sizeof as);
    for (size_t i = 0; i < m.tensor_count; i++) {
        const tensor *t = &m.tensors[i].value;
        bool kept = t->rank == 1 || strcmp(m.tensors[i].name, "head/weight") == 0;
        const tensor *now = model_find(&back, m.tensors[i].name);
        if (kept)
            assert_memory_equal(now->data, t->data, tensor_bytes(t));
    }
    check_round_trip(&back);
    assert_int_equal(weights_precision(&back, false, &e), 0);
    check_round_trip(&back);
    assert_memory_equal(model_find(&back, "4.dense/weight")->data, as, sizeof as);
    free(data);
    model_free(&m);
    model_free(&back);
}

static void test_classes_come_and_go(void **state)
{
    (void)state;
    model m = make_model(small_net, HEAD_COSINE);
    error e = {0};
    put(&m, "imprint/sum", TYPE_F64, 2, 3, 5);
    put(&m, "imprint/count", TYPE_F64, 1, 3, 0);
    put(&m, "imprint/feature-sum", TYPE_F64, 2, 3, 3);
    put(&m, "imprint/feature-gram", TYPE_F64, 2, 3,
        3); /* as many features as classes: no class rows */
    assert_int_equal(model_note_number(&m, "ridge/features", 3), 0);
    assert_int_equal(model_note_number(&m, "ridge/seed", 1), 0);
    size_t backbone = m.net.parameters[m.net.head_weight].start;
    float before[15], *weight;
    memcpy(before, model_find(&m, "head/weight")->data, sizeof before);

    /* dog is there, cow is not wanted, and a bad name changes nothing. */
    class_list more = {0};
    const char *names[] = {"cow", "dog", "frog"};
    for (int i = 0; i < 3; i++)
        class_list_add(&more, names[i]);
    assert_int_equal(model_add_classes(&m, &more, (bool[]){false, true, true}, NULL, &e), 0);
    assert_int_equal(model_add_classes(&m, &more, (bool[]){false, true, true}, NULL, &e), 0);
    class_list_add(&more, "a\nb");
    assert_int_equal(model_add_classes(&m, &more, NULL, NULL, &e), -1);
    class_list_free(&more);
    assert_int_equal(m.classes.count, 4);
    assert_int_equal(class_list_find(&m.classes, "frog"), 3);
    assert_int_equal(m.net.class_count, 4);
    assert_int_equal(m.kinds[3], CLASS_NOVEL);
    assert_int_equal(m.net.parameters[m.net.head_weight].start, backbone);
    assert_int_equal(model_find(&m, "imprint/sum")->shape[0], 4);
    assert_int_equal(model_find(&m, "imprint/count")->shape[0], 4);
    assert_int_equal(model_find(&m, "imprint/feature-sum")->shape[0], 4);
    assert_int_equal(model_find(&m, "imprint/feature-gram")->shape[0], 3);
    assert_int_equal(model_find(&m, "4.dense/weight")->shape[0], 5);
    weight = model_find(&m, "head/weight")->data;
    assert_memory_equal(weight, before, sizeof before);
    for (int d = 0; d < 5; d++)
        assert_true(weight[15 + d] == 0);

    assert_int_equal(model_remove_class(&m, 1, &e), 0);
    assert_int_equal(m.classes.count, 3);
    assert_string_equal(m.classes.names[1], "ship");
    assert_int_equal(m.kinds[1], CLASS_BASE);
    assert_int_equal(m.kinds[2], CLASS_NOVEL);
    weight = model_find(&m, "head/weight")->data;
    assert_memory_equal(weight, before, 5 * sizeof(float));
    assert_memory_equal(weight + 5, before + 10, 5 * sizeof(float));
    const double *count = model_find(&m, "imprint/count")->data;
    assert_true(count[0] == 1 && count[1] == 1.25 && count[2] == 0);
    assert_int_equal(model_check(&m, &e), 0);

    assert_int_equal(model_remove_class(&m, 3, &e), -1);
    assert_int_equal(model_remove_class(&m, 0, &e), 0);
    assert_int_equal(model_remove_class(&m, 0, &e), 0);
    assert_int_equal(model_remove_class(&m, 0, &e), -1);
    assert_non_null(strstr(e.text, "no class would be left"));
    assert_int_equal(model_check(&m, &e), 0);
    model_free(&m);
}

static void test_rename(void **state)
{
    (void)state;
    model m = make_model(NULL, HEAD_COSINE);
    error e = {0};
    assert_int_equal(model_rename_class(&m, 0, "dog", &e), -1);
    assert_int_equal(model_rename_class(&m, 3, "frog", &e), -1);
    assert_int_equal(model_rename_class(&m, 0, "", &e), -1);
    assert_int_equal(model_rename_class(&m, 0, "a\nb", &e), -1);
    assert_int_equal(model_rename_class(&m, 0, "cat", &e), 0);
    assert_int_equal(model_rename_class(&m, 0, "kitten", &e), 0);
    assert_int_equal(class_list_find(&m.classes, "kitten"), 0);
    assert_int_equal(class_list_find(&m.classes, "cat"), -1);
    assert_int_equal(model_rename_class(&m, 1, "cat", &e), 0);
    assert_int_equal(class_list_find(&m.classes, "cat"), 1);
    assert_int_equal(model_check(&m, &e), 0);
    model_free(&m);
}

/* A model for embeddings from elsewhere begins without classes. */
static void test_begins_empty(void **state)
{
    (void)state;
    model m;
    error e = {0};
    class_list none = {0};
    assert_int_equal(model_new(NULL, (extent){0}, 4, HEAD_COSINE, &none, CLASS_NOVEL, &m, &e), 0);
    assert_int_equal(model_check(&m, &e), -1);
    class_list two = {0};
    class_list_add(&two, "first");
    class_list_add(&two, "second");
    assert_int_equal(model_add_classes(&m, &two, NULL, (class_kind[]){CLASS_NOVEL, CLASS_BASE}, &e),
                     0);
    assert_true(m.classes.count == 2 && m.kinds[0] == CLASS_NOVEL && m.kinds[1] == CLASS_BASE);
    assert_int_equal(model_check(&m, &e), 0);
    class_list_free(&two);
    model_free(&m);
    assert_int_equal(model_new(NULL, (extent){0}, 0, HEAD_COSINE, &none, CLASS_NOVEL, &m, &e), -1);
    assert_int_equal(
        model_new(NULL, (extent){0}, (size_t)1 << 40, HEAD_COSINE, &none, CLASS_NOVEL, &m, &e), -1);
}

static void test_tensors_by_name(void **state)
{
    (void)state;
    model m = make_model(NULL, HEAD_COSINE);
    error e = {0};
    size_t before = m.tensor_count;
    const size_t huge[] = {(size_t)1 << 40, (size_t)1 << 40}, three[] = {3};
    put(&m, "a/b", TYPE_F32, 2, 2, 2);
    put(&m, "a/b", TYPE_F64, 1, 9, 0);
    assert_int_equal(m.tensor_count, before + 1);
    assert_int_equal(model_find(&m, "a/b")->shape[0], 9);
    model_drop(&m, "a/b");
    model_drop(&m, "a/b");
    assert_null(model_find(&m, "a/b"));
    assert_int_equal(m.tensor_count, before);
    assert_int_equal(model_put(&m, "a/b", TYPE_F32, 2, huge, NULL, &e), -1);
    assert_int_equal(model_put(&m, "", TYPE_F32, 1, three, NULL, &e), -1);
    assert_int_equal(model_put(&m, "a/b", TYPE_F32, 0, three, NULL, &e), -1);
    char long_name[65];
    memset(long_name, 'n', 64);
    long_name[64] = 0;
    assert_int_equal(model_put(&m, long_name, TYPE_F32, 1, three, NULL, &e), -1);
    model_free(&m);
}

static void test_roles(void **state)
{
    (void)state;
    assert_int_equal(part_form_named("0.conv/weight")->role, ROLE_NETWORK);
    assert_int_equal(part_form_named("head/scale")->role, ROLE_NETWORK);
    assert_int_equal(part_form_named("head/weight")->role, ROLE_CLASS);
    assert_int_equal(part_form_named("head/bias")->role, ROLE_CLASS);
    assert_int_equal(part_form_named("imprint/feature-sum")->role, ROLE_CLASS_SUM);
    assert_int_equal(part_form_named("base/count")->role, ROLE_CLASS_SUM);
    assert_int_equal(part_form_named("imprint/feature-gram")->role, ROLE_SUM);
    assert_int_equal(part_form_named("my/checksum")->role, ROLE_OTHER);
    assert_int_equal(part_form_named("sum")->role, ROLE_OTHER);
}

static void test_pack_and_fingerprint(void **state)
{
    (void)state;
    model m = make_model(small_net, HEAD_COSINE);
    uint64_t first = model_fingerprint(&m);
    float *flat = malloc(m.net.total * sizeof *flat), *again = malloc(m.net.total * sizeof *again);
    char hex[17];
    snprintf(hex, sizeof hex, "%016" PRIx64, first);
    assert_true(model_is_named(&m, hex));
    assert_true(model_is_named(&m, "ecc49d6a34cb2228"));
    model_pack(&m, flat);
    ((float *)model_find(&m, "head/weight")->data)[3] += 1;
    ((float *)model_find(&m, "head/scale")->data)[0] += 1;
    assert_int_equal(model_fingerprint(&m), first);
    ((float *)model_find(&m, "4.dense/weight")->data)[3] += 1;
    assert_int_not_equal(model_fingerprint(&m), first);
    assert_false(model_is_named(&m, hex));
    model_unpack(&m, flat);
    assert_int_equal(model_fingerprint(&m), first);
    model_pack(&m, again);
    assert_memory_equal(flat, again, m.net.total * sizeof *flat);
    free(flat);
    free(again);
    model_free(&m);

    model other = make_model("conv:3x3x2:same relu batchnorm maxpool:2 dense:5", HEAD_COSINE);
    assert_int_not_equal(model_fingerprint(&other), first);
    model_free(&other);
}

/* Where the sections of a file end: each with its mark, the last with the file. */
static void find_ends(char *data, size_t bytes, size_t end[MODEL_SECTIONS])
{
    char *at = data;
    for (size_t i = 0; i < 2; i++) {
        at = memmem(at, bytes - (size_t)(at - data), MARK_KEY MARK_STR16, 7);
        assert_non_null(at);
        at += 7 + MARK_NUMBERS + CHECKSUM_TEXT;
        end[i] = (size_t)(at - data);
    }
    end[2] = bytes;
}

static model make_imprinted(void)
{
    model m = make_model(small_net, HEAD_COSINE);
    put(&m, "imprint/sum", TYPE_F64, 2, 3, 5);
    put(&m, "imprint/count", TYPE_F64, 1, 3, 0);
    put(&m, "something/else", TYPE_F32, 2, 7, 2);
    return m;
}

/* Read up to a section, a model has the tensors so far, and its fingerprint. */
static void test_sections(void **state)
{
    (void)state;
    static const char *const names[MODEL_SECTIONS] = {"imprint/count", "0.conv/weight",
                                                      "imprint/sum"};
    model m = make_imprinted(), part;
    size_t bytes;
    char *data = saved(&m, &bytes);
    for (model_section last = 0; last < MODEL_SECTIONS; last++) {
        error e = {0};
        if (model_load_memory(data, bytes, last, &part, &e) < 0)
            fail_msg("%s", e.text);
        for (model_section at = 0; at < MODEL_SECTIONS; at++) {
            assert_int_equal(model_section_of(names[at]), at);
            assert_int_equal(model_lacks(&part, names[at]), at > last);
            assert_int_equal(model_find(&part, names[at]) == NULL, at > last);
        }
        assert_memory_equal(model_find(&part, "head/weight")->data,
                            model_find(&m, "head/weight")->data, 15 * sizeof(float));
        assert_int_equal(model_fingerprint(&part), model_fingerprint(&m));
        if (last < MODEL_SUMS) {
            assert_int_equal(model_save(&part, NULL, &e), -1);
            assert_non_null(strstr(e.text, "in part"));
        }
        model_free(&part);
    }
    uint64_t fingerprint = model_fingerprint(&m);
    model_drop_all_but_scores(&m);
    assert_true(model_find(&m, names[0]) && !model_find(&m, names[1]) && !model_find(&m, names[2]));
    assert_int_equal(model_fingerprint(&m), fingerprint);
    free(data);
    model_free(&m);
}

/* Damage is seen by who reads that section, and a file of another length by all. */
static void test_sections_damaged(void **state)
{
    (void)state;
    model m = make_imprinted(), part;
    size_t bytes, end[MODEL_SECTIONS];
    char *data = saved(&m, &bytes), *other = malloc(bytes + 1);
    find_ends(data, bytes, end);
    for (size_t i = 0; i < bytes; i++)
        for (model_section last = 0; last < MODEL_SECTIONS; last++) {
            error e = {0};
            memcpy(other, data, bytes);
            other[i] ^= 0x15;
            int status = model_load_memory(other, bytes, last, &part, &e);
            if ((status == 0) != (i >= end[last]))
                fail_msg("byte %zu, up to section %d: %s", i, (int)last, e.text);
            if (status == 0)
                model_free(&part);
        }
    memcpy(other, data, bytes);
    other[bytes] = 0;
    for (model_section last = 0; last < MODEL_SECTIONS; last++) {
        error e = {0};
        assert_int_equal(model_load_memory(other, bytes + 1, last, &part, &e), -1);
    }
    free(data);
    free(other);
    model_free(&m);
}

/* Written anew by a program that takes records apart, a mark is none: all is read. */
static void test_marks_written_anew(void **state)
{
    (void)state;
    static const struct {
        const char *is, *anew; /* msgpack's shortest form */
    } changes[] = {
        {"mark\xda", "mark\xd9\x30"}, {"mark\xda", "mark\xd9\x30"}, {"4\xd9\x10", "4\xb0"}};
    model m = make_imprinted(), part;
    error e = {0};
    size_t bytes;
    char *data = saved(&m, &bytes);
    for (size_t i = 0; i < 3; i++) {
        size_t length = strlen(changes[i].is), left = bytes;
        char *at = memmem(data, left, changes[i].is, length);
        assert_non_null(at);
        /* A byte less: of the length 00 30, or 10. */
        size_t cut = i < 2 ? length + 2 : length;
        memcpy(at, changes[i].anew, cut - 1);
        memmove(at + cut - 1, at + cut, bytes - (size_t)(at + cut - data));
        bytes--;
    }
    if (model_load_memory(data, bytes, MODEL_SCORES, &part, &e) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(part.unread, 0);
    assert_same(&m, &part);
    free(data);
    model_free(&part);
    model_free(&m);
}

/* Cut anywhere, a model is refused with one line that says something. */
static void test_cut_short(void **state)
{
    (void)state;
    model m = make_model(small_net, HEAD_COSINE), back;
    size_t bytes;
    char *data = saved(&m, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        error e = {0};
        char *part = malloc(cut + 1); /* its own memory, so that a sanitizer sees reads past it */
        memcpy(part, data, cut);
        for (model_section last = 0; last < MODEL_SECTIONS; last++) {
            if (model_load_memory(part, cut, last, &back, &e) == 0)
                fail_msg("a model of %zu of %zu bytes was taken, up to section %d", cut, bytes,
                         (int)last);
            assert_true(*e.text && !strchr(e.text, '\n'));
        }
        free(part);
    }
    free(data);
    model_free(&m);
}

/* ---- files with one thing wrong ---- */

typedef enum {
    NOTHING,
    NO_MODEL_KEY,
    MODEL_NOT_MAP,
    VERSION_MISSING,
    VERSION_OTHER,
    VERSION_TEXT,
    KEY_TWICE,
    KEY_MISSING,
    KEY_NUMBER,
    KINDS_SHORT,
    KINDS_WORD,
    HEAD_WORD,
    NORM_WORD,
    DIMENSION_OTHER,
    DIMENSION_HUGE,
    INPUT_SHORT,
    INPUT_HUGE,
    NETWORK_WORD,
    NETWORK_BYTES,
    NOTE_LIST,
    NOTE_NAN,
    NOTE_TWICE,
    CLASS_TWICE,
    NO_CLASSES,
    TENSOR_MISSING,
    TENSOR_TWICE,
    TENSOR_SHAPE,
    TENSOR_TYPE,
    TENSOR_INTEGER,
    TENSOR_NAN,
    TENSOR_INFINITE,
    TENSOR_STRANGER,
    HEAD_STRANGER,
    SUM_SHAPE,
    COUNT_NEGATIVE,
    PARTNER_MISSING,
    GRAM_NOT_SQUARE,
    GRAM_NO_TRIANGLE,
    FEATURES_DIFFER,
    TWO_FIELDS,
    STREAM_FOLLOWS,
    END_MISSING,
    END_WRONG
} flaw;

static msgpack_packer *to; /* what the functions below write to */
static flaw wrong;

static void text(const char *s)
{
    msgpack_pack_str(to, strlen(s));
    msgpack_pack_str_body(to, s, strlen(s));
}

static void key_text(const char *key, const char *value)
{
    text(key);
    text(value);
}

static void key_number(const char *key, uint64_t value)
{
    text(key);
    msgpack_pack_uint64(to, value);
}

static void bytes_of(const char *s)
{
    msgpack_pack_bin(to, strlen(s));
    msgpack_pack_bin_body(to, s, strlen(s));
}

static void texts(const char *key, const char *const *words, size_t count)
{
    text(key);
    msgpack_pack_array(to, count);
    for (size_t i = 0; i < count; i++)
        text(words[i]);
}

static void numpy_array(tensor_type type, size_t rank, size_t a, size_t b, const void *data)
{
    size_t count = a * (rank > 1 ? b : 1) * type_size(type);
    msgpack_pack_map(to, 5);
    bytes_of("nd");
    msgpack_pack_true(to);
    bytes_of("type");
    text(type_code(type));
    bytes_of("kind");
    bytes_of("");
    bytes_of("shape");
    msgpack_pack_array(to, rank);
    msgpack_pack_uint64(to, a);
    if (rank > 1)
        msgpack_pack_uint64(to, b);
    bytes_of("data");
    msgpack_pack_bin(to, count);
    msgpack_pack_bin_body(to, data, count);
}

static void tensor_record(const char *name, tensor_type type, size_t rank, size_t a, size_t b,
                          const void *data)
{
    msgpack_pack_map(to, 1);
    text(name);
    numpy_array(type, rank, a, b, data);
}

static void model_map(void)
{
    const char *kinds[] = {"base", wrong == KINDS_WORD ? "old" : "novel"};
    bool extra =
        wrong == KEY_TWICE || wrong == NOTE_LIST || wrong == NOTE_NAN || wrong == KEY_NUMBER;
    bool of_features = wrong == GRAM_NOT_SQUARE || wrong == FEATURES_DIFFER;
    bool less = wrong == KEY_MISSING || wrong == VERSION_MISSING;
    if (wrong == MODEL_NOT_MAP) {
        text("model");
        return;
    }
    msgpack_pack_map(to, 7 + extra - less + (wrong == NOTE_TWICE || of_features ? 2 : 0));
    if (wrong == VERSION_TEXT)
        key_text("version", "1");
    else if (wrong != VERSION_MISSING)
        key_number("version", wrong == VERSION_OTHER ? 4 : 3);
    text("network");
    if (wrong == NETWORK_BYTES)
        bytes_of("");
    else
        text(wrong == NETWORK_WORD ? "cnov:3x3x2" : "");
    text("input");
    msgpack_pack_array(to, wrong == INPUT_SHORT ? 2 : 3);
    for (int i = 0; i < (wrong == INPUT_SHORT ? 2 : 3); i++)
        msgpack_pack_uint64(to, wrong == INPUT_HUGE ? UINT64_MAX : wrong == NETWORK_WORD ? 4 : 0);
    key_number("dimension", wrong == DIMENSION_OTHER  ? 3
                            : wrong == DIMENSION_HUGE ? (uint64_t)1 << 60
                                                      : 2);
    key_text("head", wrong == HEAD_WORD ? "sine" : "cosine");
    texts("kinds", kinds, wrong == KINDS_SHORT ? 1 : wrong == NO_CLASSES ? 0 : 2);
    if (wrong != KEY_MISSING)
        key_text("norm", wrong == NORM_WORD ? "l1" : "l2");
    if (wrong == KEY_TWICE)
        key_text("norm", "l2");
    if (wrong == KEY_NUMBER) {
        msgpack_pack_int(to, 5);
        msgpack_pack_int(to, 5);
    }
    if (wrong == NOTE_LIST)
        texts("note", kinds, 2);
    if (wrong == NOTE_NAN) {
        text("note");
        msgpack_pack_double(to, NAN);
    }
    if (of_features) {
        key_number("ridge/features", 2);
        key_number("ridge/seed", 1);
    }
    if (wrong == NOTE_TWICE) {
        key_number("note", 1);
        key_text("note", "x");
    }
}

static void flawed_tensors(void)
{
    const double numbers[] = {1, 2, 3, -4};
    const int32_t integers[] = {1, 2};
    if (wrong == TENSOR_TWICE)
        tensor_record("head/scale", TYPE_F32, 1, 1, 0, numbers);
    if (wrong == TENSOR_INTEGER)
        tensor_record("my/own", TYPE_I32, 1, 2, 0, integers);
    if (wrong == TENSOR_STRANGER)
        tensor_record("0.conv/weight", TYPE_F32, 1, 1, 0, numbers);
    if (wrong == HEAD_STRANGER)
        tensor_record("head/extra", TYPE_F32, 1, 1, 0, numbers);
    if (wrong == SUM_SHAPE || wrong == PARTNER_MISSING || wrong == COUNT_NEGATIVE)
        tensor_record("imprint/sum", TYPE_F64, 2, 2, wrong == SUM_SHAPE ? 1 : 2, numbers);
    if (wrong == SUM_SHAPE || wrong == COUNT_NEGATIVE)
        tensor_record("imprint/count", TYPE_F64, 1, 2, 0, numbers + 2);
    if (wrong == GRAM_NOT_SQUARE)
        tensor_record("base/feature-gram", TYPE_F64, 2, 1, 2, numbers);
    if (wrong == GRAM_NO_TRIANGLE)
        tensor_record("base/feature-gram", TYPE_F64, 1, 4, 0, numbers);
    if (wrong == FEATURES_DIFFER) {
        tensor_record("base/feature-sum", TYPE_F64, 2, 2, 2, numbers);
        tensor_record("base/count", TYPE_F64, 1, 2, 0, numbers);
        tensor_record("base/feature-gram", TYPE_F64, 2, 1, 1, numbers);
    }
    if (wrong == TWO_FIELDS) {
        msgpack_pack_map(to, 2);
        text("a");
        numpy_array(TYPE_F32, 1, 1, 0, numbers);
        text("b");
        numpy_array(TYPE_F32, 1, 1, 0, numbers);
    }
}

/* A small model without a network, with one thing wrong. */
static void write_model(flaw one)
{
    const char *classes[] = {"cat", one == CLASS_TWICE ? "cat" : "dog"};
    float scale = 10, weight[] = {1, 0, 0, 1};
    const double wide[] = {1, 0, 0, 1};
    wrong = one;
    if (wrong == TENSOR_NAN)
        weight[2] = NAN;
    if (wrong == TENSOR_INFINITE)
        weight[3] = -INFINITY;
    msgpack_pack_map(to, wrong == NO_MODEL_KEY ? 2 : 3);
    key_number("tensor-stream", 1);
    texts("classes", classes, wrong == NO_CLASSES ? 0 : 2);
    if (wrong != NO_MODEL_KEY) {
        text("model");
        model_map();
    }
    if (wrong != TENSOR_MISSING)
        tensor_record("head/scale", TYPE_F32, 1, 1, 0, &scale);
    if (wrong == TENSOR_TYPE)
        tensor_record("head/weight", TYPE_F64, 2, 2, 2, wide);
    else if (wrong == TENSOR_SHAPE)
        tensor_record("head/weight", TYPE_F32, 2, 1, 4, weight);
    else
        tensor_record("head/weight", TYPE_F32, 2, 2, 2, weight);
    flawed_tensors();
    if (wrong == END_MISSING)
        return;
    static const struct {
        flaw one;
        int more;
    } rows[] = {{TENSOR_MISSING, -1}, {TENSOR_SHAPE, -1},   {TENSOR_TWICE, 1},
                {TENSOR_INTEGER, 2},  {TENSOR_STRANGER, 1}, {HEAD_STRANGER, 1},
                {SUM_SHAPE, 4},       {COUNT_NEGATIVE, 4},  {PARTNER_MISSING, 2},
                {GRAM_NOT_SQUARE, 1}, {FEATURES_DIFFER, 5}, {TWO_FIELDS, 1},
                {END_WRONG, 1}};
    int total = 3;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        total += rows[i].one == wrong ? rows[i].more : 0;
    msgpack_pack_map(to, 1);
    key_number("end", (uint64_t)total);
    if (wrong == STREAM_FOLLOWS) {
        msgpack_pack_map(to, 2);
        key_number("tensor-stream", 1);
        texts("classes", classes, 2);
        msgpack_pack_map(to, 1);
        key_number("end", 0);
    }
}

static int load_flawed(flaw one, error *e)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    to = &packer;
    write_model(one);
    model m;
    int status = model_load_memory(buffer.data, buffer.size, MODEL_SUMS, &m, e);
    if (status == 0)
        model_free(&m);
    msgpack_sbuffer_destroy(&buffer);
    return status;
}

static void test_flaws(void **state)
{
    (void)state;
    static const struct {
        flaw one;
        const char *says;
    } cases[] = {
        {NO_MODEL_KEY, "no model"},
        {MODEL_NOT_MAP, "no map"},
        {VERSION_MISSING, "no version"},
        {VERSION_OTHER, "version 4"},
        {VERSION_TEXT, "no version"},
        {KEY_TWICE, "'norm' twice"},
        {KEY_MISSING, "lacks the key 'norm'"},
        {KEY_NUMBER, "a key that is no text"},
        {KINDS_SHORT, "base or novel for 1"},
        {KINDS_WORD, "'kinds'"},
        {HEAD_WORD, "cosine or softmax"},
        {NORM_WORD, "l2 or none"},
        {DIMENSION_OTHER, "head/weight"},
        {DIMENSION_HUGE, "'dimension'"},
        {INPUT_SHORT, "'input'"},
        {INPUT_HUGE, "'input'"},
        {NETWORK_WORD, "cnov"},
        {NETWORK_BYTES, "'network'"},
        {NOTE_LIST, "'note'"},
        {NOTE_NAN, "'note'"},
        {NOTE_TWICE, "'note'"},
        {CLASS_TWICE, "cat"},
        {NO_CLASSES, "no classes"},
        {TENSOR_MISSING, "'head/scale' is missing"},
        {TENSOR_TWICE, "'head/scale' comes twice"},
        {TENSOR_SHAPE, "float32 [1, 4]"},
        {TENSOR_TYPE, "float64 [2, 2]"},
        {TENSOR_INTEGER, "int32"},
        {TENSOR_NAN, "head/weight"},
        {TENSOR_INFINITE, "head/weight"},
        {TENSOR_STRANGER, "'0.conv/weight' belongs to no layer"},
        {HEAD_STRANGER, "'head/extra' belongs to no layer"},
        {SUM_SHAPE, "'imprint/sum'"},
        {COUNT_NEGATIVE, "nothing is negative"},
        {PARTNER_MISSING, "'imprint/count' is missing"},
        {GRAM_NOT_SQUARE, "'base/feature-gram'"},
        {GRAM_NO_TRIANGLE, "4 numbers, which make no triangle"},
        {FEATURES_DIFFER, "'base/feature-gram'"},
        {TWO_FIELDS, "2 tensors"},
        {STREAM_FOLLOWS, "another stream"},
        {END_MISSING, "end"},
        {END_WRONG, "4"},
    };
    error e = {0};
    if (load_flawed(NOTHING, &e) < 0)
        fail_msg("the model without a flaw: %s", e.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        e = (error){0};
        if (load_flawed(cases[i].one, &e) == 0)
            fail_msg("flaw %zu (%s) was taken", i, cases[i].says);
        if (!strstr(e.text, cases[i].says) || strchr(e.text, '\n'))
            fail_msg("'%s' does not say '%s'", e.text, cases[i].says);
    }
}

/* Models of which some tool would read or write what is not there. */
static void test_forged(void **state)
{
    (void)state;
    static const struct {
        const char *note, *text; /* set so, or NULL */
        double number;
        model_part_id parts[4];
        size_t size; /* of their features or rows */
        const char *says;
    } cases[] = {
        {NULL,
         NULL,
         0,
         {PART_IMPRINT_COUNT, PART_IMPRINT_SUM, PART_IMPRINT_FEATURE_SUM, PART_IMPRINT_GRAM},
         6,
         "ridge/features and ridge/seed are missing"},
        {"ridge/seed",
         NULL,
         1,
         {PART_RIDGE_WEIGHT},
         6,
         "ridge/features and ridge/seed are missing"},
        {"ridge/features",
         NULL,
         6,
         {PART_RIDGE_WEIGHT},
         6,
         "ridge/features and ridge/seed are missing"},
        {"ridge/features", "6", 0, {PART_NONE}, 0, "ridge/features is '6', and not a number"},
        {"ridge/features", NULL, 0.5, {PART_NONE}, 0, "not a whole number"},
        {"ridge/seed", NULL, 0x1p60, {PART_NONE}, 0, "ridge/seed is"},
        {"imprint/method",
         "proxies",
         0,
         {PART_IMPRINT_COUNT, PART_IMPRINT_SUM},
         0,
         "proxies/count and proxies/seed are missing"},
        {"imprint/method", "guess", 0, {PART_NONE}, 0, "imprint/method is 'guess', and not one of"},
        {"imprint/method", "mean ridge", 0, {PART_NONE}, 0, "not one of"},
        {"imprint/method", NULL, 3, {PART_NONE}, 0, "not a text"},
        {"imprint/balance", "base:2", 0, {PART_NONE}, 0, "imprint/balance is 'base:2'"},
        {"proxies/count", NULL, 0, {PART_NONE}, 0, "proxies/count is 0"},
        {NULL, NULL, 0, {PART_PROXIES_WEIGHT}, 0, "'proxies/weight' is float32 [3, 0, 5]"},
        {NULL, NULL, 0, {PART_KNOWN_SCORES}, 0, "'made/known-scores' is float32 [0]"},
        {NULL, NULL, 0, {PART_BASE_EXEMPLARS}, 0, "'base/exemplars' is float32 [3, 0, 5]"},
        {NULL, NULL, 0, {PART_IMPRINT_EXEMPLARS}, 4, "'imprint/count' is missing"},
        {NULL, NULL, 0, {PART_BASE_COUNT}, 4, "'base/feature-sum' is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m = make_model(NULL, HEAD_COSINE);
        error e = {0};
        if (cases[i].note && cases[i].text)
            model_note_text(&m, cases[i].note, cases[i].text);
        else if (cases[i].note)
            model_note_number(&m, cases[i].note, cases[i].number);
        for (size_t p = 0; p < 4 && cases[i].parts[p] != PART_NONE; p++)
            assert_non_null(model_part_put(&m, cases[i].parts[p], cases[i].size, &e));
        if (model_check(&m, &e) == 0)
            fail_msg("forged model %zu (%s) was taken", i, cases[i].says);
        if (!strstr(e.text, cases[i].says))
            fail_msg("'%s' does not say '%s'", e.text, cases[i].says);
        model_free(&m);
    }
    model m = make_model(NULL, HEAD_COSINE);
    error e = {0};
    class_sums s;
    fit_settings how = {.method = METHOD_PROXIES, .calibrate = -1, .proxies = 4};
    assert_int_equal(fit_settings_put(&m, &how, &e), 0);
    assert_int_equal(sums_put(&m, SUMS_IMPRINT, 0, 0, &s, &e), 0);
    assert_int_equal(model_check(&m, &e), -1);
    assert_non_null(
        strstr(e.text, "'imprint/exemplars' is missing, which the method proxies needs"));
    assert_int_equal(sums_put(&m, SUMS_IMPRINT, 0, 4, &s, &e), 0);
    assert_int_equal(model_check(&m, &e), 0);
    model_free(&m);
}

static void test_not_written_when_wrong(void **state)
{
    (void)state;
    model m = make_model(NULL, HEAD_COSINE);
    error e = {0};
    output *out;
    ((float *)model_find(&m, "head/weight")->data)[1] = NAN;
    assert_int_equal(output_open("/dev/null", false, &out, &e), 0);
    assert_int_equal(model_save(&m, out, &e), -1);
    output_abandon(out);
    model_free(&m);
}

static void test_kinds_in_a_header(void **state)
{
    (void)state;
    model m = make_model(NULL, HEAD_COSINE);
    error e = {0};
    stream_header h = {0};
    class_kind *kinds;
    size_t count;
    m.kinds[2] = CLASS_NOVEL;
    assert_int_equal(class_list_copy(&h.classes, &m.classes), 0);
    assert_int_equal(class_list_add(&h.classes, "truck"), 3);
    assert_int_equal(kinds_read(&h, &kinds, &count, &e), 0);
    assert_int_equal(count, 4);
    assert_int_equal(kinds[2], CLASS_BASE);
    free(kinds);
    assert_int_equal(kinds_write(&h, m.kinds, m.classes.count), 0);
    assert_int_equal(kinds_read(&h, &kinds, &count, &e), 0);
    assert_int_equal(count, 3);
    assert_int_equal(kinds[0], CLASS_BASE);
    assert_int_equal(kinds[2], CLASS_NOVEL);
    free(kinds);
    assert_int_equal(stream_header_set_text(&h, "kinds", "novel"), 0);
    assert_int_equal(kinds_read(&h, &kinds, &count, &e), -1);
    stream_header_free(&h);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_triangles),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_round_trip_without_network),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_classes_come_and_go),
        cmocka_unit_test(test_rename),
        cmocka_unit_test(test_begins_empty),
        cmocka_unit_test(test_tensors_by_name),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_pack_and_fingerprint),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_sections_damaged),
        cmocka_unit_test(test_marks_written_anew),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_flaws),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_not_written_when_wrong),
        cmocka_unit_test(test_kinds_in_a_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
