/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunfs/error.h"
#include "lunfs/log.h"

/* What goes through the pipe: one write, smaller than PIPE_BUF. */
typedef struct {
  int32_t status;
  char text[1020];
} Report;

static void
print_text (const char *text)
{
  if (*text)
    fprintf (stderr, "lunfs: %s\n", text);
}

/* The child went away without a word. */
static int
explain_end (pid_t child)
{
  int state;

  if (waitpid (child, &state, 0) == child && WIFSIGNALED (state))
    fprintf (stderr, "lunfs: the background process was ended by signal %d (%s)\n", WTERMSIG (state),
             strsignal (WTERMSIG (state)));
  else
    fputs ("lunfs: the background process ended without a report\n", stderr);
  return LUNFS_EXIT_FAILED;
}

static int
await_report (int fd, pid_t child)
{
  Report report;
  ssize_t len;

  do
    len = read (fd, &report, sizeof report);
  while (len < 0 && errno == EINTR);
  close (fd);
  if (len != sizeof report)
    return explain_end (child);
  report.text[sizeof report.text - 1] = '\0';
  print_text (report.text);
  return report.status;
}

bool
lunfs_ready_fork (int *out_fd, int *out_status)
{
  int fds[2];
  pid_t child;

  fflush (NULL); /* or both would print what is buffered */
  if (pipe2 (fds, O_CLOEXEC) < 0 || (child = fork ()) < 0) {
    fprintf (stderr, "lunfs: cannot go to the background: %s\n", strerror (errno));
    *out_status = LUNFS_EXIT_FAILED;
    return false;
  }
  if (child == 0) {
    close (fds[0]);
    setsid ();
    *out_fd = fds[1];
    return true;
  }
  close (fds[1]);
  *out_status = await_report (fds[0], child);
  return false;
}

void
lunfs_ready_report (int *fd, int status, const char *text)
{
  Report report;

  if (*fd < 0)
    return;
  memset (&report, 0, sizeof report);
  report.status = status;
  g_strlcpy (report.text, text ? text : "", sizeof report.text);
  if (write (*fd, &report, sizeof report) < 0)
    lunfs_debug (SUPERVISOR, "nobody waits for the report: %s", g_strerror (errno));
  close (*fd);
  *fd = -1;
}

void
lunfs_ready_detach (bool keep_stderr)
{
  int fd = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (fd < 0)
    return;
  dup2 (fd, STDIN_FILENO);
  dup2 (fd, STDOUT_FILENO);
  if (!keep_stderr)
    dup2 (fd, STDERR_FILENO);
  if (fd > STDERR_FILENO)
    close (fd);
}

bool
lunfs_ready_check_pidfile (const char *path, GError **error)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

  if (fd < 0) {
    g_set_error (error, LUNFS_ERROR, lunfs_exit_of_path (errno), "pid file '%s': %s", path, g_strerror (errno));
    return false;
  }
  close (fd);
  return true;
}

void
lunfs_ready_write_pidfile (const char *path)
{
  g_autofree char *text = g_strdup_printf ("%ld\n", (long) getpid ());
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

  if (fd < 0 || write (fd, text, strlen (text)) < 0)
    lunfs_warning ("cannot write the pid file %s: %s", path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
}

void
lunfs_ready_remove_pidfile (const char *path, long pid)
{
  g_autofree char *text = NULL;

  if (g_file_get_contents (path, &text, NULL, NULL) && strtol (text, NULL, 10) == pid)
    unlink (path);
}
