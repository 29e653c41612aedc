/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/mountinfo.h"

#include <glib.h>
#include <string.h>

/* proc(5): "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 ...": third field device, fifth mount point, octal escapes in it. */
static bool
parse (const char *line, char **device, char **point)
{
  g_auto (GStrv) fields = g_strsplit (line, " ", 6);

  if (g_strv_length (fields) < 6)
    return false;
  *device = g_steal_pointer (&fields[2]);
  *point = g_strcompress (fields[4]);
  g_free (fields[3]); /* what stands behind a NULL would not be freed */
  g_free (fields[4]);
  g_free (fields[5]);
  return true;
}

/* What follows " - ": optional fields stand before it.  @n: 0 = type, 1 = source. */
static char *
parse_rest (const char *line, unsigned n)
{
  const char *rest = strstr (line, " - ");
  g_auto (GStrv) fields = g_strsplit (rest ? rest + 3 : "", " ", 3);

  return g_strcompress (g_strv_length (fields) > n ? fields[n] : "");
}

static char **
read_lines (void)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents ("/proc/self/mountinfo", &text, NULL, NULL))
    return NULL;
  return g_strsplit (text, "\n", -1);
}

/* The last line of @path: a later one stands on top of an earlier one. */
static char *
find_top (const char *path, bool type)
{
  g_auto (GStrv) lines = read_lines ();
  char *found = NULL;

  for (unsigned i = 0; lines && lines[i]; i++) {
    g_autofree char *device = NULL, *point = NULL;

    if (!parse (lines[i], &device, &point) || strcmp (point, path) != 0)
      continue;
    g_free (found);
    found = type ? parse_rest (lines[i], 0) : g_steal_pointer (&device);
  }
  return found;
}

char *
lunfs_mountinfo_device (const char *path)
{
  return find_top (path, false);
}

char *
lunfs_mountinfo_type (const char *path)
{
  return find_top (path, true);
}

char *
lunfs_mountinfo_find (const char *wanted, bool *out_hidden)
{
  g_auto (GStrv) lines = read_lines ();

  *out_hidden = false;
  for (unsigned i = 0; lines && lines[i]; i++) {
    g_autofree char *device = NULL, *point = NULL, *top = NULL;

    if (!parse (lines[i], &device, &point) || strcmp (device, wanted) != 0)
      continue;
    top = lunfs_mountinfo_device (point);
    if (g_strcmp0 (top, wanted) == 0)
      return g_steal_pointer (&point);
    *out_hidden = true;
  }
  return NULL;
}

bool
lunfs_mountinfo_of (const char *path, char **out_device, char **out_source)
{
  g_auto (GStrv) lines = read_lines ();
  size_t longest = 0;

  *out_device = *out_source = NULL;
  for (unsigned i = 0; lines && lines[i]; i++) {
    g_autofree char *device = NULL, *point = NULL;
    size_t len;

    if (!parse (lines[i], &device, &point))
      continue;
    len = strcmp (point, "/") == 0 ? 0 : strlen (point);
    if (len < longest || strncmp (path, point, len) != 0 || (path[len] && path[len] != '/'))
      continue;
    longest = len;
    g_free (*out_device);
    g_free (*out_source);
    *out_device = g_steal_pointer (&device);
    *out_source = parse_rest (lines[i], 1);
  }
  return *out_device != NULL;
}
