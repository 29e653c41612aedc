/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session/leave.c: a session is left to a successor without an answer to anybody, and says truly whether anything of it can
 * come late; what the successor makes of that. */
#include "row.h"

#define BS 512
#define SECOND G_USEC_PER_SEC
#define NBLOCKS 64
#define NREQS 24 /* more than the queue's depth: some wait */

static Row row;
static LunfsRequest req[NREQS];
static struct iovec iov[NREQS];
static uint8_t data[NREQS][BS];
static unsigned ended, failed;

static void
on_done (LunfsRequest *r)
{
  ended++;
  failed += r->result < 0;
}

static void
write_all (unsigned n)
{
  ended = failed = 0;
  for (unsigned i = 0; i < n; i++) {
    lunfs_request_init (&req[i]);
    req[i].op = LUNFS_OP_WRITE;
    req[i].offset = i * BS;
    req[i].length = BS;
    iov[i] = (struct iovec){ data[i], BS };
    req[i].iov = &iov[i];
    req[i].niov = 1;
    req[i].done = on_done;
    req[i].submit_us = lunfs_lane_now_us (row.lane);
    lunfs_session_layer (row.session)->ops->submit (lunfs_session_layer (row.session), &req[i]);
  }
}

static void
begin (void)
{
  row = (Row){ 0 };
  row_init (&row, NBLOCKS, BS, 7);
  lunfs_ram_conf (row.ram)->tgtd = true;
  lunfs_ram_conf (row.ram)->latency_us = 10000;
  row.settings->replacement_timeout = 1;
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}

static unsigned
writes_seen (void)
{
  return lunfs_ram_stats (row.ram)->commands[0x8a];
}

START_TEST (test_idle)
{
  begin ();
  lunfs_session_leave (row.session);
  ck_assert_uint_eq (row.quiets, 1);
  ck_assert_uint_eq (row.lefts, 0); /* it says good-bye */
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.lefts, 1);
  lunfs_session_leave (row.session);
  row_run (&row, 5 * SECOND, 10000);
  ck_assert_uint_eq (row.quiets + row.lefts, 2);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 1);
  row_free (&row);
}
END_TEST

/* What is at the target is waited for; what waits is neither sent nor answered. */
START_TEST (test_busy)
{
  begin ();
  write_all (NREQS);
  row_step (&row, 1000);
  ck_assert_uint_eq (writes_seen (), 16);
  lunfs_session_leave (row.session);
  ck_assert_uint_eq (row.quiets, 0);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (ended, 16);
  ck_assert_uint_eq (failed, 0);
  ck_assert_uint_eq (writes_seen (), 16);
  ck_assert_uint_eq (row.quiets, 1);
  ck_assert_uint_eq (row.lefts, 1);
  row_run (&row, 5 * SECOND, 10000); /* replacement_timeout is nothing to it */
  ck_assert_uint_eq (ended, 16);
  row_free (&row);
}
END_TEST

/* Writes were lost with the connection: over, but not quiet. */
START_TEST (test_lost)
{
  begin ();
  write_all (4);
  row_step (&row, 1000);
  lunfs_session_leave (row.session);
  lunfs_ram_drop (row.ram, "cut");
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (row.quiets, 0);
  ck_assert_uint_eq (row.lefts, 1);
  ck_assert_uint_eq (ended, 0);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, 1); /* no other login */
  row_free (&row);
}
END_TEST

/* Lost before, and not logged in since. */
START_TEST (test_down)
{
  for (unsigned n = 0; n < 2; n++) {
    begin ();
    write_all (n);
    row_step (&row, 1000);
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 1000);
    lunfs_ram_drop (row.ram, "cut");
    row_until (&row, LUNFS_SESSION_DOWN, SECOND);
    lunfs_session_leave (row.session);
    ck_assert_uint_eq (row.quiets, n == 0);
    ck_assert_uint_eq (row.lefts, 1);
    n ? row_run (&row, 5 * SECOND, 10000) : (void) 0;
    ck_assert_uint_eq (ended, 0);
    row_free (&row);
  }
}
END_TEST

START_TEST (test_silent)
{
  begin ();
  write_all (1);
  row_step (&row, 1000);
  lunfs_ram_mute (row.ram, true);
  lunfs_session_leave (row.session);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.quiets + row.lefts, 0);
  lunfs_ram_mute (row.ram, false);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.quiets, 1);
  row_free (&row);
}
END_TEST

/* The successor of a worker that died resets the LUN; that of one that left in peace does not. */
START_TEST (test_successor)
{
  LunfsLunInfo known;

  begin ();
  known = row.info;
  row_free (&row);
  for (unsigned quiet = 0; quiet < 2; quiet++) {
    row_init (&row, NBLOCKS, BS, 7);
    lunfs_ram_conf (row.ram)->tgtd = true;
    row.known_quiet = quiet;
    row_build (&row, false, &known);
    row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
    ck_assert_uint_eq (lunfs_ram_stats (row.ram)->resets, !quiet);
    row_free (&row);
  }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("leave");
  TCase *tc = tcase_create ("leave");
  tcase_add_test (tc, test_idle);
  tcase_add_test (tc, test_busy);
  tcase_add_test (tc, test_lost);
  tcase_add_test (tc, test_down);
  tcase_add_test (tc, test_silent);
  tcase_add_test (tc, test_successor);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int bad = srunner_ntests_failed (runner);
  srunner_free (runner);
  return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
