/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "session/recorder.h"

#include <glib.h>
#include <string.h>

struct LunfsRecorder {
  GMutex lock; /* Protects what follows; held for a copy. */
  LunfsRecord *ring;
  uint64_t total;
};

LunfsRecorder *
lunfs_recorder_new (void)
{
  LunfsRecorder *r = g_new0 (LunfsRecorder, 1);

  g_mutex_init (&r->lock);
  return r;
}

void
lunfs_recorder_free (LunfsRecorder *r)
{
  g_mutex_clear (&r->lock);
  g_free (r->ring);
  g_free (r);
}

void
lunfs_recorder_add (LunfsRecorder *r, const LunfsRecord *record)
{
  g_mutex_lock (&r->lock);
  if (!r->ring)
    r->ring = g_new0 (LunfsRecord, LUNFS_RECORDER_ENTRIES);
  r->ring[r->total++ % LUNFS_RECORDER_ENTRIES] = *record;
  g_mutex_unlock (&r->lock);
}

unsigned
lunfs_recorder_read (LunfsRecorder *r, LunfsRecord *out, uint64_t *out_total)
{
  unsigned n;

  g_mutex_lock (&r->lock);
  n = (unsigned) MIN (r->total, LUNFS_RECORDER_ENTRIES);
  for (unsigned i = 0; i < n; i++)
    out[i] = r->ring[(r->total - n + i) % LUNFS_RECORDER_ENTRIES];
  *out_total = r->total;
  g_mutex_unlock (&r->lock);
  return n;
}
