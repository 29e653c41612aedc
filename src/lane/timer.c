/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lane/timer.h"

static LunfsTimer *
at (const LunfsTimers *timers, unsigned i)
{
  return timers->heap->pdata[i];
}

/* Of those due at the same time the one armed in an earlier pass goes first. */
static bool
before (const LunfsTimer *a, const LunfsTimer *b)
{
  return a->due_us < b->due_us || (a->due_us == b->due_us && (int) (a->round - b->round) < 0);
}

static void
put (LunfsTimers *timers, unsigned i, LunfsTimer *timer)
{
  timers->heap->pdata[i] = timer;
  timer->slot = i + 1;
}

static void
sift_up (LunfsTimers *timers, unsigned i)
{
  LunfsTimer *timer = at (timers, i);

  while (i > 0 && before (timer, at (timers, (i - 1) / 2))) {
    put (timers, i, at (timers, (i - 1) / 2));
    i = (i - 1) / 2;
  }
  put (timers, i, timer);
}

static void
sift_down (LunfsTimers *timers, unsigned i)
{
  LunfsTimer *timer = at (timers, i);
  unsigned n = timers->heap->len;

  for (;;) {
    unsigned child = 2 * i + 1;

    if (child + 1 < n && before (at (timers, child + 1), at (timers, child)))
      child++;
    if (child >= n || !before (at (timers, child), timer))
      break;
    put (timers, i, at (timers, child));
    i = child;
  }
  put (timers, i, timer);
}

void
lunfs_timers_init (LunfsTimers *timers)
{
  timers->heap = g_ptr_array_sized_new (64);
}

void
lunfs_timers_clear (LunfsTimers *timers)
{
  g_clear_pointer (&timers->heap, g_ptr_array_unref);
}

void
lunfs_timers_cancel (LunfsTimers *timers, LunfsTimer *timer)
{
  unsigned i = timer->slot - 1;
  LunfsTimer *last;

  if (timer->slot == 0)
    return;
  timer->slot = 0;
  last = g_ptr_array_steal_index (timers->heap, timers->heap->len - 1);
  if (last == timer)
    return;
  put (timers, i, last);
  sift_up (timers, i);
  sift_down (timers, last->slot - 1);
}

void
lunfs_timers_arm (LunfsTimers *timers, LunfsTimer *timer, int64_t due_us)
{
  if (timer->slot)
    lunfs_timers_cancel (timers, timer);
  timer->due_us = due_us;
  timer->round = timers->round;
  g_ptr_array_add (timers->heap, timer);
  sift_up (timers, timers->heap->len - 1);
}

int64_t
lunfs_timers_next_us (const LunfsTimers *timers)
{
  return timers->heap->len ? at (timers, 0)->due_us : INT64_MAX;
}

void
lunfs_timers_run (LunfsTimers *timers, int64_t now_us)
{
  timers->round++;
  while (lunfs_timers_next_us (timers) <= now_us) {
    LunfsTimer *timer = at (timers, 0);

    if (timer->round == timers->round) /* armed in this call: so are all behind it that are due */
      break;
    lunfs_timers_cancel (timers, timer);
    timer->fire (timer);
  }
}
