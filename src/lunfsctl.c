/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfsctl COMMAND [PATH] ...: talks to running mounts through their control sockets.  The table of commands; what they do is
 * in ctl/. */
#include "config.h"

#include "control/option_value.h"
#include "ctl/ctl.h"
#include "worker/check.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const LunfsCtlCommand commands[] = {
  { "status", "[PATH]", "how mounts and their LUNs are; status 4 if a LUN is not up", lunfs_ctl_status, 0, true },
  { "ls", "[PATH]", "LUNs, their files, sizes and targets", lunfs_ctl_ls, 0, true },
  { "sessions", "[PATH]", "what is logged in, in iscsiadm's lines", lunfs_ctl_sessions, 0, true },
  { "rescan", "[PATH]", "look for new sizes, LUNs and targets", lunfs_ctl_rescan, 0, true },
  { "set", "PATH OPTION=VALUE...", "change options of a mount, or limits of one LUN of it", lunfs_ctl_set, 2, false },
  { "stats", "reset [PATH]", "begin to count anew", lunfs_ctl_stats, 1, true },
  { "upgrade", "[PATH | --all]", "go on with the newly installed lunfs, files stay open", lunfs_ctl_upgrade, 0, true },
  { "saved", "list|inspect|... [NAME]", "data that a mount with state_dir could not flush", lunfs_ctl_saved, 1, true },
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
  { "import", "[DIR]", "print open-iscsi's node database as a lunfs.conf", lunfs_ctl_import, 0, true },
};

static int
usage (FILE *to, int status)
{
  fputs ("usage: lunfsctl COMMAND ...\n\n", to);
  for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++)
    fprintf (to, "  %-8s %-24s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
  fputs ("\nPATH is a mount point of lunfs, a LUN's file in it, or its name in lunfs.conf.  lunfsctl COMMAND --help: "
         "its options.  See "
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

static const LunfsCtlCommand *
find_command (const char *name)
{
  for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (name, commands[i].name) == 0)
      return &commands[i];
  return NULL;
}

/* One letter in three may be wrong. */
static int
unknown_command (const char *name)
{
  const char *near = NULL;
  unsigned least = (unsigned) strlen (name) / 3 + 1;

  for (unsigned i = 0; i < G_N_ELEMENTS (commands); i++) {
    unsigned distance = lunfs_edit_distance (name, commands[i].name);

    if (distance < least) {
      near = commands[i].name;
      least = distance;
    }
  }
  if (near)
    fprintf (stderr, "lunfsctl: unknown command '%s'; did you mean '%s'?\n", name, near);
  else if (strcmp (name, "-m") == 0 || strcmp (name, "--mode") == 0 || strcmp (name, "node") == 0)
    fputs ("lunfsctl: iscsiadm's -m discovery is lunfsctl discover, -m session is sessions, and -m node --login is "
           "lunfs SOURCE MOUNTPOINT; lunfsctl --help lists all\n",
           stderr);
  else
    fprintf (stderr, "lunfsctl: unknown command '%s'; lunfsctl --help lists them\n", name);
  return LUNFS_EXIT_USAGE;
}

static int
too_few (const LunfsCtlCommand *command)
{
  fprintf (stderr, "lunfsctl: arguments are missing: lunfsctl %s %s; lunfsctl %s --help says more\n", command->name,
           command->arguments, command->name);
  return LUNFS_EXIT_USAGE;
}

/* @status, unless what was printed has not arrived. */
static int
close_output (int status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return status;
  fprintf (stderr, "lunfsctl: standard output: %s\n", strerror (errno));
  return status ? status : LUNFS_EXIT_FAILED;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  const LunfsCtlCommand *command;
  bool help = argc > 2 && asks_for_help (argv[2]);
  int status;

  setlocale (LC_ALL, "");
  if (argc < 2)
    return usage (stderr, LUNFS_EXIT_USAGE);
  if (asks_for_help (argv[1]) || strcmp (argv[1], "help") == 0)
    return close_output (usage (stdout, LUNFS_EXIT_OK));
  if (strcmp (argv[1], "--version") == 0 || strcmp (argv[1], "-V") == 0) {
    puts ("lunfsctl " PACKAGE_VERSION);
    return LUNFS_EXIT_OK;
  }
  command = find_command (argv[1]);
  if (!command)
    return unknown_command (argv[1]);
  if (help && !command->has_options)
    return usage_of (command);
  if (argc - 2 < command->min_args && !help)
    return too_few (command);
  status = command->run (argc - 2, argv + 2, &error);
  return close_output (error ? lunfs_ctl_say (error) : status);
}
