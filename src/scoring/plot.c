/* plot.c: see plot.h. */
#include "plot.h"

#include "../../common/base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- running gnuplot ---- */

/* Starts gnuplot on a script, or with script < 0 on nothing, to say its version. Its output goes to
 * `to`. */
static int start(int script, int to, pid_t *child, error *e)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t defaults;
    char *const runs[] = {"gnuplot", "-", NULL}, *const tells[] = {"gnuplot", "--version", NULL};
    if (posix_spawn_file_actions_init(&files) != 0)
        return error_set(e, "out of memory");
    posix_spawnattr_init(&how);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&how, &defaults);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF);
    if (script >= 0)
        posix_spawn_file_actions_adddup2(&files, script, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, to, STDOUT_FILENO);
    int failed = posix_spawnp(child, "gnuplot", &files, &how, script >= 0 ? runs : tells, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (failed == ENOENT)
        return error_set(e, "--plot: there is no gnuplot; Debian's package is gnuplot-nox");
    errno = failed;
    return failed ? error_system(e, "cannot run gnuplot") : 0;
}

static int finish(pid_t child, error *e)
{
    int status;
    pid_t ended;
    do
        ended = waitpid(child, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0)
        return error_system(e, "cannot wait for gnuplot");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0
                                                         : error_set(e, "--plot: gnuplot failed");
}

int plot_check(error *e)
{
    pid_t child;
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nowhere < 0)
        return error_system(e, "/dev/null");
    int status = start(-1, nowhere, &child, e);
    close(nowhere);
    return status < 0 ? -1 : finish(child, e);
}

/* What comes out of the pipe goes into `out`. Returns how many bytes. */
static int64_t pass_on(int from, output *out, error *e)
{
    char piece[1 << 14];
    int64_t bytes = 0;
    for (;;) {
        ssize_t got = read(from, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_system(e, "cannot read from gnuplot");
        if (got == 0)
            return bytes;
        if (output_write(out, piece, (size_t)got, e) < 0)
            return -1;
        bytes += got;
    }
}

static int draw(FILE *script, output *out, error *e)
{
    int ends[2];
    pid_t child;
    if (fflush(script) != 0 || lseek(fileno(script), 0, SEEK_SET) < 0)
        return error_system(e, "cannot write gnuplot's script");
    if (pipe2(ends, O_CLOEXEC) < 0)
        return error_system(e, "cannot make a pipe");
    int64_t bytes = start(fileno(script), ends[1], &child, e);
    close(ends[1]);
    if (bytes == 0) {
        bytes = pass_on(ends[0], out, e);
        error second;
        if (bytes < 0)
            kill(child, SIGTERM);
        if (finish(child, bytes < 0 ? &second : e) < 0)
            bytes = -1;
    }
    close(ends[0]);
    if (bytes == 0)
        return error_set(e, "--plot: gnuplot drew nothing");
    return bytes < 0 ? -1 : 0;
}

/* ---- the script ---- */

enum {
    LETTER = 7, /* pixels, about: a letter's width, a line's height */
    LINE = 18,
    NAME_LETTERS = 24, /* of a longer name the end is left out */
    BARS = 170,        /* a panel's width, and that of the calibration curve's */
    CURVE = 300,
    GAP = 60
};

typedef struct {
    const tally *t;
    const class_kind *kinds;
    char *const *names;
    size_t *classes, count; /* those of the matrix's rows: rows came of them */
    double cell;            /* side of one of the matrix's, pixels; 0: no matrix */
    double name, width, height;
} layout;

/* A name between single quotes, in which gnuplot replaces nothing. */
static void put_name(FILE *to, const char *name)
{
    char seen[1024];
    size_t letters = 0;
    text_visible(name, seen, sizeof seen);
    fputc('\'', to);
    for (const char *at = seen; *at && letters < NAME_LETTERS; letters++) {
        size_t length = utf8_length((const unsigned char *)at);
        for (size_t i = 0; i < (length ? length : 1); i++, at++)
            fputs(*at == '\'' ? "''" : (char[]){*at, 0}, to);
        if (letters + 1 == NAME_LETTERS && *at)
            fputs("\xe2\x80\xa6", to);
    }
    fputc('\'', to);
}

static size_t name_letters(const char *name)
{
    char seen[1024];
    size_t letters = 0;
    text_visible(name, seen, sizeof seen);
    for (const char *at = seen; *at && letters < NAME_LETTERS; letters++) {
        size_t length = utf8_length((const unsigned char *)at);
        at += length ? length : 1;
    }
    return letters + 1;
}

static double share_right(const tally *t, size_t c)
{
    return (double)tally_class_hits(t, c) / (double)tally_class_rows(t, c);
}

/* Where a panel stands, by pixels from the left and from the top. */
static void put_place(FILE *to, const layout *l, double left, double top, double width,
                      double height)
{
    fprintf(to, "set lmargin at screen %.5f\nset rmargin at screen %.5f\n", left / l->width,
            (left + width) / l->width);
    fprintf(to, "set tmargin at screen %.5f\nset bmargin at screen %.5f\n", 1 - top / l->height,
            1 - (top + height) / l->height);
}

static void plan(layout *l)
{
    size_t classes = tally_classes(l->t), letters = 0;
    for (size_t c = 0; c < classes; c++) {
        size_t n = name_letters(l->names[c]);
        letters = n > letters ? n : letters;
        if (tally_class_rows(l->t, c) > 0)
            l->classes[l->count++] = c;
    }
    if (classes <= PLOT_CLASSES_MAX && tally_has_confusion(l->t))
        l->cell = classes <= 5 ? 80 : classes <= 12 ? 40 : classes <= 30 ? 28 : 16;
    l->name = l->cell > 0 ? LETTER * (double)(letters + 1) : 0;
    double matrix = l->cell * (double)classes;
    double top = 3 * LINE, below = (l->cell > 0 ? l->name : 0) + 3 * LINE;
    double panel = l->cell > 0 ? l->cell * (double)l->count : CURVE;
    l->width = l->cell > 0 ? l->name + matrix + 30 + BARS + GAP + 30 + CURVE + 30
                           : GAP + CURVE + GAP + 30 + CURVE + 30;
    l->height = top + (panel > CURVE ? panel : CURVE) + below;
}

/* A cell's colour: what is right green, what is wrong red, the stronger the larger its share. */
static unsigned shade(double share, bool right)
{
    const int full[2][3] = {{199, 26, 26}, {13, 115, 51}};
    double depth = share > 0 ? 0.12 + 0.6 * share : 0;
    unsigned colour = 0;
    for (int i = 0; i < 3; i++)
        colour = colour << 8 | (unsigned)lround(255 + depth * (full[right][i] - 255));
    return colour;
}

static void put_matrix(FILE *to, const layout *l, double top)
{
    size_t classes = tally_classes(l->t);
    fprintf(to, "$cells << EOD\n");
    for (size_t y = 0; y < l->count; y++) {
        size_t label = l->classes[y];
        double rows = (double)tally_class_rows(l->t, label);
        for (size_t x = 0; x < classes; x++) {
            uint64_t n = tally_confusion(l->t, label, x);
            fprintf(to, "%zu %zu %u %s", x, y, shade((double)n / rows, x == label),
                    n ? "" : "\" \"\n");
            if (n)
                fprintf(to, "%llu\n", (unsigned long long)n);
        }
    }
    fprintf(to, "EOD\n");
    put_place(to, l, l->name, top, l->cell * (double)classes, l->cell * (double)l->count);
    fprintf(to,
            "set title 'confusion'\nset xlabel 'prediction'\n"
            "set xrange [-0.5:%zu.5]\nset yrange [%zu.5:-0.5]\n"
            "set border 15 lc rgb '#999999'\nunset key\nset xtics rotate by 90 right scale 0 (",
            classes - 1, l->count - 1);
    for (size_t x = 0; x < classes; x++) {
        put_name(to, l->names[x]);
        fprintf(to, " %zu%s", x, x + 1 < classes ? "," : ")\nset ytics scale 0 (");
    }
    for (size_t y = 0; y < l->count; y++) {
        put_name(to, l->names[l->classes[y]]);
        fprintf(to, " %zu%s", y, y + 1 < l->count ? "," : ")\n");
    }
    fprintf(to,
            "plot $cells using 1:2:(0.5):(0.5):3 with boxxyerror fs solid 1 lw 0.5 lc rgb variable"
            "%s\n",
            l->cell >= 24 ? ", $cells using 1:2:4 with labels font ',8' tc rgb '#222222'" : "");
}

static void put_bars(FILE *to, const layout *l, double top)
{
    bool both = false;
    fprintf(to, "$bars << EOD\n");
    for (size_t y = 0; y < l->count; y++) {
        class_kind kind = l->kinds[l->classes[y]];
        fprintf(to, "%zu %.6f %u\n", y, share_right(l->t, l->classes[y]),
                kind == CLASS_NOVEL ? 0xd9822bu : 0x4a7ab5u);
        both = both || kind != l->kinds[l->classes[0]];
    }
    fprintf(to, "EOD\n");
    fprintf(to, "unset xlabel\n");
    put_place(to, l, l->name + l->cell * (double)tally_classes(l->t) + 30, top, BARS,
              l->cell * (double)l->count);
    fprintf(to,
            "set title 'accuracy%s'\nset xrange [0:1]\nunset ytics\nset yrange [%zu.5:-0.5]\n"
            "set xtics norotate center scale 0.5 0.25 format '%%g'\nset grid xtics lc rgb "
            "'#dddddd'\n"
            "plot $bars using ($2/2):1:($2/2):(0.36):3 with boxxyerror fs solid 1 lw 0 lc rgb "
            "variable\nunset grid\n",
            both ? " (novel classes orange)" : "", l->count - 1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In place of the matrix and the bars. */
static int put_sorted(FILE *to, const layout *l, double top, error *e)
{
    double *right = malloc((l->count ? l->count : 1) * sizeof *right);
    if (!right)
        return error_set(e, "out of memory for %zu classes", l->count);
    for (size_t i = 0; i < l->count; i++)
        right[i] = share_right(l->t, l->classes[i]);
    qsort(right, l->count, sizeof *right, by_value);
    fprintf(to, "$sorted << EOD\n");
    for (size_t i = 0; i < l->count; i++)
        fprintf(to, "%zu %.6f\n", i + 1, right[i]);
    fprintf(to, "EOD\n");
    free(right);
    put_place(to, l, GAP, top, CURVE, CURVE);
    fprintf(to,
            "set title 'accuracy of %zu classes, the lowest first'\nset xrange [0:%zu]\n"
            "set yrange [0:1]\nset xtics autofreq\nset ytics 0.25 format '%%g'\nunset key\n"
            "set xlabel 'class'\nset grid lc rgb '#dddddd'\n"
            "plot $sorted with steps lw 2 lc rgb '#4a7ab5'\nunset grid\nunset xlabel\n",
            l->count, l->count + 1);
    return 0;
}

static void put_curve(FILE *to, const layout *l, double top)
{
    const calibration_bin *bins = tally_calibration(l->t);
    double rows = 0;
    for (size_t i = 0; i < CALIBRATION_BINS; i++)
        rows += (double)bins[i].rows;
    if (rows == 0)
        return;
    fprintf(to, "$bins << EOD\n");
    for (size_t i = 0; i < CALIBRATION_BINS; i++) {
        double n = (double)bins[i].rows;
        if (n > 0)
            fprintf(to, "%.6f %.6f %.3f\n", bins[i].sum / n, (double)bins[i].hits / n,
                    0.5 + 5 * sqrt(n / rows));
    }
    fprintf(to, "EOD\n");
    put_place(to, l, l->width - 30 - CURVE, top, CURVE, CURVE);
    fprintf(to,
            "set title 'calibration: error %.3f'\nset xrange [0:1]\nset yrange [0:1]\n"
            "set xtics norotate center scale 0.5 0.25 format '%%g'\n"
            "set ytics scale 0.5 0.25 format '%%g' textcolor rgb '#222222'\n"
            "set xlabel 'probability (a point is as large as its share of rows)'\n"
            "set ylabel 'right' offset 1\nset grid lc rgb '#dddddd'\nunset key\n"
            "plot x with lines dt 2 lc rgb '#888888', "
            "$bins using 1:2 with lines lc rgb '#4a7ab5', "
            "$bins using 1:2:3 with points pt 7 ps variable lc rgb '#4a7ab5'\n",
            tally_get(l->t).calibration_error);
}

static void put_title(FILE *to, const layout *l)
{
    tally_figures f = tally_get(l->t);
    fprintf(to, "set label 1 'accuracy %.4f of %llu rows", f.all,
            (unsigned long long)(f.rows - f.unknown_rows));
    if (!isnan(f.base) && !isnan(f.novel))
        fprintf(to, ": base %.4f, novel %.4f, harmonic mean %.4f", f.base, f.novel,
                f.harmonic_mean);
    fprintf(to, "' at screen 0.01,%.5f left font ',11'\n", 1 - 0.8 * LINE / l->height);
}

static int put_script(FILE *to, const layout *l, error *e)
{
    double top = 3 * LINE;
    fprintf(to,
            "set terminal pngcairo size %.0f,%.0f font 'sans,9' noenhanced background rgb "
            "'#ffffff'\nset encoding utf8\nset tics nomirror textcolor rgb '#222222'\n",
            l->width, l->height);
    put_title(to, l);
    fprintf(to, "set multiplot\n");
    if (l->cell == 0) {
        if (put_sorted(to, l, top, e) < 0)
            return -1;
        fprintf(to, "unset label 1\n");
    } else {
        put_matrix(to, l, top);
        fprintf(to, "unset label 1\n");
        put_bars(to, l, top);
    }
    put_curve(to, l, top);
    fprintf(to, "unset multiplot\n");
    return ferror(to) ? error_set(e, "cannot write gnuplot's script") : 0;
}

int plot_write(output *out, const tally *t, const class_kind *kinds, char *const *names, error *e)
{
    layout l = {.t = t, .kinds = kinds, .names = names};
    FILE *script = tmpfile();
    if (!script)
        return error_system(e, "cannot make a temporary file");
    l.classes = malloc(tally_classes(t) * sizeof *l.classes);
    int status = l.classes ? 0 : error_set(e, "out of memory");
    if (status == 0)
        plan(&l);
    if (status == 0 && l.count == 0)
        status = error_set(e, "--plot: no row is of a class that the model knows");
    if (status == 0 && put_script(script, &l, e) == 0)
        status = draw(script, out, e);
    else
        status = -1;
    free(l.classes);
    fclose(script);
    return status;
}
