/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/luns.h"

#include "control/url.h"
#include "lunfs/error.h"

#include <string.h>

#define SEPARATORS ",: "

/* "3" or "3-5" */
static bool
parse_item (const char *item, guint64 *out_first, guint64 *out_last)
{
  const char *dash = strchr (item, '-');
  g_autofree char *first = dash ? g_strndup (item, (gsize) (dash - item)) : g_strdup (item);

  return g_ascii_string_to_unsigned (first, 10, 0, LUNFS_LUN_MAX, out_first, NULL)
         && g_ascii_string_to_unsigned (dash ? dash + 1 : first, 10, *out_first, LUNFS_LUN_MAX, out_last, NULL);
}

bool
lunfs_luns_check (const char *list, GError **error)
{
  g_auto (GStrv) items = g_strsplit_set (list, SEPARATORS, -1);
  guint64 first, last;
  bool ok = false;

  for (char **item = items; *item; item++) {
    if (!**item)
      continue;
    ok = parse_item (*item, &first, &last);
    if (!ok)
      break;
  }
  if (!ok)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE,
                 "option luns: '%s' is not a list of LUNs from 0 to %d such as 1:3-5", list, LUNFS_LUN_MAX);
  return ok;
}

bool
lunfs_luns_include (const char *list, unsigned lun)
{
  g_auto (GStrv) items = list ? g_strsplit_set (list, SEPARATORS, -1) : NULL;
  guint64 first, last;

  for (char **item = items; item && *item; item++)
    if (parse_item (*item, &first, &last) && lun >= first && lun <= last)
      return true;
  return !list;
}
