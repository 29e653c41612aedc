/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl COMMAND [PATH] ...: talks to running mounts through their control sockets. */
#include "config.h"

#include "control/control.h"
#include "control/import.h"
#include "control/upgrade.h"
#include "lunfs/error.h"
#include "lunfsctl-saved.h"
#include "worker/check.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

typedef struct {
  const char *name, *arguments, *help;
  int (*run) (int argc, char **argv, GError **error); /* arguments behind the command's name; exit status */
  int min_args;
} Command;

static JsonObject *
new_request (const char *command)
{
  JsonObject *request = json_object_new ();

  json_object_set_string_member (request, "command", command);
  return request;
}

static int
cmd_status (int argc, char **argv, GError **error)
{
  g_autoptr (JsonObject) request = new_request ("status");
  g_autoptr (JsonObject) answer = lunfs_control_ask (argc > 0 ? argv[0] : "", request, NULL, error);

  if (answer)
    fputs (json_object_get_string_member_with_default (answer, "text", ""), stdout);
  return LUNFS_EXIT_OK;
}

static int
cmd_set (int argc, char **argv, GError **error)
{
  g_autoptr (JsonObject) request = new_request ("set");
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

static int
cmd_rescan (int argc, char **argv, GError **error)
{
  g_autoptr (JsonObject) request = new_request ("rescan");
  g_autoptr (JsonObject) answer = lunfs_control_ask (argc > 0 ? argv[0] : "", request, NULL, error);

  return LUNFS_EXIT_OK;
}

static bool
upgrade_one (const LunfsControlMount *mount, GError **error)
{
  LunfsUpgradeResult result;

  if (!lunfs_upgrade_mount (mount->socket, mount->mountpoint, &result, error))
    return false;
  printf ("%s: lunfs %s -> %s, paused for %.1f ms%s\n", mount->mountpoint, result.from, result.to,
          (double) result.pause_us / 1000, result.all_up ? "" : "; not every LUN has logged in again yet");
  fflush (stdout);
  return true;
}

/* Each is tried; the first error is the exit status. */
static int
cmd_upgrade (int argc, char **argv, GError **error)
{
  bool all = argc > 0 && strcmp (argv[0], "--all") == 0;
  g_autoptr (GPtrArray) mounts = lunfs_control_find (all ? NULL : argc > 0 ? argv[0] : "", error);
  int status = LUNFS_EXIT_OK;

  for (unsigned i = 0; mounts && i < mounts->len; i++) {
    g_autoptr (GError) why = NULL;

    if (upgrade_one (mounts->pdata[i], &why))
      continue;
    fprintf (stderr, "lunfsctl: %s\n", why->message);
    if (status == LUNFS_EXIT_OK)
      status = why->domain == LUNFS_ERROR ? why->code : LUNFS_EXIT_FAILED;
  }
  return status;
}

static const Command commands[] = {
  { "status", "[PATH]", "the status of the mount at PATH, as JSON", cmd_status, 0 },
  { "rescan", "[PATH]", "look for new sizes, LUNs and targets", cmd_rescan, 0 },
  { "saved", "list|inspect|... [NAME]", "data that a mount with state_dir could not flush", lunfsctl_saved, 1 },
  { "set", "PATH OPTION=VALUE...", "change limits of a mount, or of one LUN of it", cmd_set, 2 },
  { "upgrade", "[PATH | --all]", "go on with the newly installed lunfs, files stay open", cmd_upgrade, 0 },
  { "check", "[NAME | URL]", "try step by step what a mount would do; nothing is written", lunfs_check_run, 0 },
  { "import", "[DIR]", "print open-iscsi's node database as a lunfs.conf", lunfs_import_run, 0 },
};

static int
usage (FILE *to, int status)
{
  fputs ("usage: lunfsctl COMMAND ...\n\n", to);
  for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (to, "  %-8s %-24s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
  fputs ("\nPATH is a mount point of lunfs or a LUN's file in it.  See lunfsctl(8).\n", to);
  return status;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  const Command *command = NULL;
  int status;

  setlocale (LC_ALL, "");
  if (argc > 1 && (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0))
    return usage (stdout, LUNFS_EXIT_OK);
  if (argc > 1 && (strcmp (argv[1], "--version") == 0 || strcmp (argv[1], "-V") == 0)) {
    puts ("lunfsctl " PACKAGE_VERSION);
    return LUNFS_EXIT_OK;
  }
  for (unsigned i = 0; argc > 1 && i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0)
      command = &commands[i];
  if (!command || argc - 2 < command->min_args)
    return usage (stderr, LUNFS_EXIT_USAGE);
  status = command->run (argc - 2, argv + 2, &error);
  if (!error)
    return status;
  fprintf (stderr, "lunfsctl: %s\n", error->message);
  return error->domain == LUNFS_ERROR ? error->code : LUNFS_EXIT_FAILED;
}
