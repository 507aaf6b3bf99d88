/* network.c: network texts: what they mean, and what is refused. */
#include "fixture.h"

static const extent colour = {32, 32, 3}, grey = {28, 28, 1};

static network parsed(const char *text, extent input, head_kind head, size_t classes)
{
    network n = {0};
    must(network_parse(text, input, head, classes, &n, e));
    return n;
}

static const parameter *parameter_named(const network *n, const char *name)
{
    for (size_t k = 0; k < n->parameter_count; k++)
        if (strcmp(n->parameters[k].name, name) == 0)
            return &n->parameters[k];
    fail_msg("there is no parameter %s", name);
    return NULL;
}

static void assert_extent(extent e, size_t height, size_t width, size_t channels)
{
    assert_int_equal(e.height, height);
    assert_int_equal(e.width, width);
    assert_int_equal(e.channels, channels);
}

/* Parameter counts as Keras prints them for the same network, and the head's. */
static void keras_cnn_is_keras_example(void **state)
{
    (void)state;
    network n = parsed("keras-cnn", colour, HEAD_SOFTMAX, 10);
    assert_int_equal(n.dimension, 512);
    assert_int_equal(n.total, 1245728 + 512 * 10);
    assert_int_equal(n.layer_count, 15);
    assert_extent(n.layers[4].out, 15, 15, 32);
    assert_extent(n.layers[10].out, 6, 6, 64);
    assert_string_equal(n.text, network_builtin("keras-cnn"));
    assert_true(n.head_scale == SIZE_MAX);
    network_free(&n);
}

static void resnet9_gives_512_numbers_at_any_size(void **state)
{
    (void)state;
    const extent sizes[] = {{32, 32, 3}, {28, 28, 1}, {64, 48, 3}, {8, 8, 3}};
    for (int i = 0; i < 4; i++) {
        network n = parsed("resnet9", sizes[i], HEAD_COSINE, 7);
        assert_int_equal(n.dimension, 512);
        network_free(&n);
    }
}

static void layers_have_their_shapes(void **state)
{
    (void)state;
    const struct {
        const char *text;
        size_t height, width, channels;
    } each[] = {
        {"conv:3x3x8:same", 28, 28, 8},
        {"conv:3x5x8", 26, 24, 8},
        {"conv:28x28x8", 1, 1, 8},
        {"conv:5x3x8:nobias:same", 28, 28, 8},
        {"dense:17", 1, 1, 17},
        {"relu", 28, 28, 1},
        {"maxpool:2", 14, 14, 1},
        {"maxpool:3", 9, 9, 1},
        {"maxpool:all", 1, 1, 1},
        {"avgpool", 1, 1, 1},
        {"dropout:0.25", 28, 28, 1},
        {"batchnorm", 28, 28, 1},
        {"batchnorm:32", 28, 28, 1},
        {"scale:-1e-3", 28, 28, 1},
        {"save relu add", 28, 28, 1},
        {"maxpool:3 maxpool:3 maxpool:3", 1, 1, 1},
        /* As PyTorch's layers of the same numbers give. */
        {"conv:3x3x8:same:stride=2", 14, 14, 8},
        {"conv:7x7x4:pad=3:stride=2", 14, 14, 4},
        {"conv:3x3x4:pad=0,0,1,1:stride=2", 14, 14, 4},
        {"conv:3x5x4:stride=2x3", 13, 8, 4},
        {"conv:3x3x4:dilation=2", 24, 24, 4},
        {"conv:3x3x4:dilation=2:same", 28, 28, 4},
        {"conv:5x3x4:dilation=3x5:pad=6,5,6,5", 28, 28, 4},
        {"conv:1x1x6 conv:3x3x12:groups=3", 26, 26, 12},
        {"maxpool:3:stride=2", 13, 13, 1},
        {"maxpool:3:stride=2:ceil", 14, 14, 1},
        {"maxpool:3:stride=2:pad=1", 14, 14, 1},
        {"maxpool:3:ceil", 10, 10, 1},
        {"maxpool:3x2", 9, 14, 1},
        {"avgpool:3:stride=1:pad=1", 28, 28, 1},
        {"avgpool:2:ceil:within", 14, 14, 1},
        {"clip:0,6", 28, 28, 1},
        {"leakyrelu:0.01", 28, 28, 1},
        {"tanhgelu", 28, 28, 1},
        {"layernorm:1e-6", 28, 28, 1},
        {"normalize:0.5:0.25 affine", 28, 28, 1},
        {"conv:14x14x6:stride=14 tokens:2 position", 1, 6, 6},
        {"conv:14x14x18 attention:3", 15, 15, 6},
        {"conv:4x4x6:stride=4 take:1-9", 1, 9, 6},
        {"conv:4x4x6 channels:2-4", 25, 25, 3},
        {"conv:4x4x6 shuffle:3", 25, 25, 6},
        {"save conv:3x3x4:same | conv:1x1x4 | conv:5x5x4:same add", 28, 28, 4},
        {"save conv:3x3x4:same | conv:1x1x2 | concat", 28, 28, 7},
        {"save conv:3x3x4:same concat", 28, 28, 5},
        {"conv:3x3x4 save avgpool conv:1x1x4 sigmoid multiply", 26, 26, 4},
        {"conv:3x3x4 save avgpool conv:1x1x4 | multiply", 26, 26, 4},
        {"save save relu | concat | conv:1x1x3 concat", 28, 28, 5},
    };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        network n = parsed(each[i].text, grey, HEAD_COSINE, 3);
        const layer *last = &n.layers[n.layer_count - 1];
        assert_extent(last->out, each[i].height, each[i].width, each[i].channels);
        assert_int_equal(n.dimension, extent_size(last->out));
        network_free(&n);
    }
}

static void parameters_have_names_shapes_and_places(void **state)
{
    (void)state;
    network n = parsed("conv:5x3x8 batchnorm:4 relu dense:6", grey, HEAD_COSINE, 3);
    const parameter *w = parameter_named(&n, "0.conv/weight");
    assert_int_equal(w->rank, 4);
    assert_int_equal(w->shape[0], 8);
    assert_int_equal(w->shape[1], 5);
    assert_int_equal(w->shape[2], 3);
    assert_int_equal(w->shape[3], 1);
    assert_int_equal(w->fan_in, 15);
    assert_int_equal(w->fan_out, 120);
    const parameter *d = parameter_named(&n, "3.dense/weight");
    assert_int_equal(d->shape[0], 6);
    assert_int_equal(d->shape[1], 24 * 26 * 8);
    assert_true(parameter_named(&n, "1.batchnorm/gamma")->trainable);
    assert_false(parameter_named(&n, "1.batchnorm/variance")->trainable);
    assert_int_equal(n.layers[1].group, 4);
    size_t start = 0;
    for (size_t k = 0; k < n.parameter_count; k++) {
        assert_int_equal(n.parameters[k].start, start);
        start += n.parameters[k].count;
    }
    assert_int_equal(start, n.total);
    assert_string_equal(n.parameters[n.head_scale].name, "head/scale");
    assert_int_equal(n.head_weight, n.parameter_count - 1);
    network_free(&n);
}

static void saves_and_adds_nest(void **state)
{
    (void)state;
    network n = parsed("save relu save relu add add", grey, HEAD_COSINE, 3);
    assert_int_equal(n.layers[0].partner, 5);
    assert_int_equal(n.layers[5].partner, 0);
    assert_int_equal(n.layers[2].partner, 4);
    assert_int_equal(n.layers[4].partner, 2);
    network_free(&n);
}

/* In the order of the text; what was saved is one of them where there is no "|". */
static void branches_are_operands(void **state)
{
    (void)state;
    network n = parsed("save relu | save relu add | concat relu", grey, HEAD_COSINE, 3);
    assert_int_equal(n.operand_count, 5);
    const layer *add = &n.layers[5], *concat = &n.layers[7];
    assert_int_equal(add->operand_count, 2);
    assert_int_equal(n.operands[add->operands], 3);
    assert_int_equal(n.operands[add->operands + 1], 5);
    assert_int_equal(concat->operand_count, 3);
    assert_int_equal(n.operands[concat->operands], 2);
    assert_int_equal(n.operands[concat->operands + 1], 6);
    assert_int_equal(n.operands[concat->operands + 2], 7);
    assert_int_equal(n.layers[0].partner, 7);
    assert_int_equal(n.layers[2].partner, 0);
    assert_int_equal(n.layers[6].partner, 0);
    assert_extent(concat->out, 28, 28, 3);
    network_free(&n);
}

static void tokens_and_groups_have_their_parameters(void **state)
{
    (void)state;
    network n = parsed("conv:4x4x6:stride=4 conv:3x3x12:groups=3 tokens:1 position layernorm", grey,
                       HEAD_COSINE, 3);
    const parameter *w = parameter_named(&n, "1.conv/weight");
    assert_int_equal(w->shape[0], 12);
    assert_int_equal(w->shape[3], 2);
    assert_int_equal(w->fan_in, 18);
    assert_int_equal(w->fan_out, 36);
    assert_int_equal(parameter_named(&n, "2.tokens/weight")->count, 12);
    const parameter *position = parameter_named(&n, "3.position/weight");
    assert_int_equal(position->rank, 3);
    assert_int_equal(position->shape[1], 26);
    assert_int_equal(parameter_named(&n, "4.layernorm/gamma")->count, 12);
    network_free(&n);
}

static void white_space_is_made_single_blanks(void **state)
{
    (void)state;
    network n = parsed("\n  relu\t\tdense:5 \r\n", grey, HEAD_COSINE, 3);
    assert_string_equal(n.text, "relu dense:5");
    network_free(&n);
    n = parsed("  keras-cnn\n", colour, HEAD_COSINE, 3);
    assert_string_equal(n.text, network_builtin("keras-cnn"));
    network_free(&n);
}

static void an_empty_text_leaves_the_input(void **state)
{
    (void)state;
    network n = parsed(" \n", (extent){1, 1, 512}, HEAD_SOFTMAX, 10);
    assert_string_equal(n.text, "");
    assert_int_equal(n.dimension, 512);
    assert_int_equal(n.total, 5120);
    network_free(&n);
}

static void wrong_texts_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *text, *says; /* a part of the message */
    } each[] = {
        {"relu convolve", "word 2, convolve"},
        {"keras-cnn relu", "word 1, keras-cnn"},
        {"conv", "word 1, conv:"},
        {"conv:3x3", "write conv:HEIGHTxWIDTHxFILTERS"},
        {"conv:3x3x", "write conv"},
        {"conv:3x3x8x2", "write conv"},
        {"conv:3x3x8,2", "write conv"},
        {"conv:0x3x8", "write conv"},
        {"conv:3x-3x8", "write conv"},
        {"conv:3x3x 8", "word 1"},
        {"conv:3x3x8:", "conv's options"},
        {"conv:3x3x8:valid", "conv's options"},
        {"conv:2x3x8:same", "odd"},
        {"conv:29x3x8", "larger than"},
        {"conv:59x3x8:pad=15,0,15,0", "larger than"},
        {"conv:99999999999999999999x3x8", "write conv"},
        {"dense", "write dense"},
        {"dense:0", "write dense"},
        {"dense:5:same", "nobias"},
        {"dense:2147483649", "write dense"},
        {"dense:2147483648", "2^31 parameters"},
        {"conv:1x1x1000000 conv:1x1x1000000", "2^31"},
        {"conv:1x1x3000000", "2^31 elements"},
        {"dense:65536 dense:65536", "2^31 parameters"},
        {"relu:1", "takes no numbers"},
        {"maxpool", "write maxpool"},
        {"maxpool:0", "write maxpool"},
        {"maxpool:2:2", "maxpool's options"},
        {"maxpool:29", "larger than"},
        {"maxpool:3:pad=3", "its padding as large"},
        {"maxpool:3:stride=0", "maxpool's options"},
        {"maxpool:3:within", "maxpool's options"},
        {"conv:3x3x8:stride=2:stride=2", "each once"},
        {"conv:3x3x8:same:pad=1", "two ways"},
        {"conv:3x3x8:pad=1,1", "conv's options"},
        {"conv:3x3x8:pad=1,1,1,1,1", "conv's options"},
        {"conv:3x3x8:dilation=14", "larger than"},
        {"conv:3x3x8:stride=9999999", "larger than"},
        {"conv:3x3x8:groups=2", "must divide"},
        {"conv:1x1x4 conv:3x3x6:groups=4", "must divide"},
        {"clip:1", "write clip"},
        {"clip:6,0", "write clip"},
        {"leakyrelu:-1", "write leakyrelu"},
        {"layernorm:0", "write layernorm"},
        {"gelu:tanh", "takes no numbers"},
        {"relu normalize:0:1", "before all others"},
        {"normalize:0.5", "write normalize"},
        {"normalize:0.5:0", "write normalize"},
        {"normalize:0.5,0.5:1", "write normalize"},
        {"tokens:", "write tokens"},
        {"tokens:3x2", "write tokens"},
        {"attention:1", "queries, keys and values"},
        {"conv:1x1x12 attention:3", "multiple of the heads"},
        {"take:784", "write take"},
        {"take:3-2", "write take"},
        {"channels:0-1", "write channels"},
        {"shuffle:2", "write shuffle"},
        {"|", "no save"},
        {"save | relu", "no add takes it up"},
        {"save relu | dense:5 add", "1x1x5 here, but word 3 left 28x28x1"},
        {"save relu | relu | relu multiply", "two branches"},
        {"save conv:3x3x1 multiply", "26x26x1 here, but word 1 saved 28x28x1"},
        {"save avgpool conv:1x1x2 multiply", "1x1x2 here"},
        {"save conv:3x3x1 concat", "26x26x1 here"},
        {"maxpool:15 maxpool:2", "word 2, maxpool:2"},
        {"avgpool:0", "write avgpool"},
        {"dropout", "write dropout"},
        {"dropout:1", "write dropout"},
        {"dropout:-0.1", "write dropout"},
        {"dropout:nan", "write dropout"},
        {"dropout:0.2x", "write dropout"},
        {"batchnorm:0", "write batchnorm"},
        {"batchnorm:", "write batchnorm"},
        {"scale", "write scale"},
        {"scale:inf", "write scale"},
        {"scale:1e99", "write scale"},
        {"add", "no save"},
        {"save", "no add takes it up"},
        {"save save add", "word 1, save"},
        {"save dense:5 add", "1x1x5 here, but word 1 saved 28x28x1"},
        {"relu \x1b[31m", "word 2, ?[31m"},
    };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        network n = {.dimension = 77};
        error e = {""};
        if (network_parse(each[i].text, grey, HEAD_COSINE, 3, &n, &e) != -1)
            fail_msg("[%s] was taken", each[i].text);
        if (!strstr(e.text, each[i].says))
            fail_msg("[%s]: \"%s\" does not say \"%s\"", each[i].text, e.text, each[i].says);
        assert_int_equal(n.dimension, 77); /* *out is untouched */
    }
}

static void wrong_inputs_are_refused(void **state)
{
    (void)state;
    const extent inputs[] = {{0, 28, 1},
                             {28, 0, 1},
                             {28, 28, 0},
                             {65536, 65536, 1},
                             {SIZE_MAX, SIZE_MAX, SIZE_MAX},
                             {(size_t)1 << 31, 2, 1}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        network n;
        error e = {""};
        assert_int_equal(network_parse("relu", inputs[i], HEAD_COSINE, 3, &n, &e), -1);
        assert_non_null(strstr(e.text, "pictures of"));
    }
    network n;
    error e = {""};
    assert_int_equal(network_parse("relu", grey, HEAD_COSINE, SIZE_MAX, &n, &e), -1);
    assert_int_equal(network_parse("relu", grey, HEAD_COSINE, (size_t)1 << 31, &n, &e), -1);
}

static char *many(const char *word, size_t count)
{
    char *text = array_new(count * (strlen(word) + 1) + 1, 1);
    for (size_t i = 0, length = strlen(word); i < count; i++) {
        memcpy(text + i * (length + 1), word, length);
        text[i * (length + 1) + length] = ' ';
    }
    return text;
}

static void a_thousand_layers_are_the_most(void **state)
{
    (void)state;
    char *most = many("relu", 1000), *more = many("relu", 1001);
    network n = parsed(most, grey, HEAD_COSINE, 3);
    assert_int_equal(n.layer_count, 1000);
    network_free(&n);
    error e = {""};
    assert_int_equal(network_parse(more, grey, HEAD_COSINE, 3, &n, &e), -1);
    assert_non_null(strstr(e.text, "1,000 layers"));
    free(most);
    free(more);
}

static void initialisation_is_glorots(void **state)
{
    (void)state;
    network n = parsed("conv:3x3x32:same batchnorm dense:64", grey, HEAD_COSINE, 10);
    float *x = array_new(n.total, sizeof *x);
    network_initialise(&n, fixture_seed, x);
    for (size_t k = 0; k < n.parameter_count; k++) {
        const parameter *p = &n.parameters[k];
        const float *w = x + p->start;
        if (p->initial == INITIAL_GLOROT) {
            double limit = sqrt(6.0 / (double)(p->fan_in + p->fan_out)), mean = 0;
            for (size_t i = 0; i < p->count; i++) {
                assert_true(fabs((double)w[i]) <= limit * (1 + 1e-6));
                mean += (double)w[i] / (double)p->count;
            }
            /* Six standard deviations of what a uniform sample may do. */
            assert_true(fabs(mean) < 6 * limit / sqrt(3.0 * (double)p->count));
            assert_true(fabs(rms(w, p->count) / limit - 0.57735) < 3 / sqrt((double)p->count));
        }
    }
    assert_true(x[parameter_named(&n, "0.conv/bias")->start + 31] == 0);
    assert_true(x[parameter_named(&n, "1.batchnorm/gamma")->start] == 1);
    assert_true(x[parameter_named(&n, "1.batchnorm/beta")->start] == 0);
    assert_true(x[parameter_named(&n, "1.batchnorm/mean")->start] == 0);
    assert_true(x[parameter_named(&n, "1.batchnorm/variance")->start] == 1);
    assert_true(x[parameter_named(&n, "head/scale")->start] == 10);
    free(x);
    network_free(&n);
}

static uint64_t digest(const float *x, size_t count)
{
    uint64_t sum = 14695981039346656037u; /* FNV-1a over the bytes */
    const unsigned char *bytes = (const unsigned char *)x;
    for (size_t i = 0; i < count * sizeof *x; i++)
        sum = (sum ^ bytes[i]) * 1099511628211u;
    return sum;
}

/* The digest holds on every machine: models trained from one seed stay comparable. */
static void one_seed_gives_the_same_bytes_everywhere(void **state)
{
    (void)state;
    network n = parsed("keras-cnn", colour, HEAD_COSINE, 8);
    float *x = array_new(n.total, sizeof *x), *y = array_new(n.total, sizeof *y);
    network_initialise(&n, 1, x);
    assert_int_equal(digest(x, n.total), 0xab13365d6167d5b7u);
    network_initialise(&n, 2, y);
    size_t same = 0;
    for (size_t i = 0; i < n.total; i++)
        same += x[i] == y[i];
    assert_true(same < 1000); /* the biases and the scale */
    free(x);
    free(y);
    network_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keras_cnn_is_keras_example),
        cmocka_unit_test(resnet9_gives_512_numbers_at_any_size),
        cmocka_unit_test(layers_have_their_shapes),
        cmocka_unit_test(parameters_have_names_shapes_and_places),
        cmocka_unit_test(saves_and_adds_nest),
        cmocka_unit_test(branches_are_operands),
        cmocka_unit_test(tokens_and_groups_have_their_parameters),
        cmocka_unit_test(white_space_is_made_single_blanks),
        cmocka_unit_test(an_empty_text_leaves_the_input),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(wrong_inputs_are_refused),
        cmocka_unit_test(a_thousand_layers_are_the_most),
        cmocka_unit_test(initialisation_is_glorots),
        cmocka_unit_test(one_seed_gives_the_same_bytes_everywhere),
    };
    fixture_begin();
    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
