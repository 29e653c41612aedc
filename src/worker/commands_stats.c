/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "stats-reset": counters and histograms begin anew.  Gauges say what is now, and losses are what fsync goes by (cache.h):
 * they stay. */
#include "config.h"

#include "worker/commands.h"

#define KEEP(name) (offsetof (LunfsStats, name) / sizeof (_Atomic uint64_t))

static bool
stays (size_t i)
{
  static const size_t kept[] = { KEEP (in_flight),       KEEP (queued),       KEEP (unstable_bytes),
                                 KEEP (unsynced_writes), KEEP (cached_bytes), KEEP (dirty_bytes),
                                 KEEP (losses),          KEEP (losses_told),  KEEP (dirty_since_us) };

  for (unsigned k = 0; k < G_N_ELEMENTS (kept); k++)
    if (kept[k] == i)
      return true;
  return false;
}

static void /* lane: the only writer */
reset (void *user)
{
  _Atomic uint64_t *value = (_Atomic uint64_t *) (void *) &((LunfsRow *) user)->stats;

  G_STATIC_ASSERT (sizeof (LunfsStats) % sizeof (_Atomic uint64_t) == 0);
  for (size_t i = 0; i < sizeof (LunfsStats) / sizeof *value; i++)
    if (!stays (i))
      atomic_store_explicit (&value[i], 0, memory_order_relaxed);
}

bool
lunfs_command_stats_reset (LunfsWorker *w, JsonObject *request, JsonObject *answer, GError **error)
{
  g_autoptr (GPtrArray) rows = lunfs_command_rows (w, request, error);

  for (unsigned i = 0; rows && i < rows->len; i++) {
    LunfsRow *row = rows->pdata[i];

    lunfs_lane_call (row->lane, reset, row);
  }
  return rows != NULL;
}
