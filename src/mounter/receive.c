/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors as a service manager passes them: what was stored from 3 on, the mount always at 5.  At 6 the connection,
 * whose end tells the mounter that lunfs is gone; lunfs does not know of it. */
#include "config.h"

#include "mounter/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "mounter/pass.h"

#define FIRST_FD 3
#define FUSE_FD 5
#define CONNECTION_FD 6
#define FUSE_POINT "/dev/fd/5"
#define RETRY_US 100000

static int
fail (int status, const char *what, const char *why)
{
  fprintf (stderr, "lunfs-mounter: %s: %s\n", what, why);
  return status;
}

static int
dial (const char *path, int wait_s)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int64_t end = g_get_monotonic_time () + wait_s * G_USEC_PER_SEC;
  int sock = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  while (sock >= 0 && connect (sock, (struct sockaddr *) &address, sizeof address) < 0) {
    if ((errno != ENOENT && errno != ECONNREFUSED && errno != EINTR) || g_get_monotonic_time () > end)
      return -1;
    g_usleep (RETRY_US);
  }
  return sock;
}

/* Over all that stood there.  @from are above them. */
static bool
place (const LunfsPassed *got, int connection)
{
  int high[LUNFS_PASS_MAX], call = fcntl (connection, F_DUPFD_CLOEXEC, CONNECTION_FD + 1);

  for (unsigned i = 0; i < got->nfds; i++)
    if ((high[i] = fcntl (got->fds[i], F_DUPFD_CLOEXEC, CONNECTION_FD + 1)) < 0)
      return false;
  for (int fd = FIRST_FD; fd < FUSE_FD; fd++)
    close (fd);
  for (unsigned i = 0; i + 1 < got->nfds; i++)
    if (dup2 (high[i], FIRST_FD + (int) i) < 0)
      return false;
  return call >= 0 && dup2 (high[got->nfds - 1], FUSE_FD) >= 0 && dup2 (call, CONNECTION_FD) >= 0;
}

/* What systemd would say. */
static void
set_environment (const char *socket, const char *names)
{
  g_autofree char *notify = g_strconcat (socket, LUNFS_NOTIFY_SUFFIX, NULL);
  g_autofree char *pid = g_strdup_printf ("%ld", (long) getpid ());
  g_auto (GStrv) list = g_strsplit (names, ":", -1);
  g_autofree char *n = g_strdup_printf ("%u", g_strv_length (list));

  g_setenv ("NOTIFY_SOCKET", notify, TRUE);
  g_unsetenv ("WATCHDOG_USEC");
  g_setenv ("LISTEN_PID", pid, TRUE);
  g_setenv ("LISTEN_FDS", n, TRUE);
  g_setenv ("LISTEN_FDNAMES", names, TRUE);
}

static int
run (char **command)
{
  for (char **arg = command; *arg; arg++)
    if (strcmp (*arg, "{}") == 0)
      *arg = FUSE_POINT;
  execvp (command[0], command);
  return fail (errno == ENOENT ? LUNFS_EXIT_USAGE : LUNFS_EXIT_FAILED, command[0], g_strerror (errno));
}

int
lunfs_receive (const char *socket, int wait_s, char **command)
{
  LunfsPassed got;
  int connection;

  if (strlen (socket) + strlen (LUNFS_NOTIFY_SUFFIX) >= sizeof ((struct sockaddr_un *) 0)->sun_path)
    return fail (LUNFS_EXIT_USAGE, socket, "the path is too long for a socket");
  connection = dial (socket, wait_s);
  if (connection < 0)
    return fail (LUNFS_EXIT_FAILED, socket, g_strerror (errno));
  /* What lunfs sends there afterwards has passwords in it. */
  if (lunfs_pass_peer (connection) != 0 && lunfs_pass_peer (connection) != geteuid ())
    return fail (LUNFS_EXIT_ACCESS, socket, "it belongs neither to root nor to us");
  if (!lunfs_pass_receive (connection, &got) || got.nfds == 0)
    return fail (LUNFS_EXIT_FAILED, socket, "no mount came; its log (lunfs-mounter's) says why");
  if (!place (&got, connection))
    return fail (LUNFS_EXIT_FAILED, socket, g_strerror (errno));
  set_environment (socket, got.text);
  return run (command);
}
