/* backend.c: which backend is chosen, and what is said when it cannot be had.
 *
 * Plug-ins for the tests are compiled here: tests that need one are skipped without a compiler. */
#include "fixture.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/backend-test-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static bool run_command(const char *command)
{
    int status = system(command);
    return status == 0;
}

/* Compiles NAME.c of that text to NAME.so, or skips the test. */
static void plugin_build(const char *name, const char *text, const char *flags)
{
    char draw_path[160], command[1024];
    snprintf(draw_path, sizeof draw_path, "%s/%s.c", folder, name);
    write_file(draw_path, text);
    snprintf(command, sizeof command,
             "command -v ${CC:-cc} >/dev/null && ${CC:-cc} -shared -fPIC -o "
             "%s/%s.so %s %s 2>%s/log",
             folder, name, draw_path, flags, folder);
    if (!run_command(command))
        skip();
}

/* The part of backend.h that a plug-in needs, of any version. */
#define DRIVER                                                                                     \
    "#include <stdio.h>\n"                                                                         \
    "typedef struct { char text[1024]; } error;\n"                                                 \
    "static int no_device(const void *o, int device, void **out, error *e)\n"                      \
    "{ (void)o, (void)out; sprintf(e->text, \"CUDA: no device %d\", device); return -1; }\n"       \
    "const struct { int abi; int (*open)(const void *, int, void **, error *); } "

static void assert_refuses(const char *device, const char *says)
{
    backend *b = NULL;
    error e = {""};
    assert_int_equal(backend_open(&(backend_options){.device = device}, &b, NULL, &e), -1);
    if (!strstr(e.text, says))
        fail_msg("%s: \"%s\" does not say \"%s\"", device, e.text, says);
    assert_null(strchr(e.text, '\n'));
}

static void unknown_devices_are_refused(void **state)
{
    (void)state;
    const char *const devices[] = {"",      "gpu",        "cuda:", "cuda:x", "cuda:-1",
                                   "cuda0", "cuda:99999", "cpu:1", "CPU"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        assert_refuses(devices[i], "unknown device");
}

static void the_reference_opens(void **state)
{
    (void)state;
    backend *b = NULL;
    must(backend_open(&(backend_options){.device = "reference"}, &b, NULL, e));
    assert_string_equal(b->name, "reference");
    assert_int_equal(b->precision, PRECISION_FP32);
    b->close(b);
}

/* Structs of functions: no pointer between two members is NULL. */
static void assert_whole(const void *all, size_t first, size_t end)
{
    for (size_t at = first; at < end; at += sizeof(void *)) {
        void *function;
        memcpy(&function, (const char *)all + at, sizeof function);
        assert_non_null(function);
    }
}

static void no_function_is_left_out(void **state)
{
    (void)state;
    static const char *const devices[] = {"reference", "cpu"};
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        backend *b = NULL;
        must(backend_open(&(backend_options){.device = devices[i]}, &b, NULL, e));
        assert_whole(b, offsetof(backend, close), offsetof(backend, algebra));
        assert_whole(&b->algebra, 0, offsetof(algebra, own));
        b->close(b);
    }
}

static void a_missing_plugin_is_named(void **state)
{
    (void)state;
    setenv("LOWSHOT_PLUGIN", path_of("nothing.so"), 1);
    assert_refuses("cuda", "there is no plug-in");
    assert_refuses("cuda", "nothing.so");
    assert_refuses("cuda:1", "--device cpu");
}

static void without_a_word_the_plugin_is_beside_the_program(void **state)
{
    (void)state;
    char self[1024] = "";
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    strcpy(strrchr(self, '/') + 1, BACKEND_PLUGIN_FILE);
    unsetenv("LOWSHOT_PLUGIN");
    if (access(self, F_OK) == 0)
        skip();
    assert_refuses("cuda", self);
}

static void a_file_that_is_no_library_is_refused(void **state)
{
    (void)state;
    write_file(path_of("text.so"), "no library\n");
    setenv("LOWSHOT_PLUGIN", path_of("text.so"), 1);
    assert_refuses("cuda", "the plug-in does not load");
}

static void a_library_that_is_no_plugin_is_refused(void **state)
{
    (void)state;
    plugin_build("other", "int other = 1;\n", "");
    setenv("LOWSHOT_PLUGIN", path_of("other.so"), 1);
    assert_refuses("cuda", "is no plug-in");
}

static void another_version_is_refused(void **state)
{
    (void)state;
    plugin_build("version", DRIVER "backend_plugin = { ABI, no_device };\n", "-DABI=-7");
    setenv("LOWSHOT_PLUGIN", path_of("version.so"), 1);
    assert_refuses("cuda", "version -7");
}

static void a_missing_library_of_cuda_is_named(void **state)
{
    (void)state;
    char flags[256];
    plugin_build("libmissing", "int missing(void) { return 1; }\n", "");
    snprintf(flags, sizeof flags, "-L%s -lmissing", folder);
    plugin_build("lacking", "int missing(void); int use(void) { return missing(); }\n", flags);
    assert_int_equal(unlink(path_of("libmissing.so")), 0);
    setenv("LOWSHOT_PLUGIN", path_of("lacking.so"), 1);
    assert_refuses("cuda", "lacks a library of CUDA: libmissing.so");
}

/* What the plug-in says reaches the user, and it is told which device. */
static void the_plugin_is_asked(void **state)
{
    (void)state;
    char flags[32];
    snprintf(flags, sizeof flags, "-DABI=%d", BACKEND_ABI);
    plugin_build("right", DRIVER "backend_plugin = { ABI, no_device };\n", flags);
    setenv("LOWSHOT_PLUGIN", path_of("right.so"), 1);
    assert_refuses("cuda", "no device 0");
    assert_refuses("cuda:3", "no device 3");
}

static void auto_takes_the_cpu_and_says_why(void **state)
{
    (void)state;
    const char *const devices[] = {"auto", NULL};
    setenv("LOWSHOT_PLUGIN", path_of("nothing.so"), 1);
    for (int i = 0; i < 2; i++) {
        backend *b = NULL;
        const char *notice = NULL;
        must(backend_open(&(backend_options){.device = devices[i]}, &b, &notice, e));
        assert_string_equal(b->name, "cpu");
        assert_true(b->precision != PRECISION_AUTO);
        assert_non_null(notice);
        assert_non_null(strstr(notice, "there is no plug-in"));
        b->close(b);
    }
}

static void the_cpu_gives_no_notice(void **state)
{
    (void)state;
    backend *b = NULL;
    const char *notice = "left over";
    must(backend_open(&(backend_options){.device = "cpu"}, &b, &notice, e));
    assert_null(notice);
    b->close(b);
}

static void precisions_have_names(void **state)
{
    (void)state;
    const precision_kind all[] = {PRECISION_AUTO, PRECISION_FP32, PRECISION_TF32, PRECISION_BF16};
    precision_kind got;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(precision_parse(precision_name(all[i]), &got), 0);
        assert_int_equal(got, all[i]);
    }
    assert_int_equal(precision_parse("fp16", &got), -1);
    assert_int_equal(precision_parse("", &got), -1);
}

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return run_command(command) ? 0 : -1;
}

char *openblas_get_corename(void);

/* Not by the core for processors that it does not know, unless that was asked for: this program has
 * begun anew then (kernels/cpu/cpu.c). */
static void openblas_computes_by_what_the_processor_has(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const char *asked = getenv("OPENBLAS_CORETYPE");
    if (!__builtin_cpu_supports("avx2") || (asked && strcmp(asked, "Prescott") == 0))
        skip();
    assert_string_not_equal(openblas_get_corename(), "Prescott");
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openblas_computes_by_what_the_processor_has),
        cmocka_unit_test(unknown_devices_are_refused),
        cmocka_unit_test(the_reference_opens),
        cmocka_unit_test(no_function_is_left_out),
        cmocka_unit_test(a_missing_plugin_is_named),
        cmocka_unit_test(without_a_word_the_plugin_is_beside_the_program),
        cmocka_unit_test(a_file_that_is_no_library_is_refused),
        cmocka_unit_test(a_library_that_is_no_plugin_is_refused),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(a_missing_library_of_cuda_is_named),
        cmocka_unit_test(the_plugin_is_asked),
        cmocka_unit_test(auto_takes_the_cpu_and_says_why),
        cmocka_unit_test(the_cpu_gives_no_notice),
        cmocka_unit_test(precisions_have_names),
    };
    return cmocka_run_group_tests_name("backend", tests, folder_make, folder_remove);
}
