/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the worker still turn?  Pings go out at an interval; the worker's control thread hands each to every lane and answers
 * when it has been round all of them.  A lane waits for nothing but its epoll set, a pass takes milliseconds: one that
 * has not come round for thirty seconds never will.  That is a bug of ours, and the worker is replaced like one that died.
 *
 * Pings are counted, not time: a host that stops as a whole (a paused virtual machine, swapping) stops us, too, and is
 * one late ping.  Pure, the clock is an argument. */
#ifndef LUNFS_SUPERVISOR_PULSE_H
#define LUNFS_SUPERVISOR_PULSE_H

#include <stdbool.h>
#include <stdint.h>

/* To be done now. */
enum {
  LUNFS_PULSE_BEAT = 1 << 0,  /* an interval has passed */
  LUNFS_PULSE_ALIVE = 1 << 1, /* all is well, as far as we can tell: feed the service manager's watchdog */
  LUNFS_PULSE_PING = 1 << 2,  /* ask the worker */
  LUNFS_PULSE_ABORT = 1 << 3, /* SIGABRT it: its core tells where it hangs */
  LUNFS_PULSE_KILL = 1 << 4,  /* SIGKILL it */
};

typedef struct {
  int64_t interval_us, next_us;
  unsigned missed; /* pings since the last answer */
} LunfsPulse;

/* @watchdog_us: the service manager's, 0 = none.  Replacing a worker takes seven intervals: less than that. */
void lunfs_pulse_init (LunfsPulse *pulse, int64_t watchdog_us, int64_t now_us);
/* It answered; or it is another one. */
void lunfs_pulse_answered (LunfsPulse *pulse);
/* @expected: there is a worker, and it should answer.  Between two workers, while one is started again after a back-off, all is
 * well: that is what we are for, and a service manager that ended us for it would only do the same with less knowledge. */
unsigned lunfs_pulse_tick (LunfsPulse *pulse, bool expected, int64_t now_us);

#endif
