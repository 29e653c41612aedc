/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SendTargets and REPORT LUNS, with a target that says what the input says: exactly one answer comes, within the time that
 * discovery.h promises, and it can be used.
 *
 * The input: a byte (bit 0: ask for LUNs), then what the target does, one step after another: see step(). */
#include "config.h"

#include "fuzz.h"

#include "control/discovery.h"
#include "control/resolve.h"
#include "iscsi/address.h"
#include "lunfs/error.h"
#include "scsi/sense.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define LOGIN_TIMEOUT_S 5
#define MOVES 8 /* redirections that are followed */
#define STEP_US 50000

typedef struct {
  LunfsTransport base;
  LunfsLane *lane;
  const LunfsTransportEvents *events;
  void *user;
  LunfsTimer timer;
  LunfsCommand *cmd;
  bool logged_in, dead;
} Target;

static FuzzBytes in;
static int64_t now_us;
static unsigned open_targets, answers;
static bool for_luns;

/* ---- the target ---- */

static void
answer_command (Target *t)
{
  LunfsCommand *cmd = g_steal_pointer (&t->cmd);
  size_t n;
  uint8_t *data;

  cmd->status = fuzz_u8 (&in) & 1 ? fuzz_u8 (&in) : LUNFS_STATUS_GOOD;
  cmd->sense_len = cmd->status == LUNFS_STATUS_CHECK_CONDITION ? fuzz_u8 (&in) % (LUNFS_SENSE_MAX + 1) : 0;
  for (unsigned i = 0; i < cmd->sense_len; i++)
    cmd->sense[i] = fuzz_u8 (&in);
  cmd->overflow = fuzz_u8 (&in) & 1;
  data = fuzz_take (&in, fuzz_u16 (&in), &n);
  n = MIN (n, cmd->iov[0].iov_len);
  memcpy (cmd->iov[0].iov_base, data, n);
  cmd->underflow_bytes = fuzz_u8 (&in) & 1 ? fuzz_u32 (&in) : cmd->xfer_bytes - (uint32_t) n;
  g_free (data);
  cmd->done (cmd);
}

/* A name would be looked up, and nobody is here to do it. */
static char *
without_names (char *where)
{
  g_autofree char *host = NULL;
  uint16_t port;

  if (!lunfs_address_split (where, &host, &port) || lunfs_host_is_numeric (host))
    return where;
  g_free (where);
  return g_strdup ("[2001:db8::1]:3261,1");
}

/* One thing that the target does. */
static void
step (LunfsTimer *timer)
{
  Target *t = (Target *) ((char *) timer - offsetof (Target, timer));
  unsigned what = fuzz_u8 (&in);
  g_autofree char *text = NULL, *portal = NULL;

  if (t->dead || (what & 0x80)) /* silence */
    return;
  if (!t->logged_in) {
    t->logged_in = (what & 7) == LUNFS_LOGIN_OK;
    t->dead = !t->logged_in;
    text = without_names (fuzz_string (&in));
    t->events->login (t->user, t->logged_in ? LUNFS_LOGIN_OK : (LunfsLoginOutcome) MIN (what & 7, LUNFS_LOGIN_REFUSED),
                      t->dead ? text : NULL);
  } else if ((what & 7) == 7) {
    t->dead = true;
    text = fuzz_string (&in);
    t->events->dead (t->user, text);
  } else if (t->cmd) {
    answer_command (t);
  } else if (!for_luns && (what & 7) == 6) {
    t->dead = true;
    t->events->target (t->user, NULL, NULL);
  } else if (!for_luns) {
    text = fuzz_string (&in);
    portal = fuzz_string (&in);
    t->events->target (t->user, text, portal);
  }
  if (!t->dead && (t->cmd || !for_luns))
    lunfs_lane_arm (t->lane, &t->timer, what & 0x40 ? 1000000 : 1000);
}

static void
submit (LunfsTransport *base, LunfsCommand *cmd)
{
  Target *t = (Target *) base;

  must (for_luns && !t->cmd && cmd->cdb[0] == 0xa0 && cmd->niov == 1 && cmd->iov[0].iov_len == cmd->xfer_bytes);
  t->cmd = cmd;
  cmd->status = LUNFS_STATUS_NONE;
  cmd->sense_len = 0;
  cmd->underflow_bytes = 0;
  lunfs_lane_arm (t->lane, &t->timer, 1000);
}

static void
close_target (LunfsTransport *base)
{
  Target *t = (Target *) base;
  LunfsCommand *cmd = g_steal_pointer (&t->cmd);

  lunfs_lane_cancel (t->lane, &t->timer);
  if (cmd) {
    cmd->status = LUNFS_STATUS_NONE;
    cmd->done (cmd);
  }
  must (!t->cmd && open_targets-- == 1);
  g_free (t);
}

static const LunfsTransportOps ops = { .submit = submit, .close = close_target };

static LunfsTransport *
open_target (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events, void *user, GError **error)
{
  Target *t;

  must (open_targets++ == 0 && conf->address[0] && conf->port);
  if (fuzz_u8 (&in) & 0x80) {
    open_targets--;
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_TRANSPORT, "cannot connect");
    return NULL;
  }
  t = g_new0 (Target, 1);
  *t = (Target){ .base.ops = &ops, .lane = lane, .events = events, .user = user, .timer.fire = step };
  lunfs_lane_arm (lane, &t->timer, 1000);
  return &t->base;
}

/* ---- the answer ---- */

/* Where the next connection goes without asking a resolver must be an address: a look-up would hold up the lane. */
static void
good_host (const char *host)
{
  g_autofree char *address = g_strndup (host, strcspn (host, "%"));
  struct in6_addr six;
  struct in_addr four;

  must (*host && strlen (host) < 256);
  if (lunfs_host_is_numeric (host))
    must (inet_pton (AF_INET6, address, &six) == 1 || (!strchr (host, '%') && inet_pton (AF_INET, host, &four) == 1));
}

static void
found (void *user, const LunfsFound *f)
{
  must (answers++ == 0 && open_targets == 0);
  must (f->outcome <= LUNFS_LOGIN_REFUSED && (f->outcome == LUNFS_LOGIN_OK || f->text));
  must (f->targets->len <= 4096 && f->nluns <= 1024 && (for_luns ? f->targets->len == 0 : f->nluns == 0));
  for (unsigned i = 0; i < f->targets->len; i++) {
    const LunfsFoundTarget *t = f->targets->pdata[i];

    must (t->name && t->port > 0);
    good_host (t->host);
    for (unsigned j = 0; j < i; j++)
      must (strcmp (t->name, ((LunfsFoundTarget *) f->targets->pdata[j])->name) != 0);
  }
  for (unsigned i = 0; i < f->nluns; i++)
    must (f->luns[i] < 16384 && (i == 0 || f->luns[i - 1] < f->luns[i]));
}

static int64_t
clock_us (void *user)
{
  return now_us;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (LunfsSettings) settings = lunfs_settings_new ();
  LunfsLane *lane;
  LunfsFindConf conf = { .open = open_target, .settings = settings, .host = "192.0.2.1", .port = 3260 };
  int64_t begin_us;

  fuzz_quiet ();
  in = (FuzzBytes){ data, size };
  now_us = begin_us = 1000000;
  answers = open_targets = 0;
  for_luns = fuzz_u8 (&in) & 1;
  settings->login_timeout = LOGIN_TIMEOUT_S;
  settings->initiator_name = g_strdup ("iqn.2026-01.org.example:host");
  lane = conf.lane = lunfs_lane_new (0, clock_us, NULL);
  conf.target_name = for_luns ? "iqn.2026-01.org.example:t1" : NULL;
  lunfs_find (&conf, found, NULL);
  while (answers == 0) {
    must (now_us - begin_us <= (2 + MOVES) * LOGIN_TIMEOUT_S * G_USEC_PER_SEC);
    now_us += STEP_US;
    lunfs_lane_run_once (lane, 0);
  }
  lunfs_lane_run_once (lane, 0);
  must (answers == 1 && open_targets == 0);
  lunfs_lane_free (lane);
  return 0;
}
