/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/beat.h"

#include "lunfs/log.h"
#include "supervisor/supervisor.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Somebody debugs it: it may stand as long as he likes. */
static bool
is_traced (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%ld/status", (long) pid);
  g_autofree char *text = NULL;
  const char *tracer;

  return g_file_get_contents (path, &text, NULL, NULL) && (tracer = strstr (text, "TracerPid:"))
         && strtol (tracer + strlen ("TracerPid:"), NULL, 10) != 0;
}

/* Also when somebody else has unmounted it (ExecStop= with fusermount3) and the worker flushes. */
static void
extend (const LunfsBeat *b)
{
  if (b->policy->phase != LUNFS_PHASE_SERVE)
    lunfs_notify_say (b->notify, LUNFS_NOTIFY_EXTEND);
  else if (!lunfs_mount_is_alive (b->mount))
    lunfs_notify_say (b->notify, LUNFS_NOTIFY_WRITING);
}

bool
lunfs_beat (const LunfsBeat *b)
{
  bool expected = b->worker && b->control_fd >= 0 && !b->policy->stopped && !b->policy->killed;
  unsigned actions = lunfs_pulse_tick (b->pulse, expected, g_get_monotonic_time ());

  if ((actions & (LUNFS_PULSE_ABORT | LUNFS_PULSE_KILL)) && is_traced (b->worker)) {
    lunfs_pulse_answered (b->pulse);
    return true;
  }
  if (actions & LUNFS_PULSE_PING)
    lunfs_message_send (b->control_fd, LUNFS_MSG_PING, 0, 0, NULL);
  if (actions & LUNFS_PULSE_ABORT) {
    lunfs_error (
        "worker %ld has not answered for a while: one of its threads hangs, which is a bug of lunfs; another worker "
        "takes its place",
        (long) b->worker);
    kill (b->worker, SIGABRT);
  }
  if (actions & LUNFS_PULSE_KILL)
    kill (b->worker, SIGKILL);
  if (actions & LUNFS_PULSE_ALIVE)
    lunfs_notify_say (b->notify, "WATCHDOG=1");
  if (actions & LUNFS_PULSE_BEAT)
    extend (b);
  return actions & LUNFS_PULSE_BEAT;
}
