/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs [options] SOURCE MOUNTPOINT.  The same program is the supervisor and, started by it, the worker. */
#include "config.h"

#include "control/options.h"
#include "lunfs/error.h"
#include "iscsi/libiscsi.h"
#include "supervisor/interface.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whatever is opened later must not become descriptor 0, 1 or 2 because the caller had closed them. */
static void
occupy_standard_fds (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0)
    close (fd);
}

/* For the supervisor of a running mount, which may be another version (supervisor/interface.h). */
static int
print_interface (void)
{
  LunfsInterface own = lunfs_interface_own ();
  g_autofree char *text = lunfs_interface_to_text (&own);
  g_autoptr (GError) error = NULL;

  if (!lunfs_iscsi_self_test (&error)) {
    fprintf (stderr, "lunfs: %s\n", error->message);
    return error->code;
  }
  return fputs (text, stdout) < 0 || fflush (stdout) != 0 ? LUNFS_EXIT_FAILED : LUNFS_EXIT_OK;
}

int
main (int argc, char **argv)
{
  g_autoptr (LunfsSettings) settings = NULL;
  g_autoptr (GError) error = NULL;
  LunfsWorkerFds fds;

  occupy_standard_fds ();
  if (argc == 2 && strcmp (argv[1], "--worker-interface") == 0)
    return print_interface ();
  if (lunfs_worker_fds_from_env (&fds))
    return lunfs_worker_run (&fds);
  if (lunfs_options_parse (argc, argv, &settings, &error) == LUNFS_RUN_MOUNT)
    return lunfs_supervisor_run (settings);
  if (!error)
    return LUNFS_EXIT_OK;
  fprintf (stderr, "lunfs: %s\n", error->message);
  return error->code;
}
