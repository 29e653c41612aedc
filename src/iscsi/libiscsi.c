/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libiscsi, kept on a short lead.  What it may do here, and why:
 *
 *  - one context = one TCP connection = one login; reconnecting is ours (noautoreconnect), so are all deadlines: the
 *    library's reconnect takes a new ISID and its timeouts corrupt memory or dead-lock, depending on the version;
 *  - no task is ever cancelled on a live context: a task that takes too long costs the session;
 *  - callbacks only record.  Results are handed on by reap(), after iscsi_service() has returned;
 *  - a context that showed any sign of failure (rc, a cancelled task, not logged in any more) is never serviced again:
 *    it can answer rc 0 for ever and still be dead;
 *  - what is in flight is on our own list; close() completes whatever the library forgot to call back;
 *  - a WRITE that failed may still have Data-Outs queued that point at its memory: it is given back (quarantine) only when
 *    the library has nothing left to send. */
#include "config.h"

#include "iscsi/libiscsi.h"

#include "iscsi/outcome.h"
#include "lunfs/error.h"
#include "lunfs/log.h"
#include "scsi/sense.h"
#include "scsi/vpd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

G_STATIC_ASSERT (sizeof (struct scsi_task) <= sizeof ((LunfsCommand *) 0)->space);
G_STATIC_ASSERT (sizeof (struct scsi_iovec) == sizeof (struct iovec));
G_STATIC_ASSERT (offsetof (struct scsi_iovec, iov_len) == offsetof (struct iovec, iov_len));

typedef enum { CONNECTING, UP, DEAD } State;

typedef struct {
  LunfsTransport base;
  LunfsLane *lane;
  const LunfsTransportEvents *events;
  void *user;
  struct iscsi_context *ctx;
  State state;
  uint16_t lun_wire;
  bool discovery, has_user;
  LunfsWatch watch;
  LunfsDefer flush;              /* sends what this pass submitted */
  uint64_t unsent, unsent_bytes; /* commands; bytes they write */

  GQueue in_flight;  /* submitted, not answered */
  GQueue answered;   /* called back, not yet handed on */
  GQueue quarantine; /* answered WRITEs whose memory the library may still read */

  /* recorded by callbacks */
  bool login_called, cancel_seen, pong_seen, logout_seen, discovery_called, reset_seen;
  int login_status;
  char *moved_to;
  unsigned reset_response;
  GPtrArray *found; /* name, portal, name, portal ... */
} Iscsi;

static struct scsi_task *
task_of (LunfsCommand *cmd)
{
  return (struct scsi_task *) cmd->space;
}

/* ---- callbacks: record only ---- */

static void
command_cb (struct iscsi_context *ctx, int status, void *data, void *priv)
{
  LunfsCommand *cmd = priv;
  Iscsi *self = *(Iscsi **) (cmd->space + sizeof cmd->space - sizeof (Iscsi *));

  if (cmd->answered)
    return;
  cmd->answered = true;
  if (status == SCSI_STATUS_CANCELLED || status == SCSI_STATUS_ERROR || status == SCSI_STATUS_TIMEOUT) {
    self->cancel_seen = true;
    cmd->status = LUNFS_STATUS_NONE;
  } else {
    cmd->status = (uint16_t) status;
  }
  g_queue_unlink (&self->in_flight, &cmd->link);
  g_queue_push_tail_link (&self->answered, &cmd->link);
}

static void
login_over (Iscsi *self, int status)
{
  self->login_called = true;
  self->login_status = status;
}

/* Where a redirection leads is for the user to find out: a name would have to be looked up, and nothing waits here. */
static void
login_cb (struct iscsi_context *ctx, int status, void *data, void *user)
{
  const char *address = iscsi_get_target_address (ctx);

  if (status == SCSI_STATUS_REDIRECT && address && *address)
    ((Iscsi *) user)->moved_to = g_strdup (address);
  login_over (user, status);
}

/* iscsi_full_connect_async would do the same, but follow redirections, and lose a little memory with every connection that
 * fails. */
static void
connect_cb (struct iscsi_context *ctx, int status, void *data, void *user)
{
  if (status != SCSI_STATUS_GOOD || iscsi_login_async (ctx, login_cb, user) != 0)
    login_over (user, SCSI_STATUS_ERROR);
}

static void
nop_cb (struct iscsi_context *ctx, int status, void *data, void *priv)
{
  Iscsi *self = priv;

  if (status == SCSI_STATUS_GOOD)
    self->pong_seen = true;
  else
    self->cancel_seen = true;
}

static void
logout_cb (struct iscsi_context *ctx, int status, void *data, void *priv)
{
  ((Iscsi *) priv)->logout_seen = true;
}

static void
reset_cb (struct iscsi_context *ctx, int status, void *data, void *priv)
{
  Iscsi *self = priv;

  if (status == SCSI_STATUS_CANCELLED) {
    self->cancel_seen = true;
    return;
  }
  self->reset_seen = true;
  self->reset_response = status == SCSI_STATUS_GOOD && data ? *(const uint32_t *) data : ISCSI_TMR_FUNC_REJECTED;
}

static void
discovery_cb (struct iscsi_context *ctx, int status, void *data, void *priv)
{
  Iscsi *self = priv;

  self->discovery_called = true;
  if (status != SCSI_STATUS_GOOD) {
    self->cancel_seen = true;
    return;
  }
  /* The list is only valid here. */
  for (struct iscsi_discovery_address *a = data; a; a = a->next)
    for (struct iscsi_target_portal *p = a->portals; p; p = p->next) {
      g_ptr_array_add (self->found, g_strdup (a->target_name));
      g_ptr_array_add (self->found, g_strdup (p->portal));
    }
}

/* ---- login outcome ---- */

static void
login_ended (Iscsi *self, LunfsLoginOutcome outcome, const char *text)
{
  g_autofree char *copy = text ? lunfs_outcome_clean (text) : NULL;

  if (outcome == LUNFS_LOGIN_OK) {
    static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

    self->state = UP;
    /* close() and kill -9 send a reset and nothing else: writes still in the socket must not reach the target after the
     * next session has written something newer. */
    setsockopt (iscsi_get_fd (self->ctx), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  } else {
    self->state = DEAD;
    lunfs_lane_unwatch (self->lane, &self->watch); /* a failed login's socket polls ready for ever */
  }
  lunfs_debug (ISCSI, "login: outcome %d: %s", (int) outcome, copy ? copy : "ok");
  self->events->login (self->user, outcome,
                       outcome == LUNFS_LOGIN_OK ? NULL : lunfs_outcome_text (outcome, copy, self->has_user));
}

/* ---- after the library has run ---- */

static void
take_sense (LunfsCommand *cmd, struct scsi_task *task)
{
  cmd->sense_len = 0;
  if (cmd->status == LUNFS_STATUS_CHECK_CONDITION && task->datain.data && task->datain.size > 2) {
    size_t told = (size_t) task->datain.data[0] << 8 | task->datain.data[1];
    size_t have = (size_t) task->datain.size - 2;

    cmd->sense_len = (uint8_t) MIN (MIN (told, have), LUNFS_SENSE_MAX);
    memcpy (cmd->sense, task->datain.data + 2, cmd->sense_len);
  }
}

static void
hand_on (LunfsCommand *cmd)
{
  struct scsi_task *task = task_of (cmd);

  take_sense (cmd, task);
  cmd->underflow_bytes = task->residual_status == SCSI_RESIDUAL_UNDERFLOW ? (uint32_t) task->residual : 0;
  cmd->overflow = task->residual_status == SCSI_RESIDUAL_OVERFLOW;
  free (task->datain.data); /* libiscsi's, by malloc */
  task->datain.data = NULL;
  cmd->done (cmd);
}

static bool
nothing_left_to_send (Iscsi *self)
{
  return iscsi_out_queue_length (self->ctx) == 0 && !(iscsi_which_events (self->ctx) & POLLOUT);
}

static void
reap (Iscsi *self)
{
  GList *link;

  while ((link = g_queue_pop_head_link (&self->answered))) {
    LunfsCommand *cmd = link->data;

    if (cmd->xfer == LUNFS_XFER_OUT && cmd->status != LUNFS_STATUS_GOOD && self->ctx)
      g_queue_push_tail_link (&self->quarantine, link);
    else
      hand_on (cmd);
  }
  if (self->quarantine.length && self->state == UP && nothing_left_to_send (self))
    while ((link = g_queue_pop_head_link (&self->quarantine)))
      hand_on (link->data);
}

static void
report_found (Iscsi *self)
{
  for (unsigned i = 0; i + 1 < self->found->len; i += 2)
    self->events->target (self->user, self->found->pdata[i], self->found->pdata[i + 1]);
  self->events->target (self->user, NULL, NULL);
}

static void
update_watch (Iscsi *self)
{
  int events, fd;

  if (self->state == DEAD)
    return;
  events = iscsi_which_events (self->ctx);
  fd = iscsi_get_fd (self->ctx);
  if (fd >= 0)
    lunfs_lane_watch (self->lane, &self->watch, fd,
                      (events & POLLIN ? EPOLLIN : 0u) | (events & POLLOUT ? EPOLLOUT : 0u));
}

static void
died (Iscsi *self, const char *text)
{
  g_autofree char *why = lunfs_outcome_clean (text);

  self->state = DEAD;
  lunfs_lane_unwatch (self->lane, &self->watch);
  lunfs_lane_undefer (self->lane, &self->flush);
  self->events->dead (self->user, why);
}

static void
service (Iscsi *self, int revents)
{
  int rc;

  if (self->state == DEAD)
    return;
  rc = iscsi_service (self->ctx, revents);

  if (self->state == CONNECTING) {
    if (self->login_called && self->login_status == SCSI_STATUS_GOOD) {
      login_ended (self, LUNFS_LOGIN_OK, NULL);
      if (self->discovery && iscsi_discovery_async (self->ctx, discovery_cb, self) < 0)
        died (self, "SendTargets could not be sent");
    } else if (self->login_called || rc < 0) {
      const char *text = self->moved_to ? self->moved_to : iscsi_get_error (self->ctx);

      login_ended (self, self->moved_to ? LUNFS_LOGIN_MOVED : lunfs_outcome_of (text), text);
    }
    update_watch (self);
    return;
  }
  reap (self);
  if (self->pong_seen) {
    self->pong_seen = false;
    self->events->pong (self->user);
  }
  if (self->reset_seen) {
    self->reset_seen = false;
    self->events->lun_was_reset (self->user, self->reset_response);
  }
  if (self->logout_seen) {
    self->state = DEAD;
    lunfs_lane_unwatch (self->lane, &self->watch);
    self->events->logged_out (self->user);
    return;
  }
  if (rc < 0 || self->cancel_seen || !iscsi_is_logged_in (self->ctx)) {
    died (self, rc < 0 || self->cancel_seen ? iscsi_get_error (self->ctx) : "the target ended the session");
    return;
  }
  if (self->discovery_called) {
    self->discovery_called = false;
    report_found (self);
  }
  update_watch (self);
}

static void
ready (LunfsWatch *watch, uint32_t events)
{
  Iscsi *self = (Iscsi *) ((char *) watch - offsetof (Iscsi, watch));
  int error = 0;
  socklen_t len = sizeof error;
  int revents = (events & EPOLLIN ? POLLIN : 0) | (events & EPOLLOUT ? POLLOUT : 0) | (events & EPOLLERR ? POLLERR : 0)
                | (events & EPOLLHUP ? POLLHUP : 0);

  /* The socket is broken: its error says why better than libiscsi, which must not see the context again. */
  if ((events & EPOLLERR) && getsockopt (watch->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error) {
    if (self->state == CONNECTING)
      login_ended (self, LUNFS_LOGIN_TRANSPORT, g_strerror (error));
    else
      died (self, g_strerror (error));
    return;
  }
  service (self, revents);
}

#define CORK_MAX_BYTES 65536 /* per command */

/* Everything one pass submitted leaves together: without the cork each 48-byte header and each payload would be a TCP
 * segment of its own (measured: 1.4x for 4k writes at depth 32).  Large writes fill segments by themselves, and
 * holding their ends back costs 30 %. */
static void
flush_run (LunfsDefer *defer)
{
  Iscsi *self = (Iscsi *) ((char *) defer - offsetof (Iscsi, flush));
  bool cork = (self->unsent > 1 || self->unsent_bytes > 0) && self->unsent_bytes <= self->unsent * CORK_MAX_BYTES;
  int fd, on = 1, off = 0;

  self->unsent = self->unsent_bytes = 0;
  if (self->state == UP && self->cancel_seen) { /* a submission failed */
    died (self, iscsi_get_error (self->ctx));
    return;
  }
  if (self->state != UP || !(iscsi_which_events (self->ctx) & POLLOUT))
    return;
  fd = iscsi_get_fd (self->ctx);
  if (cork)
    setsockopt (fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
  service (self, POLLOUT);
  if (cork && self->state == UP)
    setsockopt (fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
}

/* ---- operations ---- */

static void
submit (LunfsTransport *t, LunfsCommand *cmd)
{
  Iscsi *self = (Iscsi *) t;
  struct scsi_task *task = task_of (cmd);

  memset (task, 0, sizeof *task);
  *(Iscsi **) (cmd->space + sizeof cmd->space - sizeof (Iscsi *)) = self;
  cmd->answered = false;
  cmd->status = LUNFS_STATUS_NONE;
  cmd->submit_us = lunfs_lane_now_us (self->lane);
  cmd->link.data = cmd;
  memcpy (task->cdb, cmd->cdb, cmd->cdb_len);
  task->cdb_size = cmd->cdb_len;
  task->expxferlen = (int) cmd->xfer_bytes;
  task->xfer_dir = cmd->xfer == LUNFS_XFER_IN    ? SCSI_XFER_READ
                   : cmd->xfer == LUNFS_XFER_OUT ? SCSI_XFER_WRITE
                                                 : SCSI_XFER_NONE;
  if (cmd->xfer == LUNFS_XFER_IN)
    scsi_task_set_iov_in (task, (struct scsi_iovec *) cmd->iov, (int) cmd->niov);
  else if (cmd->xfer == LUNFS_XFER_OUT)
    scsi_task_set_iov_out (task, (struct scsi_iovec *) cmd->iov, (int) cmd->niov);

  g_queue_push_tail_link (&self->in_flight, &cmd->link); /* before the call: newer libraries may call back inside it */
  if (self->state != UP || iscsi_scsi_command_async (self->ctx, self->lun_wire, task, command_cb, NULL, cmd) < 0)
    self->cancel_seen = true; /* stays on in_flight: close() completes it */
  self->unsent++;
  self->unsent_bytes += cmd->xfer == LUNFS_XFER_OUT ? cmd->xfer_bytes : 0;
  if (self->state == UP)
    lunfs_lane_defer (self->lane, &self->flush);
}

static void
ping (LunfsTransport *t)
{
  Iscsi *self = (Iscsi *) t;

  if (self->state != UP)
    return;
  if (iscsi_nop_out_async (self->ctx, nop_cb, NULL, 0, self) < 0)
    self->cancel_seen = true;
  lunfs_lane_defer (self->lane, &self->flush);
}

static void
logout (LunfsTransport *t)
{
  Iscsi *self = (Iscsi *) t;

  if (self->state != UP)
    return;
  if (iscsi_logout_async (self->ctx, logout_cb, self) < 0)
    self->logout_seen = true;
  lunfs_lane_defer (self->lane, &self->flush);
}

static void
lun_reset (LunfsTransport *t)
{
  Iscsi *self = (Iscsi *) t;

  if (self->state != UP)
    return;
  /* The raw form: the library's own LUN reset would cancel tasks on a live session. */
  if (iscsi_task_mgmt_async (self->ctx, self->lun_wire, ISCSI_TM_LUN_RESET, 0xffffffff, 0, reset_cb, self) < 0)
    self->cancel_seen = true;
  lunfs_lane_defer (self->lane, &self->flush);
}

static int64_t
idle_us (LunfsTransport *t)
{
  Iscsi *self = (Iscsi *) t;
  struct tcp_info info;
  socklen_t len = sizeof info;

  if (!self->ctx || getsockopt (iscsi_get_fd (self->ctx), IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
    return INT64_MAX;
  return (int64_t) info.tcpi_last_data_recv * 1000;
}

static void
close_transport (LunfsTransport *t)
{
  Iscsi *self = (Iscsi *) t;
  struct iscsi_context *ctx = g_steal_pointer (&self->ctx);
  GList *link;

  self->state = DEAD;
  lunfs_lane_unwatch (self->lane, &self->watch);
  lunfs_lane_undefer (self->lane, &self->flush);
  iscsi_destroy_context (ctx); /* may call back: recorded as above */
  while ((link = g_queue_pop_head_link (&self->quarantine)))
    hand_on (link->data);
  reap (self);
  while ((link = g_queue_pop_head_link (&self->in_flight))) { /* 1.19 forgets some callbacks */
    LunfsCommand *cmd = link->data;

    cmd->status = LUNFS_STATUS_NONE;
    hand_on (cmd);
  }
  g_ptr_array_unref (self->found);
  g_free (self->moved_to);
  g_free (self);
}

static const LunfsTransportOps ops = {
  .submit = submit,
  .ping = ping,
  .logout = logout,
  .lun_reset = lun_reset,
  .idle_us = idle_us,
  .close = close_transport,
};

static void
configure (Iscsi *self, const LunfsConnConf *conf)
{
  struct iscsi_context *ctx = self->ctx;

  iscsi_set_noautoreconnect (ctx, 1);
  iscsi_set_session_type (ctx, self->discovery ? ISCSI_SESSION_DISCOVERY : ISCSI_SESSION_NORMAL);
  if (conf->target_name)
    iscsi_set_targetname (ctx, conf->target_name);
  iscsi_set_alias (ctx, "lunfs");
  /* Stable, so that the next login of this nexus ends the session before it (RFC 7143 6.3.5). */
  iscsi_set_isid_random (ctx, conf->isid_random, conf->isid_qualifier);
  /* Explicit: with the default offer the library hangs if the target leaves the key out. */
  iscsi_set_header_digest (ctx, conf->header_digest == LUNFS_DIGEST_CRC32C ? ISCSI_HEADER_DIGEST_CRC32C
                                                                           : ISCSI_HEADER_DIGEST_NONE);
  if (self->has_user)
    iscsi_set_initiator_username_pwd (ctx, conf->user, conf->password);
  else if (conf->security_negotiation) /* offers "CHAP,None"; a target that asks nobody takes None */
    iscsi_set_initiator_username_pwd (ctx, "lunfs", "no-secret-at-all");
  if (conf->target_user && conf->target_password)
    iscsi_set_target_username_pwd (ctx, conf->target_user, conf->target_password);
  if (conf->tcp_user_timeout_ms)
    iscsi_set_tcp_user_timeout (ctx, (int) conf->tcp_user_timeout_ms);
  iscsi_set_tcp_syncnt (ctx, 3);
}

LunfsTransport *
lunfs_iscsi_open (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events, void *user,
                  GError **error)
{
  Iscsi *self = g_new0 (Iscsi, 1);
  g_autofree char *portal = NULL;

  self->base.ops = &ops;
  self->lane = lane;
  self->events = events;
  self->user = user;
  self->watch.ready = ready;
  self->flush.run = flush_run;
  self->discovery = conf->target_name == NULL;
  self->has_user = conf->user && conf->password;
  self->lun_wire = lunfs_lun_wire (conf->lun);
  self->found = g_ptr_array_new_with_free_func (g_free);
  self->ctx = iscsi_create_context (conf->initiator_name);
  if (!self->ctx) {
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_NOMEM, "out of memory for an iSCSI context");
    g_ptr_array_unref (self->found);
    g_free (self);
    return NULL;
  }
  configure (self, conf);
  portal = strchr (conf->address, ':') ? g_strdup_printf ("[%s]:%u", conf->address, conf->port)
                                       : g_strdup_printf ("%s:%u", conf->address, conf->port);
  if (iscsi_connect_async (self->ctx, portal, connect_cb, self) != 0) {
    const char *text = iscsi_get_error (self->ctx);

    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TRANSPORT, "%s", text && *text ? text : "cannot connect");
    close_transport (&self->base);
    return NULL;
  }
  update_watch (self);
  return &self->base;
}

bool
lunfs_iscsi_self_test (GError **error)
{
  struct scsi_task *task = scsi_cdb_testunitready ();
  struct scsi_iovec v;
  bool ok;

  if (!task)
    return true;                      /* out of memory: nothing known */
  scsi_task_set_iov_in (task, &v, 7); /* the library writes, we read */
  scsi_task_set_iov_out (task, &v, 9);
  ok = task->iovector_in.iov == &v && task->iovector_in.niov == 7 && task->iovector_out.iov == &v
       && task->iovector_out.niov == 9 && task->cdb_size == 6;
  scsi_free_scsi_task (task);
  if (!ok)
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED,
                 "the installed libiscsi does not match the headers lunfs was built with: rebuild lunfs");
  return ok;
}
