/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/policy.h"

#include "lunfs/error.h"

#include <check.h>
#include <glib.h>
#include <signal.h>
#include <stdlib.h>

#define START LUNFS_DO_START
#define STOP LUNFS_DO_STOP
#define KILL LUNFS_DO_KILL
#define READY LUNFS_DO_READY
#define FINISH LUNFS_DO_FINISH
#define UMOUNT LUNFS_DO_UNMOUNT

#define TICK LUNFS_EVENT_TICK
#define SERVING LUNFS_EVENT_SERVING
#define SETTLED LUNFS_EVENT_SETTLED
#define STOPPED LUNFS_EVENT_STOPPED
#define EXITED LUNFS_EVENT_EXITED
#define TERM LUNFS_EVENT_TERMINATE

#define MS INT64_C (1000)
#define STEPS 14

typedef struct {
  int64_t at_ms; /* login_wait is 3 s, stop_timeout 30 s */
  LunfsPolicyEvent event;
  int status; /* of EXITED: the signal */
  unsigned actions;
} Step;

typedef struct {
  const char *name;
  int status, cause; /* at the end; -1 = does not end */
  uint32_t limit_ms; /* of the last STOP */
  int64_t linger_ms;
  Step step[STEPS];  /* ends with a zero line after the first */
} Story;

static const Story stories[] = {
  { "ready when settled", -1, 0, 0, 0, { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY } } },
  { "settled before serving", -1, 0, 0, 0, { { 0, TICK, 0, START }, { 5, SETTLED, 0, 0 }, { 9, SERVING, 0, READY } } },
  { "ready after login_wait", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 3004, TICK, 0, 0 }, { 3005, TICK, 0, READY },
      { 4000, SETTLED, LUNFS_EXIT_AUTH, 0 }, { 4001, TICK, 0, 0 } } },
  { "login refused", LUNFS_EXIT_AUTH, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, LUNFS_EXIT_AUTH, STOP }, { 20, STOPPED, 0, 0 },
      { 21, EXITED, 0, FINISH } } },
  { "login refused, then killed", LUNFS_EXIT_AUTH, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, LUNFS_EXIT_AUTH, STOP }, { 32009, TICK, 0, KILL },
      { 32010, EXITED, 0, FINISH } } },
  { "unmounted by hand", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 5000, STOPPED, 0, 0 },
      { 5001, EXITED, 0, FINISH } } },
  { "unmounted by hand, data left", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY },
      { 5000, STOPPED, LUNFS_EXIT_UNFLUSHED, 0 }, { 5001, EXITED, 0, FINISH } } },
  { "unmounted before ready", LUNFS_EXIT_FAILED, LUNFS_CAUSE_EARLY, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, STOPPED, 0, 0 }, { 10, EXITED, 0, FINISH } } },
  { "does not leave after STOPPED", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 50, STOPPED, 0, 0 },
      { 5050, TICK, 0, KILL }, { 5051, EXITED, 0, FINISH } } },
  { "terminated", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 200, STOPPED, 0, 0 }, { 201, EXITED, 0, FINISH } } },
  { "terminated before serving", LUNFS_EXIT_FAILED, LUNFS_CAUSE_EARLY, 30000, 0,
    { { 0, TICK, 0, START }, { 1, TERM, 0, STOP }, { 5, SERVING, 0, 0 }, { 200, STOPPED, 0, 0 },
      { 201, EXITED, 0, FINISH } } },
  { "does not stop in time", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 32099, TICK, 0, 0 }, { 32100, TICK, 0, KILL }, { 32200, EXITED, 0, FINISH } } },
  { "cannot even be killed", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 32100, TICK, 0, KILL }, { 37099, TICK, 0, 0 }, { 37100, TICK, 0, FINISH } } },
  { "terminated twice", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_WORKER, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 200, TERM, 0, STOP }, { 300, STOPPED, LUNFS_EXIT_UNFLUSHED, 0 }, { 301, EXITED, 0, FINISH } } },
  { "terminated twice, hangs", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 200, TERM, 0, STOP }, { 2200, TICK, 0, KILL }, { 2201, EXITED, 0, FINISH } } },
  { "dies while flushing", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 1100, EXITED, 0, 0 }, { 1100, TICK, 0, START | STOP }, { 1200, SERVING, 0, 0 }, { 1300, STOPPED, 0, 0 },
      { 1301, EXITED, 0, FINISH } } },
  { "dies at the end of the flush", LUNFS_EXIT_UNFLUSHED, LUNFS_CAUSE_KILLED, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 30100, EXITED, 0, FINISH } } },
  { "terminated between workers", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 30000, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, 0, 0 },
      { 20, TICK, 0, START }, { 30, EXITED, 0, 0 }, { 31, TERM, 0, 0 }, { 31, TICK, 0, START | STOP },
      { 40, STOPPED, 0, 0 }, { 41, EXITED, 0, FINISH } } },
  { "restarts back off", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, 0, 0 },
      { 20, TICK, 0, START }, { 30, EXITED, 0, 0 }, { 129, TICK, 0, 0 }, { 130, TICK, 0, START },
      { 140, EXITED, 0, 0 }, { 339, TICK, 0, 0 }, { 340, TICK, 0, START }, { 10340, EXITED, 0, 0 },
      { 10340, TICK, 0, START }, { 10350, SETTLED, LUNFS_EXIT_AUTH, 0 } } },
  { "killed from outside: no back-off", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 120, EXITED, SIGKILL, 0 },
      { 120, TICK, 0, START }, { 125, SERVING, 0, 0 }, { 500, EXITED, SIGKILL, 0 }, { 500, TICK, 0, START },
      { 505, SERVING, 0, 0 }, { 900, EXITED, SIGKILL, 0 }, { 900, TICK, 0, START } } },
  { "killed from outside at once: not too often", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, SIGKILL, 0 },
      { 99, TICK, 0, 0 }, { 100, TICK, 0, START }, { 110, SERVING, 0, 0 }, { 130, EXITED, SIGKILL, 0 },
      { 199, TICK, 0, 0 }, { 200, TICK, 0, START } } },
  { "killed before it serves: backs off", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 120, EXITED, SIGKILL, 0 },
      { 120, TICK, 0, START }, { 130, EXITED, SIGKILL, 0 }, { 130, TICK, 0, START }, { 140, EXITED, SIGKILL, 0 },
      { 239, TICK, 0, 0 }, { 240, TICK, 0, START } } },
  { "killed from outside: a row of crashes ends", -1, 0, 0, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 20, EXITED, SIGSEGV, 0 },
      { 20, TICK, 0, START }, { 30, EXITED, SIGSEGV, 0 }, { 129, TICK, 0, 0 }, { 130, TICK, 0, START },
      { 140, SERVING, 0, 0 }, { 300, EXITED, SIGKILL, 0 }, { 300, TICK, 0, START }, { 305, SERVING, 0, 0 },
      { 400, EXITED, SIGSEGV, 0 }, { 400, TICK, 0, START } } },
  { "killed again and again while flushing", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29300, 0,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, STOP },
      { 300, EXITED, SIGKILL, 0 }, { 300, TICK, 0, START | STOP }, { 305, SERVING, 0, 0 }, { 800, EXITED, SIGKILL, 0 },
      { 800, TICK, 0, START | STOP }, { 805, SERVING, 0, 0 }, { 900, STOPPED, 0, 0 }, { 901, EXITED, 0, FINISH } } },
  { "lingers, unused", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 120, STOPPED, 0, 0 }, { 121, EXITED, 0, FINISH } } },
  { "lingers, in use for a while", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 0, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 349, TICK, 0, 0 }, { 350, TICK, 0, UMOUNT }, { 360, STOPPED, 0, 0 }, { 361, EXITED, 0, FINISH } } },
  { "lingers, in use for ever", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 15000, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 15099, TICK, 0, UMOUNT }, { 15100, TICK, 0, STOP }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "lingers, told again", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 29000, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 1100, TERM, 0, STOP }, { 15100, TICK, 0, 0 }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "lingers, worker dies", LUNFS_EXIT_OK, LUNFS_CAUSE_WORKER, 15000, 15000,
    { { 0, TICK, 0, START }, { 5, SERVING, 0, 0 }, { 9, SETTLED, 0, READY }, { 100, TERM, 0, UMOUNT },
      { 200, EXITED, 0, 0 }, { 200, TICK, 0, START }, { 210, SERVING, 0, 0 }, { 350, TICK, 0, UMOUNT },
      { 15100, TICK, 0, STOP }, { 15200, STOPPED, 0, 0 }, { 15201, EXITED, 0, FINISH } } },
  { "never serves: dies", LUNFS_EXIT_FAILED, LUNFS_CAUSE_CRASHES, 0, 0,
    { { 0, TICK, 0, START }, { 1, EXITED, 0, 0 }, { 1, TICK, 0, START }, { 2, EXITED, 0, 0 },
      { 102, TICK, 0, START }, { 103, EXITED, 0, 0 }, { 303, TICK, 0, START }, { 304, EXITED, 0, 0 },
      { 704, TICK, 0, START }, { 705, EXITED, 0, FINISH } } },
  { "never serves: hangs", LUNFS_EXIT_FAILED, LUNFS_CAUSE_SILENT, 0, 0,
    { { 0, TICK, 0, START }, { 29999, TICK, 0, 0 }, { 30000, TICK, 0, KILL }, { 30001, EXITED, 0, FINISH } } },
};

START_TEST (test_story)
{
  const Story *s = &stories[_i];
  LunfsPolicy p;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  p.linger_us = s->linger_ms * MS;
  for (int i = 0; i < STEPS && (i == 0 || s->step[i].at_ms); i++) {
    const Step *step = &s->step[i];
    unsigned got = lunfs_policy_event (&p, step->event, step->status, step->at_ms * MS);
    ck_assert_msg (got == step->actions, "%s, step %d: %#x instead of %#x", s->name, i, got, step->actions);
  }
  ck_assert_msg ((p.phase == LUNFS_PHASE_DONE) == (s->status >= 0), "%s: phase %d", s->name, p.phase);
  ck_assert_msg (p.stop_limit_ms == s->limit_ms, "%s: limit %u", s->name, p.stop_limit_ms);
  if (s->status < 0)
    return;
  ck_assert_msg (p.status == s->status && (int) p.cause == s->cause, "%s: status %d, cause %d", s->name, p.status,
                 p.cause);
  ck_assert_int_eq (lunfs_policy_deadline (&p), LUNFS_NEVER);
  ck_assert_uint_eq (lunfs_policy_event (&p, TERM, 0, 0), 0);
}
END_TEST

START_TEST (test_backoff)
{
  static const int64_t want_ms[] = { 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000 };

  for (unsigned i = 0; i < G_N_ELEMENTS (want_ms); i++)
    ck_assert_int_eq (lunfs_policy_backoff_us (i), want_ms[i] * MS);
  ck_assert_int_eq (lunfs_policy_backoff_us (G_MAXUINT), 5000 * MS);
}
END_TEST

/* In the foreground nobody waits: a clean stop is a clean stop, however early. */
START_TEST (test_foreground)
{
  LunfsPolicy p;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  p.waited_for = false;
  lunfs_policy_event (&p, TICK, 0, 0);
  lunfs_policy_event (&p, SERVING, 0, 1 * MS);
  ck_assert_uint_eq (lunfs_policy_event (&p, TERM, 0, 2 * MS), STOP);
  lunfs_policy_event (&p, STOPPED, 0, 3 * MS);
  ck_assert_uint_eq (lunfs_policy_event (&p, EXITED, 0, 4 * MS), FINISH);
  ck_assert_int_eq (p.status, LUNFS_EXIT_OK);
}
END_TEST

/* Whatever comes in whatever order: it ends after a TERM, and a worker is never started while one runs. */
START_TEST (test_random)
{
  GRand *rand = g_rand_new_with_seed ((guint32) _i);
  LunfsPolicy p;
  int64_t now = 0;
  bool running = false;

  lunfs_policy_init (&p, 3000 * MS, 30000 * MS, 0);
  for (int i = 0; i < 2000 && p.phase != LUNFS_PHASE_DONE; i++) {
    LunfsPolicyEvent event = (LunfsPolicyEvent) g_rand_int_range (rand, TICK, i < 100 ? TERM : TERM + 1);
    unsigned got;

    now += g_rand_int_range (rand, 0, 3000) * MS;
    if (!running && event != TERM)
      event = TICK;
    running = running && event != EXITED;
    got = lunfs_policy_event (&p, event, g_rand_boolean (rand) ? LUNFS_EXIT_OK : LUNFS_EXIT_LOGIN, now);
    ck_assert (!((got & START) && running));
    ck_assert (!((got & (STOP | KILL)) && !running && !(got & START)));
    running = running || (got & START);
  }
  ck_assert_int_eq (p.phase, LUNFS_PHASE_DONE);
  g_rand_free (rand);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("policy");
  TCase *tc = tcase_create ("policy");
  tcase_add_loop_test (tc, test_story, 0, G_N_ELEMENTS (stories));
  tcase_add_test (tc, test_backoff);
  tcase_add_test (tc, test_foreground);
  tcase_add_loop_test (tc, test_random, 0, 50);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
