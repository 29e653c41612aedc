/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session/logout.c: the administrator logs a LUN out and in again; session/recorder.c: what it keeps. */
#include "row-load.h"

#include "session/recorder.h"

static void
begin (void)
{
  row = (Row){ 0 };
  row_init (&row, NBLOCKS, BS, 7);
  lunfs_ram_conf (row.ram)->latency_us = 10000;
  row_build (&row, false, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}

static unsigned
connections (void)
{
  return lunfs_ram_stats (row.ram)->connections;
}

START_TEST (test_idle)
{
  begin ();
  lunfs_session_log_out (row.session);
  row_until (&row, LUNFS_SESSION_LOGGED_OUT, SECOND);
  submit (LUNFS_OP_READ, 4);
  row_run (&row, 30 * SECOND, 100000); /* nothing is tried meanwhile */
  ck_assert_uint_eq (ended, 4);
  ck_assert_uint_eq (failed, 4);
  ck_assert_uint_eq (connections (), 1);
  lunfs_session_log_out (row.session); /* again: nothing */
  lunfs_session_log_in (row.session);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  submit (LUNFS_OP_READ, 4);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (ended, 4);
  ck_assert_uint_eq (failed, 0);
  ck_assert_uint_eq (connections (), 2);
  row_free (&row);
}
END_TEST

/* What is at the target is waited for; what waits fails at once. */
START_TEST (test_busy)
{
  begin ();
  submit (LUNFS_OP_READ, NREQS);
  row_step (&row, 1000);
  lunfs_session_log_out (row.session);
  row_step (&row, 1000);
  ck_assert_uint_eq (ended, NREQS - 16);
  ck_assert_uint_eq (failed, NREQS - 16);
  row_until (&row, LUNFS_SESSION_LOGGED_OUT, SECOND);
  ck_assert_uint_eq (ended, NREQS);
  ck_assert_uint_eq (failed, NREQS - 16);
  row_free (&row);
}
END_TEST

/* The connection goes down on the way out, or the target says nothing: out all the same. */
START_TEST (test_lost)
{
  for (unsigned silent = 0; silent < 2; silent++) {
    begin ();
    submit (LUNFS_OP_READ, 4);
    row_step (&row, 1000);
    lunfs_session_log_out (row.session);
    if (silent)
      lunfs_ram_mute (row.ram, true);
    else
      lunfs_ram_drop (row.ram, "cut");
    row_until (&row, LUNFS_SESSION_LOGGED_OUT, 120 * SECOND);
    ck_assert_uint_eq (ended, 4);
    ck_assert_uint_eq (failed, 4);
    row_run (&row, 30 * SECOND, 100000);
    ck_assert_uint_eq (connections (), 1);
    row_free (&row);
  }
}
END_TEST

/* While it is down, before it was ever started, and in again before it is out. */
START_TEST (test_other_states)
{
  begin ();
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 1000);
  lunfs_ram_drop (row.ram, "cut");
  row_run (&row, 3 * SECOND, 10000);
  lunfs_session_log_out (row.session);
  row_until (&row, LUNFS_SESSION_LOGGED_OUT, SECOND);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 0);
  row_run (&row, 30 * SECOND, 100000);
  ck_assert_int_eq (row_state (&row), LUNFS_SESSION_LOGGED_OUT);
  lunfs_session_log_in (row.session);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
  lunfs_session_log_out (row.session);
  lunfs_session_log_in (row.session);
  row_run (&row, SECOND, 1000);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  submit (LUNFS_OP_READ, 4);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (failed, 0);
  ck_assert_uint_eq (ended, 4);
  row_free (&row);
}
END_TEST

START_TEST (test_recorder)
{
  LunfsRecorder *r = lunfs_recorder_new ();
  LunfsRecord out[LUNFS_RECORDER_ENTRIES];
  uint64_t total;

  ck_assert_uint_eq (lunfs_recorder_read (r, out, &total), 0);
  ck_assert_uint_eq (total, 0);
  for (unsigned i = 0; i < LUNFS_RECORDER_ENTRIES + 3; i++)
    lunfs_recorder_add (r, &(LunfsRecord){ .lba = i });
  ck_assert_uint_eq (lunfs_recorder_read (r, out, &total), LUNFS_RECORDER_ENTRIES);
  ck_assert_uint_eq (total, LUNFS_RECORDER_ENTRIES + 3);
  ck_assert_uint_eq (out[0].lba, 3);
  ck_assert_uint_eq (out[LUNFS_RECORDER_ENTRIES - 1].lba, LUNFS_RECORDER_ENTRIES + 2);
  lunfs_recorder_free (r);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("logout");
  TCase *tc = tcase_create ("logout");
  tcase_add_test (tc, test_idle);
  tcase_add_test (tc, test_busy);
  tcase_add_test (tc, test_lost);
  tcase_add_test (tc, test_other_states);
  tcase_add_test (tc, test_recorder);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int bad = srunner_ntests_failed (runner);
  srunner_free (runner);
  return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
