/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session/leave.c: a session is left to a successor without an answer to anybody, and says truly whether anything of it can
 * come late; what the successor makes of that. */
#include "row-load.h"

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
  submit (LUNFS_OP_WRITE, NREQS);
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
  submit (LUNFS_OP_WRITE, 4);
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
    submit (LUNFS_OP_WRITE, n);
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
  submit (LUNFS_OP_WRITE, 1);
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
