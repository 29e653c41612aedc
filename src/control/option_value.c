/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/option_value.h"

#include "lunfs/error.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

#define WORD_MAX 40

static bool G_GNUC_PRINTF (2, 3) bad (GError **error, const char *format, ...)
{
  va_list args;
  va_start (args, format);
  g_autofree char *why = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, why);
  return false;
}

bool
lunfs_value_int (const char *name, const char *text, int64_t min, int64_t max, int *out, GError **error)
{
  gint64 n;
  if (!g_ascii_string_to_signed (text, 10, min, max, &n, NULL))
    return bad (error, "option %s: '%s' is not a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, name,
                text, min, max);
  *out = (int) n;
  return true;
}

/* "", "K", "k", "KiB" -> factor; 0 if it is none of these. */
static uint64_t
size_factor (const char *unit)
{
  if (!*unit)
    return 1;
  const char *letters = "KMGT", *at = strchr (letters, g_ascii_toupper (*unit));
  if (!at || (unit[1] && g_ascii_strcasecmp (unit + 1, "iB") != 0))
    return 0;
  return UINT64_C (1) << (10 * (at - letters + 1));
}

bool
lunfs_value_size (const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *out, GError **error)
{
  g_autofree char *low = g_format_size_full (min, G_FORMAT_SIZE_IEC_UNITS);
  g_autofree char *high = g_format_size_full (max, G_FORMAT_SIZE_IEC_UNITS);
  size_t ndigits = strspn (text, "0123456789");
  g_autofree char *digits = g_strndup (text, ndigits);
  uint64_t factor = size_factor (text + ndigits);
  guint64 n = 0;
  bool ok = factor && g_ascii_string_to_unsigned (digits, 10, 0, UINT64_MAX / (factor ? factor : 1), &n, NULL);
  n *= factor;
  if (!ok || n < min || n > max)
    return bad (error, "option %s: '%s' is not a size from %s to %s (as in 64M or 1G)", name, text, low, high);
  *out = n;
  return true;
}

bool
lunfs_value_umask (const char *name, const char *text, uint32_t *out, GError **error)
{
  guint64 n;
  if (!g_ascii_string_to_unsigned (text, 8, 0, 0777, &n, NULL))
    return bad (error, "option %s: '%s' is not an octal number from 0 to 0777", name, text);
  *out = (uint32_t) n;
  return true;
}

/* (uid_t) -1 means "no change" to many calls, so it is not a user. */
static bool
parse_id (const char *text, uint32_t *out)
{
  guint64 n;
  if (!g_ascii_string_to_unsigned (text, 10, 0, UINT32_MAX - 1, &n, NULL))
    return false;
  *out = (uint32_t) n;
  return true;
}

bool
lunfs_value_uid (const char *name, const char *text, uint32_t *out, GError **error)
{
  if (parse_id (text, out))
    return true;
  const struct passwd *pw = getpwnam (text);
  if (!pw)
    return bad (error, "option %s: there is no user '%s'", name, text);
  *out = pw->pw_uid;
  return true;
}

bool
lunfs_value_gid (const char *name, const char *text, uint32_t *out, GError **error)
{
  if (parse_id (text, out))
    return true;
  const struct group *gr = getgrnam (text);
  if (!gr)
    return bad (error, "option %s: there is no group '%s'", name, text);
  *out = gr->gr_gid;
  return true;
}

bool
lunfs_value_word (const char *name, const char *text, const char *const *words, int *out, GError **error)
{
  for (int i = 0; words[i]; i++)
    if (g_ascii_strcasecmp (text, words[i]) == 0) {
      *out = i;
      return true;
    }
  g_autofree char *list = g_strjoinv (", ", (char **) words);
  return bad (error, "option %s: '%s' is not one of %s", name, text, list);
}

static unsigned
min3 (unsigned a, unsigned b, unsigned c)
{
  return MIN (a, MIN (b, c));
}

/* Optimal string alignment: rows i-2, i-1 and i of the usual table. */
unsigned
lunfs_edit_distance (const char *a, const char *b)
{
  size_t la = strlen (a), lb = strlen (b);
  unsigned row[3][WORD_MAX + 1];
  if (la > WORD_MAX || lb > WORD_MAX)
    return G_MAXUINT;
  for (size_t j = 0; j <= lb; j++)
    row[0][j] = (unsigned) j;
  for (size_t i = 1; i <= la; i++) {
    unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
    now[0] = (unsigned) i;
    for (size_t j = 1; j <= lb; j++) {
      now[j] = min3 (up[j] + 1, now[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = MIN (now[j], up2[j - 2] + 1);
    }
  }
  return row[la % 3][lb];
}
