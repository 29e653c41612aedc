/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/pulse.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>

#define BEAT LUNFS_PULSE_BEAT
#define ALIVE LUNFS_PULSE_ALIVE
#define PING LUNFS_PULSE_PING
#define ABORT LUNFS_PULSE_ABORT
#define KILL LUNFS_PULSE_KILL
#define S INT64_C (1000000)

/* The next beat, exactly when it is due. */
static unsigned
beat (LunfsPulse *p, bool expected)
{
  ck_assert_uint_eq (lunfs_pulse_tick (p, expected, p->next_us - 1), 0);
  return lunfs_pulse_tick (p, expected, p->next_us);
}

START_TEST (test_answers)
{
  LunfsPulse p;

  lunfs_pulse_init (&p, 0, 100);
  ck_assert_int_eq (p.next_us, 100 + 5 * S);
  for (unsigned i = 0; i < 20; i++) {
    ck_assert_uint_eq (beat (&p, true), BEAT | ALIVE | PING);
    lunfs_pulse_answered (&p);
  }
}
END_TEST

START_TEST (test_hangs)
{
  LunfsPulse p;

  lunfs_pulse_init (&p, 0, 0);
  ck_assert_uint_eq (beat (&p, true), BEAT | ALIVE | PING);
  for (unsigned i = 0; i < 5; i++)
    ck_assert_uint_eq (beat (&p, true), BEAT | PING);
  ck_assert_uint_eq (beat (&p, true), BEAT | ABORT);
  ck_assert_int_eq (p.next_us, 5 * S + 7 * 5 * S); /* thirty seconds after the ping that it did not answer */
  ck_assert_uint_eq (beat (&p, true), BEAT | KILL);
  ck_assert_uint_eq (beat (&p, true), BEAT | KILL);
  ck_assert_uint_eq (beat (&p, false), BEAT | ALIVE); /* reaped */
  lunfs_pulse_answered (&p);                          /* the next one */
  ck_assert_uint_eq (beat (&p, true), BEAT | ALIVE | PING);
}
END_TEST

START_TEST (test_late_answer)
{
  LunfsPulse p;

  lunfs_pulse_init (&p, 0, 0);
  for (unsigned i = 0; i < 6; i++)
    beat (&p, true);
  lunfs_pulse_answered (&p);
  ck_assert_uint_eq (beat (&p, true), BEAT | ALIVE | PING);
}
END_TEST

START_TEST (test_host_stopped)
{
  LunfsPulse p;

  lunfs_pulse_init (&p, 0, 0);
  beat (&p, true);
  /* Everything stood for an hour: that is one late ping. */
  ck_assert_uint_eq (lunfs_pulse_tick (&p, true, 3600 * S), BEAT | PING);
  ck_assert_uint_eq (lunfs_pulse_tick (&p, true, 3600 * S + 1), 0);
}
END_TEST

/* Whatever the watchdog allows, the worker is replaced sooner, and the beat is never slower than half of it. */
START_TEST (test_watchdog)
{
  static const int64_t watchdogs[] = { 1, 11, 1000, S, 12 * S, 30 * S, 60 * S, 600 * S };
  int64_t watchdog = watchdogs[_i], fed, killed;
  LunfsPulse p;

  lunfs_pulse_init (&p, watchdog, 0);
  ck_assert_int_gt (p.interval_us, 0);
  ck_assert_int_le (p.interval_us, 5 * S);
  fed = p.next_us;
  ck_assert (beat (&p, true) & ALIVE);
  do
    killed = p.next_us;
  while (!(beat (&p, true) & KILL));
  if (watchdog >= 12)
    ck_assert_int_lt (killed - fed, watchdog);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("pulse");
  TCase *tc = tcase_create ("pulse");

  tcase_add_test (tc, test_answers);
  tcase_add_test (tc, test_hangs);
  tcase_add_test (tc, test_late_answer);
  tcase_add_test (tc, test_host_stopped);
  tcase_add_loop_test (tc, test_watchdog, 0, 8);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
