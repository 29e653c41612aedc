/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lunfs/log.h"

#define SPARED_SCORE (-900) /* hardly anything is chosen later */

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

/* Perhaps OOMScoreAdjust= of a service has done it for us. */
static bool
spare_from_oom (void)
{
  static const char score[] = "-1000";
  int fd = open ("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  char now[16] = "";
  bool spared = false;

  if (fd >= 0 && read (fd, now, sizeof now - 1) > 0)
    spared = pwrite (fd, score, strlen (score), 0) > 0 || atoi (now) <= SPARED_SCORE;
  if (!spared)
    lunfs_debug (SUPERVISOR, "no protection from the OOM killer: %s", g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return spared;
}

static bool
become_io_flusher (void)
{
  if (prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0) == 0)
    return true;
  lunfs_debug (SUPERVISOR, "no PR_SET_IO_FLUSHER (needs CAP_SYS_RESOURCE): %s", g_strerror (errno));
  return false;
}

static bool
has_ipc_lock (void)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

  return syscall (SYS_capget, &header, data) == 0 && (data[0].effective & (1u << CAP_IPC_LOCK)) != 0;
}

/* Under a finite limit MCL_FUTURE would make later mmap calls, thread stacks among them, fail. */
static bool
may_lock_without_limit (void)
{
  struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

  if (has_ipc_lock () || setrlimit (RLIMIT_MEMLOCK, &limit) == 0)
    return true;
  return getrlimit (RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

static bool
lock_all (void)
{
  if (!may_lock_without_limit ()) {
    lunfs_debug (SUPERVISOR, "memory is not locked: the limit (ulimit -l) is not unlimited");
    return false;
  }
  if (mlockall (MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
    return true;
  lunfs_debug (SUPERVISOR, "memory is not locked: %s", g_strerror (errno));
  return false;
}

/* What comes of what was refused, and what helps; NULL for nothing. */
static char *
describe (bool unlocked, bool unspared, bool waits)
{
  GString *text;

  if (!unlocked && !unspared && !waits)
    return NULL;
  text = g_string_new ("lunfs is not protected when memory is short:");
  if (unlocked)
    g_string_append (text,
                     " it may be swapped out (LimitMEMLOCK=infinity, ulimit -l unlimited or CAP_IPC_LOCK helps),");
  if (unspared)
    g_string_append (text, " the OOM killer may choose it (OOMScoreAdjust=-1000 or CAP_SYS_RESOURCE helps),");
  if (waits)
    g_string_append (text, " it may wait for the disks that it serves (CAP_SYS_RESOURCE helps: no PR_SET_IO_FLUSHER),");
  text->str[text->len - 1] = '.';
  return g_string_free (text, FALSE);
}

bool
lunfs_protect_process (bool lock_memory, char **out_refused)
{
  bool spared = spare_from_oom (), flusher = become_io_flusher (), locked = lock_memory && lock_all ();

  if (out_refused)
    *out_refused = describe (lock_memory && !locked, !spared, !flusher);
  return locked;
}
