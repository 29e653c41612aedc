/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program a worker is: the supervisor's own file, or one that was installed since.
 *
 * A program is kept open: what was asked whether it fits is what runs, also when the file is replaced once more. */
#ifndef LUNFS_SUPERVISOR_PROGRAM_H
#define LUNFS_SUPERVISOR_PROGRAM_H

#include "supervisor/interface.h"

#include <sys/types.h>

typedef struct {
  char *path; /* NULL: the supervisor's own */
  int fd;     /* O_PATH of it; -1: the supervisor's own */
  char version[LUNFS_VERSION_BYTES];
} LunfsProgram;

/* Where this process' program lies, or lay: an upgrade puts another file there.  NULL: unknown. */
char *lunfs_program_own_path (void);
LunfsProgram *lunfs_program_own (void);
/* What lies at @path now. */
LunfsProgram *lunfs_program_open (const char *path, GError **error);
void lunfs_program_free (LunfsProgram *program); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsProgram, lunfs_program_free)

/* Start it with --worker-interface; the answer comes through *out_fd. */
bool lunfs_program_ask (const LunfsProgram *program, pid_t *out_pid, int *out_fd, GError **error);
/* In a child, signals and descriptors as they should be: become it, or return.  @fd: where its descriptor is now.  @option
 * may be NULL. */
void lunfs_program_exec (const LunfsProgram *program, int fd, const char *option);

#endif
