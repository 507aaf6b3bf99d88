/* cuda_conformance.c: the CUDA backend, kernels and host, against the reference where there is no
 * GPU: runs `conformance` on the plug-in that is built for the CPU (tests/gpu/emulated), in fp32
 * and bf16. The larger networks are left to tests/gpu/run: emulated, they take minutes and show no
 * more than the small ones.
 *
 * Its lines are conformance's own; without a C++ compiler there is no such plug-in, and one line
 * says so. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST "1" /* million multiplications a step */

static const char *folder(void)
{
    const char *build = getenv("BUILD");
    return build ? build : "build";
}

/* The exit status of `conformance` in that precision, of the tests that are named so. */
static int run(const char *precision, const char *only)
{
    char program[1024];
    snprintf(program, sizeof program, "%s/tests/conformance", folder());
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, "--device", "cuda", "--precision", precision, "--most", MOST,
              "--only", only, (char *)NULL);
        perror(program);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(void)
{
#ifdef __SANITIZE_ADDRESS__
    puts("1..1\nok 1 - CUDA's kernels on the CPU # SKIP their threads change stacks, which "
         "sanitizers do not follow");
    return 0;
#endif
    char relative[1024];
    snprintf(relative, sizeof relative, "%s/emulated/backend-cuda.so", folder());
    char *plugin = realpath(relative, NULL);
    if (!plugin) {
        puts(
            "1..1\nok 1 - CUDA's kernels on the CPU # SKIP there was no C++ compiler to build them "
            "with");
        return 0;
    }
    setenv("LOWSHOT_PLUGIN", plugin, 1);
    int fp32 = run("fp32", "*"), bf16 = run("bf16", "*");
    setenv("EMULATED_CLOCK", "falling", 1); /* our own convolutions win, where there are any */
    int own = run("bf16", "*conv:*x32*x9x13x2*");
    free(plugin);
    return fp32 != 0 || bf16 != 0 || own != 0;
}
