/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LUNs and targets that the target or portal does not name any more.
 *
 *   missing    REPORT LUNS or SendTargets has left it out: its session looks whether it answers still.  An answer counts more
 *              than a list, so a LUN that serves stays
 *   gone       it is missing, has no session, nobody has it open, and nothing that was written is kept for it: its names go.
 *              Else it stays, and the status says that it is gone; requests wait for replacement_timeout and then fail
 *   resting    after ten minutes of that: until then it may be a target that is just being set up, and its session tries to
 *              log in; from now on only when the LUN is named again, or when asked to look
 * The row, its node id and its place in the arena stay: a LUN that comes back is the same file.  Control thread. */
#include "config.h"

#include "worker/worker-private.h"

#include "lunfs/log.h"

#include <string.h>

#define LOOK_S 1
#define REST_AFTER_US (INT64_C (600) * G_USEC_PER_SEC)

static void /* lane */
look (void *user)
{
  lunfs_session_look (((LunfsRow *) user)->session);
}

static void /* lane */
rest (void *user)
{
  lunfs_session_rest (((LunfsRow *) user)->session);
}

static bool
serves (LunfsRow *row)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row->session, &snapshot);
  return snapshot.down_us == 0;
}

bool
lunfs_worker_row_is_gone (LunfsRow *row)
{
  return row->missing && !serves (row);
}

static bool
is_unused (LunfsRow *row)
{
  LunfsStats *s = &row->stats;

  return LUNFS_VALUE (s, dirty_bytes) + LUNFS_VALUE (s, unstable_bytes) + LUNFS_VALUE (s, unsynced_writes)
                 + LUNFS_VALUE (s, queued) + LUNFS_VALUE (s, in_flight)
             == 0
         && lunfs_worker_saved_bytes (row) == 0 && lunfs_ops_open_files (row->worker->ops, row->lun) == 0;
}

/* False: nothing more to wait for. */
static bool
take_away (LunfsRow *row)
{
  if (!row->missing || row->stopped || row->resting)
    return false;
  if (!row->gone && lunfs_worker_row_is_gone (row) && is_unused (row)) {
    row->gone = true;
    row->gone_us = g_get_monotonic_time ();
    lunfs_tree_hide (row->worker->tree, row->index);
    lunfs_notice ("%s lun %u: gone, since the target does not name it any more", row->record->target_name,
                  row->record->lun);
  }
  if (row->gone && g_get_monotonic_time () - row->gone_us >= REST_AFTER_US) {
    row->resting = true;
    lunfs_lane_call (row->lane, rest, row);
  }
  return !row->resting;
}

static gboolean
take_away_cb (gpointer user)
{
  LunfsWorker *w = user;
  bool more = false;

  for (unsigned i = 0; i < w->rows->len && !w->stopping; i++)
    more |= take_away (w->rows->pdata[i]);
  if (!more)
    w->gone_source = 0;
  return more;
}

/* ---- what the lists say ---- */

static void
row_missing (LunfsRow *row)
{
  LunfsWorker *w = row->worker;

  if (row->missing || row->hidden || row->stopped || !row->found)
    return;
  row->missing = true;
  lunfs_info ("%s lun %u: not named any more", row->record->target_name, row->record->lun);
  lunfs_lane_call (row->lane, look, row);
  if (!w->gone_source)
    w->gone_source = g_timeout_add_seconds (LOOK_S, take_away_cb, w);
}

void
lunfs_worker_row_named (LunfsRow *row)
{
  if (!row->missing)
    return;
  row->missing = row->resting = false;
  lunfs_lane_call (row->lane, look, row);
}

bool
lunfs_worker_row_returns (LunfsRow *row)
{
  bool was_gone = row->gone;

  row->gone = row->resting = false;
  return was_gone;
}

void
lunfs_worker_luns_named (LunfsWorker *w, const char *target_name, const LunfsFound *found)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];
    bool named = strcmp (row->record->target_name, target_name) != 0;

    for (unsigned j = 0; j < found->nluns && !named; j++)
      named = found->luns[j] == row->record->lun;
    if (!named)
      row_missing (row);
  }
}

static bool
names_target (const LunfsFound *found, const char *name)
{
  for (unsigned i = 0; i < found->targets->len; i++)
    if (strcmp (((const LunfsFoundTarget *) found->targets->pdata[i])->name, name) == 0)
      return true;
  return false;
}

void
lunfs_worker_targets_named (LunfsWorker *w, const LunfsFound *found)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (!names_target (found, row->record->target_name))
      row_missing (row);
  }
  for (unsigned i = 0; i < w->askings->len; i++) {
    LunfsAsking *a = w->askings->pdata[i];

    if (a->target_name && !a->removed && !names_target (found, a->target_name)) {
      lunfs_info ("%s: not named by the portal any more", a->target_name);
      a->removed = true;
    }
  }
}
