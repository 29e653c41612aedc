/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/keylines.h"

#include "lunfs/error.h"

#include <stdbool.h>
#include <string.h>

#define NAME_CHARS G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-"
#define NAME_MAX_BYTES 64

typedef struct {
  const char *path;
  unsigned line;
  const char *group; /* the one we are in, of the last headline */
  GPtrArray *found;
  GHashTable *lines; /* "GROUP KEY", "GROUP" -> line */
} Scan;

static bool G_GNUC_PRINTF (3, 4) bad (const Scan *s, GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "%s:%u: %s", s->path, s->line, why);
  return false;
}

static void
line_free (gpointer data)
{
  LunfsKeyLine *l = data;

  g_free (l->group);
  g_free (l->key);
  g_free (l);
}

static char *
name_of (const char *group, const char *key)
{
  return g_strdup_printf ("%s%s%s", group, key ? " " : "", key ? key : "");
}

/* The line of @key in @group so far; 0 if there is none. */
static unsigned
line_of (const Scan *s, const char *group, const char *key)
{
  g_autofree char *name = name_of (group, key);

  return GPOINTER_TO_UINT (g_hash_table_lookup (s->lines, name));
}

static LunfsKeyLine *
add (Scan *s, const char *group, const char *key)
{
  LunfsKeyLine *l = g_new0 (LunfsKeyLine, 1);

  g_hash_table_insert (s->lines, name_of (group, key), GUINT_TO_POINTER (s->line));
  l->line = s->line;
  l->group = g_strdup (group);
  l->key = g_strdup (key);
  g_ptr_array_add (s->found, l);
  return l;
}

static bool
is_name (const char *text)
{
  size_t len = strlen (text);

  return len > 0 && len <= NAME_MAX_BYTES && strspn (text, NAME_CHARS) == len && g_ascii_isalnum (*text);
}

/* @text begins with '['; cut in place. */
static bool
take_group (Scan *s, char *text, GError **error)
{
  size_t len = strlen (text);
  unsigned before;

  if (text[len - 1] != ']')
    return bad (s, error, "a group is written [NAME], with nothing behind it");
  text[len - 1] = '\0';
  text++;
  if (!is_name (text))
    return bad (s, error,
                "[%s]: a name has letters, digits, '.', '_' and '-' (at most %d), and begins with a letter or digit",
                text, NAME_MAX_BYTES);
  before = line_of (s, text, NULL);
  if (before)
    return bad (s, error, "[%s] is in line %u already; put both together, or give one another name", text, before);
  s->group = add (s, text, NULL)->group;
  return true;
}

/* @text is cut in place. */
static bool
take_key (Scan *s, char *text, GError **error)
{
  char *equals = strchr (text, '=');
  unsigned before;

  if (!equals)
    return bad (s, error, "neither [NAME] nor key=value nor a comment, which begins with #");
  *equals = '\0';
  g_strchomp (text);
  if (!is_name (text))
    return bad (s, error, "what stands before '=' is no name of a key");
  if (strchr (text, '-'))
    return bad (s, error, "unknown key '%s'; in this file '_' stands for '-'", text);
  if (!s->group)
    return bad (s, error, "%s stands before the first group; put it under [defaults] or under a target's [NAME]", text);
  before = line_of (s, s->group, text);
  if (before)
    return bad (s, error, "%s is in line %u already; take one of them out", text, before);
  add (s, s->group, text);
  return true;
}

GPtrArray *
lunfs_keylines_scan (const char *text, gsize len, const char *path, GError **error)
{
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (line_free);
  g_autoptr (GHashTable) numbers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Scan s = { .path = path, .found = found, .lines = numbers };
  const char *end = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_utf8_validate (text, (gssize) len, &end)) { /* also for a NUL byte */
    for (const char *p = text; p <= end && p < text + len; p++)
      s.line += p == text || p[-1] == '\n';
    bad (&s, error, "not UTF-8 text");
    return NULL;
  }
  g_autofree char *copy = g_strndup (text, len);
  lines = g_strsplit (copy, "\n", -1);
  for (char **line = lines; *line; line++) {
    char *trimmed = g_strstrip (*line);

    s.line++;
    if (!*trimmed || *trimmed == '#')
      continue;
    if (!(*trimmed == '[' ? take_group (&s, trimmed, error) : take_key (&s, trimmed, error)))
      return NULL;
  }
  return g_steal_pointer (&found);
}

unsigned
lunfs_keylines_find (const GPtrArray *lines, const char *group, const char *key)
{
  for (unsigned i = 0; i < lines->len; i++) {
    const LunfsKeyLine *l = lines->pdata[i];

    if (strcmp (l->group, group) == 0 && g_strcmp0 (l->key, key) == 0)
      return l->line;
  }
  return 0;
}
