/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/claim.h"

#include "lunfs/log.h"
#include "util/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES 1024
#define LOCK_TRIES 20

static char *
claim_path (const char *key)
{
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, key, -1);
  g_autofree char *name = g_strdup_printf ("lun-%.32s", sum);

  return lunfs_run_path (geteuid (), name);
}

/* Field 22 of /proc/PID/stat: two processes never have number and start time in common.  0 = no such process. */
static unsigned long long
start_time (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;
  const char *at;
  unsigned long long ticks = 0;
  char state;

  if (!g_file_get_contents (path, &text, NULL, NULL) || !(at = strrchr (text, ')')))
    return 0;
  if (sscanf (at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &state,
              &ticks)
          != 2
      || state == 'Z' || state == 'X')
    return 0;
  return ticks;
}

/* Others hold it for microseconds, unless they are stopped in the middle: then we do not wait for them. */
static bool
lock_soon (int fd)
{
  for (unsigned i = 0; i < LOCK_TRIES; i++) {
    if (flock (fd, LOCK_EX | LOCK_NB) == 0)
      return true;
    if (errno != EWOULDBLOCK && errno != EINTR)
      return false;
    g_usleep (1000);
  }
  return false;
}

/* The file, locked for the time it takes to read and write it; -1: none can be made. */
static int
open_locked (const char *path)
{
  g_autofree char *dir = g_path_get_dirname (path);
  struct stat ours, there;

  g_mkdir_with_parents (dir, 0700);
  for (;;) {
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 || !lock_soon (fd)) {
      lunfs_debug (SUPERVISOR, "%s: %s", path, g_strerror (errno));
      if (fd >= 0)
        close (fd);
      return -1;
    }
    if (fstat (fd, &ours) == 0 && stat (path, &there) == 0 && ours.st_ino == there.st_ino)
      return fd;
    close (fd); /* its last owner has removed it meanwhile */
  }
}

static bool
is_living (int pid, unsigned long long ticks)
{
  return pid > 0 && ticks && start_time (pid) == ticks;
}

typedef struct {
  int pid; /* the supervisor's; 0 = nobody */
  bool living;
  char mountpoint[RECORD_BYTES];
} Holder;

static Holder
read_holder (int fd)
{
  char text[RECORD_BYTES] = "";
  ssize_t n = pread (fd, text, sizeof text - 1, 0);
  unsigned long long ticks = 0, worker_ticks = 0;
  Holder holder = { 0 };
  int worker = 0;

  if (n <= 0
      || sscanf (text, "%d %llu %d %llu %1023[^\n]", &holder.pid, &ticks, &worker, &worker_ticks, holder.mountpoint)
             != 5)
    return (Holder){ 0 };
  holder.living = is_living (holder.pid, ticks) || is_living (worker, worker_ticks);
  return holder;
}

static bool
write_holder (int fd, int pid, const char *mountpoint)
{
  int worker = (int) getpid ();
  g_autofree char *text =
      g_strdup_printf ("%d %llu %d %llu %.900s\n", pid, start_time (pid), worker, start_time (worker), mountpoint);

  return ftruncate (fd, 0) == 0 && pwrite (fd, text, strlen (text), 0) == (ssize_t) strlen (text);
}

bool
lunfs_claim_take (const char *key, int pid, const char *mountpoint, char **out_holder)
{
  g_autofree char *path = claim_path (key);
  int fd = open_locked (path);
  Holder holder;

  if (fd < 0)
    return true;
  holder = read_holder (fd);
  if (holder.living && holder.pid != pid) {
    *out_holder = g_strdup_printf ("%s (lunfs process %d)", holder.mountpoint, holder.pid);
    close (fd);
    return false;
  }
  if (!write_holder (fd, pid, mountpoint))
    lunfs_debug (SUPERVISOR, "%s: %s", path, g_strerror (errno));
  close (fd);
  return true;
}

void
lunfs_claim_drop (const char *key, int pid)
{
  g_autofree char *path = claim_path (key);
  int fd = open (path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

  if (fd < 0)
    return;
  if (lock_soon (fd) && read_holder (fd).pid == pid)
    unlink (path);
  close (fd);
}
