/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor is gone.  If the service manager keeps mount and arena (supervisor/notify.h), the next one starts a worker with
 * them, and all that we do here is in its way: we leave at once, as if killed.  Else nobody comes: we do what the
 * supervisor does at SIGTERM, serve on while the mount is in use, for half of stop_timeout, flush and unmount. */
#include "config.h"

#include "worker/worker-private.h"

#include "lunfs/log.h"
#include "supervisor/ending.h"
#include "supervisor/ready.h"
#include "supervisor/spawn.h"
#include "supervisor/unmount.h"
#include "supervisor/upgrade.h"

#include <unistd.h>

#define UNMOUNT_EVERY_MS 250

/* It has stopped reading, and perhaps logged out, for a successor that will not come.  One that begins anew finds in the arena
 * what that one would have found, and then that it is an orphan. */
static void G_GNUC_NORETURN
stay (LunfsWorker *w)
{
  LunfsArenaHeader *h = w->arena->header;
  g_autoptr (LunfsProgram) own = lunfs_program_own ();

  lunfs_notice ("the supervisor is gone in the middle of an upgrade: serving %s again", w->settings->mountpoint);
  h->upgrade.clean = 0;
  lunfs_ending_forget (h);
  h->worker_count++;
  lunfs_control_free (w->control);
  lunfs_worker_exec_again (&w->fds, own);
}

static void
flush (LunfsWorker *w)
{
  int64_t left_us = w->orphan_until_us + w->settings->stop_timeout * G_USEC_PER_SEC / 2 - g_get_monotonic_time ();

  lunfs_worker_stop (w, (uint32_t) MAX (left_us / 1000, 0));
}

/* Once it is unmounted, lane 0 notices, and the worker stops as after any unmount. */
static gboolean
try_unmount_cb (gpointer data)
{
  LunfsWorker *w = data;

  if (w->stopping || lunfs_unmount_unused (w->fds.fuse_fd, w->arena->header->device))
    return G_SOURCE_REMOVE;
  if (g_get_monotonic_time () < w->orphan_until_us)
    return G_SOURCE_CONTINUE;
  lunfs_warning ("%s: still in use: its users lose it now", w->settings->mountpoint);
  flush (w);
  return G_SOURCE_REMOVE;
}

void
lunfs_worker_orphaned (LunfsWorker *w)
{
  bool ours = w->arena->header->device[0] != '\0';

  if (w->stored && !w->stopping) {
    lunfs_notice ("the supervisor is gone: leaving %s to the next one", w->settings->mountpoint);
    lunfs_control_free (w->control); /* its socket has the dead one's name */
    _exit (LUNFS_EXIT_FAILED);
  }
  if (w->leave_limit_ms && !w->stopping)
    stay (w);
  lunfs_upgrade_end_interrupted (&w->arena->header->upgrade);
  w->orphaned = true;
  w->orphan_until_us = g_get_monotonic_time () + (ours ? w->settings->stop_timeout * G_USEC_PER_SEC / 2 : 0);
  lunfs_error ("the supervisor is gone, and with it what would start another worker: flushing and unmounting %s%s",
               w->settings->mountpoint, ours ? ", after its users have left or half of stop_timeout" : "");
  if (w->stopping)
    return; /* within the limit it was told */
  if (!ours)
    flush (w);
  else if (try_unmount_cb (w) == G_SOURCE_CONTINUE)
    g_timeout_add (UNMOUNT_EVERY_MS, try_unmount_cb, w);
}

void
lunfs_worker_orphan_end (LunfsWorker *w)
{
  if (!w->orphaned)
    return;
  if (w->arena->header->device[0])
    lunfs_unmount_lazily (w->fds.fuse_fd, w->arena->header->device, w->settings->mountpoint);
  if (w->settings->pidfile)
    lunfs_ready_remove_pidfile (w->settings->pidfile, (long) w->supervisor);
  lunfs_notice ("ended after the supervisor");
}
