/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/expire.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between fork and exit of a process with threads: nothing but system calls.  What else was inherited is closed: the locks of a
 * worker that has died are free only then. */
static _Noreturn void
expire (int fuse_fd, uint64_t ino)
{
  struct {
    struct fuse_out_header header;
    struct fuse_notify_inval_inode_out out;
  } notify = { .header = { .len = sizeof notify, .error = FUSE_NOTIFY_INVAL_INODE }, .out = { .ino = ino } };
  ssize_t n;

  if (fuse_fd > 0)
    syscall (SYS_close_range, 0, (unsigned) fuse_fd - 1, 0);
  syscall (SYS_close_range, (unsigned) fuse_fd + 1, ~0u, 0);
  n = write (fuse_fd, &notify, sizeof notify); /* ENOENT: the kernel has nothing of the node */
  _exit (n < 0);
}

bool
lunfs_expire_pages (int fuse_fd, uint64_t ino)
{
  pid_t child = fork ();

  if (child < 0)
    return false;
  if (child == 0) { /* its child is init's: nobody here has to wait for it */
    child = fork ();
    if (child == 0)
      expire (fuse_fd, ino);
    _exit (child < 0 ? errno : 0);
  }
  for (int status;;) {
    if (waitpid (child, &status, 0) == child) {
      errno = WIFEXITED (status) ? WEXITSTATUS (status) : ECHILD;
      return errno == 0;
    }
    if (errno != EINTR)
      return false;
  }
}
