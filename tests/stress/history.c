/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "history.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { EVENTS = 1 << 17 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Event events[EVENTS]; /* protected by lock */
static uint64_t nevents;     /* protected by lock */

void
history_add (const Event *e)
{
  pthread_mutex_lock (&lock);
  events[nevents++ % EVENTS] = *e;
  pthread_mutex_unlock (&lock);
}

static bool
touches (const Event *e, uint64_t offset, size_t len)
{
  return e->offset < offset + len && offset < e->offset + e->len;
}

static bool
left (const Shadow *s, const Event *e, uint64_t offset, size_t len, const uint8_t *found)
{
  uint8_t want[CELL];

  if (!e->generation || e->offset > offset || e->offset + e->len < offset + len || len > sizeof want)
    return false;
  shadow_fill (s, e->generation, offset, want, len);
  return !memcmp (want, found, len);
}

void
history_print (FILE *f, const Shadow *s, uint64_t offset, size_t len, const uint8_t *found, unsigned max)
{
  uint64_t first, i;
  unsigned n = 0;

  pthread_mutex_lock (&lock);
  first = nevents > EVENTS ? nevents - EVENTS : 0;
  for (i = nevents; i > first && n < max; i--)
    n += touches (&events[(i - 1) % EVENTS], offset, len);
  for (; i < nevents; i++) {
    const Event *e = &events[i % EVENTS];
    if (touches (e, offset, len))
      fprintf (f,
               "  [%" PRIu64 "..%" PRIu64 "] thread %u %s offset %" PRIu64 " length %" PRIu64
               " generation %" PRIu64 "%s\n",
               e->start, e->end, e->thread, e->what, e->offset, e->len, e->generation,
               left (s, e, offset, len, found) ? "  <- the bytes found are this one's" : "");
  }
  pthread_mutex_unlock (&lock);
}
