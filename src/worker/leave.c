/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Leaving for a successor (LUNFS_MSG_LEAVE), which may be another version.
 *
 *   synchronise, still serving       a quarter of the limit.  What is unstable the successor has to write again before it
 *                                    serves: the less, the shorter the pause
 *   read no more requests            from here on users wait
 *   answer those that were read      half of the limit; STALLED_MS if all that are left wait for a LUN without a session:
 *                                    they would wait for the target
 *   quiet sessions, log out          session/leave.c; what is left of the limit
 *   LEFT                             nothing is taken apart: all that a successor needs is in the arena
 *   FOLLOW, exec                     this process becomes the successor.  Until then it is the one that sees to the mount if the
 *                                    supervisor is killed (orphan.c)
 *
 * What is dirty by then is not written: it stays where it is.  Requests that are left unanswered are asked for again by the successor,
 * as after a crash.  Control thread; it looks every millisecond, since what it waits for ends on several threads. */
#include "config.h"

#include "worker/worker-private.h"

#include "lunfs/log.h"
#include "supervisor/spawn.h"

#include <string.h>

#define LOOK_MS 1
#define STALLED_MS 250 /* a session that is just being set up comes up in that */

/* ---- what is under way ---- */

typedef struct {
  LunfsWorker *worker;
  LunfsLane *lane;
  unsigned stalled;
} LaneCount;

static void /* lane */
count_stalled (void *user)
{
  LaneCount *count = user;
  LunfsWorker *w = count->worker;

  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (row->lane == count->lane)
      count->stalled += lunfs_lun_stalled (row->lun);
  }
}

static unsigned
stalled (LunfsWorker *w)
{
  unsigned n = 0;

  for (unsigned i = 0; i < w->nlanes; i++) {
    LaneCount count = { w, w->lanes[i], 0 };

    lunfs_lane_call (w->lanes[i], count_stalled, &count);
    n += count.stalled;
  }
  return n;
}

/* Requests that the kernel waits for.  Those for the status file end on this thread, before its timers. */
static unsigned
under_way (LunfsWorker *w)
{
  return lunfs_channel_in_flight (w->channel) + lunfs_ops_under_way (w->ops);
}

/* ---- going ---- */

static void
nothing (void *user)
{
}

static void
say_left (LunfsWorker *w)
{
  unsigned left =
      lunfs_channel_unanswered (w->channel) + lunfs_ops_under_way (w->ops) + lunfs_ops_waiting_opens (w->ops);

  for (unsigned i = 0; i < w->nlanes;
       i++) /* an answer is counted before it is sent: each lane has ended its last one */
    lunfs_lane_call (w->lanes[i], nothing, NULL);
  w->arena->header->upgrade.clean = left == 0;
  lunfs_debug (CONTROL, "has left; waiting for the program to become");
  lunfs_message_send (w->fds.control_fd, LUNFS_MSG_LEFT, (int) left, 0, NULL); /* not heard: orphan.c */
}

void
lunfs_worker_follow (LunfsWorker *w, char *path, int program_fd)
{
  g_autoptr (LunfsProgram) own = lunfs_program_own ();
  const LunfsProgram passed = { .path = path, .fd = program_fd };

  lunfs_worker_exec_again (&w->fds, program_fd >= 0 ? &passed : own);
}

static gboolean
gone_cb (gpointer user)
{
  LunfsWorker *w = user;

  if (w->stopping) /* the supervisor is gone: nobody starts a successor (lunfs_worker_stop) */
    return G_SOURCE_REMOVE;
  if (atomic_load (&w->rows_here) > 0 && g_get_monotonic_time () < w->stop_at_us)
    return G_SOURCE_CONTINUE;
  say_left (w);
  return G_SOURCE_REMOVE;
}

static void /* lane */
leave_rows (void *user)
{
  LaneCount *count = user;
  LunfsWorker *w = count->worker;

  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (row->lane == count->lane && !row->hidden)
      lunfs_session_leave (row->session);
  }
}

static void
close_sessions (LunfsWorker *w)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];
    LunfsSessionSnapshot snapshot;

    lunfs_session_snapshot (row->session, &snapshot);
    row->record->was_up = snapshot.state == LUNFS_SESSION_UP;
    w->rows_here += !row->hidden;
  }
  for (unsigned i = 0; i < w->nlanes; i++) {
    LaneCount count = { w, w->lanes[i], 0 };

    lunfs_lane_call (w->lanes[i], leave_rows, &count);
  }
  g_timeout_add (LOOK_MS, gone_cb, w);
}

static gboolean
answered_cb (gpointer user)
{
  LunfsWorker *w = user;
  int64_t now_us = g_get_monotonic_time (), began_us = w->arena->header->upgrade.stopped_us;
  int64_t wait_us = (w->stop_at_us - began_us) * 2 / 3;
  unsigned n = under_way (w);

  if (w->stopping)
    return G_SOURCE_REMOVE;
  if (n > 0 && n <= stalled (w))
    wait_us = MIN (wait_us, STALLED_MS * INT64_C (1000));
  if (n > 0 && now_us - began_us < wait_us)
    return G_SOURCE_CONTINUE;
  close_sessions (w);
  return G_SOURCE_REMOVE;
}

static void /* lane */
stop_channel (void *user)
{
  lunfs_channel_stop (user);
}

static void
stop_reading (LunfsWorker *w)
{
  int64_t now_us;

  w->leaving = true;
  lunfs_lane_call (w->lanes[0], stop_channel, w->channel);
  now_us = g_get_monotonic_time ();
  w->arena->header->upgrade.stopped_us = now_us;
  w->stop_at_us = now_us + (int64_t) w->leave_limit_ms * 750;
  g_timeout_add (LOOK_MS, answered_cb, w);
}

/* ---- before: as little as possible to be written again ---- */

static void /* lane */
tidied (LunfsRequest *req)
{
  LunfsRow *row = req->owner;

  atomic_fetch_sub (&row->worker->tidying, 1);
}

static void /* lane */
tidy_rows (void *user)
{
  LaneCount *count = user;
  LunfsWorker *w = count->worker;

  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];
    LunfsLayer *cache = lunfs_cache_layer (row->cache);

    if (row->lane != count->lane || row->hidden || cache->ops->stalled (cache))
      continue;
    atomic_fetch_add (&w->tidying, 1);
    lunfs_request_init (&row->tidy);
    row->tidy.op = LUNFS_OP_FLUSH;
    row->tidy.losses_seen = G_MAXUINT64; /* whoever is to hear of losses is somebody else */
    row->tidy.submit_us = lunfs_lane_now_us (row->lane);
    row->tidy.done = tidied;
    row->tidy.owner = row;
    cache->ops->submit (cache, &row->tidy);
  }
}

static gboolean
tidied_cb (gpointer user)
{
  LunfsWorker *w = user;

  if (w->stopping)
    return G_SOURCE_REMOVE;
  if (atomic_load (&w->tidying) > 0 && g_get_monotonic_time () < w->stop_at_us)
    return G_SOURCE_CONTINUE;
  stop_reading (w);
  return G_SOURCE_REMOVE;
}

void
lunfs_worker_leave (LunfsWorker *w, uint32_t limit_ms)
{
  if (w->stopping || w->leave_limit_ms)
    return;
  w->leave_limit_ms = limit_ms;
  w->stop_at_us = g_get_monotonic_time () + (int64_t) limit_ms * 250;
  for (unsigned i = 0; i < w->nlanes; i++) {
    LaneCount count = { w, w->lanes[i], 0 };

    lunfs_lane_call (w->lanes[i], tidy_rows, &count);
  }
  g_timeout_add (LOOK_MS, tidied_cb, w);
}

void /* lane */
lunfs_worker_row_quiet (LunfsRow *row)
{
  row->record->quiet = 1;
}

void /* lane */
lunfs_worker_row_left (LunfsRow *row)
{
  atomic_fetch_sub (&row->worker->rows_here, 1);
}
