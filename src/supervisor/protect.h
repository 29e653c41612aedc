/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A process that serves a disk must not be killed for memory, nor wait for the disk it serves to get some.
 * Best effort, for supervisor and worker. */
#ifndef LUNFS_SUPERVISOR_PROTECT_H
#define LUNFS_SUPERVISOR_PROTECT_H

#include <stdbool.h>

/* oom_score_adj -1000, PR_SET_IO_FLUSHER and, with @lock_memory, mlockall.  Pages are locked as they are touched
 * (MCL_ONFAULT: the sparse arena must not be filled), so whoever reads FUSE requests into a buffer touches it
 * first.  Returns whether memory is locked.  *out_refused (g_free): one line about what was refused, what comes of it and what
 * would help, or NULL; may be NULL itself. */
bool lunfs_protect_process (bool lock_memory, char **out_refused);

#endif
