/* stream.c: reading and writing tensor streams: what is written is read, streams concatenate,
 * classes match by name, and what is wrong is refused. */
#include "../../common/base/hash.h"
#include "../../common/base/keyed_hash.h"
#include "../../common/base/output.h"
#include "../../common/stream/read.h"
#include "../../common/stream/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- helpers ---- */

typedef struct {
    char *data;
    size_t bytes;
} blob;

static blob read_file(const char *path)
{
    blob b = {malloc(1 << 22), 0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    b.bytes = fread(b.data, 1, 1 << 22, f);
    fclose(f);
    return b;
}

static stream_header make_header(const char *const *names)
{
    stream_header h = {0};
    for (; *names; names++)
        assert_true(class_list_add(&h.classes, *names) >= 0);
    return h;
}

/* A stream of `batches` batches of `rows` rows: labels row % classes, 2 x 3 pictures. */
static blob make_stream(const stream_header *h, size_t batches, size_t rows)
{
    char path[] = "/tmp/test-stream-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    output *out;
    stream_writer *w;
    error e;
    assert_int_equal(output_open(path, true, &out, &e), 0);
    assert_int_equal(stream_create(out, &w, &e), 0);
    assert_int_equal(stream_write_header(w, h, &e), 0);
    uint8_t *image = malloc(rows * 6);
    int64_t *label = malloc(rows * sizeof *label);
    for (size_t k = 0; k < batches; k++) {
        for (size_t i = 0; i < rows; i++) {
            label[i] = (int64_t)(i % h->classes.count);
            memset(image + 6 * i, (int)(10 * k + i), 6);
        }
        batch b = {0};
        tensor pictures = {TYPE_U8, 3, {rows, 2, 3}, image}, labels = {TYPE_I64, 1, {rows}, label};
        assert_int_equal(batch_put(&b, "image", pictures, &e), 0);
        assert_int_equal(batch_put(&b, "label", labels, &e), 0);
        assert_int_equal(stream_write(w, &b, &e), 0);
    }
    assert_int_equal(stream_write_end(w, &e), 0);
    stream_writer_free(w);
    assert_int_equal(output_commit(out, &e), 0);
    free(image);
    free(label);
    blob b = read_file(path);
    unlink(path);
    return b;
}

static blob join(blob a, blob b)
{
    blob both = {malloc(a.bytes + b.bytes), a.bytes + b.bytes};
    memcpy(both.data, a.data, a.bytes);
    memcpy(both.data + a.bytes, b.data, b.bytes);
    free(a.data);
    free(b.data);
    return both;
}

/* Reads all of it: the number of rows, or -1 and the error. */
static long read_all(blob from, error *e)
{
    stream_reader *r;
    batch *b;
    int status;
    assert_int_equal(stream_open_memory(from.data, from.bytes, "test", &r, e), 0);
    while ((status = stream_read(r, &b, e)) > 0)
        assert_true(b->rows > 0);
    long rows = status < 0 ? -1 : (long)stream_rows(r);
    stream_close(r);
    return rows;
}

static void expect_error(blob from, const char *part)
{
    error e = {""};
    assert_int_equal(read_all(from, &e), -1);
    if (!strstr(e.text, part))
        fail_msg("'%s' does not say '%s'", e.text, part);
    assert_null(strchr(e.text, '\n'));
}

static const char *const three[] = {"cat", "dog", "ship", NULL};

/* ---- reading what was written ---- */

static void reads_what_was_written(void **state)
{
    (void)state;
    stream_header h = make_header(three);
    assert_int_equal(stream_header_set_text(&h, "made-by", "a test"), 0);
    assert_int_equal(stream_header_set_text(&h, "made-by", "this test"), 0);
    assert_int_equal(stream_header_set_encoded(&h, "list", "\x92\x01\xc3", 3), 0);
    assert_int_equal(stream_header_set_encoded(&h, "bad", "\x92\x01", 2), -1);
    blob s = make_stream(&h, 2, 4);
    stream_header_free(&h);

    stream_reader *r;
    const stream_header *first;
    batch *b;
    error e;
    assert_int_equal(stream_open_memory(s.data, s.bytes, "test", &r, &e), 0);
    assert_int_equal(stream_header_first(r, &first, &e), 0);
    assert_int_equal(first->classes.count, 3);
    assert_string_equal(first->classes.names[2], "ship");
    char *text = stream_header_get_text(first, "made-by");
    assert_string_equal(text, "this test");
    free(text);
    assert_null(stream_header_get_text(first, "list"));
    size_t bytes;
    const void *list = stream_header_get_encoded(first, "list", &bytes);
    assert_int_equal(bytes, 3);
    assert_memory_equal(list, "\x92\x01\xc3", 3);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(stream_read(r, &b, &e), 1);
        assert_int_equal(b->rows, 4);
        assert_int_equal(b->first_row, 4 * k);
        tensor *image;
        assert_int_equal(batch_require(b, "image", TYPE_U8, 3, &image, &e), 0);
        assert_int_equal((uintptr_t)image->data % 64, 0);
        assert_int_equal(((uint8_t *)image->data)[6 * 3 + 5], 10 * k + 3);
        int32_t *labels;
        assert_int_equal(batch_labels(b, stream_classes(r), &labels, &e), 0);
        assert_int_equal(labels[3], 0);
        assert_int_equal(labels[2], 2);
    }
    assert_int_equal(stream_read(r, &b, &e), 0);
    assert_int_equal(stream_read(r, &b, &e), 0);
    assert_int_equal(stream_rows(r), 8);
    assert_int_equal(stream_bytes(r), s.bytes);
    stream_close(r);
    free(s.data);
}

static void matches_classes_by_name(void **state)
{
    (void)state;
    const char *const other[] = {"ship", "frog", "cat", NULL};
    stream_header one = make_header(three), two = make_header(other);
    blob s = join(make_stream(&one, 1, 3), make_stream(&two, 1, 3));
    stream_reader *r;
    batch *b;
    error e;
    int32_t *labels;
    assert_int_equal(stream_open_memory(s.data, s.bytes, "test", &r, &e), 0);
    assert_int_equal(stream_read(r, &b, &e), 1);
    assert_int_equal(stream_read(r, &b, &e), 1);
    assert_int_equal(stream_classes(r)->count, 4);
    assert_string_equal(stream_classes(r)->names[3], "frog");
    assert_int_equal(batch_labels(b, stream_classes(r), &labels, &e), 0);
    assert_int_equal(labels[0], 2);
    assert_int_equal(labels[1], 3);
    assert_int_equal(labels[2], 0);
    assert_int_equal(stream_read(r, &b, &e), 0);
    assert_int_equal(stream_rows(r), 6);
    stream_close(r);
    free(s.data);
    stream_header_free(&one);
    stream_header_free(&two);
}

static void refuses_other_embeddings(void **state)
{
    (void)state;
    stream_header one = make_header(three), two = make_header(three);
    assert_int_equal(stream_header_set_text(&one, "embedding-of", "1234"), 0);
    assert_int_equal(stream_header_set_text(&two, "embedding-of", "5678"), 0);
    error e;
    blob same = join(make_stream(&one, 1, 3), make_stream(&one, 1, 3));
    assert_int_equal(read_all(same, &e), 6);
    blob differ = join(make_stream(&one, 1, 3), make_stream(&two, 1, 3));
    expect_error(differ, "another model");
    free(same.data);
    free(differ.data);
    stream_header_free(&one);
    stream_header_free(&two);
}

/* ---- refusing what is wrong ---- */

/* A map, its key and a small number, the checksum's key and value. */
enum { END_BYTES = 1 + 4 + 1 + 8 + 18 };

static void refuses_every_cut(void **state)
{
    (void)state;
    stream_header h = make_header(three);
    blob s = make_stream(&h, 2, 4);
    error e;
    assert_int_equal(read_all(s, &e), 8);
    for (size_t bytes = 0; bytes < s.bytes; bytes++) {
        char *exact = malloc(bytes ? bytes : 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, s.data, bytes);
        blob cut = {exact, bytes};
        assert_int_equal(read_all(cut, &e), -1);
        free(exact);
    }
    s.bytes--;
    expect_error(s, "cut short");
    s.bytes -= END_BYTES - 1;
    expect_error(s, "without an end record");
    free(s.data);
    stream_header_free(&h);
}

/* ---- the checksum in the end record ---- */

/* Reads all of it; how many of its streams had the right checksum, or -1. */
static long count_checked(blob from, error *e)
{
    stream_reader *r;
    batch *b;
    int status;
    assert_int_equal(stream_open_memory(from.data, from.bytes, "test", &r, e), 0);
    while ((status = stream_read(r, &b, e)) > 0)
        ;
    long checked = status < 0 ? -1 : (long)stream_checked(r);
    stream_close(r);
    return checked;
}

static void refuses_every_flipped_bit(void **state)
{
    (void)state;
    stream_header h = make_header(three);
    assert_int_equal(stream_header_set_text(&h, "made-by", "a test"), 0);
    blob s = join(make_stream(&h, 2, 4), make_stream(&h, 1, 200));
    error e;
    assert_int_equal(count_checked(s, &e), 2);
    for (size_t bit = 0; bit < 8 * s.bytes; bit++) {
        s.data[bit / 8] ^= (char)(1 << bit % 8);
        if (read_all(s, &e) != -1)
            fail_msg("bit %zu of byte %zu of %zu", bit % 8, bit / 8, s.bytes);
        assert_true(*e.text);
        s.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_int_equal(count_checked(s, &e), 2);
    free(s.data);
    stream_header_free(&h);
}

/* The end record replaced by other bytes. */
static blob with_end(const char *end, size_t bytes)
{
    stream_header h = make_header(three);
    blob s = make_stream(&h, 2, 4);
    stream_header_free(&h);
    s.bytes -= END_BYTES;
    blob last = {malloc(bytes), bytes};
    memcpy(last.data, end, bytes);
    return join(s, last);
}

#define END_RECORD(TEXT) TEXT, sizeof TEXT - 1

static void streams_without_a_checksum_and_rewritten_ones_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *end;
        size_t bytes;
        long checked;
        const char *refused;
    } cases[] = {
        {END_RECORD("\x81\xa3"
                    "end\x08"),
         0, NULL},
        {END_RECORD("\x82\xa3"
                    "end\x08\xa7"
                    "xxh3-64\xb0"
                    "0123456789abcdef"),
         0, NULL},
        {END_RECORD("\x83\xa3"
                    "end\x08\xa7"
                    "xxh3-64\xb0"
                    "0123456789abcdef\xa1x\x90"),
         0, NULL},
        {END_RECORD("\x82\xa3"
                    "end\x08\xa7"
                    "xxh3-64\xd9\x10"
                    "0123456789abcdef"),
         -1, "not that of what came"},
        {END_RECORD("\x82\xa3"
                    "end\x08\xa7"
                    "xxh3-64\xc0"),
         -1, "no text of 16 digits"},
        {END_RECORD("\x82\xa3"
                    "end\x08\xa7"
                    "xxh3-64\xa1"
                    "0"),
         -1, "no text of 16 digits"},
        {END_RECORD("\x82\xa3"
                    "end\x08\xa7"
                    "xxh3-65\xb0"
                    "0123456789abcdef"),
         -1, "none of them xxh3-64"},
        {END_RECORD("\x83\xa3"
                    "end\x08\xa7"
                    "xxh3-64\xb0"
                    "0123456789abcdef\xa7"
                    "xxh3-64\xb0"
                    "0123456789abcdef"),
         -1, "twice"},
    };
    error e;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob s = with_end(cases[i].end, cases[i].bytes);
        assert_int_equal(count_checked(s, &e), cases[i].checked);
        if (cases[i].refused)
            expect_error(s, cases[i].refused);
        free(s.data);
    }
}

#define HEADER                                                                                     \
    "\x82\xadtensor-stream\x01\xa7"                                                                \
    "classes\x92\xa1"                                                                              \
    "a\xa1"                                                                                        \
    "b"
#define ND "\xc4\x02nd\xc3"
#define KIND "\xc4\x04kind\xc4\x00"
#define TYPE(T) "\xc4\x04type\xa3" T
#define SHAPE(S) "\xc4\x05shape" S
#define DATA(D)                                                                                    \
    "\xc4\x04"                                                                                     \
    "data" D
#define END(N)                                                                                     \
    "\x81\xa3"                                                                                     \
    "end" N

static const struct {
    const char *text;
    size_t bytes;
    const char *says; /* NULL: all is well */
} cases[] = {
#define CASE(T, SAYS)                                                                              \
    {                                                                                              \
        T, sizeof T - 1, SAYS                                                                      \
    }
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x91\x02") DATA("\xc4\x02zz")
             END("\x02"),
         NULL),
    /* Any order of keys; text for byte strings and the other way round; keys nobody knows. */
    CASE(HEADER "\x81\xc4\x01x\x86\xa4"
                "data\xa2zz\xa1?\x92\xc0\xc2\xa4type\xc4\x03|u1\xa2nd\xc3\xa5shape\x91"
                "\xcf\0\0\0\0\0\0\0\2\xa4kind\xa0" END("\xcd\0\x02"),
         NULL),
    CASE(HEADER END("\x00"), NULL),
    CASE("", "empty"),
    CASE("hello", "not a tensor stream"),
    CASE("\x81\xa5hello\x01", "no key 'tensor-stream'"),
    CASE("\x81\xadtensor-stream\x02", "version"),
    CASE("\x82\xadtensor-stream\x01\xa7"
         "classes\x92\xa1"
         "a\xa1"
         "a",
         "twice"),
    CASE("\x82\xadtensor-stream\x01\xa7"
         "classes\xdd\xff\xff\xff\xff",
         "larger than any"),
    CASE("\x81\xadtensor-stream\x01" HEADER, "without an end record"),
    CASE(HEADER "\xc1", "0xc1"),
    CASE(HEADER "\x07", "no record"),
    CASE(HEADER "\x80", "no record"),
    CASE(HEADER "\xdf\xff\xff\xff\xff", "at most 64"),
    CASE(HEADER "\x81\xa1x\x01", "no tensor"),
    CASE(HEADER "\x81\xa1x\x81\xa2nd\xc3", "lacks"),
    CASE(HEADER "\x81\xa1x\x83\xa2nd\xc2\xa4type\xa3<f4\xa4"
                "data\xc4\4\0\0\0\0",
         "single number"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE(">f4"), "big-endian"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("<c8"), "type '<c8'"),
    CASE(HEADER "\x81\xa1x\x85" ND "\xc4\x04kind\xc4\x01O", "objects"),
    CASE(HEADER "\x81\xa1x\x85" ND "\xc4\x04type\x91\x92\xa1"
                "f\xa3<f4",
         "structured"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x90") DATA("\xc4\x01z"),
         "no dimensions"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x92\x02\x00") DATA("\xc4\x00"),
         "dimension of 0"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x91\x03") DATA("\xc4\x02zz"),
         "claims 2 bytes"),
    CASE(HEADER "\x81\xa1x\x85" ND DATA("\xc4\x02zz") TYPE("|u1") KIND SHAPE("\x91\x03"),
         "has 2 bytes"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("<f8") KIND SHAPE("\x92\xcf\x20\0\0\0\0\0\0\1\x01")
             DATA("\xc4\x08zzzzzzzz"),
         "more than"),
    CASE(HEADER "\x81\xa1x\x85" ND DATA("\xc6\xff\xff\xff\xff"), "at most"),
    CASE(HEADER "\x81\xa1x\x85" ND DATA("\xc6\x30\0\0\0zz"), "cut short"),
    CASE(HEADER "\x82\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x91\x02")
             DATA("\xc4\x02zz") "\xa1y\x85" ND TYPE("|u1") KIND SHAPE("\x91\x01") DATA("\xc4\x01z"),
         "has 1 rows where 'x' has 2"),
    CASE(HEADER "\x82\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x91\x02") DATA("\xc4\x02zz") "\xa1x",
         "twice"),
    CASE(HEADER "\x81\xa1x\x85" ND TYPE("|u1") KIND SHAPE("\x91\x02") DATA("\xc4\x02zz")
             END("\x03"),
         "counts 3 rows where 2"),
    CASE(HEADER "\x81\xa1x\x86" ND
                "\xa1?\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
                "\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01",
         "deep"),
};

static void reads_or_refuses_by_the_letter(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob s = {malloc(cases[i].bytes + 1), cases[i].bytes};
        memcpy(s.data, cases[i].text, s.bytes);
        error e = {""};
        if (cases[i].says)
            expect_error(s, cases[i].says);
        else if (read_all(s, &e) < 0)
            fail_msg("case %zu: %s", i, e.text);
        free(s.data);
    }
}

/* ---- batches and classes ---- */

static void keeps_and_checks_rows(void **state)
{
    (void)state;
    uint8_t image[8] = {0, 0, 1, 1, 2, 2, 3, 3};
    float value[4] = {1, 2, 3, 4};
    int8_t label[4] = {0, 1, 1, 0};
    batch b = {0};
    error e;
    tensor *t;
    assert_int_equal(batch_put(&b, "image", (tensor){TYPE_U8, 2, {4, 2}, image}, &e), 0);
    assert_int_equal(batch_put(&b, "value", (tensor){TYPE_F32, 1, {4}, value}, &e), 0);
    assert_int_equal(batch_put(&b, "label", (tensor){TYPE_I8, 1, {4}, label}, &e), 0);
    assert_int_equal(batch_put(&b, "short", (tensor){TYPE_F32, 1, {3}, value}, &e), -1);
    class_list two = {0};
    int32_t *labels;
    assert_int_equal(class_list_add(&two, "zero"), 0);
    assert_int_equal(batch_labels(&b, &two, &labels, &e), -1);
    assert_non_null(strstr(e.text, "row 1: label 1"));
    assert_int_equal(class_list_add(&two, "one"), 1);
    assert_int_equal(batch_labels(&b, &two, &labels, &e), 0);
    batch_keep(&b, (bool[]){false, true, false, true});
    assert_int_equal(b.rows, 2);
    assert_int_equal(batch_require(&b, "image", TYPE_U8, 2, &t, &e), 0);
    assert_memory_equal(image, "\1\1\3\3", 4);
    assert_int_equal(labels[0], 1);
    assert_int_equal(labels[1], 0);
    assert_int_equal(batch_require(&b, "value", TYPE_F32, 1, &t, &e), 0);
    value[1] = 0.0f / (value[0] - value[0]);
    assert_int_equal(batch_require(&b, "value", TYPE_F32, 1, &t, &e), -1);
    assert_non_null(strstr(e.text, "row 1"));
    assert_int_equal(batch_require(&b, "value", TYPE_F64, 1, &t, &e), -1);
    assert_int_equal(batch_require(&b, "embedding", TYPE_F32, 2, &t, &e), -1);
    batch_drop(&b, "image");
    assert_null(batch_find(&b, "image"));
    assert_non_null(batch_find(&b, "value"));
    batch_free(&b);
    class_list_free(&two);
}

static void chooses_classes(void **state)
{
    (void)state;
    class_list list = {0};
    error e;
    bool chosen[6];
    const char *const names[] = {"cat", "7", "tench, Tinca", "dog", "a-b", "ship"};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(class_list_add(&list, names[i]), i);
    assert_int_equal(class_list_add(&list, "dog"), -1);
    assert_int_equal(class_list_choose(&list, "ship,0", chosen, &e), 0);
    assert_memory_equal(chosen, ((bool[]){true, false, false, false, false, true}), sizeof chosen);
    assert_int_equal(class_list_choose(&list, "7,tench, Tinca,a-b", chosen, &e), 0);
    assert_memory_equal(chosen, ((bool[]){false, true, true, false, true, false}), sizeof chosen);
    assert_int_equal(class_list_choose(&list, "1-3", chosen, &e), 0);
    assert_memory_equal(chosen, ((bool[]){false, true, true, true, false, false}), sizeof chosen);
    const char *const wrong[] = {"",   "bird", "6",   "3-1",  "0-6",
                                 "-1", "1-",   "0x1", "cat,", "cat,,dog"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(class_list_choose(&list, wrong[i], chosen, &e), -1);
    assert_int_equal(class_list_choose(&list, "bird", chosen, &e), -1);
    assert_non_null(strstr(e.text, "no class 'bird'"));
    assert_non_null(strstr(e.text, "ship"));
    class_list_free(&list);
}

static void finds_among_many_classes(void **state)
{
    (void)state;
    class_list list = {0}, copy;
    char name[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "class %d", i);
        assert_int_equal(class_list_add(&list, name), i);
    }
    assert_int_equal(class_list_copy(&copy, &list), 0);
    assert_true(class_list_equal(&copy, &list));
    assert_int_equal(class_list_find(&copy, "class 19999"), 19999);
    assert_int_equal(class_list_find(&copy, "class 20000"), -1);
    class_list_free(&copy);
    assert_int_equal(class_list_find(&copy, "class 1"), -1);
    class_list_free(&list);
}

/* What Python 3.11's hash() of these bytes is under PYTHONHASHSEED=0. */
static void siphash_gives_the_known_answers(void **state)
{
    (void)state;
    char bytes[63];
    for (int i = 0; i < 63; i++)
        bytes[i] = (char)i;
    assert_true(siphash_13(0, 0, "a", 1) == 0x407448d2b89b1813u);
    assert_true(siphash_13(0, 0, "airplane", 8) == 0x3a89bb6ac0095580u);
    assert_true(siphash_13(0, 0, "0123456789abcdef!", 17) == 0x9463628f6c8882cau);
    assert_true(siphash_13(0, 0, bytes, sizeof bytes) == 0x385d3e39e5f37359u);
    assert_true(siphash_13(1, 0, "a", 1) != siphash_13(0, 0, "a", 1));
    assert_true(siphash_13(0, 1, "a", 1) != siphash_13(0, 0, "a", 1));
}

/* The longest row of taken slots: how far a look-up may have to go. */
static size_t longest_row(const class_list *list)
{
    size_t longest = 0, here = 0;
    for (size_t i = 0; i < list->slot_count; i++) {
        here = list->slots[i] ? here + 1 : 0;
        longest = here > longest ? here : longest;
    }
    return longest;
}

/* Names that a stranger made to fall in one slot, by hashes that need no key: FNV-1a, folded as it
 * once was, and SipHash with the key 0. They spread like any others. */
static void crafted_names_do_not_pile_up(void **state)
{
    (void)state;
    enum { NAMES = 500, SLOTS = 1024 };
    for (int kind = 0; kind < 2; kind++) {
        class_list list = {0};
        char name[32];
        for (unsigned i = 0; list.count < NAMES; i++) {
            size_t length = (size_t)snprintf(name, sizeof name, "n%u", i);
            uint64_t hash =
                kind ? siphash_13(0, 0, name, length) : hash_bytes(HASH_BEGIN, name, length);
            if (kind == 0)
                hash ^= hash >> 32;
            if (hash % SLOTS == 0)
                assert_true(class_list_add(&list, name) >= 0);
        }
        assert_int_equal(list.slot_count, SLOTS);
        assert_true(longest_row(&list) < 200);
        class_list_free(&list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(matches_classes_by_name),
        cmocka_unit_test(refuses_other_embeddings),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(refuses_every_flipped_bit),
        cmocka_unit_test(streams_without_a_checksum_and_rewritten_ones_are_read),
        cmocka_unit_test(reads_or_refuses_by_the_letter),
        cmocka_unit_test(keeps_and_checks_rows),
        cmocka_unit_test(chooses_classes),
        cmocka_unit_test(finds_among_many_classes),
        cmocka_unit_test(siphash_gives_the_known_answers),
        cmocka_unit_test(crafted_names_do_not_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
