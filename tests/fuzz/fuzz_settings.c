/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings' text on its way from the supervisor to a worker: what is accepted comes out again as it went in. */
#include "config.h"

#include "fuzz.h"

#include "lunfs/settings.h"

#include <string.h>

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL, error2 = NULL;
  g_autoptr (LunfsSettings) s = NULL, s2 = NULL;
  g_autofree char *text = NULL, *text2 = NULL;

  fuzz_quiet ();
  s = lunfs_settings_from_text ((const char *) data, size, &error);
  must ((s != NULL) == (error == NULL));
  if (!s)
    return 0;
  text = lunfs_settings_to_text (s);
  s2 = lunfs_settings_from_text (text, strlen (text), &error2);
  must (s2);
  text2 = lunfs_settings_to_text (s2);
  must (g_str_equal (text, text2));
  must (g_strcmp0 (s->mountpoint, s2->mountpoint) == 0 && g_strcmp0 (s->password, s2->password) == 0);
  must (s->mount_options->len == s2->mount_options->len);
  return 0;
}
