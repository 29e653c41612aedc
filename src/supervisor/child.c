/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker as a process: it is started, or becomes the next one; what it says; how it ended. */
#include "config.h"

#include "supervisor/keeper-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lunfs/arena.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "supervisor/ending.h"
#include "supervisor/spawn.h"

void
lunfs_child_close (LunfsKeeper *k)
{
  if (k->control_fd >= 0)
    close (k->control_fd);
  k->control_fd = -1;
}

void
lunfs_child_tell_stored (LunfsKeeper *k)
{
  if (k->control_fd >= 0)
    lunfs_message_send (k->control_fd, LUNFS_MSG_STORED, lunfs_notify_is_stored (k->notify), 0, NULL);
}

static bool
spawn (LunfsKeeper *k, GError **error)
{
  LunfsWorkerFds fds = { .fuse_fd = lunfs_mount_fd (k->mount),
                         .arena_fd = k->arena->fd,
                         .settings_fd = k->settings_fd };
  int pair[2];
  pid_t pid;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "cannot start a worker: %s", g_strerror (errno));
    return false;
  }
  fds.control_fd = pair[1];
  k->arena->header->worker_count++;
  lunfs_core_keep_off (k->settings->mountpoint, lunfs_mount_device (k->mount), 0, &k->core_limit);
  pid = lunfs_spawn_worker (lunfs_upgrade_program (k->upgrade), &fds, !k->settings->foreground, k->keep_stderr, error);
  close (pair[1]);
  if (pid < 0) {
    close (pair[0]);
    return false;
  }
  k->worker = pid;
  k->control_fd = pair[0];
  return true;
}

/* A new worker: its own process, or the one that has left. */
static void
note_start (LunfsKeeper *k)
{
  lunfs_pulse_answered (&k->pulse);
  lunfs_child_tell_stored (k);
  lunfs_debug (SUPERVISOR, "worker %ld started, number %u", (long) k->worker, k->arena->header->worker_count);
}

void
lunfs_child_start (LunfsKeeper *k)
{
  g_autoptr (GError) error = NULL;

  if (spawn (k, &error)) {
    note_start (k);
    return;
  }
  lunfs_error ("%s", error->message);
  g_strlcpy (k->ended, "it could not be started", sizeof k->ended);
  lunfs_keeper_event (k, LUNFS_EVENT_EXITED, 0);
}

/* After say_end's. */
static void
notify_serving (const LunfsKeeper *k)
{
  g_autofree char *status = NULL;

  if (!k->policy.ready || k->arena->header->worker_count == 1)
    return;
  status = g_strdup_printf ("STATUS=%s on %s", k->settings->source_text, k->settings->mountpoint);
  lunfs_notify_say (k->notify, status);
}

void
lunfs_child_follow (LunfsKeeper *k)
{
  const LunfsProgram *program = lunfs_upgrade_program (k->upgrade);

  lunfs_core_keep_off (k->settings->mountpoint, lunfs_mount_device (k->mount), k->worker, &k->core_limit);
  lunfs_ending_note (k->arena->header, 0);
  k->arena->header->worker_count++;
  if (lunfs_message_send_fd (k->control_fd, LUNFS_MSG_FOLLOW, program->path, program->fd))
    note_start (k);
  else
    lunfs_debug (SUPERVISOR, "the worker does not hear that it should become the next one");
}

void
lunfs_child_read (LunfsKeeper *k)
{
  LunfsMessage m;

  while (k->control_fd >= 0) {
    switch (lunfs_message_receive (k->control_fd, &m, NULL)) {
    case LUNFS_RECEIVED_NONE:
      return;
    case LUNFS_RECEIVED_END:
      lunfs_child_close (k);
      return;
    case LUNFS_RECEIVED_MESSAGE:
      break;
    }
    if (m.type == LUNFS_MSG_PONG) {
      lunfs_pulse_answered (&k->pulse);
    } else if (m.type == LUNFS_MSG_SERVING) {
      notify_serving (k);
      lunfs_keeper_event (k, LUNFS_EVENT_SERVING, 0);
    } else if (m.type == LUNFS_MSG_SETTLED) {
      if (k->policy.ready && *m.text)
        lunfs_log (m.status == LUNFS_EXIT_OK ? LUNFS_LOG_NOTICE : LUNFS_LOG_WARNING, "%s", m.text);
      else if (!k->policy.failed)
        g_strlcpy (k->text, m.text, sizeof k->text);
      lunfs_keeper_event (k, LUNFS_EVENT_SETTLED, m.status);
    } else if (m.type == LUNFS_MSG_TROUBLE) {
      g_strlcpy (k->trouble, m.text, sizeof k->trouble);
    } else if (m.type == LUNFS_MSG_STOPPED) {
      if (!k->policy.failed)
        g_strlcpy (k->text, m.text, sizeof k->text);
      lunfs_keeper_event (k, LUNFS_EVENT_STOPPED, m.status);
    } else if (m.type == LUNFS_MSG_UPGRADE) {
      lunfs_notice ("lunfsctl: upgrade");
      lunfs_keeper_event (k, LUNFS_EVENT_UPGRADE, 0);
    } else if (m.type == LUNFS_MSG_LEFT) {
      if (m.status)
        lunfs_notice ("upgrade: %d requests could not be answered in time: the kernel is asked to send them again",
                      m.status);
      lunfs_keeper_event (k, LUNFS_EVENT_LEFT, 0);
    }
  }
}

static void
describe_end (LunfsKeeper *k, int state)
{
  g_autofree char *how = NULL;

  lunfs_ending_note (k->arena->header, state);
  how = lunfs_ending_text (k->arena->header);
  g_snprintf (k->ended, sizeof k->ended, "%s%s", how,
              WIFEXITED (state) && WEXITSTATUS (state) == LUNFS_EXIT_MISFIT ? ": it cannot take over from the old one"
                                                                            : "");
}

/* One line for the death of a worker that had not said goodbye, or did not go in peace. */
static void
say_end (const LunfsKeeper *k)
{
  g_autofree char *text = NULL, *status = NULL;
  int64_t wait_us = k->policy.start_at - g_get_monotonic_time ();
  const char *how = k->ended;

  if (k->policy.start_at == LUNFS_NEVER)
    text = g_strdup_printf ("worker %ld ended with %s", (long) k->worker, how);
  else
    text = g_strdup_printf ("worker %ld ended with %s; starting the next one in %" G_GINT64_FORMAT " ms",
                            (long) k->worker, how, (MAX (wait_us, 0) + 999) / 1000);
  lunfs_warning ("%s", text);
  status = g_strdup_printf ("STATUS=%s", text);
  lunfs_notify_say (k->notify, status);
}

void
lunfs_child_reap (LunfsKeeper *k)
{
  bool peaceful;
  int state;

  if (!k->worker || waitpid (k->worker, &state, WNOHANG) != k->worker)
    return;
  lunfs_child_read (k); /* its last words are still in the socket */
  lunfs_child_close (k);
  peaceful = k->policy.stopped && WIFEXITED (state) && WEXITSTATUS (state) == 0;
  describe_end (k, state);
  if (lunfs_ending_accuses (k->arena))
    lunfs_keeper_event (k, LUNFS_EVENT_ACCUSED, 0);
  lunfs_keeper_event (k, LUNFS_EVENT_EXITED, WIFSIGNALED (state) ? WTERMSIG (state) : 0);
  if (!peaceful)
    say_end (k);
  k->worker = 0;
}
