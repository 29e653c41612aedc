/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lunfs/stats.h"

#include <glib.h>

static unsigned
bucket_of (uint64_t us)
{
  unsigned b = us ? 64 - (unsigned) __builtin_clzll (us) : 0;

  return MIN (b, LUNFS_LATENCY_BUCKETS - 1);
}

void
lunfs_latency_add (LunfsLatency *latency, int64_t us)
{
  uint64_t v = us > 0 ? (uint64_t) us : 0;

  LUNFS_COUNT (latency, count, 1);
  LUNFS_COUNT (latency, sum_us, v);
  LUNFS_COUNT (latency, bucket[bucket_of (v)], 1);
}

uint64_t
lunfs_latency_percentile (const LunfsLatency *latency, double percent)
{
  uint64_t total = 0, seen = 0;

  /* Summed here rather than taken from count: the writer may be between its two stores. */
  for (unsigned i = 0; i < LUNFS_LATENCY_BUCKETS; i++)
    total += LUNFS_VALUE (latency, bucket[i]);
  if (total == 0)
    return 0;
  for (unsigned i = 0; i < LUNFS_LATENCY_BUCKETS; i++) {
    seen += LUNFS_VALUE (latency, bucket[i]);
    if ((double) seen >= (double) total * percent / 100.0)
      return UINT64_C (1) << i;
  }
  return UINT64_C (1) << (LUNFS_LATENCY_BUCKETS - 1);
}

void
lunfs_stats_error (LunfsStats *stats, int err)
{
  unsigned i = err > 0 && (size_t) err < G_N_ELEMENTS (stats->errors_by_errno) ? (unsigned) err : 0;

  LUNFS_COUNT (stats, errors, 1);
  LUNFS_COUNT (stats, errors_by_errno[i], 1);
}
