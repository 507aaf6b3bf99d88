#include "settings.h"

#include <stdlib.h>
#include <string.h>

static const char *const methods[] = {"", "auto", "mean", "proxies", "ridge"};
#define METHODS (sizeof methods / sizeof *methods)

const char *method_name(fit_method method)
{
    return methods[method];
}

int method_parse(const char *word, fit_method *out)
{
    for (size_t i = 1; i < METHODS; i++)
        if (strcmp(word, methods[i]) == 0) {
            *out = (fit_method)i;
            return 0;
        }
    return -1;
}

int balance_parse(const char *word, balance *out)
{
    char *end;
    *out = (balance){strcmp(word, "all") == 0 ? BALANCE_ALL : BALANCE_HARMONIC, 0};
    if (strncmp(word, "base:", 5) == 0) {
        *out = (balance){BALANCE_BASE, strtod(word + 5, &end)};
        return word[5] && !*end && out->share >= 0 && out->share <= 1 ? 0 : -1;
    }
    return out->kind == BALANCE_ALL || strcmp(word, "harmonic") == 0 ? 0 : -1;
}

/* ---- notes by their keys ---- */

static const char *text_of(const model *m, model_key key)
{
    return model_get_text(m, model_keys[key].key);
}

static double number_of(const model *m, model_key key, double absent)
{
    double number = absent;
    model_get_number(m, model_keys[key].key, &number);
    return number;
}

static fit_method method_of(const model *m, model_key key)
{
    fit_method method = METHOD_NONE;
    const char *word = text_of(m, key);
    if (word)
        method_parse(word, &method);
    return method;
}

/* NULL or "" leaves the note out. */
static int put_text(model *m, model_key key, const char *text)
{
    const char *name = model_keys[key].key;
    if (text && *text)
        return model_note_text(m, name, text);
    model_note_drop(m, name);
    return 0;
}

static int put_number(model *m, model_key key, bool wanted, double number)
{
    const char *name = model_keys[key].key;
    if (wanted)
        return model_note_number(m, name, number);
    model_note_drop(m, name);
    return 0;
}

static int noted(bool all, error *e)
{
    return all ? 0 : error_set(e, "out of memory for the model's notes");
}

fit_settings fit_settings_of(const model *m)
{
    return (fit_settings){.method = method_of(m, KEY_METHOD),
                          .calibrate = (int)number_of(m, KEY_CALIBRATE, -1),
                          .balance = text_of(m, KEY_BALANCE),
                          .lambda = number_of(m, KEY_RIDGE_LAMBDA, 0),
                          .proxies = (size_t)number_of(m, KEY_PROXIES_COUNT, 0),
                          .proxies_seed = number_of(m, KEY_PROXIES_SEED, -1)};
}

int fit_settings_put(model *m, const fit_settings *s, error *e)
{
    return noted(put_text(m, KEY_METHOD, method_name(s->method)) == 0 &&
                     put_number(m, KEY_CALIBRATE, s->calibrate >= 0, s->calibrate) == 0 &&
                     put_text(m, KEY_BALANCE, s->balance) == 0 &&
                     put_number(m, KEY_RIDGE_LAMBDA, s->lambda > 0, s->lambda) == 0 &&
                     put_number(m, KEY_PROXIES_COUNT, s->proxies > 0, (double)s->proxies) == 0 &&
                     put_number(m, KEY_PROXIES_SEED, s->proxies_seed >= 0, s->proxies_seed) == 0,
                 e);
}

bool feature_settings_of(const model *m, feature_settings *out)
{
    double random = number_of(m, KEY_RIDGE_FEATURES, -1), seed = number_of(m, KEY_RIDGE_SEED, -1);
    bool plain = number_of(m, KEY_RIDGE_PLAIN, 0) != 0;
    *out = (feature_settings){0};
    if (seed < 0 || random < (plain ? 0 : 1))
        return false;
    *out = (feature_settings){.random = (size_t)random,
                              .width = (size_t)random + (plain ? m->net.dimension : 0),
                              .plain = plain,
                              .seed = (uint64_t)seed};
    return true;
}

int feature_settings_put(model *m, const feature_settings *s, error *e)
{
    return noted(put_number(m, KEY_RIDGE_FEATURES, true, (double)s->random) == 0 &&
                     put_number(m, KEY_RIDGE_PLAIN, s->plain, 1) == 0 &&
                     put_number(m, KEY_RIDGE_SEED, true, (double)s->seed) == 0,
                 e);
}

fit_report fit_report_of(const model *m)
{
    return (fit_report){.method = method_of(m, KEY_MADE_METHOD),
                        .kind = text_of(m, KEY_MADE_KIND),
                        .lambda = number_of(m, KEY_MADE_LAMBDA, 0),
                        .scale = number_of(m, KEY_MADE_SCALE, 0),
                        .bias = number_of(m, KEY_MADE_BIAS, 0),
                        .bare = number_of(m, KEY_MADE_BARE, 0) != 0,
                        .base = number_of(m, KEY_MADE_BASE_ACCURACY, -1),
                        .novel = number_of(m, KEY_MADE_NOVEL_ACCURACY, -1),
                        .alone = number_of(m, KEY_MADE_BASE_ALONE, -1)};
}

void fit_report_drop(model *m)
{
    for (size_t i = m->note_count; i-- > 0;)
        if (model_key_is_made(m->notes[i].key))
            model_note_drop(m, m->notes[i].key);
}

int fit_report_put(model *m, const fit_report *r, error *e)
{
    return noted(put_text(m, KEY_MADE_METHOD, method_name(r->method)) == 0 &&
                     put_text(m, KEY_MADE_KIND, r->kind) == 0 &&
                     put_number(m, KEY_MADE_LAMBDA, r->lambda > 0, r->lambda) == 0 &&
                     put_number(m, KEY_MADE_SCALE, r->scale > 0, r->scale) == 0 &&
                     put_number(m, KEY_MADE_BIAS, r->method != METHOD_NONE, r->bias) == 0 &&
                     put_number(m, KEY_MADE_BARE, r->bare, 1) == 0 &&
                     put_number(m, KEY_MADE_BASE_ACCURACY, r->base >= 0, r->base) == 0 &&
                     put_number(m, KEY_MADE_NOVEL_ACCURACY, r->novel >= 0, r->novel) == 0 &&
                     put_number(m, KEY_MADE_BASE_ALONE, r->alone >= 0, r->alone) == 0,
                 e);
}
