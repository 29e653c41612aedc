/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "control/discovery.h"

#include "control/resolve.h"
#include "iscsi/address.h"
#include "lunfs/log.h"
#include "scsi/sense.h"
#include "scsi/vpd.h"

#include <stdio.h>
#include <string.h>

#define MAX_LUNS 1024
#define ANSWER_BYTES (8 + 8 * MAX_LUNS)
#define MAX_TARGETS 1024
#define MAX_MOVES 8
#define MAX_TRIES 20 /* unit attentions of the fresh nexus, BUSY */
/* No LUN's session has this number: asking must not end one by session reinstatement. */
#define ISID_QUALIFIER 0xffff

typedef struct {
  LunfsLane *lane;
  LunfsTransportOpen open;
  const LunfsSettings *settings;
  char *host, *target_name;
  uint16_t port;
  const char *others; /* portals, of the settings */
  uint32_t isid_random;
  LunfsFoundFunc found;
  void *user;

  LunfsMail start;
  LunfsTimer deadline, again;
  LunfsDefer end;
  char *addresses[LUNFS_RESOLVE_MAX];
  uint16_t ports[LUNFS_RESOLVE_MAX];
  unsigned naddresses, next_address, moves;
  bool logged_in;
  LunfsTransport *transport;
  LunfsCommand cmd;
  struct iovec iov;
  unsigned tries;
  bool ended;

  LunfsLoginOutcome outcome;
  char *text;
  GPtrArray *targets;
  uint16_t luns[MAX_LUNS];
  int nluns;
  uint8_t answer[ANSWER_BYTES];
} Find;

static void
target_free (gpointer data)
{
  LunfsFoundTarget *target = data;

  g_free (target->name);
  g_free (target->host);
  g_free (target);
}

/* ---- the end: close on the lane, tell on the control thread ---- */

static gboolean
tell_cb (gpointer data)
{
  Find *f = data;
  LunfsFound found = { f->outcome, f->text, f->targets, f->luns, (unsigned) MAX (f->nluns, 0) };

  f->found (f->user, &found);
  for (unsigned i = 0; i < f->naddresses; i++)
    g_free (f->addresses[i]);
  g_ptr_array_unref (f->targets);
  g_free (f->text);
  g_free (f->host);
  g_free (f->target_name);
  g_free (f);
  return G_SOURCE_REMOVE;
}

static void connect_next (Find *f);
static void resolved (void *user, const char *const *addresses, unsigned n, const char *error);

/* To the portal that the target names. */
static bool
follow (Find *f)
{
  char *host;

  if (f->moves >= MAX_MOVES || !lunfs_address_split (f->text, &host, &f->port))
    return false;
  f->moves++;
  g_free (f->host);
  f->host = host;
  f->ended = false;
  g_clear_pointer (&f->text, g_free);
  lunfs_resolve (f->host, resolved, f);
  return true;
}

static void
end_run (LunfsDefer *defer)
{
  Find *f = (Find *) ((char *) defer - offsetof (Find, end));
  LunfsTransport *transport = g_steal_pointer (&f->transport);

  lunfs_lane_cancel (f->lane, &f->deadline);
  lunfs_lane_cancel (f->lane, &f->again);
  if (transport)
    transport->ops->close (transport);
  if (f->outcome == LUNFS_LOGIN_TRANSPORT && !f->logged_in && f->next_address < f->naddresses) {
    f->ended = false;
    g_clear_pointer (&f->text, g_free);
    connect_next (f);
    return;
  }
  if (f->outcome == LUNFS_LOGIN_MOVED) {
    if (follow (f))
      return;
    f->outcome = LUNFS_LOGIN_REFUSED;
    g_free (f->text);
    f->text = g_strdup (f->moves ? "redirected too often" : "redirected to something that is no portal");
  }
  g_main_context_invoke (NULL, tell_cb, f);
}

static void
end (Find *f, LunfsLoginOutcome outcome, const char *text)
{
  if (f->ended)
    return;
  f->ended = true;
  f->outcome = outcome;
  f->text = g_strdup (text);
  lunfs_lane_defer (f->lane, &f->end);
}

/* ---- REPORT LUNS ---- */

static void
send_report_luns (Find *f)
{
  f->cmd.cdb_len = (uint8_t) lunfs_cdb_report_luns (f->cmd.cdb, ANSWER_BYTES);
  f->iov = (struct iovec){ f->answer, ANSWER_BYTES };
  f->cmd.iov = &f->iov;
  f->cmd.niov = 1;
  f->cmd.xfer = LUNFS_XFER_IN;
  f->cmd.xfer_bytes = ANSWER_BYTES;
  f->tries++;
  f->transport->ops->submit (f->transport, &f->cmd);
}

static void
report_luns_done (LunfsCommand *cmd)
{
  Find *f = cmd->owner;
  LunfsSense sense;
  LunfsVerdict verdict;
  char text[128];

  if (f->ended)
    return;
  if (cmd->status == LUNFS_STATUS_NONE) {
    end (f, LUNFS_LOGIN_TRANSPORT, "the connection was lost");
    return;
  }
  lunfs_sense_parse (cmd->sense, cmd->sense_len, &sense);
  verdict = lunfs_sense_verdict (cmd->status, &sense, LUNFS_CMD_OTHER);
  if (verdict.action == LUNFS_ACT_DONE) {
    f->nluns = lunfs_report_luns_parse (f->answer, ANSWER_BYTES - MIN (cmd->underflow_bytes, ANSWER_BYTES), f->luns,
                                        MAX_LUNS, NULL);
    end (f, f->nluns < 0 ? LUNFS_LOGIN_REFUSED : LUNFS_LOGIN_OK, "the answer to REPORT LUNS is unusable");
  } else if (f->tries < MAX_TRIES) {
    lunfs_lane_arm (f->lane, &f->again, verdict.action == LUNFS_ACT_UNIT_ATTENTION ? 0 : 100000);
  } else {
    end (f, LUNFS_LOGIN_REFUSED, lunfs_sense_text (cmd->status, &sense, text, sizeof text));
  }
}

static void
again_fired (LunfsTimer *timer)
{
  Find *f = (Find *) ((char *) timer - offsetof (Find, again));

  if (!f->ended)
    send_report_luns (f);
}

/* ---- the connection ---- */

static void
on_login (void *user, LunfsLoginOutcome outcome, const char *text)
{
  Find *f = user;

  f->logged_in = outcome == LUNFS_LOGIN_OK;
  if (!f->logged_in)
    end (f, outcome, text);
  else if (f->target_name)
    send_report_luns (f);
}

static void
on_dead (void *user, const char *why)
{
  end (user, LUNFS_LOGIN_TRANSPORT, why);
}

static LunfsFoundTarget *
find_target (GPtrArray *targets, const char *name)
{
  for (unsigned i = 0; i < targets->len; i++) {
    LunfsFoundTarget *target = targets->pdata[i];

    if (strcmp (target->name, name) == 0)
      return target;
  }
  return NULL;
}

static bool
is_our_address (const Find *f, const char *host)
{
  for (unsigned i = 0; i < f->naddresses; i++)
    if (strcmp (f->addresses[i], host) == 0)
      return true;
  return false;
}

/* A target may name several portals: the one we asked is known to be reachable; else the first. */
static void
on_target (void *user, const char *name, const char *portal)
{
  Find *f = user;
  LunfsFoundTarget *target;
  g_autofree char *host = NULL;
  uint16_t port;

  if (!name) {
    end (f, LUNFS_LOGIN_OK, NULL);
    return;
  }
  if (!lunfs_address_split (portal, &host, &port))
    return;
  target = find_target (f->targets, name);
  if (!target && f->targets->len >= MAX_TARGETS)
    return;
  if (!target) {
    target = g_new0 (LunfsFoundTarget, 1);
    target->name = g_strdup (name);
    g_ptr_array_add (f->targets, target);
  } else if (is_our_address (f, target->host) || !is_our_address (f, host)) {
    return;
  }
  g_free (target->host);
  target->host = g_steal_pointer (&host);
  target->port = port;
}

static void
on_nothing (void *user)
{
}

static const LunfsTransportEvents events = {
  .login = on_login,
  .dead = on_dead,
  .pong = on_nothing,
  .logged_out = on_nothing,
  .target = on_target,
};

static void
deadline_fired (LunfsTimer *timer)
{
  Find *f = (Find *) ((char *) timer - offsetof (Find, deadline));

  end (f, LUNFS_LOGIN_TRANSPORT, "no answer within login_timeout");
}

static void
connect_next (Find *f)
{
  const LunfsSettings *set = f->settings;
  g_autoptr (GError) error = NULL;
  LunfsConnConf conf = {
    .initiator_name = set->initiator_name,
    .target_name = f->target_name,
    .address = f->addresses[f->next_address],
    .port = f->ports[f->next_address],
    .user = set->user,
    .password = set->password,
    /* Portals that ask nobody for CHAP cannot prove themselves either (tgtd, unless told to); what they name has to. */
    .target_user = f->target_name ? set->target_user : NULL,
    .target_password = f->target_name ? set->target_password : NULL,
    .header_digest = f->target_name ? set->header_digest : LUNFS_DIGEST_NONE,
    .isid_random = f->isid_random,
    .isid_qualifier = ISID_QUALIFIER,
    .tcp_user_timeout_ms = 15000,
  };

  f->next_address++;
  lunfs_lane_arm (f->lane, &f->deadline, (int64_t) MAX (set->login_timeout, 1) * G_USEC_PER_SEC);
  f->transport = f->open (f->lane, &conf, &events, f, &error);
  if (!f->transport)
    end (f, LUNFS_LOGIN_TRANSPORT, error->message);
}

static void
start_on_lane (LunfsMail *mail)
{
  connect_next ((Find *) ((char *) mail - offsetof (Find, start)));
}

static void
resolved (void *user, const char *const *addresses, unsigned n, const char *error)
{
  Find *f = user;

  if (n == 0) {
    f->outcome = LUNFS_LOGIN_TRANSPORT;
    f->text = g_strdup (error);
    g_main_context_invoke (NULL, tell_cb, f);
    return;
  }
  for (unsigned i = 0; i < f->naddresses; i++)
    g_free (f->addresses[i]);
  f->next_address = 0;
  f->naddresses = MIN (n, LUNFS_RESOLVE_MAX);
  for (unsigned i = 0; i < f->naddresses; i++) {
    f->ports[i] = f->port;
    f->addresses[i] = lunfs_address_parse (addresses[i], &f->ports[i]);
  }
  lunfs_lane_post (f->lane, &f->start);
}

void
lunfs_find (const LunfsFindConf *conf, LunfsFoundFunc found, void *user)
{
  Find *f = g_new0 (Find, 1);

  f->lane = conf->lane;
  f->open = conf->open;
  f->settings = conf->settings;
  f->host = g_strdup (conf->host);
  f->port = conf->port;
  f->target_name = g_strdup (conf->target_name);
  f->isid_random = conf->isid_random;
  f->found = found;
  f->user = user;
  f->start.deliver = start_on_lane;
  f->deadline.fire = deadline_fired;
  f->again.fire = again_fired;
  f->end.run = end_run;
  f->cmd.done = report_luns_done;
  f->cmd.owner = f;
  f->targets = g_ptr_array_new_with_free_func (target_free);
  if (g_strcmp0 (f->host, f->settings->source.host) == 0
      && g_strcmp0 (f->target_name, f->settings->source.target_name) == 0)
    f->others = f->settings->other_portals;
  lunfs_resolve_all (f->host, f->others, resolved, f);
}
