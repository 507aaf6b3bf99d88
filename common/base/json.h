/* json.h: the little of JSON that tools write by hand. */
#ifndef COMMON_BASE_JSON_H
#define COMMON_BASE_JSON_H

/* The text as a JSON string, quotes included: quotes, backslashes and control characters escaped,
 * bytes that are no UTF-8 as U+FFFD. The caller frees it; NULL without memory. */
char *json_quote(const char *text);

/* The number as JSON has it, with the digits that make it the same number when read back (15 to 17
 * at most), "null" for NaN and infinities; into text of at least 32 bytes, which is returned. */
char *json_number(double number, char *text);

#endif
