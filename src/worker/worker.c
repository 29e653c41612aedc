/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker's beginning and end. */
#include "config.h"

#include "worker/worker-private.h"

#include "control/control.h"
#include "fuse/inbox.h"
#include "fuse/poison.h"
#include "iscsi/libiscsi.h"
#include "lunfs/log.h"
#include "supervisor/init.h"
#include "supervisor/protect.h"
#include "supervisor/sole.h"
#include "supervisor/state.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static gboolean
control_cb (gint fd, GIOCondition condition, gpointer user)
{
  LunfsWorker *w = user;
  LunfsMessage message;
  int passed_fd;

  switch (lunfs_message_receive (fd, &message, &passed_fd)) {
  case LUNFS_RECEIVED_MESSAGE:
    if (message.type == LUNFS_MSG_STOP)
      lunfs_worker_stop (w, message.limit_ms);
    else if (message.type == LUNFS_MSG_LEAVE)
      lunfs_worker_leave (w, message.limit_ms);
    else if (message.type == LUNFS_MSG_FOLLOW)
      lunfs_worker_follow (w, message.text, passed_fd);
    else if (message.type == LUNFS_MSG_PING)
      lunfs_worker_ping (w);
    else if (message.type == LUNFS_MSG_STORED)
      w->stored = message.status != 0;
    return G_SOURCE_CONTINUE;
  case LUNFS_RECEIVED_END:
    lunfs_worker_orphaned (w);
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

/* With room for the way back. */
int
lunfs_worker_request_limit (const LunfsWorker *w)
{
  int kernel_s = (int) MIN (w->arena->header->request_timeout_s, (uint32_t) G_MAXINT);

  return kernel_s ? MAX (kernel_s - MAX (kernel_s / 10, 2), 1) : 0;
}

static void
mind_kernel_limit (const LunfsWorker *w)
{
  int limit_s = lunfs_worker_request_limit (w), timeout = w->settings->replacement_timeout;

  if (limit_s && w->arena->header->worker_count == 1 && (timeout < 0 || timeout > limit_s))
    lunfs_warning (
        "the kernel ends a mount when a request takes %u s (/proc/sys/fs/fuse/*_request_timeout): requests fail "
        "after %d s, whatever replacement_timeout says",
        w->arena->header->request_timeout_s, limit_s);
}

/* Before anything else takes memory: what of the last worker's requests is ours, and what it was serving if it crashed. */
static void
take_over (LunfsWorker *w)
{
  const LunfsInboxKernel kernel = { lunfs_inbox_ask, lunfs_inbox_refuse, GINT_TO_POINTER (w->fds.fuse_fd) };
  bool kernel_resends = w->arena->header->init_flags & FUSE_HAS_RESEND;
  unsigned left;

  w->inbox = lunfs_inbox_wanted (w->settings->crash_recovery, kernel_resends);
  if (w->settings->crash_recovery == LUNFS_RECOVERY_RESEND && !kernel_resends && w->arena->header->worker_count == 1)
    lunfs_warning (
        "crash_recovery=resend: this kernel cannot send requests again (Linux 6.9 can): if the worker dies, what "
        "it was serving hangs; leave that option away");
  lunfs_poison_count (w->arena);
  left = lunfs_inbox_sort (w->arena, w->inbox, &kernel);
  if (left)
    lunfs_notice ("%u requests of the last worker are served", left);
}

static bool
set_up (LunfsWorker *w, GError **error)
{
  LunfsTreeConf tree_conf;
  LunfsOpsConf ops_conf = { .status_text = lunfs_worker_status, .metrics_text = lunfs_worker_metrics, .user = w };
  LunfsChannelConf channel_conf = { .fuse_fd = w->fds.fuse_fd, .unmounted = lunfs_worker_unmounted, .user = w };
  const LunfsArenaHeader *header;
  bool locked;

  if (w->fds.misfit) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MISFIT,
                 "started by a supervisor of another version: lunfs " PACKAGE_VERSION " cannot work for it");
    return false;
  }
  w->settings = lunfs_worker_read_settings (w->fds.settings_fd, error);
  if (!w->settings || !open_log (w->settings, error) || !lunfs_iscsi_self_test (error))
    return false;
  if (!lunfs_sole_become (w->fds.arena_fd)) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_EXISTS, "the former worker still serves %s", w->settings->mountpoint);
    return false;
  }
  w->arena = lunfs_arena_attach (w->fds.arena_fd, error);
  if (!w->arena)
    return false;
  lunfs_worker_load_saved (w);
  ops_conf.page_cache = w->settings->cache == LUNFS_CACHE_PAGE;
  ops_conf.request_limit_s = lunfs_worker_request_limit (w);
  header = w->arena->header;
  mind_kernel_limit (w);
  locked = lunfs_protect_process (w->settings->mlock, NULL);
  take_over (w);
  w->pool = lunfs_pool_new (w->arena, locked);
  w->frames = lunfs_frames_new (w->arena, w->pool, w->settings->cache_size, lunfs_settings_max_dirty (w->settings));
  w->nlanes = w->settings->single_thread ? 1 : (unsigned) MAX (w->settings->lanes, 1);
  w->lanes = g_new0 (LunfsLane *, w->nlanes);
  for (unsigned i = 0; i < w->nlanes; i++)
    w->lanes[i] = lunfs_lane_new (i, NULL, NULL);
  w->ping = lunfs_worker_ping_new (w);
  tree_conf = (LunfsTreeConf){
    .root_is_file = w->settings->mount_is_file,
    .one_target = w->settings->source.target_name != NULL,
    .uid = w->settings->uid,
    .gid = w->settings->gid,
    .umask = w->settings->umask,
    .born_us = header->started_us,
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
  channel_conf.ops = w->ops;
  channel_conf.inbox = w->inbox;
  w->channel = lunfs_channel_new (w->lanes[0], &channel_conf);
  return true;
}

static bool
is_idle (const LunfsWorker *w)
{
  for (unsigned i = 0; i < w->rows->len; i++)
    if (!((const LunfsRow *) w->rows->pdata[i])->stopped)
      return false;
  return w->questions == 0;
}

/* Works for what set_up left half done, too. */
static void
tear_down (LunfsWorker *w)
{
  lunfs_control_free (w->control);
  for (unsigned i = 0; w->lanes && i < w->nlanes; i++)
    lunfs_lane_stop (w->lanes[i]);
  if (w->orphaned && w->settings->state_dir) {
    g_autofree char *kept = NULL;

    for (guint i = 0; i < w->saved->len; i++) /* of a writing back that has not ended */
      while (((LunfsSaved *) w->saved->pdata[i])->users > 0)
        lunfs_saved_release (w->saved->pdata[i]);
    kept = lunfs_state_end (w->arena, w->settings); /* nobody else is there to do it */

    if (kept)
      lunfs_warning ("what could not be flushed is kept in %s", kept);
  }
  if (!is_idle (
          w)) /* the limit passed with requests under way: what they use is given back by the end of the process */
    _exit (w->exit_status);
  lunfs_worker_free_rows (w);
  lunfs_worker_free_askings (w);
  lunfs_channel_free (w->channel);
  lunfs_ops_free (w->ops, w->se);
  lunfs_tree_free (w->tree);
  for (unsigned i = 0; w->lanes && i < w->nlanes; i++)
    lunfs_lane_free (w->lanes[i]);
  g_free (w->lanes);
  g_free (w->ping);
  lunfs_frames_free (w->frames);
  lunfs_pool_free (w->pool);
  lunfs_arena_free (w->arena);
  g_clear_pointer (&w->saved, g_ptr_array_unref);
  lunfs_settings_free (w->settings);
  g_clear_pointer (&w->loop, g_main_loop_unref);
  g_free (w->first_text);
  g_free (w);
}

/* Who made the pair: right even if it is gone by now, and the parent another process. */
static pid_t
supervisor_of (int control_fd)
{
  struct ucred peer = { .pid = getppid () };
  socklen_t len = sizeof peer;

  if (getsockopt (control_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
    lunfs_debug (CONTROL, "SO_PEERCRED: %s", g_strerror (errno));
  return peer.pid;
}

int
lunfs_worker_run (const LunfsWorkerFds *fds)
{
  LunfsWorker *w = g_new0 (LunfsWorker, 1);
  g_autoptr (GError) error = NULL;
  bool resend;
  int status;

  w->fds = *fds;
  w->supervisor = supervisor_of (fds->control_fd);
  w->exit_status = 1;
  w->rows = g_ptr_array_new ();
  w->askings = g_ptr_array_new ();
  prctl (PR_SET_NAME, "lunfs-control");
  signal (SIGPIPE, SIG_IGN); /* libiscsi writes without MSG_NOSIGNAL */
  raise_descriptor_limit ();
  if (!set_up (w, &error)) {
    status = error->domain == LUNFS_ERROR && error->code == LUNFS_EXIT_MISFIT ? LUNFS_EXIT_MISFIT : LUNFS_EXIT_FAILED;
    lunfs_error ("%s", error->message);
    tear_down (w);
    return status;
  }
  w->loop = g_main_loop_new (NULL, FALSE);
  g_unix_fd_add (fds->control_fd, G_IO_IN | G_IO_HUP, control_cb, w);
  /* Owned from here to the end: g_main_context_invoke would else run callbacks on the lane that calls it. */
  if (!g_main_context_acquire (NULL))
    g_assert_not_reached ();
  for (unsigned i = 0; i < w->nlanes; i++)
    lunfs_lane_start (w->lanes[i]);
  w->unsettled = 1; /* held until all first questions are out */
  lunfs_worker_listen (w);
  lunfs_worker_find (w);
  resend = !lunfs_worker_take_over (w) && w->arena->header->worker_count > 1;
  lunfs_message_send (fds->control_fd, LUNFS_MSG_SERVING, 0, 0, NULL); /* not after a request that we crash over */
  lunfs_channel_start (w->channel, resend);
  if (--w->unsettled == 0)
    lunfs_worker_send_settled (w);
  g_main_loop_run (w->loop);
  status = w->exit_status;
  lunfs_worker_orphan_end (w);
  tear_down (w);
  g_main_context_release (NULL);
  return status;
}
