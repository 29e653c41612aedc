/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where everything stands in a key file: GKeyFile knows no line numbers, and lets a second [group] or a second key
 * replace the first without a word.  Pure; never quotes a value, which may be a password in the wrong place. */
#ifndef LUNFS_KEYLINES_H
#define LUNFS_KEYLINES_H

#include <glib.h>

typedef struct {
  unsigned line; /* from 1 */
  char *group;
  char *key; /* NULL: the [group] line itself */
} LunfsKeyLine;

/* All groups and keys of @text in their order (LunfsKeyLine); NULL with an error "PATH:LINE: what and remedy": no text, a
 * line that is neither, a key before the first group, a name that cannot be one, a group or key that is there twice. */
GPtrArray *lunfs_keylines_scan (const char *text, gsize len, const char *path, GError **error);
/* The line of @key in @group (NULL: of the group itself); 0 if there is none. */
unsigned lunfs_keylines_find (const GPtrArray *lines, const char *group, const char *key);

#endif
