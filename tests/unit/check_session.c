/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The session's state machine over a target in memory: every arrow of session.h's picture, error arrows first. */
#include "config.h"

#include "row.h"

#include "iscsi/address.h"
#include "session/session-private.h"

#define BLOCKS 256
#define BS 512
#define SECOND G_USEC_PER_SEC

typedef struct {
  LunfsRequest req;
  struct iovec iov;
  uint8_t data[4 * BS];
  unsigned done, order;
} Io;

static Row row;
static Io io[64];
static unsigned ndone;

static void
io_done (LunfsRequest *req)
{
  Io *i = req->owner;

  ck_assert_uint_eq (i->done++, 0);
  i->order = ++ndone;
}

static void
setup (void)
{
  row_init (&row, BLOCKS, BS, 1);
  memset (io, 0, sizeof io);
  ndone = 0;
  lunfs_ram_conf (row.ram)->latency_us = 100;
}

static void
teardown (void)
{
  row_free (&row);
}

static void
send_flags (unsigned n, LunfsOp op, uint64_t lba, uint32_t flags)
{
  Io *i = &io[n];

  lunfs_request_init (&i->req);
  i->req.op = op;
  i->req.flags = flags;
  i->req.offset = lba * BS;
  i->req.length = op == LUNFS_OP_FLUSH ? 0 : BS;
  i->iov = (struct iovec){ i->data, BS };
  i->req.iov = &i->iov;
  i->req.niov = op == LUNFS_OP_READ || op == LUNFS_OP_WRITE;
  i->req.done = io_done;
  i->req.owner = i;
  i->req.submit_us = lunfs_lane_now_us (row.lane);
  i->done = 0;
  if (op == LUNFS_OP_WRITE)
    memset (i->data, (int) n + 1, BS);
  lunfs_session_layer (row.session)->ops->submit (lunfs_session_layer (row.session), &i->req);
  ck_assert_uint_eq (i->done, 0); /* never from inside */
}

static void
send_io (unsigned n, LunfsOp op, uint64_t lba)
{
  send_flags (n, op, lba, 0);
}

/* Turn the lane until request @n is answered; its result. */
static int
result (unsigned n, int64_t limit_us)
{
  int64_t begin = row.now_us;

  while (!io[n].done) {
    ck_assert_msg (row.now_us - begin < limit_us, "request %u hangs", n);
    row_step (&row, 1000);
  }
  return io[n].req.result;
}

static void
up (void)
{
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}

static void
down (void)
{
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, G_MAXUINT);
  lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
}

static bool
failing (void)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row.session, &snapshot);
  return snapshot.failing;
}

static void
sense (bool (*match) (const uint8_t *), unsigned times, uint8_t key, uint8_t asc, uint8_t ascq)
{
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = match,
                                              .times = times,
                                              .status = LUNFS_STATUS_CHECK_CONDITION,
                                              .key = key,
                                              .asc = asc,
                                              .ascq = ascq });
}

static void
fault (bool (*match) (const uint8_t *), unsigned times, LunfsRamFaultKind kind)
{
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = match, .times = times, .kind = kind, .bytes = BS });
}

/* ---- logins that fail ---- */

static const struct {
  LunfsLoginOutcome outcome;
  int64_t least_ms, most_ms; /* of the pause after the second failure */
} outcomes[] = {
  { LUNFS_LOGIN_TRANSPORT, 150, 400 },   { LUNFS_LOGIN_BUSY, 150, 400 },      { LUNFS_LOGIN_AUTH, 24000, 36100 },
  { LUNFS_LOGIN_NOT_FOUND, 4000, 6100 }, { LUNFS_LOGIN_REFUSED, 4000, 6100 },
};

START_TEST (test_refused)
{
  int64_t begin;

  lunfs_ram_refuse (row.ram, outcomes[_i].outcome, 2);
  row.settings->replacement_timeout = -1;
  row_build (&row, false, NULL);
  while (row.failures < 2)
    row_step (&row, 1000);
  ck_assert_int_eq (row.outcome, outcomes[_i].outcome);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, login_failures), 2);
  begin = row.now_us;
  row_until (&row, LUNFS_SESSION_UP, 40 * SECOND);
  ck_assert_int_ge (row.now_us - begin, outcomes[_i].least_ms * 1000);
  ck_assert_int_le (row.now_us - begin, outcomes[_i].most_ms * 1000);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, logins), 1);
}
END_TEST

START_TEST (test_pauses_grow)
{
  unsigned n;

  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, G_MAXUINT);
  row_build (&row, false, NULL);
  row_run (&row, 60 * SECOND, 1000);
  n = row.failures;
  ck_assert_uint_ge (n, 25); /* 0, 250, 500 ms, 1, 2, 2, 2 ... s; 10 s after a minute */
  ck_assert_uint_le (n, 36);
  row_run (&row, 60 * SECOND, 1000);
  ck_assert_uint_ge (row.failures - n, 5);
  ck_assert_uint_le (row.failures - n, 8);
}
END_TEST

/* A LUN that is gone and not missed: no logins until somebody looks. */
START_TEST (test_rest)
{
  unsigned n;

  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_NOT_FOUND, G_MAXUINT);
  row_build (&row, false, NULL);
  while (row.failures < 1 || row_state (&row) != LUNFS_SESSION_DOWN)
    row_step (&row, 1000);
  lunfs_session_rest (row.session);
  n = row.failures;
  row_run (&row, 600 * SECOND, 100000);
  ck_assert_uint_eq (row.failures, n);
  lunfs_session_look (row.session);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.failures, n + 1);
  row_run (&row, 60 * SECOND, 1000); /* it tries by itself again */
  ck_assert_uint_ge (row.failures, n + 5);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 0);
  lunfs_session_look (row.session);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}
END_TEST

/* An account that fails too often gets locked: looking does not hurry its login. */
START_TEST (test_look_after_wrong_password)
{
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_AUTH, G_MAXUINT);
  row_build (&row, false, NULL);
  row_run (&row, SECOND, 1000);
  for (unsigned i = 0; i < 10; i++) {
    lunfs_session_look (row.session);
    row_run (&row, SECOND, 1000);
  }
  ck_assert_uint_eq (row.failures, 1);
}
END_TEST

START_TEST (test_open_fails)
{
  lunfs_ram_fail_open (row.ram, 2);
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.failures, 2);
}
END_TEST

START_TEST (test_next_address)
{
  row.naddresses = 2;
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 1);
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.failures, 0); /* one address of two is no failure */
  ck_assert_uint_eq (row.resolves, 1);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 2);
}
END_TEST

/* One portal of two is out of resources, does not know the target, refuses: the other is asked before anybody hears of it. */
START_TEST (test_refused_at_one_portal)
{
  static const LunfsLoginOutcome refusals[] = { LUNFS_LOGIN_BUSY, LUNFS_LOGIN_NOT_FOUND, LUNFS_LOGIN_REFUSED };

  row.naddresses = 2;
  lunfs_ram_refuse (row.ram, refusals[_i], 1);
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.failures, 0);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 2);
}
END_TEST

START_TEST (test_wrong_password_is_not_tried_elsewhere)
{
  row.naddresses = 2;
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_AUTH, 1);
  row_build (&row, false, NULL);
  while (row.failures == 0)
    row_step (&row, 1000);
  ck_assert_int_eq (row.outcome, LUNFS_LOGIN_AUTH);
}
END_TEST

START_TEST (test_no_address)
{
  row.naddresses = 0;
  row_build (&row, false, NULL);
  row_run (&row, SECOND / 10, 1000);
  ck_assert_str_eq (row.text, "no such host");
  row.naddresses = 1;
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}
END_TEST

START_TEST (test_moved)
{
  LunfsSessionSnapshot snapshot;

  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_MOVED, 1);
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_str_eq (row.asked_host, "elsewhere.test");
  lunfs_session_snapshot (row.session, &snapshot);
  ck_assert (g_str_has_suffix (snapshot.portal, ":4711"));
  ck_assert_uint_eq (row.failures, 0);
  lunfs_ram_drop (row.ram, "cut"); /* the next attempt begins where the user said */
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_str_ne (row.asked_host, "elsewhere.test");
  lunfs_session_snapshot (row.session, &snapshot);
  ck_assert (!g_str_has_suffix (snapshot.portal, ":4711"));
}
END_TEST

START_TEST (test_moved_for_ever)
{
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_MOVED, G_MAXUINT);
  row_build (&row, false, NULL);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.failures, 1);
  ck_assert_str_eq (row.text, "redirected too often");
  ck_assert_uint_le (lunfs_ram_stats (row.ram)->connections, 9);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_MOVED, 0);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
}
END_TEST

/* The name stands for two portals: one that sends us to where nobody is, and one that serves. */
static LunfsTransport *
open_misled (LunfsLane *lane, const LunfsConnConf *conf, const LunfsTransportEvents *events, void *user, GError **error)
{
  bool sends_us_on = strcmp (conf->address, row.addresses[0]) == 0;

  if (conf->port == 4711)
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 1);
  else
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_MOVED, sends_us_on ? 1 : 0);
  return lunfs_ram_open (lane, conf, events, user, error);
}

START_TEST (test_moved_in_vain)
{
  LunfsSessionSnapshot snapshot;

  row.naddresses = 2;
  row.open = open_misled;
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, 3 * SECOND);
  lunfs_session_snapshot (row.session, &snapshot);
  ck_assert_str_eq (snapshot.portal, "192.0.2.2:3260");
  ck_assert_uint_eq (row.failures, 1);
}
END_TEST

START_TEST (test_address_split)
{
  static const struct {
    const char *text, *host;
    uint16_t port;
  } cases[] = {
    { "192.0.2.1:3261,1", "192.0.2.1", 3261 },
    { "192.0.2.1", "192.0.2.1", 3260 },
    { "san.test,2", "san.test", 3260 },
    { "[2001:db8::1]:860,1", "2001:db8::1", 860 },
    { "[2001:db8::1]", "2001:db8::1", 3260 },
    { "2001:db8::1:3260", "2001:db8::1", 3260 }, /* some do */
    { "", NULL, 0 },
    { ",1", NULL, 0 },
    { ":3260", NULL, 0 },
    { "[]:1", NULL, 0 },
    { "[::1,1", NULL, 0 },
    { "[::1]x", NULL, 0 },
    { "a:", NULL, 0 },
    { "a:b", NULL, 0 },
    { "a:0", NULL, 0 },
    { "a:65536", NULL, 0 },
    { "a:+1", NULL, 0 },
    { "a:1x,1", NULL, 0 },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *host = NULL;
    uint16_t port = 0;

    ck_assert_msg (lunfs_address_split (cases[i].text, &host, &port) == (cases[i].host != NULL), "%s", cases[i].text);
    ck_assert_pstr_eq (host, cases[i].host);
    ck_assert_uint_eq (port, cases[i].port);
  }
}
END_TEST

START_TEST (test_silent_login)
{
  row.settings->login_timeout = 3;
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 1);
  row_build (&row, false, NULL);
  row_run (&row, 2900000, 1000);
  ck_assert_uint_eq (row.failures, 0);
  row_run (&row, 200000, 1000);
  ck_assert_uint_eq (row.failures, 1);
  ck_assert_ptr_nonnull (strstr (row.text, "login_timeout"));
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}
END_TEST

START_TEST (test_lost_in_probe)
{
  fault (NULL, 1, LUNFS_RAM_DROP_BEFORE);
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.failures, 1);
  ck_assert_uint_eq (row.ups, 1);
}
END_TEST

START_TEST (test_silent_in_probe)
{
  row.settings->cmd_timeout = 5;
  fault (lunfs_ram_is_ready, 1, LUNFS_RAM_NO_ANSWER);
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, 8 * SECOND);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, timeouts), 1);
}
END_TEST

START_TEST (test_no_such_lun)
{
  sense (lunfs_ram_is_ready, 1, LUNFS_KEY_ILLEGAL_REQUEST, 0x25, 0);
  row_build (&row, false, NULL);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.failures, 1);
  ck_assert_ptr_nonnull (strstr (row.text, "no such LUN"));
  row_until (&row, LUNFS_SESSION_UP, 8 * SECOND);
}
END_TEST

/* ---- sessions that are lost ---- */

START_TEST (test_replay_in_order)
{
  const GArray *log;
  uint64_t last = 0;
  unsigned n = 0, more;

  lunfs_ram_conf (row.ram)->jitter_us = 5000;
  up ();
  lunfs_ram_log (row.ram, true);
  for (unsigned i = 0; i < 40; i++)
    send_io (i, LUNFS_OP_WRITE, i);
  row_run (&row, 1000, 100);
  ck_assert_uint_ne (ndone, 0);
  more = ndone;
  lunfs_ram_drop (row.ram, "cut");
  for (unsigned i = 0; i < 40; i++)
    ck_assert_int_eq (result (i, 2 * SECOND), 0);
  ck_assert_uint_eq (ndone, 40);
  log = lunfs_ram_log (row.ram, false);
  for (unsigned i = 0; i < log->len; i++) {
    LunfsRamRecord r = g_array_index (log, LunfsRamRecord, i);

    if (r.connection != 2 || r.opcode != 0x8a)
      continue;
    ck_assert (n == 0 || r.lba > last);
    last = r.lba;
    n++;
  }
  ck_assert_uint_eq (n, 40 - more); /* what had been answered is not sent again */
  ck_assert_uint_eq (row.downs, 1);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, session_losses), 1);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, relogins), 1);
  for (unsigned i = 0; i < 40; i++)
    ck_assert_int_eq (memcmp (lunfs_ram_data (row.ram) + i * BS, io[i].data, BS), 0);
}
END_TEST

START_TEST (test_replacement_timeout)
{
  int64_t begin;

  row.settings->replacement_timeout = 7;
  up ();
  send_io (0, LUNFS_OP_WRITE, 0);
  begin = row.now_us;
  down ();
  send_io (1, LUNFS_OP_READ, 1);
  ck_assert_int_eq (result (0, 10 * SECOND), -EIO);
  ck_assert_int_eq (result (1, 1), -EIO);
  ck_assert_int_ge (row.now_us - begin, 7 * SECOND);
  ck_assert_int_le (row.now_us - begin, 7 * SECOND + 100000);
  ck_assert (failing ());
  send_io (2, LUNFS_OP_READ, 1);
  row_step (&row, 0);
  ck_assert_int_eq (result (2, 1), -EIO); /* at once */
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 0);
  row_until (&row, LUNFS_SESSION_UP, 15 * SECOND);
  ck_assert (!failing ());
  send_io (3, LUNFS_OP_READ, 1);
  ck_assert_int_eq (result (3, SECOND), 0);
}
END_TEST

START_TEST (test_replacement_zero)
{
  row.settings->replacement_timeout = 0;
  up ();
  send_io (0, LUNFS_OP_WRITE, 0);
  down ();
  ck_assert_int_eq (result (0, 5000), -EIO);
}
END_TEST

START_TEST (test_replacement_never)
{
  row.settings->replacement_timeout = -1;
  up ();
  send_io (0, LUNFS_OP_WRITE, 0);
  down ();
  row_run (&row, 1000 * SECOND, 100000);
  ck_assert_uint_eq (io[0].done, 0);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 0);
  ck_assert_int_eq (result (0, 20 * SECOND), 0);
}
END_TEST

/* Logins that succeed and sessions that end at once: neither a storm nor a request that is never answered. */
START_TEST (test_poison)
{
  row.settings->replacement_timeout = 20;
  row.settings->cmd_timeout = 5;
  up ();
  fault (lunfs_ram_is_write, G_MAXUINT, LUNFS_RAM_DROP_BEFORE);
  send_io (0, LUNFS_OP_WRITE, 0);
  ck_assert_int_eq (result (0, 50 * SECOND), -EIO);
  ck_assert_uint_le (lunfs_ram_stats (row.ram)->connections, 26);
  send_io (1, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (1, 12 * SECOND), 0);
}
END_TEST

/* Answered with 'gone' before the transport says dead: nothing more may go that way. */
START_TEST (test_nothing_on_a_dead_connection)
{
  const GArray *log;
  unsigned n = 0;

  row.settings->queue_depth = 2;
  up ();
  lunfs_ram_log (row.ram, true);
  for (unsigned i = 0; i < 8; i++)
    send_io (i, LUNFS_OP_WRITE, i);
  lunfs_ram_drop (row.ram, "cut");
  for (unsigned i = 0; i < 8; i++)
    ck_assert_int_eq (result (i, SECOND), 0);
  log = lunfs_ram_log (row.ram, false);
  for (unsigned i = 0; i < log->len; i++)
    n += g_array_index (log, LunfsRamRecord, i).connection == 1;
  ck_assert_uint_eq (n, 2);
}
END_TEST

/* ---- another LUN ---- */

static void
change_naa (void)
{
  lunfs_ram_conf (row.ram)->naa ^= 1;
}
static void
change_serial (void)
{
  strcpy (lunfs_ram_conf (row.ram)->serial, "other");
}
static void
change_naa_away (void)
{
  lunfs_ram_conf (row.ram)->naa = 0;
}

static void (*const changes[]) (void) = { change_naa, change_serial, change_naa_away };

START_TEST (test_fenced)
{
  LunfsRamConf before;

  strcpy (lunfs_ram_conf (row.ram)->serial, "first");
  before = *lunfs_ram_conf (row.ram);
  up ();
  changes[_i]();
  lunfs_ram_drop (row.ram, "cut");
  row_step (&row, 0);
  send_io (0, LUNFS_OP_WRITE, 0);
  row_until (&row, LUNFS_SESSION_FENCED, SECOND);
  ck_assert_int_eq (result (0, 1), -EIO);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x8a], 0);
  ck_assert_int_eq (row.outcome, LUNFS_LOGIN_REFUSED);
  send_io (1, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (1, 1000000), -EIO);
  row_run (&row, 30 * SECOND, 10000); /* asked again and again, never served */
  ck_assert_uint_eq (row.ups, 1);
  send_io (2, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (2, 1000000), -EIO);
  *lunfs_ram_conf (row.ram) = before;
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  send_io (3, LUNFS_OP_WRITE, 0);
  ck_assert_int_eq (result (3, SECOND), 0);
}
END_TEST

/* The worker before this one had seen another LUN. */
START_TEST (test_fenced_from_the_start)
{
  LunfsLunInfo known = { .capacity = { .nblocks = BLOCKS, .block_size = BS } };

  strcpy (known.identity.text, "naa.5000000000000001");
  row_build (&row, false, &known);
  row_until (&row, LUNFS_SESSION_FENCED, SECOND);
  ck_assert_uint_eq (row.ups, 0);
}
END_TEST

START_TEST (test_grown)
{
  lunfs_ram_conf (row.ram)->nblocks = BLOCKS / 2;
  up ();
  lunfs_ram_conf (row.ram)->nblocks = BLOCKS;
  lunfs_ram_drop (row.ram, "cut");
  row_run (&row, 20000, 1000);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.info.capacity.nblocks, BLOCKS);
}
END_TEST

/* ---- changes while up ---- */

START_TEST (test_recheck)
{
  static const uint16_t codes[] = { 0x2900, 0x2a01, 0x2a09, 0x3f03, 0x3f0e };

  lunfs_ram_conf (row.ram)->nblocks = BLOCKS / 2;
  row.settings->replacement_timeout = 0; /* looking again is not an outage */
  up ();
  lunfs_ram_conf (row.ram)->nblocks = BLOCKS;
  lunfs_ram_unit_attention (row.ram, (uint8_t) (codes[_i] >> 8), (uint8_t) codes[_i]);
  for (unsigned i = 0; i < 30; i++)
    send_io (i, LUNFS_OP_WRITE, i);
  for (unsigned i = 0; i < 30; i++)
    ck_assert_int_eq (result (i, SECOND), 0);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.ups, 2);
  ck_assert_uint_eq (row.info.capacity.nblocks, BLOCKS);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 1);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, logins), 1);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, relogins), 0);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, unit_attentions), 1);
}
END_TEST

START_TEST (test_harmless_attention)
{
  up ();
  lunfs_ram_unit_attention (row.ram, 0x3f, 0x01);
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, SECOND), 0);
  ck_assert_uint_eq (row.ups, 1);
}
END_TEST

START_TEST (test_endless_attentions)
{
  up ();
  sense (lunfs_ram_is_read, 1000, LUNFS_KEY_UNIT_ATTENTION, 0x2f, 0x00);
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, SECOND), -EIO);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, unit_attentions), 17);
}
END_TEST

START_TEST (test_fenced_by_recheck)
{
  up ();
  change_naa ();
  lunfs_ram_unit_attention (row.ram, 0x3f, 0x03);
  send_io (0, LUNFS_OP_WRITE, 0);
  ck_assert_int_eq (result (0, SECOND), -EIO);
  ck_assert_int_eq (row_state (&row), LUNFS_SESSION_FENCED);
}
END_TEST

static const char *
error_text (void)
{
  static LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row.session, &snapshot);
  return snapshot.error;
}

START_TEST (test_not_ready)
{
  up ();
  lunfs_ram_not_ready (row.ram, 0x01);
  send_io (0, LUNFS_OP_READ, 0);
  row_run (&row, 10 * SECOND, 10000);
  ck_assert_uint_eq (io[0].done, 0);
  ck_assert_uint_le (lunfs_ram_stats (row.ram)->commands[0x00], 15); /* polls, does not spin */
  ck_assert_ptr_nonnull (strstr (error_text (), "04/01"));
  lunfs_ram_not_ready (row.ram, 0x0a); /* not what it waited for at first */
  row_run (&row, 2 * SECOND, 10000);
  ck_assert_ptr_nonnull (strstr (error_text (), "04/0A"));
  lunfs_ram_not_ready (row.ram, 0);
  ck_assert_int_eq (result (0, 2 * SECOND), 0);
  ck_assert_str_eq (error_text (), "");
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 1);
}
END_TEST

START_TEST (test_start_unit)
{
  up ();
  lunfs_ram_not_ready (row.ram, 0x02);
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, SECOND), 0);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x1b], 1);
}
END_TEST

/* However many commands were in flight when it began; replacement_timeout 0 means some patience all the same. */
START_TEST (test_never_ready)
{
  int64_t begin;

  row.settings->replacement_timeout = _i;
  row.settings->cmd_timeout = 10;
  up ();
  lunfs_ram_conf (row.ram)->jitter_us = 2 * SECOND;
  for (unsigned i = 0; i < 12; i++)
    send_io (i, LUNFS_OP_READ, i);
  lunfs_ram_not_ready (row.ram, 0x01);
  for (unsigned i = 12; i < 16; i++)
    send_io (i, LUNFS_OP_READ, i);
  begin = row.now_us;
  for (unsigned i = 12; i < 16; i++)
    ck_assert_int_eq (result (i, 30 * SECOND), -EIO);
  ck_assert_int_le (row.now_us - begin, 15 * SECOND);
  ck_assert (failing ());
  lunfs_ram_not_ready (row.ram, 0);
  lunfs_ram_conf (row.ram)->jitter_us = 0;
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert (!failing ());
}
END_TEST

/* Looking again waits for what is in flight; the others do not wait for that without end. */
START_TEST (test_recheck_behind_flush)
{
  row.settings->replacement_timeout = 5;
  row.settings->cmd_timeout = 10;
  row.settings->noop_out_interval = 0;
  up ();
  fault (lunfs_ram_is_sync, 1, LUNFS_RAM_NO_ANSWER); /* may take two minutes */
  send_io (0, LUNFS_OP_FLUSH, 0);
  row_step (&row, 1000);
  lunfs_ram_unit_attention (row.ram, 0x2a, 0x09);
  send_io (1, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (1, 12 * SECOND), -EIO);
  ck_assert_int_eq (row_state (&row), LUNFS_SESSION_UP);
}
END_TEST

/* TEST UNIT READY says yes, READ says no: not as fast as the wire allows. */
START_TEST (test_half_ready)
{
  up ();
  sense (lunfs_ram_is_read, 5, LUNFS_KEY_NOT_READY, 0x04, 0x01);
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, 20 * SECOND), 0);
  ck_assert_int_ge (row.now_us, 4 * SECOND);
}
END_TEST

START_TEST (test_write_protected)
{
  up ();
  lunfs_ram_conf (row.ram)->write_protected = true;
  send_io (0, LUNFS_OP_WRITE, 0);
  ck_assert_int_eq (result (0, SECOND), -EROFS);
  row_run (&row, SECOND, 1000);
  ck_assert (row.info.modes.write_protected);
}
END_TEST

/* ---- answers ---- */

START_TEST (test_busy)
{
  static const uint16_t statuses[] = { LUNFS_STATUS_BUSY, LUNFS_STATUS_TASK_SET_FULL };
  unsigned n = 0;

  row.settings->queue_depth = 16;
  row.settings->replacement_timeout = 0; /* it is there: BUSY is not an outage */
  up ();
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = lunfs_ram_is_read, .skip = 15, .status = statuses[_i] });
  for (unsigned i = 0; i < 16; i++)
    send_io (i, LUNFS_OP_READ, i);
  for (unsigned i = 0; i < 16; i++)
    ck_assert_int_eq (result (i, SECOND), 0);
  ck_assert_uint_lt (row.session->depth, 16);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, busy), 1);
  for (; row.session->depth < 16 && n < 3000; n++) {
    send_io (0, LUNFS_OP_READ, 0);
    ck_assert_int_eq (result (0, SECOND), 0);
  }
  ck_assert_uint_eq (row.session->depth, 16); /* and back again */
}
END_TEST

START_TEST (test_busy_halves)
{
  up ();
  row.session->depth = 16;
  for (unsigned i = 0; i < 16; i++)
    send_io (i, LUNFS_OP_READ, i);
  ck_assert_uint_eq (row.session->active.length, 16);
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = lunfs_ram_is_read, .status = LUNFS_STATUS_BUSY });
  row.session->depth = 17;
  send_io (16, LUNFS_OP_READ, 0);
  for (unsigned i = 0; i < 17; i++)
    ck_assert_int_eq (result (i, SECOND), 0);
}
END_TEST

START_TEST (test_busy_for_ever)
{
  row.settings->replacement_timeout = 5;
  up ();
  lunfs_ram_fault (row.ram,
                   &(LunfsRamFault){ .match = lunfs_ram_is_read, .times = G_MAXUINT, .status = LUNFS_STATUS_BUSY });
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, 35 * SECOND), -EIO);
  ck_assert_int_ge (row.now_us, 30 * SECOND);
  ck_assert_uint_le (lunfs_ram_stats (row.ram)->commands[0x88], 30);
}
END_TEST

START_TEST (test_deferred_error)
{
  up ();
  send_io (0, LUNFS_OP_WRITE, 0);
  ck_assert_int_eq (result (0, SECOND), 0);
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = lunfs_ram_is_read,
                                              .status = LUNFS_STATUS_CHECK_CONDITION,
                                              .key = LUNFS_KEY_MEDIUM_ERROR,
                                              .asc = 0x0c,
                                              .deferred = true });
  send_io (1, LUNFS_OP_READ, 1);
  ck_assert_int_eq (result (1, SECOND), 0); /* it was not about the read */
  ck_assert_uint_eq (row.deferrals, 1);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.ups, 2); /* what is unstable is to be written again */
}
END_TEST

/* A target that has dropped its cache would say GOOD the second time: not before all has been written again. */
START_TEST (test_flush_failed)
{
  up ();
  sense (lunfs_ram_is_sync, 1, LUNFS_KEY_MEDIUM_ERROR, 0x0c, 0);
  send_io (0, LUNFS_OP_FLUSH, 0);
  ck_assert_int_eq (result (0, SECOND), 0);
  ck_assert_uint_eq (row.deferrals, 1);
  ck_assert_uint_eq (row.ups, 2);
  sense (lunfs_ram_is_sync, 1, LUNFS_KEY_HARDWARE_ERROR, 0x32, 0);
  send_io (1, LUNFS_OP_FLUSH, 0);
  ck_assert_int_eq (result (1, SECOND), -EIO);
  ck_assert_uint_eq (row.deferrals, 2);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (row.ups, 3);
}
END_TEST

static const struct {
  uint8_t key, asc;
  unsigned tries;
  int error;
} retried[] = {
  { LUNFS_KEY_ABORTED_COMMAND, 0x47, 6, -EIO }, { LUNFS_KEY_MEDIUM_ERROR, 0x11, 2, -EIO },
  { LUNFS_KEY_NO_SENSE, 0x00, 2, -EIO },        { LUNFS_KEY_HARDWARE_ERROR, 0x32, 1, -EIO },
  { LUNFS_KEY_ILLEGAL_REQUEST, 0x21, 1, -EIO }, { LUNFS_KEY_HARDWARE_ERROR, 0x44, 4, -EIO },
};

START_TEST (test_retries)
{
  unsigned tries = retried[_i].tries;

  up ();
  if (tries > 1) {
    sense (lunfs_ram_is_read, tries - 1, retried[_i].key, retried[_i].asc, 0);
    send_io (0, LUNFS_OP_READ, 0);
    ck_assert_int_eq (result (0, 20 * SECOND), 0);
  }
  lunfs_ram_stats (row.ram)->commands[0x88] = 0;
  sense (lunfs_ram_is_read, tries, retried[_i].key, retried[_i].asc, 0);
  send_io (1, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (1, 20 * SECOND), retried[_i].error);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x88], tries);
}
END_TEST

/* Sessions lost do not count as tries. */
START_TEST (test_losses_are_no_tries)
{
  up ();
  for (unsigned i = 0; i < 8; i++)
    fault (lunfs_ram_is_read, 1, LUNFS_RAM_DROP_AFTER);
  sense (lunfs_ram_is_read, 1, LUNFS_KEY_MEDIUM_ERROR, 0x11, 0);
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, 60 * SECOND), 0);
}
END_TEST

START_TEST (test_underflow)
{
  up ();
  fault (lunfs_ram_is_read, 2, LUNFS_RAM_UNDERFLOW);
  send_io (0, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (0, SECOND), 0);
  fault (lunfs_ram_is_write, 3, LUNFS_RAM_UNDERFLOW);
  send_io (1, LUNFS_OP_WRITE, 0);
  ck_assert_int_eq (result (1, SECOND), -EIO);
}
END_TEST

START_TEST (test_ten)
{
  lunfs_ram_conf (row.ram)->no16 = true;
  lunfs_ram_conf (row.ram)->refusal_asc = _i;
  up ();
  for (unsigned i = 0; i < 16; i++)
    send_io (i, i % 2 ? LUNFS_OP_READ : LUNFS_OP_WRITE, i);
  send_io (16, LUNFS_OP_FLUSH, 0);
  for (unsigned i = 0; i < 17; i++)
    ck_assert_int_eq (result (i, SECOND), 0);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x2a], 8);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x35], 1);
  send_io (17, LUNFS_OP_ZERO, 0); /* there is no short form */
  ck_assert_int_eq (result (17, SECOND), -EOPNOTSUPP);
  send_io (18, LUNFS_OP_EXTENT, 0);
  ck_assert_int_eq (result (18, SECOND), -EOPNOTSUPP);
}
END_TEST

START_TEST (test_no_sync)
{
  lunfs_ram_conf (row.ram)->no_sync = true;
  up ();
  send_io (0, LUNFS_OP_FLUSH, 0);
  ck_assert_int_eq (result (0, SECOND), 0);
  send_io (1, LUNFS_OP_FLUSH, 0);
  ck_assert_int_eq (result (1, SECOND), 0);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x91], 1);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x35], 1);
}
END_TEST

/* ---- liveness ---- */

START_TEST (test_command_timeout)
{
  row.settings->cmd_timeout = 10;
  row.settings->noop_out_interval = 0;
  up ();
  fault (lunfs_ram_is_read, 1, LUNFS_RAM_NO_ANSWER);
  send_io (0, LUNFS_OP_READ, 0);
  row_run (&row, 9900000, 10000);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, session_losses), 0);
  ck_assert_int_eq (result (0, 2 * SECOND), 0);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, timeouts), 1);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 2);
}
END_TEST

/* A flush may take its time. */
START_TEST (test_flush_timeout)
{
  row.settings->cmd_timeout = 10;
  row.settings->replacement_timeout = -1;
  up ();
  fault (lunfs_ram_is_sync, 1, LUNFS_RAM_NO_ANSWER);
  send_io (0, LUNFS_OP_FLUSH, 0);
  row_run (&row, 119 * SECOND, 10000);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, session_losses), 0);
  ck_assert_int_eq (result (0, 3 * SECOND), 0);
}
END_TEST

START_TEST (test_noop)
{
  up ();
  row_run (&row, 60 * SECOND, 10000);
  ck_assert_uint_ge (LUNFS_VALUE (&row.stats, noops), 9);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, session_losses), 0);
  lunfs_ram_mute (row.ram, true);
  row_run (&row, 4900000, 10000);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, session_losses), 0);
  row_run (&row, 8 * SECOND, 10000);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, session_losses), 1);
  lunfs_ram_mute (row.ram, false);
  row_until (&row, LUNFS_SESSION_UP, 20 * SECOND);
}
END_TEST

/* ---- recovery ---- */

static void
recovering (void)
{
  row.hold_recovery = true;
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_RECOVER, SECOND);
}

START_TEST (test_recovery)
{
  recovering ();
  send_io (0, LUNFS_OP_WRITE, 1);
  send_flags (1, LUNFS_OP_WRITE, 2, LUNFS_REQ_RECOVERY);
  ck_assert_int_eq (result (1, SECOND), 0);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (io[0].done, 0); /* not before it serves */
  lunfs_session_serve (row.session);
  ck_assert_int_eq (result (0, SECOND), 0);
  send_flags (2, LUNFS_OP_WRITE, 2, LUNFS_REQ_RECOVERY);
  ck_assert_int_eq (result (2, SECOND), -ECANCELED); /* too late */
}
END_TEST

/* However it stands when the session is lost, a recovery request comes back before the next login. */
START_TEST (test_recovery_lost)
{
  recovering ();
  if (_i == 1)
    lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = lunfs_ram_is_write, .times = 3, .status = LUNFS_STATUS_BUSY });
  if (_i == 2)
    row.session->depth = 0;
  for (unsigned i = 0; i < 3; i++)
    send_flags (i, LUNFS_OP_WRITE, i, LUNFS_REQ_RECOVERY);
  row_step (&row, 0);
  row_step (&row, 1000); /* 1: delayed now */
  if (_i != 1)
    for (unsigned i = 0; i < 3; i++)
      send_flags (i + 3, LUNFS_OP_WRITE, i, LUNFS_REQ_RECOVERY);
  lunfs_ram_drop (row.ram, "cut");
  for (unsigned i = 0; i < 3; i++) {
    ck_assert_int_eq (result (i, 2000), _i == 0 ? 0 : -ECANCELED);
    ck_assert_uint_eq (row.ups, 1);
  }
  row_step (&row, 1000);
  row_until (&row, LUNFS_SESSION_RECOVER, SECOND);
  ck_assert_uint_eq (row.downs, 1);
}
END_TEST

/* What recovers was acknowledged long ago: an outage that has lasted too long is no reason to give it up. */
START_TEST (test_recovery_outlasts_replacement)
{
  row.settings->replacement_timeout = 2;
  row.settings->noop_out_interval = 0;
  recovering ();
  lunfs_ram_conf (row.ram)->latency_us = 5 * SECOND;
  row.session->depth = 1;
  send_io (0, LUNFS_OP_READ, 0);
  for (unsigned i = 1; i < 4; i++)
    send_flags (i, LUNFS_OP_WRITE, i, LUNFS_REQ_RECOVERY);
  ck_assert_int_eq (result (0, 3 * SECOND), -EIO);
  for (unsigned i = 1; i < 4; i++)
    ck_assert_int_eq (result (i, 16 * SECOND), 0);
  lunfs_ram_conf (row.ram)->latency_us = 100;
  lunfs_session_serve (row.session);
  send_io (4, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (4, SECOND), 0);
}
END_TEST

/* Whatever was proven and written again so far: it may not hold any more. */
START_TEST (test_recovery_disturbed)
{
  recovering ();
  if (_i == 0)
    lunfs_ram_unit_attention (row.ram, 0x29, 0x00);
  else
    lunfs_ram_not_ready (row.ram, 0x01);
  for (unsigned i = 0; i < 3; i++)
    send_flags (i, LUNFS_OP_WRITE, i, LUNFS_REQ_RECOVERY);
  for (unsigned i = 0; i < 3; i++)
    if (result (i, SECOND) != 0)
      ck_assert_int_eq (io[i].req.result, -ECANCELED);
  row_run (&row, 10 * SECOND, 10000);
  ck_assert_uint_le (lunfs_ram_stats (row.ram)->commands[0x8a], 3);
  lunfs_ram_not_ready (row.ram, 0);
  row_run (&row, 2 * SECOND, 1000);
  ck_assert_uint_eq (row.ups, 2);
}
END_TEST

/* ---- the end ---- */

static void
go_to (LunfsSessionState state)
{
  switch (state) {
  case LUNFS_SESSION_DOWN:
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, G_MAXUINT);
    break;
  case LUNFS_SESSION_RESOLVE:
    row.hold_resolve = true;
    break;
  case LUNFS_SESSION_LOGIN:
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, G_MAXUINT);
    break;
  case LUNFS_SESSION_PROBE:
    lunfs_ram_not_ready (row.ram, 0x01);
    break;
  case LUNFS_SESSION_RECOVER:
    row.hold_recovery = true;
    break;
  default:
    break;
  }
  if (state == LUNFS_SESSION_FENCED) {
    up ();
    change_naa ();
    lunfs_ram_drop (row.ram, "cut");
    row_step (&row, 0);
  } else {
    row_build (&row, false, NULL);
  }
  if (state == LUNFS_SESSION_DOWN)
    row_run (&row, SECOND, 1000);
  row_until (&row, state, SECOND);
}

/* With requests of every kind inside, and nothing moving. */
START_TEST (test_stop)
{
  LunfsSessionState state = (LunfsSessionState) (_i / 2);
  int64_t begin;

  if (state == LUNFS_SESSION_STOPPED)
    return;
  go_to (state);
  for (unsigned i = 0; i < 20; i++)
    send_io (i, LUNFS_OP_WRITE, i);
  send_flags (20, LUNFS_OP_WRITE, 30, LUNFS_REQ_RECOVERY);
  lunfs_ram_mute (row.ram, _i % 2);
  if (_i % 2)
    row_run (&row, 5000, 1000);
  begin = row.now_us;
  lunfs_session_stop (row.session, 2000);
  lunfs_session_stop (row.session, 2000);
  row_until (&row, LUNFS_SESSION_STOPPED, 2100000);
  ck_assert_int_le (row.now_us - begin, 10000); /* there was work left: no time for a logout */
  for (unsigned i = 0; i < 21; i++)
    ck_assert_uint_eq (io[i].done, 1); /* before stopped() */
  send_io (21, LUNFS_OP_READ, 0);
  ck_assert_int_eq (result (21, 10), -EIO);
  lunfs_session_resolved (row.session, row.addresses, 1, NULL); /* too late */
  row_run (&row, 10 * SECOND, 10000);
  ck_assert_int_eq (row_state (&row), LUNFS_SESSION_STOPPED);
}
END_TEST

START_TEST (test_stop_idle)
{
  int64_t begin, took;

  up ();
  if (_i == 1)
    lunfs_ram_mute (row.ram, true);
  begin = row.now_us;
  lunfs_session_stop (row.session, 2000);
  if (_i == 2)
    lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_STOPPED, 3 * SECOND);
  took = row.now_us - begin;
  if (_i == 1)
    ck_assert (took >= 1900000 && took <= 2100000);
  else
    ck_assert_int_le (took, 10000);
}
END_TEST

/* In the very pass in which something else ends that would have gone on. */
static LunfsTimer stop_timer;

static void
stop_fired (LunfsTimer *t)
{
  lunfs_session_stop (row.session, 2000);
}

START_TEST (test_stop_beside_login)
{
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_LOGIN, SECOND);
  stop_timer = (LunfsTimer){ .fire = stop_fired };
  lunfs_lane_arm (row.lane, &stop_timer, 50); /* the login's answer comes after 100 us */
  if (_i)
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_AUTH, 1);
  row_step (&row, 1000);
  row_until (&row, LUNFS_SESSION_STOPPED, 10000);
}
END_TEST

START_TEST (test_stop_beside_resolve)
{
  row.hold_resolve = true;
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_RESOLVE, SECOND);
  lunfs_session_stop (row.session, 2000);
  lunfs_session_resolved (row.session, row.addresses, 1, NULL);
  row_until (&row, LUNFS_SESSION_STOPPED, 10000);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 0);
}
END_TEST

/* RECOVERED ERROR is no error, and no excuse: too little data is asked for again, an answer that is none is none. */
START_TEST (test_recovered)
{
  LunfsRamFault f = { .status = LUNFS_STATUS_CHECK_CONDITION, .key = LUNFS_KEY_RECOVERED, .asc = 0x17 };

  lunfs_ram_conf (row.ram)->lbpme = true;
  up ();
  lunfs_ram_data (row.ram)[BS] = 0x77;
  f.match = lunfs_ram_is_read;
  f.bytes = BS;
  lunfs_ram_fault (row.ram, &f);
  send_io (0, LUNFS_OP_READ, 1);
  ck_assert_int_eq (result (0, SECOND), 0);
  ck_assert_uint_eq (io[0].data[0], 0x77);
  f.match = NULL;
  f.bytes = 0;
  lunfs_ram_fault (row.ram, &f);
  send_io (1, LUNFS_OP_EXTENT, 1);
  ck_assert_int_eq (result (1, SECOND), -EOPNOTSUPP);
  send_io (2, LUNFS_OP_EXTENT, 1);
  ck_assert_int_eq (result (2, SECOND), 0);
  f.match = lunfs_ram_is_write;
  lunfs_ram_fault (row.ram, &f);
  send_io (3, LUNFS_OP_WRITE, 1);
  ck_assert_int_eq (result (3, SECOND), 0); /* as it says */
}
END_TEST

/* What the LUN takes from nobody must not be a reason to log in again, for ever. */
START_TEST (test_recovery_refused)
{
  static const struct {
    uint8_t key, asc;
    int result;
  } refusals[] = { { LUNFS_KEY_DATA_PROTECT, 0x27, -EROFS }, { LUNFS_KEY_ILLEGAL_REQUEST, 0x21, -ENOSPC } };

  recovering ();
  sense (lunfs_ram_is_write, 1, refusals[_i].key, refusals[_i].asc, 0);
  send_flags (0, LUNFS_OP_WRITE, 2, LUNFS_REQ_RECOVERY);
  ck_assert_int_eq (result (0, SECOND), refusals[_i].result);
  ck_assert_int_eq (row_state (&row), LUNFS_SESSION_RECOVER);
  lunfs_session_serve (row.session);
  row_run (&row, SECOND, 1000);
  ck_assert_int_eq (row_state (&row), LUNFS_SESSION_UP);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 1);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("session");
  TCase *tc = tcase_create ("session");
  SRunner *runner;
  int failed;

  lunfs_log_open ("/dev/null", LUNFS_LOG_INFO, 0, NULL);
  tcase_set_timeout (tc, 20);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_refused, 0, G_N_ELEMENTS (outcomes));
  tcase_add_test (tc, test_pauses_grow);
  tcase_add_test (tc, test_rest);
  tcase_add_test (tc, test_look_after_wrong_password);
  tcase_add_test (tc, test_open_fails);
  tcase_add_test (tc, test_next_address);
  tcase_add_loop_test (tc, test_refused_at_one_portal, 0, 3);
  tcase_add_test (tc, test_wrong_password_is_not_tried_elsewhere);
  tcase_add_test (tc, test_no_address);
  tcase_add_test (tc, test_moved);
  tcase_add_test (tc, test_moved_for_ever);
  tcase_add_test (tc, test_moved_in_vain);
  tcase_add_test (tc, test_address_split);
  tcase_add_test (tc, test_silent_login);
  tcase_add_test (tc, test_lost_in_probe);
  tcase_add_test (tc, test_silent_in_probe);
  tcase_add_test (tc, test_no_such_lun);
  tcase_add_test (tc, test_replay_in_order);
  tcase_add_test (tc, test_replacement_timeout);
  tcase_add_test (tc, test_replacement_zero);
  tcase_add_test (tc, test_replacement_never);
  tcase_add_test (tc, test_poison);
  tcase_add_test (tc, test_nothing_on_a_dead_connection);
  tcase_add_loop_test (tc, test_fenced, 0, G_N_ELEMENTS (changes));
  tcase_add_test (tc, test_fenced_from_the_start);
  tcase_add_test (tc, test_grown);
  tcase_add_loop_test (tc, test_recheck, 0, 5);
  tcase_add_test (tc, test_harmless_attention);
  tcase_add_test (tc, test_endless_attentions);
  tcase_add_test (tc, test_fenced_by_recheck);
  tcase_add_test (tc, test_not_ready);
  tcase_add_test (tc, test_start_unit);
  tcase_add_loop_test (tc, test_never_ready, 0, 2);
  tcase_add_test (tc, test_recheck_behind_flush);
  tcase_add_test (tc, test_half_ready);
  tcase_add_test (tc, test_write_protected);
  tcase_add_loop_test (tc, test_busy, 0, 2);
  tcase_add_test (tc, test_busy_halves);
  tcase_add_test (tc, test_busy_for_ever);
  tcase_add_test (tc, test_deferred_error);
  tcase_add_test (tc, test_flush_failed);
  tcase_add_loop_test (tc, test_retries, 0, G_N_ELEMENTS (retried));
  tcase_add_test (tc, test_losses_are_no_tries);
  tcase_add_test (tc, test_underflow);
  tcase_add_test (tc, test_recovered);
  tcase_add_loop_test (tc, test_ten, 0x20, 0x21);
  tcase_add_loop_test (tc, test_ten, 0x24, 0x25);
  tcase_add_test (tc, test_no_sync);
  tcase_add_test (tc, test_command_timeout);
  tcase_add_test (tc, test_flush_timeout);
  tcase_add_test (tc, test_noop);
  tcase_add_test (tc, test_recovery);
  tcase_add_loop_test (tc, test_recovery_lost, 0, 3);
  tcase_add_test (tc, test_recovery_outlasts_replacement);
  tcase_add_loop_test (tc, test_recovery_disturbed, 0, 2);
  tcase_add_loop_test (tc, test_recovery_refused, 0, 2);
  tcase_add_loop_test (tc, test_stop, 0, 2 * LUNFS_SESSION_STOPPED);
  tcase_add_loop_test (tc, test_stop_idle, 0, 3);
  tcase_add_loop_test (tc, test_stop_beside_login, 0, 2);
  tcase_add_test (tc, test_stop_beside_resolve);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
