/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl COMMAND [PATH] ...: talks to running mounts through their control sockets.  The table of commands; what they do is
 * in ctl/. */
#include "config.h"

#include "control/import.h"
#include "ctl/ctl.h"
#include "worker/check.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static const LunfsCtlCommand commands[] = {
  { "status", "[PATH]", "how mounts and their LUNs are; status 4 if a LUN is not up", lunfs_ctl_status, 0, true },
  { "ls", "[PATH]", "LUNs, their files, sizes and targets", lunfs_ctl_ls, 0, true },
  { "sessions", "[PATH]", "what is logged in, in iscsiadm's lines", lunfs_ctl_sessions, 0, true },
  { "rescan", "[PATH]", "look for new sizes, LUNs and targets", lunfs_ctl_rescan, 0, false },
  { "set", "PATH OPTION=VALUE...", "change options of a mount, or limits of one LUN of it", lunfs_ctl_set, 2, false },
  { "stats", "reset [PATH]", "begin to count anew", lunfs_ctl_stats, 1, false },
  { "upgrade", "[PATH | --all]", "go on with the newly installed lunfs, files stay open", lunfs_ctl_upgrade, 0, false },
  { "saved", "list|inspect|... [NAME]", "data that a mount with state_dir could not flush", lunfs_ctl_saved, 1, false },
  { "flush", "[PATH]", "all that is written is on stable storage when it returns", lunfs_ctl_flush, 0, true },
  { "drain", "[PATH]", "the same, and shows how far it is", lunfs_ctl_drain, 0, true },
  { "logout", "PATH", "flush LUNs and end their sessions; requests fail until login", lunfs_ctl_logout, 1, true },
  { "login", "PATH", "log in again", lunfs_ctl_login, 1, true },
  { "top", "[PATH]", "throughput, latency, depth and dirty data, refreshed", lunfs_ctl_top, 0, true },
  { "sense", "[PATH]", "the last answers of targets that were not good", lunfs_ctl_sense, 0, true },
  { "inquiry", "[PATH]", "what LUNs say they are: names, limits, capacity", lunfs_ctl_inquiry, 0, true },
  { "keys", "[PATH]", "who is registered for reservations, and who holds one", lunfs_ctl_keys, 0, true },
  { "reserve", "PATH KEY", "register with KEY and reserve LUNs; kept over logins", lunfs_ctl_reserve, 2, true },
  { "release", "PATH", "give reservation and registration up", lunfs_ctl_release, 1, true },
  { "preempt", "PATH KEY", "keep out whoever is registered with KEY", lunfs_ctl_preempt, 2, true },
  { "discover", "HOST | URL", "the targets of a portal, in iscsiadm's lines", lunfs_ctl_discover, 1, true },
  { "umount", "PATH", "flush and unmount; says who keeps it busy", lunfs_ctl_umount, 1, true },
  { "check", "[NAME | URL]", "try step by step what a mount would do; nothing is written", lunfs_check_run, 0, false },
  { "import", "[DIR]", "print open-iscsi's node database as a lunfs.conf", lunfs_import_run, 0, false },
};

static int
usage (FILE *to, int status)
{
  fputs ("usage: lunfsctl COMMAND ...\n\n", to);
  for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (to, "  %-8s %-24s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
  fputs ("\nPATH is a mount point of lunfs or a LUN's file in it.  lunfsctl COMMAND --help: its options.  See "
         "lunfsctl(8).\n",
         to);
  return status;
}

static int
usage_of (const LunfsCtlCommand *command)
{
  printf ("usage: lunfsctl %s %s\n\n  %s\n", command->name, command->arguments, command->help);
  return LUNFS_EXIT_OK;
}

static bool
asks_for_help (const char *arg)
{
  return strcmp (arg, "--help") == 0 || strcmp (arg, "-h") == 0;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  const LunfsCtlCommand *command = NULL;
  int status;

  setlocale (LC_ALL, "");
  if (argc > 1 && asks_for_help (argv[1]))
    return usage (stdout, LUNFS_EXIT_OK);
  if (argc > 1 && (strcmp (argv[1], "--version") == 0 || strcmp (argv[1], "-V") == 0)) {
    puts ("lunfsctl " PACKAGE_VERSION);
    return LUNFS_EXIT_OK;
  }
  for (unsigned i = 0; argc > 1 && i < G_N_ELEMENTS (commands); i++)
    if (strcmp (argv[1], commands[i].name) == 0)
      command = &commands[i];
  if (command && !command->has_options && argc > 2 && asks_for_help (argv[2]))
    return usage_of (command);
  if (!command || (argc - 2 < command->min_args && !(command->has_options && argc > 2 && asks_for_help (argv[2]))))
    return usage (stderr, LUNFS_EXIT_USAGE);
  status = command->run (argc - 2, argv + 2, &error);
  return error ? lunfs_ctl_say (error) : status;
}
