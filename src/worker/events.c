/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the session of a LUN tells, on its lane, and what the control thread makes of that: the first outcome of each, files that
 * appear. */
#include "config.h"

#include "worker/worker-private.h"

#include "control/resolve.h"
#include "lunfs/log.h"
#include "supervisor/claim.h"

#include <string.h>

#define IN_USE_TRIES 5 /* about two seconds: for a mount that was just unmounted and still flushes */

/* ---- first logins ---- */

void
lunfs_worker_send_settled (LunfsWorker *w)
{
  LunfsExit status = LUNFS_EXIT_OK;
  g_autofree char *text = g_strdup (w->first_text);

  w->settled = true;
  if (w->first_text && !w->any_up) {
    status = w->first_error;
  } else if (w->first_text) { /* whoever reads it sees no other sign of that */
    g_free (text);
    text = g_strdup_printf ("%.400s; mounted, trying again", w->first_text);
  }
  lunfs_message_send (w->fds.control_fd, LUNFS_MSG_SETTLED, (int) status, 0, text ? text : "");
}

/* What the supervisor says if login_wait ends before the first outcome of all.  @flag: whose trouble it is. */
static void
tell_trouble (LunfsWorker *w, const bool *flag, const char *text)
{
  if (w->settled || (*text ? w->troubled && w->troubled != flag : w->troubled != flag))
    return;
  w->troubled = *text ? flag : NULL;
  lunfs_message_send (w->fds.control_fd, LUNFS_MSG_TROUBLE, 0, 0, text);
}

/* One row or question has its first outcome; what may pass is none: it is tried again. */
void
lunfs_worker_settle (LunfsWorker *w, bool *flag, LunfsExit status, const char *object, const char *text)
{
  if (*flag)
    return;
  if (status == LUNFS_EXIT_TRANSPORT) {
    g_autofree char *trouble = g_strdup_printf ("%s: %s", object, text);

    tell_trouble (w, flag, trouble);
    return;
  }
  *flag = true;
  tell_trouble (w, flag, "");
  if (status == LUNFS_EXIT_OK)
    w->any_up = true;
  if (status != LUNFS_EXIT_OK && !w->first_text) {
    w->first_error = status;
    w->first_text = g_strdup_printf ("%s: %s", object, text);
  }
  if (--w->unsettled == 0 && !w->settled)
    lunfs_worker_send_settled (w);
}

/* ---- lane -> control ---- */

typedef struct {
  LunfsRow *row;
  LunfsLoginOutcome outcome;
  bool stopped;
  char *text;
} RowNews;

static void
row_is_up (LunfsRow *row)
{
  LunfsWorker *w = row->worker;

  if (lunfs_worker_row_returns (row))
    lunfs_notice ("%s lun %u: back", row->record->target_name, row->record->lun);
  if (row->missing)
    lunfs_worker_rescan_soon (w);
  lunfs_tree_show (w->tree, row->index);
  if (w->settings->cache == LUNFS_CACHE_PAGE) /* another initiator may have written to it: see supervisor/init.c */
    lunfs_tree_touch (w->tree, lunfs_tree_ino (w->tree, row->index));
  lunfs_channel_inval (w->channel, lunfs_tree_ino (w->tree, row->index)); /* it may have grown, too */
  lunfs_ops_release_opens (w->ops, false);
  lunfs_worker_row_is_up (row);
}

static void /* lane */
stop_hidden (void *user)
{
  lunfs_session_stop (((LunfsRow *) user)->session, 0);
}

static void
hide (LunfsRow *row)
{
  LunfsWorker *w = row->worker;

  if (row->hidden)
    return;
  row->hidden = true;
  lunfs_info ("%s lun %u is not a disk: left out", row->record->target_name, row->record->lun);
  lunfs_lane_call (row->lane, stop_hidden, row);
  if (row->settled)
    return;
  row->settled = true;
  tell_trouble (w, &row->settled, "");
  if (--w->unsettled == 0 && !w->settled) {
    if (!w->any_up && !w->first_text) {
      w->first_error = LUNFS_EXIT_NO_OBJECTS;
      w->first_text = g_strdup_printf ("%s: none of its LUNs is a disk", row->record->target_name);
    }
    lunfs_worker_send_settled (w);
  }
}

/* Named by the user, and no disk.  LUN 0 of a tgtd is always its controller. */
static void
explain_no_disk (RowNews *news, const char *object)
{
  char *text = news->text;

  if (news->row->record->lun == 0) {
    news->text = g_strconcat (text, "; tgtd's disks begin at LUN 1; iscsi://HOST/TARGET mounts all", NULL);
    g_free (text);
  }
  if (!news->row->settled)
    lunfs_warning ("%s: %s", object, news->text);
}

static gboolean
row_news_cb (gpointer data)
{
  RowNews *news = data;
  LunfsRow *row = news->row;
  LunfsWorker *w = row->worker;
  g_autofree char *object = g_strdup_printf ("%s lun %u", row->record->target_name, row->record->lun);

  if (news->stopped) {
    row->stopped = true;
    if (w->stopping && --w->running_rows == 0)
      lunfs_worker_rows_stopped (w);
  } else if (news->outcome == LUNFS_LOGIN_NOT_DISK && row->found && !row->record->proven) {
    hide (row);
  } else {
    if (news->outcome == LUNFS_LOGIN_OK)
      row_is_up (row);
    else if (news->outcome == LUNFS_LOGIN_NOT_DISK && !row->found)
      explain_no_disk (news, object);
    if (news->outcome != LUNFS_LOGIN_IN_USE || ++row->in_use >= IN_USE_TRIES)
      lunfs_worker_settle (w, &row->settled, lunfs_login_exit (news->outcome), object, news->text);
  }
  g_free (news->text);
  g_free (news);
  return G_SOURCE_REMOVE;
}

static void /* lane */
tell (LunfsRow *row, LunfsLoginOutcome outcome, bool stopped, const char *text)
{
  RowNews *news = g_new0 (RowNews, 1);

  news->row = row;
  news->outcome = outcome;
  news->stopped = stopped;
  news->text = g_strdup (text);
  g_main_context_invoke (NULL, row_news_cb, news);
}

/* ---- rows: the session's events (lane) ---- */

/* One mount of this host writes to it (supervisor/claim.h).  Two targets may well give the same names (tgtd's defaults): the
 * portal is part of what makes a LUN the same. */
static bool
claim (LunfsRow *row, const LunfsLunInfo *info)
{
  LunfsSessionSnapshot snapshot;
  g_autofree char *key = NULL, *holder = NULL, *why = NULL;

  if (row->worker->settings->read_only)
    return true;
  lunfs_session_snapshot (row->session, &snapshot);
  key =
      g_strdup_printf ("%s %s %u %s", snapshot.portal, row->record->target_name, row->record->lun, info->identity.text);
  if (g_strcmp0 (row->claim, key) == 0)
    return true; /* for as long as the supervisor or this worker lives */
  if (row->claim)
    lunfs_claim_drop (row->claim, (int) row->worker->supervisor);
  g_free (row->claim);
  row->claim = NULL;
  if (!lunfs_claim_take (key, (int) row->worker->supervisor, row->worker->settings->mountpoint, &holder)) {
    why =
        g_strdup_printf ("in use by another mount of this host, %s; use that one, or mount read-only (-o ro)", holder);
    lunfs_session_reject (row->session, LUNFS_LOGIN_IN_USE, why);
    return false;
  }
  row->claim = g_steal_pointer (&key);
  return true;
}

static void
row_up (void *user, const LunfsLunInfo *info)
{
  LunfsRow *row = user;
  const char *why = NULL;

  if (!lunfs_lun_update (row->lun, info, &why)) {
    tell (row, LUNFS_LOGIN_REFUSED, false, why); /* never served: the session stays where it is */
    return;
  }
  if (!claim (row, info) || !lunfs_worker_restore (row, info))
    return;
  lunfs_worker_row_ready (row, info);
}

void /* lane */
lunfs_worker_row_ready (LunfsRow *row, const LunfsLunInfo *info)
{
  LunfsArenaLun *record = row->record;

  g_strlcpy (record->identity, info->identity.text, sizeof record->identity);
  record->nblocks = MAX (info->capacity.nblocks, info->shrunk_from_nblocks);
  record->block_size = info->capacity.block_size;
  record->no_reinstatement = lunfs_inquiry_lacks_reinstatement (&info->inquiry);
  record->pr_known = info->have_pr;
  record->pr_generation = info->pr_generation_now;
  record->proven = 1;
  lunfs_cache_up (row->cache, info);
}

void /* lane */
lunfs_worker_row_recovered (void *user)
{
  LunfsRow *row = user;

  lunfs_session_serve (row->session);
  lunfs_lun_set_serving (row->lun, true);
  tell (row, LUNFS_LOGIN_OK, false, NULL);
}

static void
row_down (void *user)
{
  LunfsRow *row = user;

  lunfs_lun_set_serving (row->lun, false);
  lunfs_cache_forget (row->cache);
}

static void
row_taken (void *user)
{
  ((LunfsRow *) user)->taken = true;
  lunfs_cache_disown (((LunfsRow *) user)->cache);
}

static void
row_reserved (void *user, const LunfsReserveJob *job, const LunfsReserveReport *report)
{
  lunfs_worker_row_reserved (user, job, report);
}

static gboolean
rescan_cb (gpointer worker)
{
  lunfs_worker_rescan_soon (worker);
  return G_SOURCE_REMOVE;
}

static void
row_luns_changed (void *user)
{
  LunfsRow *row = user;

  if (row->found)
    g_main_context_invoke (NULL, rescan_cb, row->worker);
}

static void
row_deferred (void *user, int err)
{
  lunfs_cache_lost (((LunfsRow *) user)->cache, err);
}

static void
row_failing (void *user)
{
  LunfsRow *row = user;

  lunfs_lun_set_serving (row->lun, true); /* it answers: with errors */
  lunfs_cache_failing (row->cache);
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

static void
row_quiet (void *user)
{
  lunfs_worker_row_quiet (user);
}

static void
row_left (void *user)
{
  lunfs_worker_row_left (user);
}

const LunfsSessionEvents lunfs_worker_session_events = {
  .up = row_up,
  .deferred = row_deferred,
  .taken = row_taken,
  .reserved = row_reserved,
  .luns_changed = row_luns_changed,
  .failing = row_failing,
  .down = row_down,
  .failed = row_failed,
  .stopped = row_stopped,
  .quiet = row_quiet,
  .left = row_left,
};

typedef struct {
  LunfsMail mail;
  LunfsRow *row;
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
  LunfsRow *row = user;
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

void /* lane */
lunfs_worker_row_resolve (void *user, LunfsSession *session, const char *host)
{
  const LunfsSettings *set = ((LunfsRow *) user)->worker->settings;
  bool named = set->source.target_name && strcmp (host, set->source.host) == 0;

  lunfs_resolve_all (host, named ? set->other_portals : NULL, resolved, user);
}
