/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of option values -> numbers, checked.  Pure, but for the user and group data bases.
 * Every error names the option, the value and what is allowed; out_ values are untouched on failure. */
#ifndef LUNFS_OPTION_VALUE_H
#define LUNFS_OPTION_VALUE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

bool lunfs_value_int (const char *name, const char *text, int64_t min, int64_t max, int *out, GError **error);
/* Bytes, with an optional K, M, G or T (powers of 1024; "KiB" and the like are understood too). */
bool lunfs_value_size (const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out, GError **error);
/* Octal, at most 0777. */
bool lunfs_value_umask (const char *name, const char *text, uint32_t *out, GError **error);
/* Number or name. */
bool lunfs_value_uid (const char *name, const char *text, uint32_t *out, GError **error);
bool lunfs_value_gid (const char *name, const char *text, uint32_t *out, GError **error);
/* Index of @text in the NULL-terminated @words. */
bool lunfs_value_word (const char *name, const char *text, const char *const *words, int *out, GError **error);

/* How many letters must be changed, added, dropped or swapped to make @b from @a: for "did you mean". */
unsigned lunfs_edit_distance (const char *a, const char *b);

#endif
