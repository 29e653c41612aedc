/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Core dumps never go to lunfs's own mount: the process that would have to serve the write is the one that is being dumped,
 * and both would hang for ever. */
#ifndef LUNFS_SUPERVISOR_CORE_H
#define LUNFS_SUPERVISOR_CORE_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The soft limit that was found; zeroed at first. */
typedef struct {
  bool known, said;
  rlim_t soft;
} LunfsCoreLimit;

/* @pattern: /proc/sys/kernel/core_pattern.  Relative ones are meant for a process whose working directory is /. */
bool lunfs_core_lands_on (const char *pattern, const char *mountpoint);
/* No core dumps of @pid (0 = us) and its children from here on, if they would land on @mountpoint, or in a file system on a loop
 * device in it (whose mount is @device, as in mountinfo; NULL = not known).  Before each worker starts, and now and then:
 * pattern and mounts change. */
void lunfs_core_keep_off (const char *mountpoint, const char *device, pid_t pid, LunfsCoreLimit *limit);

#endif
