/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session/guard.c: a write of a lost session never comes after a newer one; and the limits that change while running.
 * The target in memory plays tgtd: what a lost connection had sent may be executed at any later time, until a login
 * through SecurityNegotiation or a LUN RESET. */
#include "row.h"

#define BS 512
#define SECOND G_USEC_PER_SEC
#define NBLOCKS 64

static Row row;
static LunfsRequest req;
static struct iovec iov;
static uint8_t data[BS];
static bool done;
static int64_t waited_us; /* to the left of the session */

static void
on_done (LunfsRequest *r)
{
  done = true;
}

static void
start_io (LunfsOp op, uint64_t lba, uint8_t fill)
{
  memset (data, fill, BS);
  lunfs_request_init (&req);
  req.op = op;
  req.offset = lba * BS;
  req.length = op == LUNFS_OP_FLUSH ? 0 : BS;
  iov = (struct iovec){ data, BS };
  req.iov = &iov;
  req.niov = op == LUNFS_OP_READ || op == LUNFS_OP_WRITE;
  req.chunks = NULL;
  req.nchunks = 0;
  req.done = on_done;
  req.submit_us = lunfs_lane_now_us (row.lane) - waited_us;
  done = false;
  lunfs_session_layer (row.session)->ops->submit (lunfs_session_layer (row.session), &req);
}

static int
finish_io (int64_t limit_us)
{
  for (int64_t end = row.now_us + limit_us; !done;) {
    ck_assert_msg (row.now_us < end, "the request hangs");
    row_step (&row, 1000);
  }
  return req.result;
}

static int
io (LunfsOp op, uint64_t lba, uint8_t fill)
{
  start_io (op, lba, fill);
  return finish_io (20 * SECOND);
}

static const LunfsRamStats *
stats (void)
{
  return lunfs_ram_stats (row.ram);
}

static void
begin (uint64_t seed, bool tgtd, LunfsGuardMode mode)
{
  row = (Row){ 0 };
  row_init (&row, NBLOCKS, BS, seed);
  lunfs_ram_conf (row.ram)->tgtd = tgtd;
  lunfs_ram_conf (row.ram)->latency_us = 1000;
  row.settings->stale_write_guard = mode;
  row.settings->cmd_timeout = 5;
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  row_run (&row, SECOND, 100000);
}

/* A write is under way when the session is lost; it is sent again, then comes a newer one, then some traffic.  Returns
 * whether the newer one is what the disk holds at last. */
static bool
newer_survives (void)
{
  start_io (LUNFS_OP_WRITE, 7, 1);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  ck_assert_int_eq (finish_io (5 * SECOND), 0);
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 7, 2), 0);
  for (unsigned i = 0; i < 30; i++)
    ck_assert_int_eq (io (LUNFS_OP_READ, 3, 0), 0);
  return lunfs_ram_data (row.ram)[7 * BS] == 2;
}

START_TEST (test_no_stale_write)
{
  begin ((uint64_t) _i, true, LUNFS_GUARD_AUTO);
  ck_assert_uint_eq (stats ()->security_logins, 0); /* what it is was not known */
  ck_assert (newer_survives ());
  ck_assert_uint_eq (stats ()->security_logins, 1);
  ck_assert_uint_eq (stats ()->resets, 1);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, lun_resets), 1);
  lunfs_ram_drop (row.ram, "cut"); /* nothing was under way */
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert_uint_eq (stats ()->security_logins, 2);
  ck_assert_uint_eq (stats ()->resets, 1);
  row_free (&row);
}
END_TEST

/* That the danger is real, or the test above shows nothing. */
START_TEST (test_stale_write_without)
{
  unsigned lost = 0;

  for (uint64_t seed = 0; seed < 60; seed++) {
    begin (seed, true, LUNFS_GUARD_OFF);
    for (uint64_t i = 0; i < seed; i++)
      io (LUNFS_OP_READ, 0, 0);
    lost += !newer_survives ();
    ck_assert_uint_eq (stats ()->resets + stats ()->security_logins, 0);
    row_free (&row);
  }
  ck_assert_uint_gt (lost, 3);
}
END_TEST

START_TEST (test_others_left_alone)
{
  begin (1, false, LUNFS_GUARD_AUTO);
  ck_assert (newer_survives ());
  ck_assert_uint_eq (stats ()->resets + stats ()->security_logins, 0);
  row_free (&row);
}
END_TEST

START_TEST (test_on)
{
  begin (1, false, LUNFS_GUARD_ON);
  ck_assert_uint_eq (stats ()->security_logins, 1);
  ck_assert (newer_survives ());
  ck_assert_uint_eq (stats ()->security_logins, 2);
  ck_assert_uint_eq (stats ()->resets, 1);
  row_free (&row);
}
END_TEST

/* The next login is at another address: whether that is the same target portal group is not known. */
START_TEST (test_moved)
{
  begin (1, false, LUNFS_GUARD_AUTO);
  row.addresses[0] = "192.0.2.77";
  row.naddresses = 1;
  ck_assert (newer_survives ());
  ck_assert_uint_eq (stats ()->resets, 1);
  row_free (&row);
}
END_TEST

START_TEST (test_reset_unsupported)
{
  int64_t from;

  begin (1, true, LUNFS_GUARD_AUTO);
  lunfs_ram_conf (row.ram)->reset_response = 5;
  start_io (LUNFS_OP_WRITE, 7, 1);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  from = row.now_us;
  ck_assert_int_eq (finish_io (5 * SECOND), 0);
  ck_assert_int_ge (row.now_us - from, 2 * SECOND);
  ck_assert_uint_eq (stats ()->resets, 1);
  row_free (&row);
}
END_TEST

START_TEST (test_reset_unanswered)
{
  begin (1, true, LUNFS_GUARD_AUTO);
  lunfs_ram_conf (row.ram)->reset_response = LUNFS_RAM_NO_RESPONSE;
  start_io (LUNFS_OP_WRITE, 7, 1);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_PROBE, SECOND);
  row_until (&row, LUNFS_SESSION_DOWN, 7 * SECOND); /* cmd_timeout */
  lunfs_ram_conf (row.ram)->reset_response = 0;
  ck_assert_int_eq (finish_io (10 * SECOND), 0);
  ck_assert_uint_eq (stats ()->resets, 2);
  row_free (&row);
}
END_TEST

/* Some targets take a login through SecurityNegotiation amiss: they get the other kind, at once. */
START_TEST (test_security_refused)
{
  begin (1, true, LUNFS_GUARD_AUTO);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_AUTH, 1);
  start_io (LUNFS_OP_WRITE, 7, 1);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  ck_assert_int_eq (finish_io (SECOND), 0);
  ck_assert_uint_eq (stats ()->security_logins, 1);
  ck_assert_uint_eq (stats ()->resets, 1); /* all the more */
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, login_failures), 0);
  row_free (&row);
}
END_TEST

/* A worker that died may have left writes behind. */
START_TEST (test_next_worker)
{
  LunfsLunInfo known;

  begin (1, true, LUNFS_GUARD_ON);
  known = row.info;
  row_free (&row);
  row = (Row){ 0 };
  row_init (&row, NBLOCKS, BS, 1);
  row.settings->stale_write_guard = LUNFS_GUARD_ON;
  row_build (&row, false, &known);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  ck_assert_uint_eq (stats ()->security_logins, 1);
  ck_assert_uint_eq (stats ()->resets, 1);
  row_free (&row);
}
END_TEST

/* ---- limits that change while running ---- */

static bool
failing (void)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row.session, &snapshot);
  return snapshot.failing;
}

static void
set_replacement (int seconds)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row.session, &snapshot);
  snapshot.timeouts.replacement_timeout = seconds;
  lunfs_session_set_timeouts (row.session, &snapshot.timeouts);
  lunfs_session_snapshot (row.session, &snapshot);
  ck_assert_int_eq (snapshot.timeouts.replacement_timeout, seconds);
}

START_TEST (test_change_replacement)
{
  begin (1, false, LUNFS_GUARD_AUTO);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, G_MAXUINT);
  lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
  start_io (LUNFS_OP_READ, 0, 0);
  row_run (&row, 10 * SECOND, 10000);
  ck_assert (!done);
  set_replacement (20); /* of 120; 10 have passed */
  row_run (&row, 9 * SECOND, 10000);
  ck_assert (!done);
  row_run (&row, 2 * SECOND, 10000);
  ck_assert (done && req.result == -EIO && failing ());
  set_replacement (-1); /* what comes now waits again */
  ck_assert (!failing ());
  start_io (LUNFS_OP_READ, 0, 0);
  row_run (&row, 300 * SECOND, 100000);
  ck_assert (!done);
  set_replacement (5); /* long ago */
  row_run (&row, SECOND / 10, 1000);
  ck_assert (done && req.result == -EIO && failing ());
  set_replacement (1000);
  start_io (LUNFS_OP_READ, 0, 0);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 0);
  ck_assert_int_eq (finish_io (15 * SECOND), 0);
  ck_assert (!failing ());
  row_free (&row);
}
END_TEST

START_TEST (test_off_is_off)
{
  begin (1, false, LUNFS_GUARD_OFF);
  row.addresses[0] = "192.0.2.77";
  newer_survives ();
  ck_assert_uint_eq (stats ()->resets, 0);
  row_free (&row);
}
END_TEST

/* Some targets drop what they do not know: that must not keep the LUN down for ever. */
START_TEST (test_reset_never_answered)
{
  begin (1, true, LUNFS_GUARD_AUTO);
  lunfs_ram_conf (row.ram)->reset_response = LUNFS_RAM_NO_RESPONSE;
  start_io (LUNFS_OP_WRITE, 7, 1);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  ck_assert_int_eq (finish_io (30 * SECOND), 0);
  ck_assert_uint_eq (stats ()->resets, 2);
  row_free (&row);
}
END_TEST

/* Refused with and without SecurityNegotiation: it was not about that. */
START_TEST (test_security_refused_for_a_while)
{
  unsigned before;

  begin (1, true, LUNFS_GUARD_AUTO);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_AUTH, 4);
  start_io (LUNFS_OP_WRITE, 7, 1);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  finish_io (300 * SECOND);
  before = stats ()->security_logins;
  lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert_uint_gt (stats ()->security_logins, before);
  row_free (&row);
}
END_TEST

/* A LUN that is not ready for minutes is when an administrator wants to change it. */
START_TEST (test_change_while_not_ready)
{
  begin (1, false, LUNFS_GUARD_AUTO);
  lunfs_ram_not_ready (row.ram, 0x04);
  lunfs_session_look (row.session);
  row_run (&row, SECOND, 1000);
  start_io (LUNFS_OP_READ, 0, 0);
  row_run (&row, 10 * SECOND, 10000);
  set_replacement (-1);
  row_run (&row, 300 * SECOND, 100000);
  ck_assert (!done);
  set_replacement (0);
  ck_assert_int_eq (finish_io (7 * SECOND), -EIO);
  lunfs_ram_not_ready (row.ram, 0);
  row_free (&row);
}
END_TEST

/* The time a recheck may take is not an outage's. */
START_TEST (test_lost_in_recheck)
{
  static const LunfsTimeouts limits = {
    .replacement_timeout = 0, .login_timeout = 15, .noop_out_timeout = 5, .cmd_timeout = 30
  };

  begin (1, false, LUNFS_GUARD_AUTO);
  lunfs_session_set_timeouts (row.session, &limits);
  lunfs_session_look (row.session);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, G_MAXUINT);
  row_step (&row, 100);
  lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
  start_io (LUNFS_OP_READ, 0, 0);
  ck_assert_int_eq (finish_io (SECOND), -EIO);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 0);
  row_free (&row);
}
END_TEST

START_TEST (test_request_limit)
{
  static const LunfsTimeouts limits = { .replacement_timeout = -1,
                                        .login_timeout = 15,
                                        .noop_out_interval = 0,
                                        .noop_out_timeout = 5,
                                        .cmd_timeout = 3600,
                                        .request_limit = 10 };
  int64_t from;

  begin (1, false, LUNFS_GUARD_AUTO);
  lunfs_session_set_timeouts (row.session, &limits);
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = lunfs_ram_is_read, .kind = LUNFS_RAM_NO_ANSWER });
  from = row.now_us;
  start_io (LUNFS_OP_READ, 0, 0); /* at the target */
  ck_assert_int_eq (finish_io (12 * SECOND), -EIO);
  ck_assert_int_ge (row.now_us - from, 10 * SECOND);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, G_MAXUINT);
  lunfs_ram_drop (row.ram, "cut");
  row_until (&row, LUNFS_SESSION_DOWN, SECOND);
  from = row.now_us;
  start_io (LUNFS_OP_READ, 0, 0); /* waiting */
  ck_assert_int_eq (finish_io (12 * SECOND), -EIO);
  ck_assert_int_ge (row.now_us - from, 10 * SECOND);
  waited_us = 10 * SECOND;
  start_io (LUNFS_OP_READ, 0, 0); /* behind another one, until now: a hundred of these must not add up */
  ck_assert_int_eq (finish_io (SECOND / 10), -EIO);
  waited_us = 0;
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_OK, 0);
  row_free (&row);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("guard");
  TCase *tc = tcase_create ("guard");
  SRunner *runner;
  int failed;

  lunfs_log_open ("/dev/null", LUNFS_LOG_INFO, 0, NULL);
  tcase_add_loop_test (tc, test_no_stale_write, 0, 20);
  tcase_add_test (tc, test_stale_write_without);
  tcase_add_test (tc, test_others_left_alone);
  tcase_add_test (tc, test_on);
  tcase_add_test (tc, test_moved);
  tcase_add_test (tc, test_reset_unsupported);
  tcase_add_test (tc, test_reset_unanswered);
  tcase_add_test (tc, test_security_refused);
  tcase_add_test (tc, test_next_worker);
  tcase_add_test (tc, test_change_replacement);
  tcase_add_test (tc, test_request_limit);
  tcase_add_test (tc, test_off_is_off);
  tcase_add_test (tc, test_reset_never_answered);
  tcase_add_test (tc, test_security_refused_for_a_while);
  tcase_add_test (tc, test_change_while_not_ready);
  tcase_add_test (tc, test_lost_in_recheck);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
