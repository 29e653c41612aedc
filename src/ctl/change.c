/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl rescan, set, stats, upgrade. */
#include "config.h"

#include "ctl/ctl.h"

#include "control/upgrade.h"

#include <stdio.h>
#include <string.h>

int
lunfs_ctl_set (int argc, char **argv, GError **error)
{
  g_autoptr (JsonObject) request = lunfs_ctl_request ("set");
  g_autoptr (JsonObject) answer = NULL;
  JsonObject *values = json_object_new ();

  json_object_set_object_member (request, "values", values);
  for (int i = 1; i < argc; i++) {
    char *equals = strchr (argv[i], '=');

    if (!equals) {
      g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "'%s' is not OPTION=VALUE", argv[i]);
      return LUNFS_EXIT_USAGE;
    }
    *equals = '\0';
    json_object_set_string_member (values, argv[i], equals + 1);
  }
  answer = lunfs_control_ask (argv[0], request, NULL, error);
  return LUNFS_EXIT_OK;
}

int
lunfs_ctl_rescan (int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = { { 0 } };
  g_autoptr (JsonObject) request = lunfs_ctl_request ("rescan");
  g_autoptr (JsonObject) answer = NULL;

  if (lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH]", error))
    answer = lunfs_control_ask (argc > 0 ? argv[0] : "", request, NULL, error);
  return LUNFS_EXIT_OK;
}

int
lunfs_ctl_stats (int argc, char **argv, GError **error)
{
  const GOptionEntry entries[] = { { 0 } };
  g_autoptr (JsonObject) request = lunfs_ctl_request ("stats-reset");
  g_autoptr (GPtrArray) answers = NULL;
  int status = LUNFS_EXIT_OK;

  if (!lunfs_ctl_options (&argc, &argv, entries, 2, "reset [PATH]", error))
    return LUNFS_EXIT_USAGE;
  if (argc < 1 || strcmp (argv[0], "reset") != 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "lunfsctl stats can only reset: lunfsctl stats reset [PATH]");
    return LUNFS_EXIT_USAGE;
  }
  answers = lunfs_ctl_ask (argc - 1, argv + 1, request, &status, error);
  return status;
}

static bool
upgrade_one (const LunfsControlMount *mount, GError **error)
{
  LunfsUpgradeResult result;

  if (mount->silent) {
    g_propagate_error (error, g_error_copy (mount->silent));
    return false;
  }
  if (!lunfs_upgrade_mount (mount->socket, mount->mountpoint, &result, error))
    return false;
  printf ("%s: lunfs %s -> %s, paused for %.1f ms%s\n", mount->mountpoint, result.from, result.to,
          (double) result.pause_us / 1000, result.all_up ? "" : "; not every LUN has logged in again yet");
  fflush (stdout);
  return true;
}

/* Each is tried; the first error is the exit status. */
int
lunfs_ctl_upgrade (int argc, char **argv, GError **error)
{
  gboolean all = FALSE;
  const GOptionEntry entries[] = { { "all", 0, 0, G_OPTION_ARG_NONE, &all, "each mount, one after the other", NULL },
                                   { 0 } };
  g_autoptr (GPtrArray) mounts = NULL;
  int status = LUNFS_EXIT_OK;

  if (!lunfs_ctl_options (&argc, &argv, entries, 1, "[PATH | --all]", error))
    return LUNFS_EXIT_USAGE;
  if (all && argc > 0) {
    g_set_error_literal (error, LUNFS_ERROR, LUNFS_EXIT_USAGE, "PATH and --all exclude each other");
    return LUNFS_EXIT_USAGE;
  }
  mounts = lunfs_control_find (all ? NULL : argc > 0 ? argv[0] : "", error);
  for (unsigned i = 0; mounts && i < mounts->len; i++) {
    g_autoptr (GError) why = NULL;
    int code;

    if (upgrade_one (mounts->pdata[i], &why))
      continue;
    code = lunfs_ctl_say (why);
    status = status ? status : code;
  }
  return status;
}
