/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker: builds the data path of every LUN, right to left (build_row), finds out which LUNs there are, tells the
 * supervisor when the mount serves and how the first logins went, and takes everything down in order.
 *
 * This file runs on the main thread (control), but for the row_* functions marked "lane". */
#include "config.h"

#include "cache/cache.h"
#include "control/discovery.h"
#include "control/resolve.h"
#include "control/status.h"
#include "control/url.h"
#include "fuse/channel.h"
#include "fuse/ops.h"
#include "iscsi/libiscsi.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "session/session.h"
#include "supervisor/init.h"
#include "supervisor/protect.h"
#include "supervisor/supervisor.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_TARGETS 256
#define MAX_QUESTIONS 16 /* connections that ask what there is, at once */
#define FIND_PAUSE_MIN_MS 250
#define FIND_PAUSE_MAX_MS 10000

typedef struct Worker Worker;

/* The data path of one LUN. */
typedef struct {
  Worker *worker;
  unsigned index; /* in the arena: node id, ISID */
  LunfsArenaLun *record;
  LunfsLane *lane;
  LunfsStats stats;
  LunfsSession *session;
  LunfsCache *cache;
  LunfsLun *lun;
  /* control thread */
  bool settled, stopped;
  bool found;            /* by REPORT LUNS, not named by the user */
  bool hidden;           /* found, and no disk (tgtd's LUN 0 is a controller): not part of the mount */
  int64_t stop_limit_ms; /* set before the drain */
  _Atomic int drain_result;
} Row;

/* A portal or target being asked what it has. */
typedef struct {
  Worker *worker;
  char *host, *target_name;
  uint16_t port;
  bool settled, found;
  char *error;
  unsigned pause_ms;
} Asking;

struct Worker {
  LunfsWorkerFds fds;
  LunfsSettings *settings;
  LunfsArena *arena;
  LunfsPool *pool;
  LunfsBudget budget;
  LunfsLane **lanes;
  unsigned nlanes, next_lane;
  LunfsTree *tree;
  LunfsOps *ops;
  struct fuse_session *se;
  LunfsChannel *channel;
  GMainLoop *loop;
  GPtrArray *rows, *askings;
  unsigned questions; /* being asked now */
  GQueue to_ask;

  /* first logins */
  unsigned unsettled;
  bool settled, any_up;
  LunfsExit first_error;
  bool only_final_errors;
  char *first_text;

  /* the end */
  bool stopping, unmounted;
  unsigned running_rows;
  int exit_status;
  LunfsExit stop_status;
};

/* ---- first logins ---- */

static LunfsExit
exit_of_outcome (LunfsLoginOutcome outcome)
{
  switch (outcome) {
  case LUNFS_LOGIN_OK:
    return LUNFS_EXIT_OK;
  case LUNFS_LOGIN_AUTH:
    return LUNFS_EXIT_AUTH;
  case LUNFS_LOGIN_NOT_FOUND:
  case LUNFS_LOGIN_NOT_DISK:
    return LUNFS_EXIT_SESSION;
  case LUNFS_LOGIN_REFUSED:
    return LUNFS_EXIT_FATAL_LOGIN;
  default:
    return LUNFS_EXIT_TRANSPORT;
  }
}

static void
send_settled (Worker *w)
{
  LunfsExit status = LUNFS_EXIT_OK;

  w->settled = true;
  if (!w->any_up && w->only_final_errors && w->first_text)
    status = w->first_error;
  lunfs_message_send (w->fds.control_fd, LUNFS_MSG_SETTLED, (int) status, 0, w->first_text ? w->first_text : "");
}

/* One row or question has its first outcome. */
static void
settle (Worker *w, bool *flag, LunfsExit status, const char *object, const char *text)
{
  if (*flag)
    return;
  *flag = true;
  if (status == LUNFS_EXIT_OK)
    w->any_up = true;
  if (status == LUNFS_EXIT_TRANSPORT) /* may pass */
    w->only_final_errors = false;
  if (status != LUNFS_EXIT_OK && !w->first_text) {
    w->first_error = status;
    w->first_text = g_strdup_printf ("%s: %s", object, text);
  }
  if (--w->unsettled == 0 && !w->settled)
    send_settled (w);
}

/* ---- lane -> control ---- */

typedef struct {
  Row *row;
  LunfsLoginOutcome outcome;
  bool stopped;
  char *text;
} RowNews;

static void all_rows_stopped (Worker *w);

static void
row_is_up (Row *row)
{
  Worker *w = row->worker;

  lunfs_tree_show (w->tree, row->index);
  lunfs_channel_inval (w->channel, lunfs_tree_ino (w->tree, row->index)); /* it may have grown */
  lunfs_ops_release_opens (w->ops, false);
}

static void /* lane */
stop_hidden (void *user)
{
  lunfs_session_stop (((Row *) user)->session, 0);
}

static void
hide (Row *row)
{
  Worker *w = row->worker;

  if (row->hidden)
    return;
  row->hidden = true;
  lunfs_info ("%s lun %u is not a disk: left out", row->record->target_name, row->record->lun);
  lunfs_lane_call (row->lane, stop_hidden, row);
  if (row->settled)
    return;
  row->settled = true;
  if (--w->unsettled == 0 && !w->settled) {
    if (!w->any_up && !w->first_text) {
      w->first_error = LUNFS_EXIT_NO_OBJECTS;
      w->first_text = g_strdup_printf ("%s: none of its LUNs is a disk", row->record->target_name);
    }
    send_settled (w);
  }
}

static gboolean
row_news_cb (gpointer data)
{
  RowNews *news = data;
  Row *row = news->row;
  Worker *w = row->worker;
  g_autofree char *object = g_strdup_printf ("%s lun %u", row->record->target_name, row->record->lun);

  if (news->stopped) {
    row->stopped = true;
    if (w->stopping && --w->running_rows == 0)
      all_rows_stopped (w);
  } else if (news->outcome == LUNFS_LOGIN_NOT_DISK && row->found) {
    hide (row);
  } else {
    if (news->outcome == LUNFS_LOGIN_OK)
      row_is_up (row);
    else if (news->outcome == LUNFS_LOGIN_NOT_DISK && !row->settled)
      lunfs_warning ("%s: %s", object, news->text);
    settle (w, &row->settled, exit_of_outcome (news->outcome), object, news->text);
  }
  g_free (news->text);
  g_free (news);
  return G_SOURCE_REMOVE;
}

static void /* lane */
tell (Row *row, LunfsLoginOutcome outcome, bool stopped, const char *text)
{
  RowNews *news = g_new0 (RowNews, 1);

  news->row = row;
  news->outcome = outcome;
  news->stopped = stopped;
  news->text = g_strdup (text);
  g_main_context_invoke (NULL, row_news_cb, news);
}

/* ---- rows: the session's events (lane) ---- */

static void
row_up (void *user, const LunfsLunInfo *info)
{
  Row *row = user;
  LunfsArenaLun *record = row->record;
  const char *why = NULL;

  if (!lunfs_lun_update (row->lun, info, &why)) {
    tell (row, LUNFS_LOGIN_REFUSED, false, why); /* never served: the session stays where it is */
    return;
  }
  g_strlcpy (record->identity, info->identity.text, sizeof record->identity);
  record->nblocks = info->capacity.nblocks;
  record->block_size = info->capacity.block_size;
  record->no_reinstatement = lunfs_inquiry_lacks_reinstatement (&info->inquiry);
  record->proven = 1;
  lunfs_cache_up (row->cache, info);
}

static void
row_recovered (void *user)
{
  Row *row = user;

  lunfs_session_serve (row->session);
  tell (row, LUNFS_LOGIN_OK, false, NULL);
}

static void
row_down (void *user)
{
}

static void
row_deferred (void *user, int err)
{
  lunfs_cache_lost (((Row *) user)->cache, err);
}

static void
row_failing (void *user)
{
  Row *row = user;

  if (row->worker->settings->mount_is_file)
    lunfs_ops_release_opens (row->worker->ops, true);
}

static void
row_failed (void *user, LunfsLoginOutcome outcome, const char *text)
{
  tell (user, outcome, false, text);
}

static void
row_stopped (void *user)
{
  tell (user, LUNFS_LOGIN_OK, true, NULL);
}

static const LunfsSessionEvents session_events = {
  .up = row_up,
  .deferred = row_deferred,
  .failing = row_failing,
  .down = row_down,
  .failed = row_failed,
  .stopped = row_stopped,
};

typedef struct {
  LunfsMail mail;
  Row *row;
  char *addresses[LUNFS_RESOLVE_MAX];
  unsigned n;
  char *error;
} Resolved;

static void /* lane */
resolved_deliver (LunfsMail *mail)
{
  Resolved *r = (Resolved *) mail;

  lunfs_session_resolved (r->row->session, (const char *const *) r->addresses, r->n, r->error);
  for (unsigned i = 0; i < r->n; i++)
    g_free (r->addresses[i]);
  g_free (r->error);
  g_free (r);
}

static void /* control, or lane if the host is numeric */
resolved (void *user, const char *const *addresses, unsigned n, const char *error)
{
  Row *row = user;
  Resolved *r;

  if (lunfs_lane_is_current (row->lane)) {
    lunfs_session_resolved (row->session, addresses, n, error);
    return;
  }
  r = g_new0 (Resolved, 1);
  r->mail.deliver = resolved_deliver;
  r->row = row;
  r->n = MIN (n, LUNFS_RESOLVE_MAX);
  for (unsigned i = 0; i < r->n; i++)
    r->addresses[i] = g_strdup (addresses[i]);
  r->error = g_strdup (error);
  lunfs_lane_post (row->lane, &r->mail);
}

static void /* lane */
row_resolve (void *user, LunfsSession *session, const char *host)
{
  lunfs_resolve (host, resolved, user);
}

/* ---- rows: made right to left ---- */

static void
build_row (Worker *w, Row *row)
{
  LunfsArenaLun *record = row->record;
  LunfsSessionConf conf = {
    .open = lunfs_iscsi_open,
    .settings = w->settings,
    .host = record->host,
    .port = record->port,
    .target_name = record->target_name,
    .lun = record->lun,
    .isid_random = w->arena->header->isid_random,
    .isid_qualifier = (uint16_t) row->index,
    .stats = &row->stats,
    .resolve = row_resolve,
    .resolve_user = row,
  };

  if (record->proven) { /* an earlier worker wrote to it: the same LUN or none */
    g_strlcpy (conf.known_identity.text, record->identity, sizeof conf.known_identity.text);
    conf.known_nblocks = record->nblocks;
    conf.known_block_size = record->block_size;
    conf.known_no_reinstatement = record->no_reinstatement;
  }
  row->session = lunfs_session_new (row->lane, &conf, &session_events, row);
  row->cache = lunfs_cache_new (row->lane, lunfs_session_layer (row->session), w->pool, &w->budget, &row->stats,
                                row_recovered, row);
  row->lun = lunfs_lun_new (row->lane, lunfs_cache_layer (row->cache), w->pool, &row->stats, w->settings->read_only);
  if (record->proven) {
    lunfs_lun_preset (row->lun, record->nblocks, record->block_size);
    lunfs_cache_assume_written (row->cache);
  }
}

static void /* lane */
start_row (void *user)
{
  lunfs_session_start (((Row *) user)->session);
}

static Row *
find_row (Worker *w, unsigned index)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    Row *row = w->rows->pdata[i];

    if (row->index == index)
      return row;
  }
  return NULL;
}

/* The LUN becomes part of the mount: its file appears when it has been up. */
static void
add_lun (Worker *w, const char *host, uint16_t port, const char *target_name, uint16_t lun, bool found)
{
  int index = lunfs_arena_lun (w->arena, host, port, target_name, lun);
  Row *row;

  if (index < 0) {
    lunfs_error (
        "%s lun %u: no room for it: %d LUNs in one mount, host and target names of 255 and 223 characters are the "
        "limits",
        target_name, lun, LUNFS_ARENA_LUNS);
    return;
  }
  if (find_row (w, (unsigned) index))
    return;
  row = g_new0 (Row, 1);
  row->worker = w;
  row->found = found;
  row->index = (unsigned) index;
  row->record = &w->arena->luns[index];
  row->lane = w->lanes[w->next_lane++ % w->nlanes];
  build_row (w, row);
  g_ptr_array_add (w->rows, row);
  w->unsettled++;
  lunfs_tree_add (w->tree, row->index, target_name, lun, row->lun);
  if (row->record->proven) {
    lunfs_tree_show (w->tree, row->index);
    lunfs_ops_release_opens (w->ops, false);
  }
  lunfs_lane_call (row->lane, start_row, row);
}

/* ---- what is there ---- */

static void ask (Asking *a);

static void
start_asking (Worker *w, const char *host, uint16_t port, const char *target_name)
{
  Asking *a;

  for (unsigned i = 0; i < w->askings->len; i++) {
    a = w->askings->pdata[i];
    if (g_strcmp0 (a->target_name, target_name) == 0 && target_name)
      return;
  }
  a = g_new0 (Asking, 1);
  a->worker = w;
  a->host = g_strdup (host);
  a->port = port;
  a->target_name = g_strdup (target_name);
  g_ptr_array_add (w->askings, a);
  w->unsettled++;
  ask (a);
}

static gboolean
ask_again_cb (gpointer data)
{
  ask (data);
  return G_SOURCE_REMOVE;
}

static void
asking_failed (Asking *a, LunfsExit status, const char *text)
{
  g_autofree char *object = g_strdup_printf ("%s%s%s:%u", a->target_name ? a->target_name : "discovery",
                                             a->target_name ? " at " : " on ", a->host, a->port);

  if (g_strcmp0 (a->error, text) != 0)
    lunfs_warning ("%s: %s; trying again", object, text);
  g_free (a->error);
  a->error = g_strdup (text);
  settle (a->worker, &a->settled, status, object, text);
  a->pause_ms = CLAMP (a->pause_ms * 2, FIND_PAUSE_MIN_MS, FIND_PAUSE_MAX_MS);
  if (status == LUNFS_EXIT_AUTH) /* accounts get locked */
    a->pause_ms = MAX (a->pause_ms, 30000);
  g_timeout_add (a->pause_ms, ask_again_cb, a);
}

static void
asking_found (void *user, const LunfsFound *found)
{
  Asking *a = user;
  Worker *w = a->worker;

  w->questions--;
  if (w->stopping)
    return;
  if (w->to_ask.length)
    ask (g_queue_pop_head (&w->to_ask));
  if (found->outcome != LUNFS_LOGIN_OK) {
    asking_failed (a, exit_of_outcome (found->outcome), found->text);
    return;
  }
  if (a->target_name ? found->nluns == 0 : found->targets->len == 0) {
    asking_failed (a, LUNFS_EXIT_NO_OBJECTS,
                   a->target_name ? "the target has no LUNs for this initiator (check its access list)"
                                  : "the portal offers no targets to this initiator (check their access lists)");
    return;
  }
  g_clear_pointer (&a->error, g_free);
  a->found = true;
  for (unsigned i = 0; i < found->nluns; i++)
    add_lun (w, a->host, a->port, a->target_name, found->luns[i], true);
  for (unsigned i = 0; i < found->targets->len; i++) {
    LunfsFoundTarget *target = found->targets->pdata[i];

    if (!lunfs_iscsi_name_valid (target->name)) {
      lunfs_warning ("discovery on %s:%u: a target name that is none is left out", a->host, a->port);
      continue;
    }
    if (w->askings->len > MAX_TARGETS) {
      lunfs_warning ("discovery on %s:%u: more than %d targets; the rest is left out", a->host, a->port, MAX_TARGETS);
      break;
    }
    start_asking (w, target->host, target->port, target->name);
  }
  w->unsettled -= a->settled ? 0 : 1; /* what it found is counted now */
  a->settled = true;
}

static void
ask (Asking *a)
{
  Worker *w = a->worker;
  LunfsFindConf conf = {
    .lane = w->lanes[0],
    .open = lunfs_iscsi_open,
    .settings = w->settings,
    .host = a->host,
    .port = a->port,
    .target_name = a->target_name,
    .isid_random = w->arena->header->isid_random,
  };

  if (w->stopping)
    return;
  if (w->questions >= MAX_QUESTIONS) {
    g_queue_push_tail (&w->to_ask, a);
    return;
  }
  w->questions++;
  lunfs_find (&conf, asking_found, a);
}

static void
find_luns (Worker *w)
{
  const LunfsSource *source = &w->settings->source;

  for (unsigned i = 0; i < LUNFS_ARENA_LUNS; i++) { /* of an earlier worker: their files are open */
    LunfsArenaLun *record = &w->arena->luns[i];

    if (__atomic_load_n (&record->used, __ATOMIC_ACQUIRE))
      add_lun (w, record->host, record->port, record->target_name, record->lun, source->lun == LUNFS_LUN_ALL);
  }
  if (source->lun != LUNFS_LUN_ALL)
    add_lun (w, source->host, source->port, source->target_name, (uint16_t) source->lun, false);
  else
    start_asking (w, source->host, source->port, source->target_name);
}

/* ---- status ---- */

static char *
status_text (void *user)
{
  Worker *w = user;
  g_autofree LunfsStatusLun *luns = g_new0 (LunfsStatusLun, w->rows->len + 1);
  g_autofree LunfsStatusTarget *targets = g_new0 (LunfsStatusTarget, w->askings->len + 1);
  LunfsStatus status = {
    .settings = w->settings,
    .supervisor_pid = getppid (),
    .workers_started = w->arena->header->worker_count,
    .resent = w->arena->header->resent,
    .started_us = w->arena->header->started_us,
    .luns = luns,
    .targets = targets,
  };
  char *text;

  for (unsigned i = 0; i < w->rows->len; i++) {
    Row *row = w->rows->pdata[i];

    if (row->hidden)
      continue;
    luns[status.nluns] = (LunfsStatusLun){ row->record->target_name,
                                           row->record->host,
                                           row->record->port,
                                           row->record->lun,
                                           row->session,
                                           row->lun,
                                           &row->stats,
                                           NULL };
    luns[status.nluns++].file = lunfs_tree_path (w->tree, row->index);
  }
  for (unsigned i = 0; i < w->askings->len; i++) {
    Asking *a = w->askings->pdata[i];

    if (!a->found)
      targets[status.ntargets++] = (LunfsStatusTarget){ a->target_name, a->host, a->error, a->port };
  }
  text = lunfs_status_text (&status);
  for (unsigned i = 0; i < status.nluns; i++)
    g_free (luns[i].file);
  return text;
}

/* ---- the end: left to right ---- */

static void
send_stopped (Worker *w, LunfsExit status, const char *text)
{
  lunfs_message_send (w->fds.control_fd, LUNFS_MSG_STOPPED, (int) status, 0, text);
  w->exit_status = 0;
  g_main_loop_quit (w->loop);
}

/* What is acknowledged and not known to be on stable storage. */
static char *
describe_unflushed (Worker *w)
{
  GString *text = g_string_new (NULL);

  for (unsigned i = 0; i < w->rows->len; i++) {
    Row *row = w->rows->pdata[i];
    uint64_t unstable = LUNFS_VALUE (&row->stats, unstable_bytes),
             unsynced = LUNFS_VALUE (&row->stats, unsynced_writes);

    if (row->hidden || (unsynced == 0 && row->drain_result == 0))
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

static void
all_rows_stopped (Worker *w)
{
  g_autofree char *left = describe_unflushed (w);

  send_stopped (w, *left ? LUNFS_EXIT_UNFLUSHED : LUNFS_EXIT_OK, left);
}

static gboolean
stop_limit_cb (gpointer user)
{
  Worker *w = user;
  g_autofree char *left = describe_unflushed (w);
  unsigned busy = 0;

  for (unsigned i = 0; i < w->rows->len; i++)
    busy += !((Row *) w->rows->pdata[i])->stopped;
  if (*left)
    lunfs_error ("stopped without having flushed everything: %s", left);
  else
    lunfs_warning ("stopped with %u LUNs not answering; nothing acknowledged is lost", busy);
  send_stopped (w, *left ? LUNFS_EXIT_UNFLUSHED : LUNFS_EXIT_OK, left);
  return G_SOURCE_REMOVE;
}

static void /* lane */
row_drained (void *user, int result)
{
  Row *row = user;

  row->drain_result = result;
  lunfs_session_stop (row->session, row->stop_limit_ms);
}

static void /* lane */
stop_row (void *user)
{
  Row *row = user;

  lunfs_lun_drain (row->lun, row_drained, row);
}

static void /* lane */
stop_channel (void *user)
{
  lunfs_channel_stop (user);
}

static void
stop (Worker *w, uint32_t limit_ms)
{
  if (w->stopping) {
    if (limit_ms == 0)
      stop_limit_cb (w);
    return;
  }
  w->stopping = true;
  lunfs_info ("stopping");
  lunfs_lane_call (w->lanes[0], stop_channel, w->channel);
  lunfs_ops_release_opens (w->ops, true);
  for (unsigned i = 0; i < w->rows->len; i++)
    w->running_rows += !((Row *) w->rows->pdata[i])->stopped;
  if (w->running_rows == 0) {
    all_rows_stopped (w);
    return;
  }
  for (unsigned i = 0; i < w->rows->len; i++) {
    Row *row = w->rows->pdata[i];

    if (row->stopped)
      continue;
    row->stop_limit_ms = MIN ((int64_t) w->settings->logout_timeout * 1000, (int64_t) limit_ms / 2);
    lunfs_lane_call (row->lane, stop_row, row);
  }
  g_timeout_add (limit_ms, stop_limit_cb, w);
}

static gboolean
unmounted_cb (gpointer data)
{
  Worker *w = data;

  if (!w->unmounted)
    lunfs_info ("unmounted");
  w->unmounted = true;
  stop (w, (uint32_t) w->settings->stop_timeout * 1000);
  return G_SOURCE_REMOVE;
}

static void /* lane */
on_unmounted (void *user)
{
  g_main_context_invoke (NULL, unmounted_cb, user);
}

static gboolean
control_cb (gint fd, GIOCondition condition, gpointer user)
{
  Worker *w = user;
  LunfsMessage message;

  switch (lunfs_message_receive (fd, &message)) {
  case LUNFS_RECEIVED_MESSAGE:
    if (message.type == LUNFS_MSG_STOP)
      stop (w, message.limit_ms);
    return G_SOURCE_CONTINUE;
  case LUNFS_RECEIVED_END: /* the supervisor is gone: nobody would start a successor or unmount */
    lunfs_error ("the supervisor is gone: flushing and stopping");
    stop (w, (uint32_t) w->settings->stop_timeout * 1000);
    return G_SOURCE_REMOVE;
  default:
    return G_SOURCE_CONTINUE;
  }
}

/* ---- start ---- */

static bool
open_log (const LunfsSettings *s, GError **error)
{
  const char *target = s->log_target ? s->log_target : s->foreground ? "stderr" : "syslog";

  return lunfs_log_open (target, (LunfsLogLevel) s->log_level, s->debug_mask, error);
}

/* A connection per LUN: the soft limit of 1024 is for programs that use select(2). */
static void
raise_descriptor_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit (RLIMIT_NOFILE, &limit);
  }
}

static bool
set_up (Worker *w, GError **error)
{
  LunfsTreeConf tree_conf;
  LunfsOpsConf ops_conf = { .status_text = status_text, .user = w };
  LunfsChannelConf channel_conf = { .fuse_fd = w->fds.fuse_fd, .unmounted = on_unmounted, .user = w };
  const LunfsArenaHeader *header;
  bool locked;

  w->settings = lunfs_worker_read_settings (w->fds.settings_fd, error);
  if (!w->settings || !open_log (w->settings, error) || !lunfs_iscsi_self_test (error))
    return false;
  w->arena = lunfs_arena_attach (w->fds.arena_fd, error);
  if (!w->arena)
    return false;
  header = w->arena->header;
  locked = lunfs_protect_process (w->settings->mlock);
  w->pool = lunfs_pool_new (w->arena, locked);
  w->budget.limit_bytes = w->settings->unstable_size;
  w->nlanes = w->settings->single_thread ? 1 : (unsigned) MAX (w->settings->lanes, 1);
  w->lanes = g_new0 (LunfsLane *, w->nlanes);
  for (unsigned i = 0; i < w->nlanes; i++)
    w->lanes[i] = lunfs_lane_new (i, NULL, NULL);
  tree_conf = (LunfsTreeConf){
    .root_is_file = w->settings->mount_is_file,
    .one_target = w->settings->source.target_name != NULL,
    .uid = w->settings->uid,
    .gid = w->settings->gid,
    .umask = w->settings->umask,
  };
  w->tree = ops_conf.tree = lunfs_tree_new (&tree_conf);
  w->se = lunfs_ops_session_new (&ops_conf, w->fds.fuse_fd, header->init_request, header->init_bytes,
                                 w->settings->allow_root, &w->ops, error);
  if (!w->se)
    return false;
  channel_conf.arena = w->arena;
  channel_conf.pool = w->pool;
  channel_conf.tree = w->tree;
  channel_conf.se = w->se;
  w->channel = lunfs_channel_new (w->lanes[0], &channel_conf);
  return true;
}

static bool
is_idle (const Worker *w)
{
  for (unsigned i = 0; i < w->rows->len; i++)
    if (!((const Row *) w->rows->pdata[i])->stopped)
      return false;
  return w->questions == 0;
}

static void
free_rows (Worker *w)
{
  for (unsigned i = 0; i < w->rows->len; i++) {
    Row *row = w->rows->pdata[i];

    lunfs_lun_free (row->lun);
    lunfs_cache_free (row->cache);
    lunfs_session_free (row->session);
    g_free (row);
  }
  g_ptr_array_unref (w->rows);
}

static void
free_askings (Worker *w)
{
  g_queue_clear (&w->to_ask);
  for (unsigned i = 0; i < w->askings->len; i++) {
    Asking *a = w->askings->pdata[i];

    g_free (a->host);
    g_free (a->target_name);
    g_free (a->error);
    g_free (a);
  }
  g_ptr_array_unref (w->askings);
}

/* Works for what set_up left half done, too. */
static void
tear_down (Worker *w)
{
  for (unsigned i = 0; w->lanes && i < w->nlanes; i++)
    lunfs_lane_stop (w->lanes[i]);
  if (!is_idle (
          w)) /* the limit passed with requests under way: what they use is given back by the end of the process */
    _exit (w->exit_status);
  free_rows (w);
  free_askings (w);
  lunfs_channel_free (w->channel);
  lunfs_ops_free (w->ops, w->se);
  lunfs_tree_free (w->tree);
  for (unsigned i = 0; w->lanes && i < w->nlanes; i++)
    lunfs_lane_free (w->lanes[i]);
  g_free (w->lanes);
  lunfs_pool_free (w->pool);
  lunfs_arena_free (w->arena);
  lunfs_settings_free (w->settings);
  g_clear_pointer (&w->loop, g_main_loop_unref);
  g_free (w->first_text);
  g_free (w);
}

int
lunfs_worker_run (const LunfsWorkerFds *fds)
{
  Worker *w = g_new0 (Worker, 1);
  g_autoptr (GError) error = NULL;
  int status;

  w->fds = *fds;
  w->exit_status = 1;
  w->only_final_errors = true;
  w->rows = g_ptr_array_new ();
  w->askings = g_ptr_array_new ();
  prctl (PR_SET_NAME, "lunfs-control");
  signal (SIGPIPE, SIG_IGN); /* libiscsi writes without MSG_NOSIGNAL */
  raise_descriptor_limit ();
  if (!set_up (w, &error)) {
    lunfs_error ("%s", error->message);
    tear_down (w);
    return LUNFS_EXIT_FAILED;
  }
  w->loop = g_main_loop_new (NULL, FALSE);
  g_unix_fd_add (fds->control_fd, G_IO_IN | G_IO_HUP, control_cb, w);
  /* Owned from here to the end: g_main_context_invoke would else run callbacks on the lane that calls it. */
  if (!g_main_context_acquire (NULL))
    g_assert_not_reached ();
  for (unsigned i = 0; i < w->nlanes; i++)
    lunfs_lane_start (w->lanes[i]);
  w->unsettled = 1; /* held until all first questions are out */
  find_luns (w);
  if (!(w->arena->header->init_flags & FUSE_HAS_RESEND))
    lunfs_notice (
        "this kernel cannot send requests again (Linux 6.9 can): if the worker dies, what it was serving hangs");
  lunfs_channel_start (w->channel, w->arena->header->worker_count > 1);
  lunfs_message_send (fds->control_fd, LUNFS_MSG_SERVING, 0, 0, NULL);
  if (--w->unsettled == 0)
    send_settled (w);
  g_main_loop_run (w->loop);
  status = w->exit_status;
  tear_down (w);
  g_main_context_release (NULL);
  return status;
}
