/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Telling the outside: the command that waits for its background process, the pid file. */
#ifndef LUNFS_SUPERVISOR_READY_H
#define LUNFS_SUPERVISOR_READY_H

#include <glib.h>
#include <stdbool.h>

/* Fork.  In the child: true, *out_fd is where lunfs_ready_report writes.  In the parent: false, after the child
 * has reported (its text was printed to stderr) or ended; *out_status is the exit status.  Single thread only. */
bool lunfs_ready_fork (int *out_fd, int *out_status);
/* Tell the waiting command how it went; @text may be NULL.  Closes *fd and sets it to -1; nothing if it is -1. */
void lunfs_ready_report (int *fd, int status, const char *text);
/* Standard input, output and (unless @keep_stderr) error to /dev/null. */
void lunfs_ready_detach (bool keep_stderr);

/* Before mounting: can it be written? */
bool lunfs_ready_check_pidfile (const char *path, GError **error);
/* Warns if it cannot be written. */
void lunfs_ready_write_pidfile (const char *path);
/* If it names @pid. */
void lunfs_ready_remove_pidfile (const char *path, long pid);

#endif
