/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A path, a NUL, a device number, a NUL, and what /proc/self/mountinfo holds. */
#include "config.h"

#include "fuzz.h"

static const char *mountinfo;

static gboolean
give_mountinfo (const char *path, char **out, gsize *len, GError **error)
{
  *out = mountinfo ? g_strdup (mountinfo) : NULL;
  return mountinfo != NULL;
}

#define g_file_get_contents give_mountinfo
#include "supervisor/mountinfo.c"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };
  g_autofree char *path = fuzz_string (&in), *wanted = fuzz_string (&in), *text = fuzz_string (&in);
  g_autofree char *device = NULL, *point = NULL, *top = NULL;
  bool hidden = true;

  fuzz_quiet ();
  mountinfo = text;
  device = lunfs_mountinfo_device (path);
  must (!device || strstr (text, device));
  point = lunfs_mountinfo_find (wanted, &hidden);
  if (point) {
    top = lunfs_mountinfo_device (point);
    must (g_strcmp0 (top, wanted) == 0);
  }
  must (!hidden || strstr (text, wanted));
  mountinfo = NULL;
  must (!lunfs_mountinfo_device (path) && !lunfs_mountinfo_find (wanted, &hidden) && !hidden);
  return 0;
}
