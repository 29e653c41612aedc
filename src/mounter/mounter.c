/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs-mounter: the privileged half of lunfs in a container.  It mounts, hands /dev/fuse to a lunfs without privileges, keeps
 * what that leaves when it is killed, and unmounts.  It reads no request and looks into nothing that it keeps.
 *
 *   nobody serves      a connection comes -> mount, unless there is one with memory to go on with; hand over      -> served
 *   served             it ends, memory is kept (killed)                                                           -> waiting
 *                      it ends, nothing is kept (orderly, or never begun): unmount                                -> nobody serves
 *   waiting            a connection comes -> hand over mount and memory                                           -> served
 *                      --keep seconds pass: unmount, drop the memory                                              -> nobody serves
 *   any, SIGTERM       unmount when nobody uses it, after --stop-timeout or at a second SIGTERM in any case; end when the one
 *                      who serves has flushed and ended
 * One thread. */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"
#include "mounter/pass.h"
#include "mounter/point.h"
#include "mounter/receive.h"
#include "mounter/store.h"

#define TICK_MS 200
#define FLUSH_S 60 /* for the one who serves, after the unmount: twice lunfs's stop_timeout */

typedef struct {
  LunfsPoint point;
  LunfsKept kept;
  const char *socket;
  int keep_s, stop_timeout_s, wait_s;
  int listen_fd, notify_fd, signal_fd;
  int connection_fd;  /* to the one who serves; -1 = nobody */
  int64_t give_up_us; /* waiting ends; 0 = not waiting */
  int64_t detach_us;  /* stopping: from then on whoever uses it; 0 = not stopping */
  bool finished;
  int status;
} Mounter;

static int64_t
in_seconds (int seconds)
{
  return g_get_monotonic_time () + seconds * G_USEC_PER_SEC;
}

/* ---- who serves ---- */

static bool
hand_over (Mounter *m, bool same_mount)
{
  int fds[] = { m->kept.fds[LUNFS_KEPT_ARENA], m->kept.fds[LUNFS_KEPT_SETTINGS], m->point.fuse_fd };

  if (!lunfs_kept_is_whole (&m->kept))
    return lunfs_pass_send (m->connection_fd, "", &m->point.fuse_fd, 1);
  return lunfs_pass_send (m->connection_fd,
                          same_mount ? "lunfs-arena:lunfs-settings:lunfs-fuse" : "lunfs-arena:lunfs-settings", fds,
                          G_N_ELEMENTS (fds));
}

/* Without its memory nobody can go on with a mount: the kernel has been told its terms once. */
static void
serve (Mounter *m)
{
  bool same_mount = lunfs_kept_is_whole (&m->kept) && lunfs_point_is_mounted (&m->point);
  g_autoptr (GError) error = NULL;

  if (!same_mount) {
    lunfs_point_unmount (&m->point);
    if (!lunfs_point_mount (&m->point, &error))
      lunfs_error ("%s", error->message);
  }
  if (m->point.fuse_fd < 0 || !hand_over (m, same_mount)) {
    close (m->connection_fd);
    m->connection_fd = -1;
    return;
  }
  m->give_up_us = 0;
  lunfs_notice ("%s: %s", m->point.path, same_mount ? "its next lunfs goes on with it" : "mounted for a lunfs");
}

static void
take_connection (Mounter *m)
{
  int fd = accept4 (m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
  uid_t uid = fd >= 0 ? lunfs_pass_peer (fd) : (uid_t) -1;

  if (fd < 0)
    return;
  if (uid != m->point.uid && uid != 0) {
    lunfs_warning ("%s: user %u is not the one who may serve (--owner)", m->socket, (unsigned) uid);
    close (fd);
    return;
  }
  m->connection_fd = fd;
  serve (m);
}

/* What it said before its end has been heard. */
static void
lose_connection (Mounter *m)
{
  close (m->connection_fd);
  m->connection_fd = -1;
  if (lunfs_kept_is_whole (&m->kept)) {
    m->give_up_us = in_seconds (m->keep_s);
    lunfs_warning ("%s: its lunfs has ended without a word: its users wait for the next one, up to %d s", m->point.path,
                   m->keep_s);
    return;
  }
  lunfs_kept_drop_all (&m->kept);
  lunfs_point_unmount (&m->point);
  lunfs_notice ("%s: its lunfs has ended: unmounted", m->point.path);
}

static void
give_up (Mounter *m)
{
  m->give_up_us = 0;
  m->status = LUNFS_EXIT_UNFLUSHED;
  lunfs_error ("%s: no lunfs has come: unmounting; what was written without fsync may be lost", m->point.path);
  lunfs_kept_drop_all (&m->kept);
  lunfs_point_unmount (&m->point);
}

/* ---- the end ---- */

static void
begin_stop (Mounter *m)
{
  bool again = m->detach_us != 0;

  lunfs_notice ("%s: stopping%s", m->point.path, again ? " at once" : "");
  m->detach_us = again ? g_get_monotonic_time () : in_seconds (m->stop_timeout_s);
}

static void
go_on_stopping (Mounter *m)
{
  int64_t now = g_get_monotonic_time ();
  bool unmounted = lunfs_point_try_unmount (&m->point);

  if (!unmounted && now >= m->detach_us) {
    lunfs_warning ("%s: still in use: its users lose it now", m->point.path);
    lunfs_point_unmount (&m->point);
    unmounted = true;
  }
  if (!unmounted)
    return;
  if (m->connection_fd < 0 && lunfs_kept_is_whole (&m->kept))
    give_up (m);
  m->finished = m->connection_fd < 0 || now > m->detach_us + FLUSH_S * G_USEC_PER_SEC;
}

static void
tick (Mounter *m)
{
  if (m->detach_us)
    go_on_stopping (m);
  else if (m->give_up_us && g_get_monotonic_time () > m->give_up_us)
    give_up (m);
}

static void
read_signals (Mounter *m)
{
  struct signalfd_siginfo info;

  while (read (m->signal_fd, &info, sizeof info) == sizeof info)
    begin_stop (m);
}

static void
loop (Mounter *m)
{
  while (!m->finished) {
    struct pollfd p[] = { { .fd = m->notify_fd, .events = POLLIN },
                          { .fd = m->signal_fd, .events = POLLIN },
                          { .fd = m->connection_fd },
                          { .fd = m->connection_fd < 0 && !m->detach_us ? m->listen_fd : -1, .events = POLLIN },
                          { .fd = m->kept.fds[LUNFS_KEPT_PROBE] } };

    if (poll (p, G_N_ELEMENTS (p), m->detach_us || m->give_up_us ? TICK_MS : -1) < 0 && errno != EINTR)
      g_usleep (TICK_MS * 1000);
    if (p[4].revents)
      lunfs_kept_drop (&m->kept, LUNFS_KEPT_PROBE);
    lunfs_kept_hear (&m->kept, m->notify_fd);
    if (p[1].revents)
      read_signals (m);
    if (p[2].revents)
      lose_connection (m);
    else if (p[3].revents)
      take_connection (m);
    tick (m);
  }
}

/* ---- the beginning ---- */

static bool
set_up (Mounter *m, GError **error)
{
  g_autofree char *notify = g_strconcat (m->socket, LUNFS_NOTIFY_SUFFIX, NULL);
  sigset_t set;

  sigemptyset (&set);
  sigaddset (&set, SIGTERM);
  sigaddset (&set, SIGINT);
  sigprocmask (SIG_BLOCK, &set, NULL);
  m->signal_fd = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (!lunfs_log_open ("stderr", LUNFS_LOG_NOTICE, 0, error))
    return false;
  lunfs_point_sweep (&m->point);
  if (mkdir (m->point.path, 0755) < 0 && errno != EEXIST)
    lunfs_warning ("%s: %s", m->point.path, g_strerror (errno));
  m->notify_fd = lunfs_pass_listen (notify, SOCK_DGRAM, m->point.uid, m->point.gid, error);
  if (m->notify_fd >= 0)
    m->listen_fd = lunfs_pass_listen (m->socket, SOCK_SEQPACKET, m->point.uid, m->point.gid, error);
  return m->listen_fd >= 0;
}

static int
run (Mounter *m, const char *mountpoint)
{
  g_autofree char *notify = g_strconcat (m->socket, LUNFS_NOTIFY_SUFFIX, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *path = lunfs_point_path (mountpoint, &error);

  m->point.path = path;
  lunfs_kept_init (&m->kept, m->point.uid);
  if (!path || !set_up (m, &error)) {
    fprintf (stderr, "lunfs-mounter: %s\n", error->message);
    return error->code;
  }
  loop (m);
  unlink (m->socket);
  unlink (notify);
  lunfs_kept_drop_all (&m->kept);
  return m->status;
}

/* ---- the command line ---- */

static const char usage_text[] =
    "usage: lunfs-mounter [options] SOCKET MOUNTPOINT           mount for a lunfs that comes to SOCKET\n"
    "       lunfs-mounter --receive SOCKET [--wait=SECONDS] -- lunfs -f [options] SOURCE {}\n"
    "  --owner=UID[:GID]       who may serve, and owns the mount (0:0)\n"
    "  --keep=SECONDS          how long users wait for the next lunfs when one was killed (600)\n"
    "  --stop-timeout=SECONDS  how long to wait for users at SIGTERM (30)\n"
    "  --read-only             mount read only\n"
    "  --wait=SECONDS          how long to wait for the mounter (30)\n"
    "See lunfs-mounter(8).\n";

static int
refuse (const char *what)
{
  fprintf (stderr, "lunfs-mounter: %s\n%s", what, usage_text);
  return LUNFS_EXIT_USAGE;
}

static bool
parse_number (const char *text, guint64 max, guint64 *out)
{
  return g_ascii_string_to_unsigned (text, 10, 0, max, out, NULL);
}

static bool
parse_seconds (const char *text, int *out)
{
  guint64 n;

  if (!parse_number (text, 86400 * 366, &n))
    return false;
  *out = (int) n;
  return true;
}

static bool
parse_owner (const char *text, LunfsPoint *point)
{
  g_auto (GStrv) parts = g_strsplit (text, ":", 2);
  guint64 uid, gid;

  if (!parts[0] || !parse_number (parts[0], G_MAXUINT32 - 1, &uid)
      || !parse_number (parts[1] ? parts[1] : parts[0], G_MAXUINT32 - 1, &gid))
    return false;
  point->uid = (uid_t) uid;
  point->gid = (gid_t) gid;
  return true;
}

static bool
take_option (Mounter *m, int option, const char **receive)
{
  switch (option) {
  case 'o':
    return parse_owner (optarg, &m->point);
  case 'k':
    return parse_seconds (optarg, &m->keep_s);
  case 's':
    return parse_seconds (optarg, &m->stop_timeout_s);
  case 'w':
    return parse_seconds (optarg, &m->wait_s);
  case 'r':
    m->point.read_only = true;
    return true;
  case 'R':
    *receive = optarg;
    return true;
  }
  return false;
}

int
main (int argc, char **argv)
{
  static const struct option options[] = {
    { "owner", required_argument, NULL, 'o' },
    { "keep", required_argument, NULL, 'k' },
    { "stop-timeout", required_argument, NULL, 's' },
    { "read-only", no_argument, NULL, 'r' },
    { "receive", required_argument, NULL, 'R' },
    { "wait", required_argument, NULL, 'w' },
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { NULL, 0, NULL, 0 },
  };
  Mounter m = {
    .keep_s = 600, .stop_timeout_s = 30, .wait_s = 30, .listen_fd = -1, .notify_fd = -1, .connection_fd = -1
  };
  const char *receive = NULL;
  int option;

  m.point.fuse_fd = -1;
  while ((option = getopt_long (argc, argv, "+hV", options, NULL)) >= 0) {
    if (option == 'h' || option == 'V')
      return fputs (option == 'h' ? usage_text : "lunfs-mounter " PACKAGE_VERSION "\n", stdout) < 0 ? LUNFS_EXIT_FAILED
                                                                                                    : LUNFS_EXIT_OK;
    if (!take_option (&m, option, &receive))
      return refuse ("unknown option, or no number where one belongs");
  }
  if (receive)
    return optind < argc ? lunfs_receive (receive, m.wait_s, argv + optind) : refuse ("no command to run");
  if (argc - optind != 2 || argv[optind][0] != '/' || argv[optind + 1][0] != '/')
    return refuse ("SOCKET and MOUNTPOINT must be given, as absolute paths");
  m.socket = argv[optind];
  return run (&m, argv[optind + 1]);
}
