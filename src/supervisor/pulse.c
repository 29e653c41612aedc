/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/pulse.h"

#include <glib.h>

#define INTERVAL_US INT64_C (5000000)
#define MISSED_MAX 6          /* thirty seconds */
#define BEATS_PER_WATCHDOG 12 /* so that the worker is replaced before half of it is over */

void
lunfs_pulse_init (LunfsPulse *p, int64_t watchdog_us, int64_t now_us)
{
  *p = (LunfsPulse){ .interval_us = INTERVAL_US };
  if (watchdog_us > 0)
    p->interval_us = CLAMP (watchdog_us / BEATS_PER_WATCHDOG, 1, INTERVAL_US);
  p->next_us = now_us + p->interval_us;
}

void
lunfs_pulse_answered (LunfsPulse *p)
{
  p->missed = 0;
}

unsigned
lunfs_pulse_tick (LunfsPulse *p, bool expected, int64_t now_us)
{
  if (now_us < p->next_us)
    return 0;
  p->next_us = now_us + p->interval_us;
  if (!expected) {
    p->missed = 0;
    return LUNFS_PULSE_BEAT | LUNFS_PULSE_ALIVE;
  }
  if (p->missed > MISSED_MAX)
    return LUNFS_PULSE_BEAT | LUNFS_PULSE_KILL;
  if (p->missed++ == MISSED_MAX)
    return LUNFS_PULSE_BEAT | LUNFS_PULSE_ABORT;
  return LUNFS_PULSE_BEAT | LUNFS_PULSE_PING | (p->missed == 1 ? LUNFS_PULSE_ALIVE : 0u);
}
