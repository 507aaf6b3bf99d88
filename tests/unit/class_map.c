/* Labels from one class list to another. */
#include "../../src/training/class_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static class_list make_list(const char *const *names, size_t count)
{
    class_list list = {0};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(class_list_add(&list, names[i]), i);
    return list;
}

static void extend_adds_what_occurs_in_list_order(void **state)
{
    (void)state;
    class_list from = make_list((const char *[]){"a", "b", "c", "d"}, 4);
    class_list to = make_list((const char *[]){"c"}, 1);
    const int32_t labels[] = {3, 2, 0, 3, 1};
    const uint32_t order[] = {0, 3, 1, 2}; /* not row 4, the only b */
    error e = {""};
    assert_int_equal(class_map_extend(&to, &from, labels, order, 4, &e), 0);
    assert_int_equal(to.count, 3);
    assert_string_equal(to.names[0], "c");
    assert_string_equal(to.names[1], "a");
    assert_string_equal(to.names[2], "d");
    class_list_free(&to);
    class_list_free(&from);
}

static void apply_renumbers_by_name(void **state)
{
    (void)state;
    class_list from = make_list((const char *[]){"a", "b", "c"}, 3);
    class_list to = make_list((const char *[]){"c", "x", "a"}, 3);
    int32_t labels[] = {0, 2, 2, 0};
    const int32_t expected[] = {2, 0, 0, 2};
    error e = {""};
    assert_int_equal(class_map_apply(&to, &from, labels, 4, &e), 0);
    assert_memory_equal(labels, expected, sizeof labels);
    class_list_free(&to);
    class_list_free(&from);
}

static void apply_names_the_classes_it_lacks(void **state)
{
    (void)state;
    class_list from = make_list((const char *[]){"a", "b", "c", "d"}, 4);
    class_list to = make_list((const char *[]){"c"}, 1);
    int32_t labels[] = {2, 3, 0, 3};
    const int32_t before[] = {2, 3, 0, 3};
    error e = {""};
    assert_int_equal(class_map_apply(&to, &from, labels, 4, &e), -1);
    assert_non_null(strstr(e.text, "not trained: a, d;"));
    assert_memory_equal(labels, before, sizeof labels);
    class_list_free(&to);
    class_list_free(&from);
}

static void long_lists_of_names_end_in_dots(void **state)
{
    (void)state;
    class_list list = make_list((const char *[]){"airplane", "automobile", "bird", "cat"}, 4);
    const bool all[] = {true, true, true, true};
    char text[36];
    assert_string_equal(class_map_names(&list, all, text, sizeof text),
                        "airplane, automobile, bird, ...");
    char ample[64];
    assert_string_equal(class_map_names(&list, all, ample, sizeof ample),
                        "airplane, automobile, bird, cat");
    class_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extend_adds_what_occurs_in_list_order),
        cmocka_unit_test(apply_renumbers_by_name),
        cmocka_unit_test(apply_names_the_classes_it_lacks),
        cmocka_unit_test(long_lists_of_names_end_in_dots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
