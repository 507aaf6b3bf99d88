/* class_list.c: class names and choices among them; see class_list.h. */
#include "class_list.h"

#include "../base/keyed_hash.h"
#include "../base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int class_name_check(const char *name, error *e)
{
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes > CLASS_NAME_BYTES_MAX)
        return error_set(e, "a class's name has 1 to %d bytes", CLASS_NAME_BYTES_MAX);
    for (const char *c = name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            return error_set(e, "a class's name has no control characters");
    /* Python's readers would fail on it, and JSON has no place for it. */
    if (utf8_right(name, bytes) < bytes)
        return error_set(e, "the class name '%.200s' " UTF8_CURE, name);
    return 0;
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t find_slot(const class_list *list, const char *name)
{
    size_t slot = (size_t)keyed_hash(name, strlen(name)) & (list->slot_count - 1);
    while (list->slots[slot] && strcmp(list->names[list->slots[slot] - 1], name) != 0)
        slot = (slot + 1) & (list->slot_count - 1);
    return slot;
}

/* Doubles both arrays where the next name would not fit; at most half of the slots are taken. */
static int make_room(class_list *list)
{
    if (list->slot_count > 2 * list->count)
        return 0;
    size_t slots = list->slot_count ? 2 * list->slot_count : 32;
    char **names = realloc(list->names, slots / 2 * sizeof *names);
    if (!names)
        return -1;
    list->names = names;
    uint32_t *table = calloc(slots, sizeof *table);
    if (!table)
        return -1;
    free(list->slots);
    list->slots = table;
    list->slot_count = slots;
    for (size_t i = 0; i < list->count; i++)
        table[find_slot(list, names[i])] = (uint32_t)i + 1;
    return 0;
}

int class_list_add(class_list *list, const char *name)
{
    if (list->count >= STREAM_CLASSES_MAX || make_room(list) < 0)
        return -1;
    size_t slot = find_slot(list, name);
    if (list->slots[slot])
        return -1;
    char *copy = strdup(name);
    if (!copy)
        return -1;
    list->names[list->count] = copy;
    list->slots[slot] = (uint32_t)list->count + 1;
    return (int)list->count++;
}

int class_list_find(const class_list *list, const char *name)
{
    if (!list->slot_count)
        return -1;
    return (int)list->slots[find_slot(list, name)] - 1;
}

int class_list_copy(class_list *to, const class_list *from)
{
    *to = (class_list){0};
    for (size_t i = 0; i < from->count; i++) {
        if (class_list_add(to, from->names[i]) < 0) {
            class_list_free(to);
            return -1;
        }
    }
    return 0;
}

bool class_list_equal(const class_list *a, const class_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

void class_list_free(class_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    free(list->slots);
    *list = (class_list){0};
}

/* ---- choices: "ship,8,0-7" ---- */

/* The error for a word that means no class; names the first few that there are. */
static int unknown_class(const class_list *list, const char *word, error *e)
{
    if (list->count == 0)
        return error_set(e, "no class '%s': the stream's header names no classes", word);
    char known[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < list->count; i++) {
        size_t length = strlen(list->names[i]);
        if (i == 20 || used + length + 16 > sizeof known) {
            used += (size_t)snprintf(known + used, sizeof known - used, ", ...");
            break;
        }
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 list->names[i]);
    }
    return error_set(e, "no class '%.100s'; there are %zu, 0-%zu: %s", word, list->count,
                     list->count - 1, known);
}

/* "8" or "0-7", wholly; false if it is neither. */
static bool parse_range(const char *word, size_t *from, size_t *to)
{
    char *end;
    if (!isdigit((unsigned char)*word))
        return false;
    *from = *to = strtoul(word, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        *to = strtoul(end + 1, &end, 10);
    return *end == '\0';
}

static int choose_word(const class_list *list, const char *word, bool *chosen, error *e)
{
    size_t from, to;
    int named = class_list_find(list, word);
    if (named >= 0)
        from = to = (size_t)named;
    else if (!parse_range(word, &from, &to) || from > to || to >= list->count)
        return unknown_class(list, word, e);
    for (size_t i = from; i <= to; i++)
        chosen[i] = true;
    return 0;
}

static size_t longest_name(const class_list *list)
{
    size_t longest = 0;
    for (size_t i = 0; i < list->count; i++) {
        size_t length = strlen(list->names[i]);
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Cuts the next choice off: up to a comma, or beyond where a class's own name has commas. */
static char *next_word(const class_list *list, size_t longest, char **rest)
{
    char *word = *rest, *first = strchr(word, ',');
    for (char *cut = word + strnlen(word, longest); first && cut > first; cut--) {
        if (*cut != ',' && *cut != '\0')
            continue;
        char saved = *cut;
        *cut = '\0';
        if (class_list_find(list, word) >= 0) {
            *rest = saved ? cut + 1 : NULL;
            return word;
        }
        *cut = saved;
    }
    if (first)
        *first = '\0';
    *rest = first ? first + 1 : NULL;
    return word;
}

int class_list_choose(const class_list *list, const char *words, bool *chosen, error *e)
{
    memset(chosen, 0, list->count * sizeof *chosen);
    char *copy = strdup(words);
    if (!copy)
        return error_set(e, "out of memory");
    int status = 0;
    size_t longest = longest_name(list);
    for (char *rest = copy; rest && status == 0;)
        status = choose_word(list, next_word(list, longest, &rest), chosen, e);
    free(copy);
    return status;
}
