/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lane: one thread with one epoll set that runs the data path to completion.
 *
 * Everything that belongs to a lane (watches, timers, sessions, LUN rows) is used by its thread only, except
 * lunfs_lane_post, which any thread may call.  A pass of the loop: wait, fire timers, take mail, call ready watches, run
 * what was deferred (requests collected in this pass leave in one batch), wait again.
 *
 * Tests drive a lane without a thread: lunfs_lane_run_once and a clock of their own. */
#ifndef LUNFS_LANE_H
#define LUNFS_LANE_H

#include "lane/timer.h"

typedef struct LunfsLane LunfsLane;

typedef struct LunfsWatch LunfsWatch;
struct LunfsWatch {
  void (*ready) (LunfsWatch *watch, uint32_t events); /* EPOLL* bits */
  int fd;
  uint32_t events; /* as registered now */
  bool added;
};

typedef struct LunfsDefer LunfsDefer;
struct LunfsDefer {
  void (*run) (LunfsDefer *defer);
  LunfsDefer *next;
  bool queued;
};

/* A message to a lane.  Embedded in its owner, not to be posted again before deliver() has been called. */
typedef struct LunfsMail LunfsMail;
struct LunfsMail {
  void (*deliver) (LunfsMail *mail);
  LunfsMail *next;
};

typedef int64_t (*LunfsClock) (void *user); /* microseconds, monotonic */

/* @clock NULL: CLOCK_MONOTONIC. */
LunfsLane *lunfs_lane_new (unsigned index, LunfsClock clock, void *clock_user);
void lunfs_lane_free (LunfsLane *lane); /* stopped, nothing watched or armed */
void lunfs_lane_start (LunfsLane *lane);
/* Ask the thread to end after its current pass and wait for it.  Not from the lane itself. */
void lunfs_lane_stop (LunfsLane *lane);
/* One pass; waits at most @max_wait_ms.  For tests, instead of start. */
void lunfs_lane_run_once (LunfsLane *lane, int max_wait_ms);

unsigned lunfs_lane_index (const LunfsLane *lane);
bool lunfs_lane_is_current (const LunfsLane *lane);
/* Time of this pass, microseconds. */
int64_t lunfs_lane_now_us (LunfsLane *lane);

/* Watch @fd for @events (0: only errors and hang-up); call again to change them. */
void lunfs_lane_watch (LunfsLane *lane, LunfsWatch *watch, int fd, uint32_t events);
void lunfs_lane_unwatch (LunfsLane *lane, LunfsWatch *watch);
void lunfs_lane_arm (LunfsLane *lane, LunfsTimer *timer, int64_t delay_us);
void lunfs_lane_cancel (LunfsLane *lane, LunfsTimer *timer);
/* Run @defer->run at the end of this pass, once however often it is deferred. */
void lunfs_lane_defer (LunfsLane *lane, LunfsDefer *defer);
/* Take a defer back that has not run yet. */
void lunfs_lane_undefer (LunfsLane *lane, LunfsDefer *defer);
/* Any thread: deliver @mail on the lane's thread.  Mails of one sender arrive in order. */
void lunfs_lane_post (LunfsLane *lane, LunfsMail *mail);
/* Any thread: run @func (@user) on the lane and wait until it has returned.  From the lane itself: a plain call. */
void lunfs_lane_call (LunfsLane *lane, void (*func) (void *user), void *user);

#endif
