/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end, left to right: no more requests, drain, flush, log out. */
#include "config.h"

#include "worker/worker-private.h"

#include "lunfs/log.h"

#include <unistd.h>

/* ---- the end: left to right ---- */

static void
send_stopped (LunfsWorker *w, LunfsExit status, const char *text)
{
  lunfs_message_send (w->fds.control_fd, LUNFS_MSG_STOPPED, (int) status, 0, text);
  w->exit_status = 0;
  g_main_loop_quit (w->loop);
}

/* What is acknowledged and not known to be on stable storage. */
static char *
describe_unflushed (LunfsWorker *w)
{
  GString *text = g_string_new (NULL);

  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];
    uint64_t unstable = LUNFS_VALUE (&row->stats, unstable_bytes),
             unsynced = LUNFS_VALUE (&row->stats, unsynced_writes);

    if (row->hidden || (unstable == 0 && unsynced == 0 && row->drain_result == 0))
      continue;
    g_string_append_printf (text, "%s%s lun %u: ", text->len ? "; " : "", row->record->target_name, row->record->lun);
    if (unstable)
      g_string_append_printf (text, "up to %" G_GUINT64_FORMAT " KiB written but not synchronised", unstable / 1024);
    else if (unsynced)
      g_string_append (text, "writes not known to be synchronised");
    else
      g_string_append_printf (text, "the last flush failed: %s", g_strerror (-row->drain_result));
  }
  return g_string_free (text, FALSE);
}

void
lunfs_worker_rows_stopped (LunfsWorker *w)
{
  g_autofree char *left = describe_unflushed (w);

  if (w->orphaned && *left) /* nobody else says it */
    lunfs_error ("ended without having flushed everything: %s", left);
  send_stopped (w, *left ? LUNFS_EXIT_UNFLUSHED : LUNFS_EXIT_OK, left);
}

static gboolean
stop_limit_cb (gpointer user)
{
  LunfsWorker *w = user;
  g_autofree char *left = describe_unflushed (w);
  unsigned busy = 0;

  w->stop_source = 0;
  for (unsigned i = 0; i < w->rows->len; i++)
    busy += !((LunfsRow *) w->rows->pdata[i])->stopped;
  if (*left)
    lunfs_error ("stopped without having flushed everything: %s", left);
  else
    lunfs_warning ("stopped with %u LUNs not answering; nothing acknowledged is lost", busy);
  send_stopped (w, *left ? LUNFS_EXIT_UNFLUSHED : LUNFS_EXIT_OK, left);
  return G_SOURCE_REMOVE;
}

static void
arm_limit (LunfsWorker *w, uint32_t limit_ms)
{
  if (w->stop_source)
    g_source_remove (w->stop_source);
  w->stop_at_us = g_get_monotonic_time () + (int64_t) limit_ms * 1000;
  w->stop_source = g_timeout_add (limit_ms, stop_limit_cb, w);
}

static void /* lane */
row_drained (void *user, int result)
{
  LunfsRow *row = user;

  row->drain_result = result;
  lunfs_session_stop (row->session, row->stop_limit_ms);
}

static void /* lane */
stop_row (void *user)
{
  LunfsRow *row = user;

  lunfs_lun_drain (row->lun, row_drained, row);
}

static void /* lane */
stop_channel (void *user)
{
  lunfs_channel_stop (user);
}

void
lunfs_worker_stop (LunfsWorker *w, uint32_t limit_ms)
{
  if (w->leaving && getppid () == w->supervisor) /* who comes after it will do so */
    return;
  if (w->stopping) {
    if (limit_ms == 0) {
      if (w->stop_source)
        g_source_remove (w->stop_source);
      stop_limit_cb (w);
    } else if (w->stop_source && g_get_monotonic_time () + (int64_t) limit_ms * 1000 < w->stop_at_us)
      arm_limit (w, limit_ms); /* sooner than was said first */
    return;
  }
  w->stopping = true;
  lunfs_info ("stopping");
  lunfs_lane_call (w->lanes[0], stop_channel, w->channel);
  lunfs_ops_release_opens (w->ops, true);
  for (unsigned i = 0; i < w->rows->len; i++)
    w->running_rows += !((LunfsRow *) w->rows->pdata[i])->stopped;
  if (w->running_rows == 0) {
    lunfs_worker_rows_stopped (w);
    return;
  }
  for (unsigned i = 0; i < w->rows->len; i++) {
    LunfsRow *row = w->rows->pdata[i];

    if (row->stopped)
      continue;
    row->stop_limit_ms = MIN ((int64_t) w->settings->logout_timeout * 1000, (int64_t) limit_ms / 2);
    lunfs_lane_call (row->lane, stop_row, row);
  }
  arm_limit (w, limit_ms);
}

static gboolean
unmounted_cb (gpointer data)
{
  LunfsWorker *w = data;

  if (!w->unmounted)
    lunfs_info ("unmounted");
  w->unmounted = true;
  lunfs_worker_stop (w, (uint32_t) w->settings->stop_timeout * 1000);
  return G_SOURCE_REMOVE;
}

void /* lane */
lunfs_worker_unmounted (void *user)
{
  g_main_context_invoke (NULL, unmounted_cb, user);
}
