#include "report.h"

#include "../../common/base/json.h"
#include "../../common/base/text.h"
#include "interval.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- choosing figures ---- */

static int figure_named(const char *word, size_t length)
{
    for (size_t i = 0; tally_figure_name(i); i++)
        if (strlen(tally_figure_name(i)) == length &&
            strncmp(tally_figure_name(i), word, length) == 0)
            return (int)i;
    return -1;
}

static bool chosen(const figure_choice *choice, const char *name)
{
    return choice->chosen[figure_named(name, strlen(name))];
}

static int refuse_figure(const char *word, size_t length, error *e)
{
    char known[512] = "";
    for (size_t i = 0; tally_figure_name(i); i++) {
        strcat(known, i ? ", " : "");
        strcat(known, tally_figure_name(i));
    }
    return error_set(e, "'%.*s' is no figure; there are %s", (int)length, word, known);
}

int figure_choice_parse(const char *words, figure_choice *out, error *e)
{
    *out = (figure_choice){{false}};
    for (const char *word = words;; word++) {
        word += strspn(word, " ");
        size_t length = strcspn(word, ", ");
        int figure = figure_named(word, length);
        if (figure < 0)
            return refuse_figure(word, length, e);
        out->chosen[figure] = true;
        word += length + strspn(word + length, " ");
        if (!*word)
            break;
        if (*word != ',')
            return refuse_figure(word, strcspn(word, ","), e);
    }
    if (chosen(out, "base") && chosen(out, "novel"))
        out->chosen[figure_named("harmonic_mean", 13)] = true;
    return 0;
}

/* ---- one run ---- */

/* A figure as people and scripts read it; "-" for none. */
static const char *figure_text(double value, bool is_count, char *text, size_t size)
{
    if (isnan(value))
        return "-";
    snprintf(text, size, is_count ? "%.0f" : "%.4f", value);
    return text;
}

int report_values(output *out, const tally *t, const figure_choice *choice, error *e)
{
    tally_figures f = tally_get(t);
    for (int line = 0; line < 2; line++) {
        const char *before = "";
        for (size_t i = 0; tally_figure_name(i); i++) {
            char text[32];
            if (!choice->chosen[i])
                continue;
            const char *value =
                figure_text(tally_figure(&f, i), tally_figure_is_count(i), text, sizeof text);
            if (output_printf(out, e, "%s%s", before, line ? value : tally_figure_name(i)) < 0)
                return -1;
            before = "\t";
        }
        if (output_printf(out, e, "\n") < 0)
            return -1;
    }
    return 0;
}

static int table_figures(output *out, const tally *t, error *e)
{
    tally_figures f = tally_get(t);
    for (size_t i = 0; tally_figure_name(i); i++) {
        char text[32];
        const char *name = tally_figure_name(i);
        bool open_set =
            strstr(name, "known") || strcmp(name, "auroc") == 0 || strcmp(name, "all_rows") == 0;
        bool beside = strncmp(name, "macro_", 6) == 0 && strcmp(name, "macro_f1") != 0;
        bool few = strcmp(name, "top5") == 0 && isnan(f.top5);
        if ((open_set && f.unknown_rows == 0 && f.rejected == 0) || beside || few)
            continue;
        if (output_printf(
                out, e, "%-17s  %9s\n", name,
                figure_text(tally_figure(&f, i), tally_figure_is_count(i), text, sizeof text)) < 0)
            return -1;
    }
    return 0;
}

static double class_accuracy(const tally *t, size_t c)
{
    uint64_t rows = tally_class_rows(t, c);
    return rows ? (double)tally_class_hits(t, c) / (double)rows : NAN;
}

static int table_classes(output *out, const tally *t, const class_kind *kinds, char *const *names,
                         error *e)
{
    if (output_printf(out, e, "\n%-5s  %-6s  %8s  %9s  %6s  %10s  %s\n", "class", "kind",
                      "accuracy", "precision", "f1", "rows", "name") < 0)
        return -1;
    for (size_t c = 0; c < tally_classes(t); c++) {
        char text[32], name[256];
        class_quality q = tally_quality(t, c);
        if (output_printf(out, e, "%-5zu  %-6s  %8s  %9.4f  %6.4f  %10llu  %s\n", c,
                          class_kind_name(kinds[c]),
                          figure_text(class_accuracy(t, c), false, text, sizeof text), q.precision,
                          q.f1, (unsigned long long)tally_class_rows(t, c),
                          text_visible(names[c], name, sizeof name)) < 0)
            return -1;
    }
    return 0;
}

enum { NAME_COLUMNS = 16 };

/* A class's name in NAME_COLUMNS columns, cut or filled up. */
static char *name_cell(const char *name, char cell[4 * NAME_COLUMNS + 1])
{
    char seen[256];
    size_t used = 0, columns = 0;
    text_visible(name, seen, sizeof seen);
    for (; seen[used] && columns < NAME_COLUMNS; columns++)
        used += utf8_length((const unsigned char *)seen + used);
    sprintf(cell, "%.*s%*s", (int)used, seen, (int)(NAME_COLUMNS - columns), "");
    return cell;
}

/* Digits of the longest number in the matrix, and two blanks. */
static int confusion_width(const tally *t)
{
    size_t classes = tally_classes(t);
    uint64_t most = 10;
    for (size_t label = 0; label < classes; label++)
        for (size_t c = 0; c < classes; c++)
            most = tally_confusion(t, label, c) > most ? tally_confusion(t, label, c) : most;
    return snprintf(NULL, 0, "  %llu", (unsigned long long)most);
}

static int table_confusion(output *out, const tally *t, char *const *names, error *e)
{
    size_t classes = tally_classes(t);
    int width = confusion_width(t);
    char cell[4 * NAME_COLUMNS + 1];
    if (output_printf(out, e, "\nconfusion: a line a label, a column a prediction\n%*s",
                      5 + NAME_COLUMNS, "") < 0)
        return -1;
    for (size_t c = 0; c < classes; c++)
        if (output_printf(out, e, "%*zu", width, c) < 0)
            return -1;
    for (size_t label = 0; label < classes; label++) {
        if (output_printf(out, e, "\n%4zu %s", label, name_cell(names[label], cell)) < 0)
            return -1;
        for (size_t c = 0; c < classes; c++)
            if (output_printf(out, e, "%*llu", width,
                              (unsigned long long)tally_confusion(t, label, c)) < 0)
                return -1;
    }
    return output_printf(out, e, "\n");
}

int report_table(output *out, const tally *t, const class_kind *kinds, char *const *names,
                 bool confusion, error *e)
{
    if (table_figures(out, t, e) < 0 || table_classes(out, t, kinds, names, e) < 0)
        return -1;
    if (confusion && !tally_has_confusion(t))
        return error_set(e,
                         "a confusion matrix is kept for %d classes at most; leave --confusion out",
                         TALLY_CONFUSION_MAX);
    return confusion ? table_confusion(out, t, names, e) : 0;
}

/* ---- one run as JSON ---- */

static int print_quoted(output *out, const char *before, const char *text, const char *after,
                        error *e)
{
    char *quoted = json_quote(text);
    int status = quoted ? output_printf(out, e, "%s%s%s", before, quoted, after)
                        : error_set(e, "out of memory");
    free(quoted);
    return status;
}

static int json_figures(output *out, const tally *t, error *e)
{
    tally_figures f = tally_get(t);
    for (size_t i = 0; tally_figure_name(i); i++) {
        char text[32];
        double value = tally_figure(&f, i);
        if (tally_figure_is_count(i))
            snprintf(text, sizeof text, "%.0f", value);
        else
            json_number(value, text);
        if (output_printf(out, e, "%s\"%s\": %s", i ? ", " : "{", tally_figure_name(i), text) < 0)
            return -1;
    }
    return 0;
}

static int json_classes(output *out, const tally *t, const class_kind *kinds, char *const *names,
                        error *e)
{
    size_t classes = tally_classes(t);
    int status = output_printf(out, e, ",\n \"per_class\": {");
    for (size_t c = 0; c < classes && status >= 0; c++) {
        char number[32], after[40];
        snprintf(after, sizeof after, ": %s", json_number(class_accuracy(t, c), number));
        status = print_quoted(out, c ? ", " : "", names[c], after, e);
    }
    if (status >= 0)
        status = output_printf(out, e, "},\n \"classes\": [");
    for (size_t c = 0; c < classes && status >= 0; c++)
        status = print_quoted(out, c ? ", " : "", names[c], "", e);
    if (status >= 0)
        status = output_printf(out, e, "],\n \"kinds\": [");
    for (size_t c = 0; c < classes && status >= 0; c++)
        status = print_quoted(out, c ? ", " : "", class_kind_name(kinds[c]), "", e);
    return status < 0 ? -1 : output_printf(out, e, "],\n");
}

static int json_quality(output *out, class_quality q, error *e)
{
    char precision[32], recall[32], f1[32];
    return output_printf(out, e,
                         "{\"precision\": %s, \"recall\": %s, \"f1-score\": %s, \"support\": %llu}",
                         json_number(q.precision, precision), json_number(q.recall, recall),
                         json_number(q.f1, f1), (unsigned long long)q.support);
}

/* As scikit-learn's classification_report has it, the means beside the classes. */
static int json_report(output *out, const tally *t, char *const *names, error *e)
{
    int status = output_printf(out, e, " \"report\": {");
    for (size_t c = 0; c < tally_classes(t) && status >= 0; c++) {
        status = print_quoted(out, c ? ",\n  " : "\n  ", names[c], ": ", e);
        if (status >= 0)
            status = json_quality(out, tally_quality(t, c), e);
    }
    static const char *const means[] = {"},\n \"macro avg\": ", ",\n \"weighted avg\": "};
    for (int weighted = 0; weighted < 2 && status >= 0; weighted++) {
        status = output_printf(out, e, "%s", means[weighted]);
        if (status >= 0)
            status = json_quality(out, tally_mean_quality(t, weighted), e);
    }
    return status < 0 ? -1 : output_printf(out, e, ",\n");
}

static int json_confusion(output *out, const tally *t, error *e)
{
    size_t classes = tally_classes(t);
    if (!tally_has_confusion(t))
        return output_printf(out, e, " \"confusion\": null}\n");
    if (output_printf(out, e, " \"confusion\": [") < 0)
        return -1;
    for (size_t label = 0; label < classes; label++)
        for (size_t c = 0; c < classes; c++)
            if (output_printf(out, e, "%s%llu%s",
                              c       ? ", "
                              : label ? ", ["
                                      : "[",
                              (unsigned long long)tally_confusion(t, label, c),
                              c + 1 == classes ? "]" : "") < 0)
                return -1;
    return output_printf(out, e, "]}\n");
}

static int json_facts(output *out, const model_facts *facts, error *e)
{
    int status = output_printf(out, e, " \"model\": {");
    for (size_t i = 0; model_fact_name(i) && status >= 0; i++) {
        double number;
        char digits[32];
        const char *text = model_fact(facts, i, &number);
        json_number(number >= 0 ? number : NAN, digits);
        status = output_printf(out, e, "%s\"%s\": ", i ? ", " : "", model_fact_name(i));
        if (status >= 0)
            status =
                text ? print_quoted(out, "", text, "", e) : output_printf(out, e, "%s", digits);
    }
    return status < 0 ? -1 : output_printf(out, e, "},\n");
}

int report_json(output *out, const tally *t, const class_kind *kinds, char *const *names,
                const model_facts *facts, error *e)
{
    if (json_figures(out, t, e) < 0 || json_classes(out, t, kinds, names, e) < 0 ||
        json_report(out, t, names, e) < 0 || json_facts(out, facts, e) < 0)
        return -1;
    return json_confusion(out, t, e);
}

/* ---- several runs ---- */

/* The figures of one file; NaN where it has null or nothing. */
static int read_run(const char *path, double *values, error *e)
{
    json_error_t why;
    bool standard = strcmp(path, "-") == 0;
    FILE *file = standard ? stdin : fopen(path, "r");
    if (!file)
        return error_system(e, "cannot open '%s'", path);
    json_t *object = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    if (!standard)
        fclose(file);
    if (!object)
        return error_set(e, "%s: line %d: no JSON: %s; give what `score --format json` wrote", path,
                         why.line, why.text);
    bool any = false;
    for (size_t i = 0; tally_figure_name(i); i++) {
        const json_t *value = json_object_get(object, tally_figure_name(i));
        values[i] = json_is_number(value) ? json_number_value(value) : NAN;
        any = any || json_is_number(value);
    }
    json_decref(object);
    if (!any)
        return error_set(
            e, "%s: holds none of score's figures; give what `score --format json` wrote", path);
    return 0;
}

static interval figure_interval(const double *values, size_t runs, size_t figure, double *scratch)
{
    size_t count = 0;
    for (size_t r = 0; r < runs; r++)
        if (!isnan(values[r * FIGURES_MAX + figure]))
            scratch[count++] = values[r * FIGURES_MAX + figure];
    return interval_of(scratch, count);
}

static int print_interval(output *out, runs_format format, const char *name, interval found,
                          bool is_count, error *e)
{
    char a[32], b[32], c[32];
    double low = found.mean - found.half, high = found.mean + found.half;
    if (format == RUNS_JSON)
        return output_printf(out, e,
                             ",\n \"%s\": {\"runs\": %zu, \"mean\": %s, \"low\": %s, "
                             "\"high\": %s}",
                             name, found.count, json_number(found.mean, a), json_number(low, b),
                             json_number(high, c));
    return output_printf(
        out, e, format == RUNS_TABLE ? "%-16s  %5zu  %10s  %10s  %10s\n" : "%s\t%zu\t%s\t%s\t%s\n",
        name, found.count, figure_text(found.mean, is_count, a, sizeof a),
        figure_text(low, is_count, b, sizeof b), figure_text(high, is_count, c, sizeof c));
}

static int print_runs(output *out, const double *values, size_t runs, runs_format format,
                      const figure_choice *choice, double *scratch, error *e)
{
    int status = format == RUNS_JSON ? output_printf(out, e, "{\"runs\": %zu", runs)
                 : format == RUNS_TABLE
                     ? output_printf(out, e, "%-16s  %5s  %10s  %10s  %10s\n", "figure", "runs",
                                     "mean", "95% low", "95% high")
                     : output_printf(out, e, "figure\truns\tmean\tlow\thigh\n");
    for (size_t i = 0; tally_figure_name(i) && status >= 0; i++) {
        interval found = figure_interval(values, runs, i, scratch);
        if (choice ? choice->chosen[i] : found.count > 0)
            status = print_interval(out, format, tally_figure_name(i), found,
                                    tally_figure_is_count(i), e);
    }
    return status >= 0 && format == RUNS_JSON ? output_printf(out, e, "}\n") : status;
}

int report_runs(output *out, char *const *paths, size_t count, runs_format format,
                const figure_choice *choice, error *e)
{
    double *values = calloc(count + 1, FIGURES_MAX * sizeof *values);
    double *scratch = calloc(count + 1, sizeof *scratch);
    int status = values && scratch ? 0 : error_set(e, "out of memory for %zu runs", count);
    for (size_t r = 0; r < count && status == 0; r++)
        status = read_run(paths[r], values + r * FIGURES_MAX, e);
    if (status == 0)
        status = print_runs(out, values, count, format, choice, scratch, e);
    free(values);
    free(scratch);
    return status;
}
