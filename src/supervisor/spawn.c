/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker keeps the signals of a terminal or of systemd (INT, HUP, TERM go to the whole group) ignored: when to
 * stop is told through the control socket only, so that it is the supervisor who decides about flushing. */
#include "config.h"

#include "supervisor/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "supervisor/ready.h"

#define FIRST_FD 3 /* the worker finds its descriptors from here on */
#define NFDS 4
#define PROGRAM_FD (FIRST_FD + NFDS)
#define EXEC_FAILED 127
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1u << 2)
#endif

/* ---- supervisor ---- */

static void
close_from (unsigned first)
{
#ifdef SYS_close_range
  /* Older kernels: what was inherited without CLOEXEC then stays open in the worker. */
  syscall (SYS_close_range, first, ~0u, 0);
#endif
}

/* Above all targets first: a source may lie where another one has to go.  The program's own goes behind them, where the exec
 * closes it. */
static bool
place_fds (const LunfsWorkerFds *fds, int program_fd)
{
  const int from[NFDS] = { fds->fuse_fd, fds->arena_fd, fds->settings_fd, fds->control_fd };
  int high[NFDS], program = program_fd < 0 ? -1 : fcntl (program_fd, F_DUPFD_CLOEXEC, FIRST_FD + NFDS + 1);

  for (int i = 0; i < NFDS; i++)
    if ((high[i] = fcntl (from[i], F_DUPFD_CLOEXEC, FIRST_FD + NFDS)) < 0)
      return false;
  for (int i = 0; i < NFDS; i++)
    if (dup2 (high[i], FIRST_FD + i) < 0)
      return false;
  if (program >= 0)
    dup3 (program, PROGRAM_FD, O_CLOEXEC);
  close_from (PROGRAM_FD + (program >= 0));
  return true;
}

static void
reset_signals (void)
{
  sigset_t none;

  signal (SIGINT, SIG_IGN);
  signal (SIGHUP, SIG_IGN);
  signal (SIGTERM, SIG_IGN);
  signal (SIGUSR2, SIG_IGN);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static void
become_worker (const LunfsProgram *program, const LunfsWorkerFds *fds, bool quiet, bool keep_stderr)
{
  char value[96];

  if (quiet)
    lunfs_ready_detach (keep_stderr);
  if (!place_fds (fds, program->fd))
    _exit (EXEC_FAILED);
  snprintf (value, sizeof value, "%d,%d,%d,%d;%d,%d", FIRST_FD, FIRST_FD + 1, FIRST_FD + 2, FIRST_FD + 3,
            LUNFS_PROTOCOL, LUNFS_SETTINGS_FORMAT);
  setenv (LUNFS_WORKER_ENV, value, 1);
  reset_signals ();
  lunfs_program_exec (program, PROGRAM_FD, NULL);
  _exit (EXEC_FAILED);
}

pid_t
lunfs_spawn_worker (const LunfsProgram *program, const LunfsWorkerFds *fds, bool quiet, bool keep_stderr,
                    GError **error)
{
  pid_t pid;

  lseek (fds->settings_fd, 0, SEEK_SET); /* the position is shared with the former worker */
  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    become_worker (program, fds, quiet, keep_stderr);
  if (pid < 0)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot start a worker: %s", g_strerror (errno));
  return pid;
}

/* ---- worker ---- */

void
lunfs_worker_exec_again (const LunfsWorkerFds *fds, const LunfsProgram *program)
{
  const int keep[NFDS] = { fds->fuse_fd, fds->arena_fd, fds->settings_fd, fds->control_fd };
  char value[96];

#ifdef SYS_close_range
  syscall (SYS_close_range, STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
#endif
  for (int i = 0; i < NFDS; i++)
    fcntl (keep[i], F_SETFD, 0);
  snprintf (value, sizeof value, "%d,%d,%d,%d;%d,%d", keep[0], keep[1], keep[2], keep[3], LUNFS_PROTOCOL,
            LUNFS_SETTINGS_FORMAT);
  setenv (LUNFS_WORKER_ENV, value, 1);
  lunfs_program_exec (program, program->fd, NULL);
  _exit (EXEC_FAILED);
}

bool
lunfs_worker_fds_from_env (LunfsWorkerFds *out)
{
  g_autofree char *value = g_strdup (g_getenv (LUNFS_WORKER_ENV));
  int fd[NFDS], protocol = 0, format = 0, used = -1;

  if (!value)
    return false;
  g_unsetenv (LUNFS_WORKER_ENV);
  *out = (LunfsWorkerFds){ -1, -1, -1, -1, .misfit = true };
  if (sscanf (value, "%d,%d,%d,%d;%d,%d%n", &fd[0], &fd[1], &fd[2], &fd[3], &protocol, &format, &used) != NFDS + 2
      || used < 0 || value[used] || protocol != LUNFS_PROTOCOL || format != LUNFS_SETTINGS_FORMAT)
    return true;
  for (int i = 0; i < NFDS; i++)
    if (fd[i] < 0 || fcntl (fd[i], F_SETFD, FD_CLOEXEC) < 0)
      return true;
  *out = (LunfsWorkerFds){ .fuse_fd = fd[0], .arena_fd = fd[1], .settings_fd = fd[2], .control_fd = fd[3] };
  return true;
}

LunfsSettings *
lunfs_worker_read_settings (int settings_fd, GError **error)
{
  LunfsSettings *settings;
  struct stat st;
  char *text;

  if (fstat (settings_fd, &st) < 0 || st.st_size <= 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "the settings handed over by the supervisor are missing");
    return NULL;
  }
  text = mmap (NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, settings_fd, 0);
  if (text == MAP_FAILED) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot read the settings: %s", g_strerror (errno));
    return NULL;
  }
  madvise (text, (size_t) st.st_size, MADV_DONTDUMP);
  settings = lunfs_settings_from_text (text, (gsize) st.st_size, error);
  munmap (text, (size_t) st.st_size);
  return settings;
}
