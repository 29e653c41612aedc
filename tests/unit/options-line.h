/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of lunfs's arguments, parsed as main does, in a directory of its own. */
#ifndef LUNFS_TEST_OPTIONS_LINE_H
#define LUNFS_TEST_OPTIONS_LINE_H

#include "control/options.h"

#include <check.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *dir; /* to mount on */

static char *
in_dir (const char *name)
{
  return g_build_filename (dir, name, NULL);
}

static void
make_dir (void)
{
  dir = g_dir_make_tmp ("lunfs-XXXXXX", NULL);
  g_autofree char *home = in_dir ("home");
  g_setenv ("STATE_DIRECTORY", home, true);
  g_setenv ("XDG_CONFIG_HOME", home, true);
  ck_assert_int_eq (chdir (dir), 0);
}

static void
teardown (void)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", dir);
  ck_assert_int_eq (chdir ("/"), 0);
  ck_assert_int_eq (system (command), 0);
  g_free (dir);
}

/* Words separated by blanks; "@" stands for the directory. */
static LunfsSettings *
parse (const char *line, GError **error)
{
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  LunfsSettings *s = NULL;
  for (char **arg = argv; *arg; arg++)
    if (g_str_equal (*arg, "@")) {
      g_free (*arg);
      *arg = g_strdup (dir);
    }
  LunfsRun run = lunfs_options_parse ((int) g_strv_length (argv), argv, &s, error);
  ck_assert ((run == LUNFS_RUN_MOUNT) == (s != NULL));
  return s;
}

static LunfsSettings *
parsed (const char *line)
{
  g_autoptr (GError) error = NULL;
  LunfsSettings *s = parse (line, &error);
  ck_assert_msg (s != NULL, "%s: %s", line, error ? error->message : "");
  return s;
}

#endif
