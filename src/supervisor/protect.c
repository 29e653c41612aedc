/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lunfs/log.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

static void
spare_from_oom (void)
{
  static const char score[] = "-1000";
  int fd = open ("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

  if (fd < 0 || write (fd, score, strlen (score)) < 0)
    lunfs_debug (SUPERVISOR, "no protection from the OOM killer: %s", g_strerror (errno));
  if (fd >= 0)
    close (fd);
}

static void
become_io_flusher (void)
{
  if (prctl (PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
    lunfs_debug (SUPERVISOR, "no PR_SET_IO_FLUSHER (needs CAP_SYS_RESOURCE): %s", g_strerror (errno));
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

bool
lunfs_protect_process (bool lock_memory)
{
  spare_from_oom ();
  become_io_flusher ();
  return lock_memory && lock_all ();
}
