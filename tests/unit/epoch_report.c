/* What training tells of an epoch. */
#include "../../src/training/epoch_report.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const epoch_report report = {.epoch = 2,
                                    .epochs = 5,
                                    .loss = 1.25,
                                    .accuracy = 0.5,
                                    .val_loss = 1.5,
                                    .val_accuracy = 0.4375,
                                    .rate = 0.0009996,
                                    .ended = 1764500000,
                                    .seconds = 12.34,
                                    .images_per_second = 3241.7};

static void text_has_every_figure(void **state)
{
    (void)state;
    char text[256];
    assert_string_equal(
        epoch_report_text(&report, text, sizeof text),
        "epoch 2/5: loss 1.2500, accuracy 0.5000, val_loss 1.5000, val_accuracy 0.4375, "
        "12.3 s, 3242 pictures/s");
}

static void json_has_every_key(void **state)
{
    (void)state;
    char text[256];
    assert_string_equal(
        epoch_report_json(&report, text, sizeof text),
        "{\"epoch\": 2, \"loss\": 1.250000, \"accuracy\": 0.500000, \"val_loss\": 1.500000, "
        "\"val_accuracy\": 0.437500, \"rate\": 0.0009996, \"time\": \"2025-11-30T10:53:20Z\", "
        "\"seconds\": 12.340, \"images_per_second\": 3241.7}");
}

static void without_validation_there_is_none(void **state)
{
    (void)state;
    char text[256];
    epoch_report none = report;
    none.val_loss = none.val_accuracy = NAN;
    assert_string_equal(epoch_report_text(&none, text, sizeof text),
                        "epoch 2/5: loss 1.2500, accuracy 0.5000, 12.3 s, 3242 pictures/s");
    assert_string_equal(
        epoch_report_json(&none, text, sizeof text),
        "{\"epoch\": 2, \"loss\": 1.250000, \"accuracy\": 0.500000, \"val_loss\": null, "
        "\"val_accuracy\": null, \"rate\": 0.0009996, \"time\": \"2025-11-30T10:53:20Z\", "
        "\"seconds\": 12.340, \"images_per_second\": 3241.7}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_every_figure),
        cmocka_unit_test(json_has_every_key),
        cmocka_unit_test(without_validation_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
