/* SPDX-License-Identifier: GPL-2.0-or-later */
/* As process 1, the first of a container: processes whose parent has died become our children, whoever started them, and
 * stay zombies until somebody waits for them. */
#ifndef LUNFS_SUPERVISOR_PID1_H
#define LUNFS_SUPERVISOR_PID1_H

#include <stdbool.h>
#include <sys/types.h>

bool lunfs_pid1_are_we (void);
/* Bury what has ended, up to the first of @worker and @asked, whose ends others wait for; 0 = there is none.  Does nothing
 * unless we are process 1. */
void lunfs_pid1_reap (pid_t worker, pid_t asked);

#endif
