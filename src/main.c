/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs [options] SOURCE MOUNTPOINT.  The same program is the supervisor and, started by it, the worker. */
#include "config.h"

#include "control/options.h"
#include "lunfs/error.h"
#include "supervisor/supervisor.h"

#include <fcntl.h>
#include <stdio.h>
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

int
main (int argc, char **argv)
{
  g_autoptr (LunfsSettings) settings = NULL;
  g_autoptr (GError) error = NULL;
  LunfsWorkerFds fds;

  occupy_standard_fds ();
  if (lunfs_worker_fds_from_env (&fds))
    return lunfs_worker_run (&fds);
  if (lunfs_options_parse (argc, argv, &settings, &error) == LUNFS_RUN_MOUNT)
    return lunfs_supervisor_run (settings);
  if (!error)
    return LUNFS_EXIT_OK;
  fprintf (stderr, "lunfs: %s\n", error->message);
  return error->code;
}
