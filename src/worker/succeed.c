/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking over from a worker that has left (leave.c): what it says of its sessions and requests, how long users waited; and
 * what lunfsctl asks of an upgrade.  Control thread. */
#include "config.h"

#include "worker/worker-private.h"

#include "lunfs/log.h"

/* ---- taking over ---- */

static void
all_up (LunfsWorker *w)
{
  LunfsArenaUpgrade *u = &w->arena->header->upgrade;

  u->up_us = g_get_monotonic_time ();
  lunfs_notice ("upgrade: users waited up to %" G_GINT64_FORMAT " ms", (u->up_us - u->stopped_us + 999) / 1000);
}

bool
lunfs_worker_take_over (LunfsWorker *w)
{
  LunfsArenaUpgrade *u = &w->arena->header->upgrade;
  bool clean = u->clean;

  u->clean = 0;
  if (u->state != LUNFS_UPGRADE_STARTING)
    return clean;
  u->served_us = g_get_monotonic_time ();
  if (u->stopped_us == 0)
    u->stopped_us = u->served_us; /* there was no worker */
  if (w->awaited == 0)
    all_up (w);
  return clean;
}

void
lunfs_worker_take_row (LunfsRow *row, LunfsSessionConf *conf)
{
  conf->known_quiet = row->record->quiet;
  row->awaited = row->record->was_up && row->worker->arena->header->upgrade.state == LUNFS_UPGRADE_STARTING;
  row->record->quiet = row->record->was_up = 0; /* of a worker that dies nothing is known */
  row->worker->awaited += row->awaited;
}

void
lunfs_worker_row_is_up (LunfsRow *row)
{
  LunfsWorker *w = row->worker;

  if (!row->awaited)
    return;
  row->awaited = false;
  if (--w->awaited == 0)
    all_up (w);
}

/* ---- lunfsctl ---- */

static const char *
state_name (LunfsUpgradeState state)
{
  static const char *const names[] = {
    [LUNFS_UPGRADE_NONE] = "none",         [LUNFS_UPGRADE_CHECKING] = "checking", [LUNFS_UPGRADE_LEAVING] = "leaving",
    [LUNFS_UPGRADE_STARTING] = "starting", [LUNFS_UPGRADE_DONE] = "done",         [LUNFS_UPGRADE_REFUSED] = "refused",
    [LUNFS_UPGRADE_FAILED] = "failed",
  };

  return state < G_N_ELEMENTS (names) ? names[state] : "";
}

static LunfsUpgradeState
state_of (const LunfsWorker *w)
{
  return (LunfsUpgradeState) __atomic_load_n (&w->arena->header->upgrade.state, __ATOMIC_ACQUIRE);
}

bool
lunfs_worker_ask_upgrade (LunfsWorker *w, JsonObject *answer, GError **error)
{
  LunfsUpgradeState state = state_of (w);

  if (w->leave_limit_ms || state == LUNFS_UPGRADE_CHECKING || state == LUNFS_UPGRADE_LEAVING
      || state == LUNFS_UPGRADE_STARTING) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_BUSY, "%s: an upgrade is under way; ask again when it has ended",
                 w->settings->mountpoint);
    return false;
  }
  if (w->stopping) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_BUSY, "%s: is being stopped", w->settings->mountpoint);
    return false;
  }
  json_object_set_int_member (answer, "attempts", w->arena->header->upgrade.attempts);
  if (lunfs_message_send (w->fds.control_fd, LUNFS_MSG_UPGRADE, 0, 0, NULL))
    return true;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "%s: the supervisor does not answer", w->settings->mountpoint);
  return false;
}

void
lunfs_worker_tell_upgrade (LunfsWorker *w, JsonObject *answer)
{
  const LunfsArenaUpgrade *u = &w->arena->header->upgrade;
  LunfsUpgradeState state = state_of (w);
  bool ended = state == LUNFS_UPGRADE_REFUSED || state == LUNFS_UPGRADE_FAILED;

  json_object_set_string_member (answer, "state", state_name (state));
  json_object_set_int_member (answer, "attempts", u->attempts);
  json_object_set_int_member (answer, "result", u->status);
  json_object_set_string_member (answer, "text", ended ? u->text : "");
  json_object_set_string_member (answer, "from", u->from);
  json_object_set_string_member (answer, "to", u->to);
  json_object_set_int_member (answer, "unread_us", state == LUNFS_UPGRADE_DONE ? u->served_us - u->stopped_us : 0);
  json_object_set_int_member (answer, "pause_us", u->up_us ? u->up_us - u->stopped_us : 0);
}
