/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a worker: a program with four descriptors and an environment variable. */
#ifndef LUNFS_SUPERVISOR_SPAWN_H
#define LUNFS_SUPERVISOR_SPAWN_H

#include "supervisor/program.h"
#include "supervisor/supervisor.h"

#include <sys/types.h>

/* @fds are the supervisor's numbers and stay open here.  @quiet: the worker's standard descriptors are /dev/null
 * (stderr too, unless @keep_stderr).  Returns its pid, or -1 with @error.  If the exec fails it exits with 127. */
pid_t lunfs_spawn_worker (const LunfsProgram *program, const LunfsWorkerFds *fds, bool quiet, bool keep_stderr,
                          GError **error);

/* In a worker: it begins anew as @program, as its own successor, in the same process.  Threads, memory and all but @fds are gone.
 * If that fails it exits with 127. */
void lunfs_worker_exec_again (const LunfsWorkerFds *fds, const LunfsProgram *program) G_GNUC_NORETURN;

#endif
