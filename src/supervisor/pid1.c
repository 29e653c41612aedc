/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/pid1.h"

#include <sys/wait.h>
#include <unistd.h>

bool
lunfs_pid1_are_we (void)
{
  return getpid () == 1;
}

void
lunfs_pid1_reap (pid_t worker, pid_t asked)
{
  siginfo_t ended = { 0 };

  while (lunfs_pid1_are_we () && waitid (P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0) {
    if (ended.si_pid == worker || ended.si_pid == asked)
      return;
    waitpid (ended.si_pid, NULL, 0);
    ended.si_pid = 0;
  }
}
