/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lane/lane.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int64_t now_us;

static int64_t
fake_clock (void *user)
{
  return now_us;
}

static LunfsLane *lane;

static void
setup (void)
{
  now_us = 1000;
  lane = lunfs_lane_new (3, fake_clock, NULL);
}

static void
teardown (void)
{
  lunfs_lane_free (lane);
}

/* ---- timers ---- */

typedef struct {
  LunfsTimer timer;
  unsigned fired;
  int64_t at_us, again_us; /* again_us > 0: arms itself; 0: at once */
  bool again;
  LunfsTimer *cancels;
} Alarm;

static unsigned nfired;
static int64_t last_due_us;

static void
alarm_fire (LunfsTimer *timer)
{
  Alarm *alarm = (Alarm *) timer;

  ck_assert_uint_eq (timer->slot, 0);
  ck_assert_int_le (timer->due_us, now_us);
  last_due_us = timer->due_us;
  alarm->fired++;
  alarm->at_us = now_us;
  nfired++;
  if (alarm->cancels)
    lunfs_lane_cancel (lane, alarm->cancels);
  if (alarm->again)
    lunfs_lane_arm (lane, timer, alarm->again_us);
}

START_TEST (test_timers_random)
{
  Alarm alarms[100] = { 0 };
  int64_t due[100];
  GRand *rand = g_rand_new_with_seed ((guint32) _i);

  for (unsigned i = 0; i < 100; i++) {
    alarms[i].timer.fire = alarm_fire;
    due[i] = -1;
  }
  for (unsigned step = 0; step < 3000; step++) {
    unsigned i = (unsigned) g_rand_int_range (rand, 0, 100);

    if (g_rand_int_range (rand, 0, 3)) {
      int64_t delay = g_rand_int_range (rand, 0, 50);

      lunfs_lane_arm (lane, &alarms[i].timer, delay);
      due[i] = now_us + delay;
    } else {
      lunfs_lane_cancel (lane, &alarms[i].timer);
      due[i] = -1;
    }
    if (g_rand_int_range (rand, 0, 4) == 0) {
      now_us += g_rand_int_range (rand, 0, 20);
      nfired = 0;
      lunfs_lane_run_once (lane, 0);
      for (unsigned k = 0; k < 100; k++) {
        bool must = due[k] >= 0 && due[k] <= now_us;

        ck_assert_uint_eq (alarms[k].fired, must ? 1 : 0);
        ck_assert_uint_eq (alarms[k].timer.slot != 0, due[k] > now_us);
        nfired -= must;
        alarms[k].fired = 0;
        if (must)
          due[k] = -1;
      }
      ck_assert_uint_eq (nfired, 0);
    }
  }
  for (unsigned i = 0; i < 100; i++)
    lunfs_lane_cancel (lane, &alarms[i].timer);
  g_rand_free (rand);
}
END_TEST

START_TEST (test_timers_in_order)
{
  Alarm alarms[50] = { 0 };
  int64_t last = 0;

  for (unsigned i = 0; i < 50; i++) {
    alarms[i].timer.fire = alarm_fire;
    lunfs_lane_arm (lane, &alarms[i].timer, (i * 37) % 50);
  }
  for (now_us += 10; lunfs_lane_run_once (lane, 0), now_us < 1100; now_us += 10) {
    ck_assert_int_ge (last_due_us, last);
    last = last_due_us;
  }
}
END_TEST

/* However many are due: one that arms itself again waits for the next pass, and keeps nobody from firing. */
START_TEST (test_timer_again)
{
  Alarm alarms[8] = { 0 };

  for (unsigned i = 0; i < 8; i++) {
    alarms[i].timer.fire = alarm_fire;
    alarms[i].again = i < 4;
    lunfs_lane_arm (lane, &alarms[i].timer, i < 6 ? 0 : 1000);
  }
  for (unsigned pass = 1; pass <= 5; pass++) {
    lunfs_lane_run_once (lane, 0);
    for (unsigned i = 0; i < 4; i++)
      ck_assert_uint_eq (alarms[i].fired, pass);
    for (unsigned i = 4; i < 6; i++)
      ck_assert_uint_eq (alarms[i].fired, 1);
  }
  for (unsigned i = 0; i < 8; i++)
    lunfs_lane_cancel (lane, &alarms[i].timer);
}
END_TEST

START_TEST (test_timer_cancels_another)
{
  Alarm first = { .timer.fire = alarm_fire }, second = { .timer.fire = alarm_fire };

  first.cancels = &second.timer;
  lunfs_lane_arm (lane, &first.timer, 1);
  lunfs_lane_arm (lane, &second.timer, 2);
  now_us += 10;
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (first.fired, 1);
  ck_assert_uint_eq (second.fired, 0);
}
END_TEST

/* ---- defer ---- */

typedef struct {
  LunfsDefer defer;
  unsigned ran;
  LunfsDefer *then, *not;
} Later;

static void
later_run (LunfsDefer *defer)
{
  Later *later = (Later *) defer;

  later->ran++;
  if (later->then)
    lunfs_lane_defer (lane, later->then);
  if (later->not)
    lunfs_lane_undefer (lane, later->not);
}

START_TEST (test_defer)
{
  Later a = { .defer.run = later_run }, b = { .defer.run = later_run }, c = { .defer.run = later_run };

  lunfs_lane_defer (lane, &a.defer);
  lunfs_lane_defer (lane, &a.defer);
  lunfs_lane_defer (lane, &b.defer);
  lunfs_lane_defer (lane, &c.defer);
  a.not = &c.defer; /* the last one: the list's tail moves */
  b.then = &a.defer;
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (a.ran, 2);
  ck_assert_uint_eq (b.ran, 1);
  ck_assert_uint_eq (c.ran, 0);
  lunfs_lane_defer (lane, &c.defer);
  lunfs_lane_undefer (lane, &c.defer);
  lunfs_lane_undefer (lane, &c.defer);
  lunfs_lane_defer (lane, &c.defer);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (c.ran, 1);
}
END_TEST

/* ---- watches ---- */

typedef struct Peer Peer;
struct Peer {
  LunfsWatch watch;
  int fd;
  unsigned ready;
  Peer *ends;
  bool keep;
};

static void
peer_ready (LunfsWatch *watch, uint32_t events)
{
  Peer *peer = (Peer *) watch;
  uint64_t n;

  peer->ready++;
  if (!peer->keep)
    ck_assert_int_eq (read (peer->fd, &n, sizeof n), sizeof n);
  if (peer->ends) {
    lunfs_lane_unwatch (lane, &peer->ends->watch);
    close (peer->ends->fd);
    memset (peer->ends, 0xa5, sizeof *peer->ends); /* as good as freed */
  }
}

static Peer *
peer_new (unsigned ready)
{
  Peer *peer = g_new0 (Peer, 1);

  peer->watch.ready = peer_ready;
  peer->fd = eventfd (ready, EFD_NONBLOCK | EFD_CLOEXEC);
  lunfs_lane_watch (lane, &peer->watch, peer->fd, EPOLLIN);
  return peer;
}

static void
peer_free (Peer *peer)
{
  lunfs_lane_unwatch (lane, &peer->watch);
  close (peer->fd);
  g_free (peer);
}

/* Both are in the batch; whoever is called first ends the other. */
START_TEST (test_unwatch_in_batch)
{
  Peer *a = peer_new (1), *b = peer_new (1);

  a->ends = b;
  b->ends = a;
  lunfs_lane_run_once (lane, 0);
  if (a->watch.ready == peer_ready) {
    ck_assert_uint_eq (a->ready, 1);
    peer_free (a);
    g_free (b);
  } else {
    ck_assert_uint_eq (b->ready, 1);
    peer_free (b);
    g_free (a);
  }
}
END_TEST

START_TEST (test_watch_changes)
{
  Peer *peer = peer_new (1);

  peer->keep = true;
  lunfs_lane_watch (lane, &peer->watch, peer->fd, 0);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (peer->ready, 0);
  lunfs_lane_watch (lane, &peer->watch, peer->fd, EPOLLIN);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (peer->ready, 1);
  lunfs_lane_unwatch (lane, &peer->watch);
  lunfs_lane_unwatch (lane, &peer->watch);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (peer->ready, 1);
  lunfs_lane_watch (lane, &peer->watch, peer->fd, EPOLLIN);
  lunfs_lane_run_once (lane, 0);
  ck_assert_uint_eq (peer->ready, 2);
  peer_free (peer);
}
END_TEST

/* More than one batch holds. */
START_TEST (test_many_watches)
{
  Peer *peers[200];

  for (unsigned i = 0; i < 200; i++)
    peers[i] = peer_new (1);
  for (unsigned i = 0; i < 4; i++)
    lunfs_lane_run_once (lane, 0);
  for (unsigned i = 0; i < 200; i++) {
    ck_assert_uint_eq (peers[i]->ready, 1);
    peer_free (peers[i]);
  }
}
END_TEST

/* ---- mail ---- */

#define SENDERS 4
#define MAILS 20000

typedef struct {
  LunfsMail mail;
  unsigned sender, number;
} Letter;

static LunfsLane *busy_lane;
static unsigned next_number[SENDERS];
static atomic_uint delivered;

static void
letter_deliver (LunfsMail *mail)
{
  Letter *letter = (Letter *) mail;

  if (!lunfs_lane_is_current (busy_lane) || letter->number != next_number[letter->sender]++)
    abort ();
  g_free (letter);
  atomic_fetch_add (&delivered, 1);
}

static gpointer
sender_thread (gpointer data)
{
  for (unsigned i = 0; i < MAILS; i++) {
    Letter *letter = g_new0 (Letter, 1);

    letter->mail.deliver = letter_deliver;
    letter->sender = GPOINTER_TO_UINT (data);
    letter->number = i;
    lunfs_lane_post (busy_lane, &letter->mail);
    if (i % 1000 == 0)
      g_usleep (100); /* so that the lane goes to sleep now and then */
  }
  return NULL;
}

static void
count_call (void *user)
{
  ck_assert (lunfs_lane_is_current (busy_lane));
  ++*(unsigned *) user;
}

START_TEST (test_mail)
{
  GThread *threads[SENDERS];
  unsigned called = 0;

  memset (next_number, 0, sizeof next_number);
  atomic_store (&delivered, 0);
  busy_lane = lunfs_lane_new (1, NULL, NULL);
  lunfs_lane_start (busy_lane);
  ck_assert (!lunfs_lane_is_current (busy_lane));
  for (unsigned i = 0; i < SENDERS; i++)
    threads[i] = g_thread_new ("sender", sender_thread, GUINT_TO_POINTER (i));
  for (unsigned i = 0; i < 1000; i++)
    lunfs_lane_call (busy_lane, count_call, &called);
  ck_assert_uint_eq (called, 1000);
  for (unsigned i = 0; i < SENDERS; i++)
    g_thread_join (threads[i]);
  lunfs_lane_call (busy_lane, count_call, &called); /* behind all of them */
  ck_assert_uint_eq (atomic_load (&delivered), SENDERS * MAILS);
  lunfs_lane_stop (busy_lane);
  lunfs_lane_free (busy_lane);
}
END_TEST

/* A lane that sleeps wakes for mail; nothing else would wake it. */
START_TEST (test_wakes)
{
  unsigned called = 0;

  busy_lane = lunfs_lane_new (2, NULL, NULL);
  lunfs_lane_start (busy_lane);
  for (unsigned i = 0; i < 50; i++) {
    g_usleep (1000);
    lunfs_lane_call (busy_lane, count_call, &called);
  }
  lunfs_lane_stop (busy_lane);
  lunfs_lane_free (busy_lane);
  ck_assert_uint_eq (called, 50);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("lane");
  TCase *tc = tcase_create ("lane");
  SRunner *runner;
  int failed;

  tcase_set_timeout (tc, 30);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_timers_random, 0, 10);
  tcase_add_test (tc, test_timers_in_order);
  tcase_add_test (tc, test_timer_again);
  tcase_add_test (tc, test_timer_cancels_another);
  tcase_add_test (tc, test_defer);
  tcase_add_test (tc, test_unwatch_in_batch);
  tcase_add_test (tc, test_watch_changes);
  tcase_add_test (tc, test_many_watches);
  tcase_add_test (tc, test_mail);
  tcase_add_test (tc, test_wakes);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
