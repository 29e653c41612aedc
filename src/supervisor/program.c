/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lunfs/error.h"

#define DELETED " (deleted)"
#define EXEC_FAILED 127

static char *
own_link (void)
{
  char path[4096];
  ssize_t len = readlink ("/proc/self/exe", path, sizeof path - 1);

  return len > 0 && *path == '/' ? g_strndup (path, (gsize) len) : NULL;
}

char *
lunfs_program_own_path (void)
{
  char *path = own_link ();

  if (path && g_str_has_suffix (path, DELETED))
    path[strlen (path) - strlen (DELETED)] = '\0';
  return path;
}

LunfsProgram *
lunfs_program_own (void)
{
  LunfsProgram *p = g_new0 (LunfsProgram, 1);

  p->fd = -1;
  g_strlcpy (p->version, PACKAGE_VERSION, sizeof p->version);
  return p;
}

LunfsProgram *
lunfs_program_open (const char *path, GError **error)
{
  g_autoptr (LunfsProgram) p = g_new0 (LunfsProgram, 1);
  struct stat st;

  p->fd = open (path, O_PATH | O_CLOEXEC);
  if (p->fd < 0 || fstat (p->fd, &st) < 0) {
    g_set_error (error, LUNFS_ERROR, lunfs_exit_of_path (errno), "%s: %s; install lunfs there first", path,
                 g_strerror (errno));
    return NULL;
  }
  if (!S_ISREG (st.st_mode) || access (path, X_OK) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_ACCESS, "%s is not a program that may be run; install lunfs again",
                 path);
    return NULL;
  }
  p->path = g_strdup (path);
  return g_steal_pointer (&p);
}

void
lunfs_program_free (LunfsProgram *p)
{
  if (!p)
    return;
  if (p->fd >= 0)
    close (p->fd);
  g_free (p->path);
  g_free (p);
}

/* ---- running it ---- */

/* By name while the name is still this file (a tool like valgrind stands behind /proc/self/exe itself), else the file that
 * runs. */
static void
exec_own (const char *option)
{
  g_autofree char *path = own_link ();

  if (path && !g_str_has_suffix (path, DELETED))
    execl (path, "lunfs", option, NULL);
  execl ("/proc/self/exe", "lunfs", option, NULL);
}

/* The name shows in ps and /proc/PID/exe, and scripts can be run by name only. */
void
lunfs_program_exec (const LunfsProgram *p, int fd, const char *option)
{
  struct stat by_name, by_fd;
  char path[32];

  if (p->fd < 0) {
    exec_own (option);
    return;
  }
  if (stat (p->path, &by_name) == 0 && fstat (fd, &by_fd) == 0 && by_name.st_dev == by_fd.st_dev
      && by_name.st_ino == by_fd.st_ino)
    execl (p->path, "lunfs", option, NULL);
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  execl (path, "lunfs", option, NULL);
}

static void
answer (const LunfsProgram *p, int out_fd)
{
  sigset_t none;

  signal (SIGPIPE, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  unsetenv ("NOTIFY_SOCKET");
  if (dup2 (out_fd, STDOUT_FILENO) >= 0)
    lunfs_program_exec (p, p->fd, "--worker-interface");
  _exit (EXEC_FAILED);
}

bool
lunfs_program_ask (const LunfsProgram *p, pid_t *out_pid, int *out_fd, GError **error)
{
  int end[2];
  pid_t pid;

  if (pipe2 (end, O_CLOEXEC) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot run %s: %s", p->path, g_strerror (errno));
    return false;
  }
  fcntl (end[0], F_SETFL, O_NONBLOCK);
  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    answer (p, end[1]);
  close (end[1]);
  if (pid < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "cannot run %s: %s", p->path, g_strerror (errno));
    close (end[0]);
    return false;
  }
  *out_pid = pid;
  *out_fd = end[0];
  return true;
}
