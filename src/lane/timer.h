/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers of a lane: a binary heap by due time.  Lane thread only; timers are embedded in their owners and must be
 * cancelled before those go away.  Arming, cancelling: O(log n); memory grows only when more timers than ever are armed. */
#ifndef LUNFS_TIMER_H
#define LUNFS_TIMER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct LunfsTimer LunfsTimer;
struct LunfsTimer {
  void (*fire) (LunfsTimer *timer);
  int64_t due_us;
  unsigned slot;  /* 1 + index in the heap; 0 = not armed */
  unsigned round; /* of lunfs_timers_run when it was armed */
};

typedef struct {
  GPtrArray *heap;
  unsigned round;
} LunfsTimers;

void lunfs_timers_init (LunfsTimers *timers);
void lunfs_timers_clear (LunfsTimers *timers);
/* Arm or move. */
void lunfs_timers_arm (LunfsTimers *timers, LunfsTimer *timer, int64_t due_us);
void lunfs_timers_cancel (LunfsTimers *timers, LunfsTimer *timer); /* fine if not armed */
/* When the next one is due; INT64_MAX if none. */
int64_t lunfs_timers_next_us (const LunfsTimers *timers);
/* Fire all that are due at @now_us; what is armed meanwhile waits for the next call, however soon it is due. */
void lunfs_timers_run (LunfsTimers *timers, int64_t now_us);

#endif
