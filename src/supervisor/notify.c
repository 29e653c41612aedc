/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/notify.h"

#include "lunfs/log.h"
#include "util/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PROBE_NAME "lunfs-probe"

struct LunfsNotify {
  struct sockaddr_un address;
  socklen_t address_bytes; /* 0 = no manager */
  int64_t watchdog_us;
  int probe_fd;   /* hangs up when the manager lets go of the other end; -1 = nothing sent */
  int barrier_fd; /* hangs up when the manager has read all that was sent before it; -1 = it has */
  bool stored;
};

/* ---- what we were started with ---- */

/* A path, or '@' and an abstract name. */
static void
parse_address (LunfsNotify *n, const char *path)
{
  size_t len = path ? strlen (path) : 0;

  if (len < 2 || len >= sizeof n->address.sun_path || (*path != '/' && *path != '@'))
    return;
  n->address.sun_family = AF_UNIX;
  memcpy (n->address.sun_path, path, len);
  if (*path == '@')
    n->address.sun_path[0] = '\0';
  n->address_bytes = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + len);
}

static int64_t
parse_watchdog (const char *usec, const char *pid)
{
  guint64 us, for_pid;

  if (!usec || !g_ascii_string_to_unsigned (usec, 10, 1, G_MAXINT64, &us, NULL))
    return 0;
  if (pid && (!g_ascii_string_to_unsigned (pid, 10, 1, G_MAXINT, &for_pid, NULL) || (pid_t) for_pid != getpid ()))
    return 0;
  return (int64_t) us;
}

LunfsNotify *
lunfs_notify_new (void)
{
  LunfsNotify *n = g_new0 (LunfsNotify, 1);

  n->probe_fd = n->barrier_fd = -1;
  parse_address (n, g_getenv ("NOTIFY_SOCKET"));
  n->watchdog_us = parse_watchdog (g_getenv ("WATCHDOG_USEC"), g_getenv ("WATCHDOG_PID"));
  g_unsetenv ("NOTIFY_SOCKET");
  g_unsetenv ("WATCHDOG_USEC");
  g_unsetenv ("WATCHDOG_PID");
  return n;
}

static void
close_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

void
lunfs_notify_free (LunfsNotify *n)
{
  if (!n)
    return;
  close_fd (&n->probe_fd);
  close_fd (&n->barrier_fd);
  g_free (n);
}

int64_t
lunfs_notify_watchdog_us (const LunfsNotify *n)
{
  return n->address_bytes ? n->watchdog_us : 0;
}

/* ---- telling ---- */

static bool
transmit (const LunfsNotify *n, const char *lines, int fd)
{
  struct timeval patience = { .tv_sec = 1 };
  struct iovec iov = { (void *) lines, strlen (lines) };
  LunfsFdPass space;
  struct msghdr m = {
    .msg_name = (void *) &n->address, .msg_namelen = n->address_bytes, .msg_iov = &iov, .msg_iovlen = 1
  };
  int sock = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool ok;

  if (sock < 0)
    return false;
  if (fd >= 0)
    lunfs_fdpass_attach (&m, &fd, 1, &space);
  setsockopt (sock, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ok = sendmsg (sock, &m, MSG_NOSIGNAL) >= 0;
  if (!ok)
    lunfs_debug (SUPERVISOR, "the service manager does not hear '%s': %s", lines, g_strerror (errno));
  close (sock);
  return ok;
}

void
lunfs_notify_say (const LunfsNotify *n, const char *lines)
{
  if (n->address_bytes)
    transmit (n, lines, -1);
}

/* ---- the store ---- */

/* Send one end of a pipe; the other one hangs up when the manager lets go of it. */
static int
send_end (const LunfsNotify *n, const char *lines)
{
  int ends[2];
  bool ok;

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return -1;
  ok = transmit (n, lines, ends[1]);
  close (ends[1]);
  if (ok)
    return ends[0];
  close (ends[0]);
  return -1;
}

void
lunfs_notify_store (const LunfsNotify *n, const char *name, int fd, bool replace)
{
  g_autofree char *remove = g_strdup_printf ("FDSTOREREMOVE=1\nFDNAME=%s", name);
  g_autofree char *keep = g_strdup_printf ("FDSTORE=1\nFDNAME=%s", name);

  if (!n->address_bytes)
    return;
  if (replace)
    transmit (n, remove, -1);
  transmit (n, keep, fd);
}

void
lunfs_notify_store_done (LunfsNotify *n)
{
  if (!n->address_bytes)
    return;
  n->probe_fd = send_end (n, "FDSTORE=1\nFDNAME=" PROBE_NAME);
  if (n->probe_fd >= 0)
    n->barrier_fd = send_end (n, "BARRIER=1");
}

void
lunfs_notify_store_clear (LunfsNotify *n, const char *const *names)
{
  close_fd (&n->probe_fd); /* the manager sees that, and drops its end */
  close_fd (&n->barrier_fd);
  n->stored = false;
  for (; *names; names++) {
    g_autofree char *lines = g_strdup_printf ("FDSTOREREMOVE=1\nFDNAME=%s", *names);

    lunfs_notify_say (n, lines);
  }
}

void
lunfs_notify_pollfds (const LunfsNotify *n, struct pollfd *out)
{
  out[0] = (struct pollfd){ .fd = n->probe_fd };
  out[1] = (struct pollfd){ .fd = n->barrier_fd };
}

/* The probe is looked at again when the barrier has fallen: poll may have asked for it a moment too early. */
static bool
is_hung_up (int fd)
{
  struct pollfd p = { .fd = fd };

  return fd < 0 || poll (&p, 1, 0) != 0;
}

bool
lunfs_notify_polled (LunfsNotify *n, const struct pollfd *polled)
{
  bool was = n->stored;

  if (polled[1].revents) {
    close_fd (&n->barrier_fd);
    n->stored = !is_hung_up (n->probe_fd);
    if (!n->stored)
      lunfs_info (
          "the service manager keeps no descriptors for us (FileDescriptorStoreMax= below 5): if the supervisor is "
          "killed, the mount ends");
  }
  if (polled[0].revents) {
    close_fd (&n->probe_fd);
    n->stored = false;
  }
  return n->stored != was;
}

bool
lunfs_notify_is_stored (const LunfsNotify *n)
{
  return n->stored;
}
