/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "flush" begins a FLUSH of each LUN and answers with its number; "flush-state" tells how far they are.
 *
 * One FLUSH of a LUN is under way at a time; who asks meanwhile gets the next one, since the one under way may not cover
 * what was written just now.  So a row's memory does for any number of clients, and none has to be waited for.  Workers do not
 * share numbers (the upper half says which worker), so that who asked the one before can tell that this one was not asked. */
#include "config.h"

#include "worker/commands.h"

#include "lunfs/log.h"

static void begin (LunfsRow *row);

static void /* lane */
flushed (LunfsRequest *req)
{
  LunfsRow *row = req->owner;
  LunfsRowFlush *f = &row->flush;

  f->busy = false;
  atomic_store (&f->result, req->result);
  atomic_store (&f->done, f->under_way);
  if (f->asked > f->under_way)
    begin (row);
}

static void
begin (LunfsRow *row)
{
  LunfsRowFlush *f = &row->flush;

  f->busy = true;
  f->under_way = f->asked;
  lunfs_request_init (&f->req);
  f->req.op = LUNFS_OP_FLUSH;
  f->req.losses_seen = G_MAXUINT64; /* those whose data it was hear of losses, not the administrator for them */
  f->req.submit_us = lunfs_lane_now_us (row->lane);
  f->req.done = flushed;
  f->req.owner = row;
  lunfs_lun_submit (row->lun, &f->req);
}

static void /* lane */
ask (void *user)
{
  LunfsRow *row = user;

  row->flush.asked++;
  if (!row->flush.busy)
    begin (row);
}

void
lunfs_worker_number_flushes (LunfsRow *row)
{
  row->flush.asked = (uint64_t) row->worker->arena->header->worker_count << 32;
  row->flush.done = row->flush.asked;
}

static void
tell (LunfsWorker *w, JsonObject *answer, LunfsRow *row)
{
  JsonObject *lun = lunfs_command_add_lun (w, answer, row);
  LunfsSessionSnapshot snapshot;
  int result = atomic_load (&row->flush.result);

  lunfs_session_snapshot (row->session, &snapshot);
  json_object_set_int_member (lun, "done", (gint64) atomic_load (&row->flush.done));
  json_object_set_string_member (lun, "error", result ? g_strerror (-result) : "");
  json_object_set_string_member (lun, "state", lunfs_session_state_name (snapshot.state));
  json_object_set_int_member (lun, "unflushed_bytes", (gint64) LUNFS_VALUE (&row->stats, unstable_bytes));
}

bool
lunfs_command_flush (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  if (rows && w->stopping) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_BUSY, "%s: it is being stopped, which flushes it",
                 w->settings->mountpoint);
    return false;
  }
  for (unsigned i = 0; rows && i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];
    JsonArray *luns;

    tell (w, answer, row); /* what there was before */
    lunfs_lane_call (row->lane, ask, row);
    luns = json_object_get_array_member (answer, "luns");
    json_object_set_int_member (json_array_get_object_element (luns, i), "asked", (gint64) row->flush.asked);
  }
  return rows != NULL;
}

bool
lunfs_command_flush_state (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  for (unsigned i = 0; rows && i < rows->len; i++)
    tell (w, answer, rows->pdata[i]);
  return rows != NULL;
}
