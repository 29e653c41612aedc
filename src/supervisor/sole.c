/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A record lock (fcntl) on the arena: the kernel gives it back when the process has ended, after its memory is gone, and
 * tells who has it.  It belongs to the process, not to the descriptor, which all workers share with the supervisor. */
#include "config.h"

#include "supervisor/sole.h"

#include "lunfs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP_US 5000
#define LEAVE_WITHIN_US INT64_C (2000000)
#define DIE_WITHIN_US INT64_C (20000000)

/* A byte that is not util/filelock.h's. */
static struct flock
first_byte (void)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

  return lock;
}

/* 0 = nobody, or nobody we can see. */
static pid_t
holder_of (int fd)
{
  struct flock lock = first_byte ();

  return fcntl (fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0 ? lock.l_pid : 0;
}

static pid_t
parent_of (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%ld/stat", (long) pid);
  g_autofree char *text = NULL;
  const char *at;
  long parent = 0;

  if (g_file_get_contents (path, &text, NULL, NULL) && (at = strrchr (text, ')')))
    sscanf (at + 1, " %*c %ld", &parent);
  return (pid_t) parent;
}

/* By a descriptor, so that it is no other process with that number; before Linux 5.3 by the number. */
static bool
kill_if_holder (int fd, pid_t pid)
{
  int pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  bool by_number = pidfd < 0 && errno == ENOSYS, killed = false;

  if (holder_of (fd) == pid)
    killed = by_number ? kill (pid, SIGKILL) == 0 : syscall (SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0;
  if (pidfd >= 0)
    close (pidfd);
  return killed;
}

/* A brother is our supervisor's business. */
static void
kill_holder (int fd)
{
  pid_t pid = holder_of (fd);

  if (pid && parent_of (pid) != getppid () && kill_if_holder (fd, pid))
    lunfs_warning ("the former supervisor's worker %ld has not left: killed", (long) pid);
}

bool
lunfs_sole_become (int arena_fd)
{
  struct flock lock = first_byte ();
  int64_t begun = g_get_monotonic_time (), passed = 0;
  bool killed = false;

  while (fcntl (arena_fd, F_SETLK, &lock) < 0) {
    if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
      lunfs_debug (SUPERVISOR, "no lock on the arena: %s", g_strerror (errno));
      return true;
    }
    passed = g_get_monotonic_time () - begun;
    if (passed > DIE_WITHIN_US) {
      lunfs_error ("a former worker (process %ld) still has the mount and cannot be ended",
                   (long) holder_of (arena_fd));
      return false;
    }
    if (passed > LEAVE_WITHIN_US && !killed) {
      kill_holder (arena_fd);
      killed = true;
    }
    g_usleep (STEP_US);
  }
  return true;
}
