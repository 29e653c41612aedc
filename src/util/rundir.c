/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "util/rundir.h"

#include <unistd.h>

char *
lunfs_run_path (unsigned uid, const char *name)
{
  g_autofree char *session = g_strdup_printf ("/run/user/%u", uid);

  if (uid == 0)
    return g_build_filename ("/run/lunfs", name, NULL);
  if (uid != geteuid () || g_file_test (session, G_FILE_TEST_IS_DIR))
    return g_build_filename (session, "lunfs", name, NULL);
  return g_build_filename (g_get_user_runtime_dir (), "lunfs", name, NULL);
}
