/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Counters and latency histograms of one LUN.
 *
 * Written by the LUN's lane only, read by the control thread for the status file at any time: relaxed atomics, since
 * each number stands for itself.  Gauges may go down. */
#ifndef LUNFS_STATS_H
#define LUNFS_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* X (name, help).  Totals only grow, gauges go up and down. */
#define LUNFS_TOTALS(X)                                                                                                \
  X (reads, "read requests answered")                                                                                  \
  X (writes, "write requests answered")                                                                                \
  X (flushes, "fsync requests answered")                                                                               \
  X (discards, "punch-hole requests answered")                                                                         \
  X (zeroes, "zero-range requests answered")                                                                           \
  X (extents, "hole and data look-ups answered")                                                                       \
  X (read_bytes, "bytes read by users")                                                                                \
  X (write_bytes, "bytes written by users")                                                                            \
  X (interrupted, "requests given up by a signal")                                                                     \
  X (errors, "requests answered with an error")                                                                        \
  X (logins, "successful logins")                                                                                      \
  X (relogins, "successful logins after the first")                                                                    \
  X (login_failures, "logins that failed")                                                                             \
  X (session_losses, "sessions lost")                                                                                  \
  X (replayed, "commands sent again after a session loss")                                                             \
  X (retries, "commands sent again for status or sense")                                                               \
  X (unit_attentions, "unit attentions received")                                                                      \
  X (busy, "BUSY and TASK SET FULL answers")                                                                           \
  X (medium_errors, "commands that met a bad block")                                                                   \
  X (reservation_conflicts, "commands that another initiator's reservation kept out")                                  \
  X (timeouts, "commands that ran out of time")                                                                        \
  X (lun_resets, "LUN RESETs sent to end the commands of a lost session")                                              \
  X (noops, "NOP-Outs sent to prove a session alive")                                                                  \
  X (sync_cache, "SYNCHRONIZE CACHE commands")                                                                         \
  X (fua_writes, "WRITE commands with FUA")                                                                            \
  X (unmaps, "UNMAP commands")                                                                                         \
  X (write_sames, "WRITE SAME commands")                                                                               \
  X (read_modify_writes, "writes that needed the blocks around them first")                                            \
  X (cache_hits, "reads served from memory")                                                                           \
  X (cache_misses, "reads that had to wait for the target")                                                            \
  X (ahead_bytes, "bytes fetched ahead of readers")                                                                    \
  X (ahead_wasted_bytes, "of these, bytes dropped before anybody read them")                                           \
  X (write_backs, "WRITE commands for data that was answered before")                                                  \
  X (write_back_bytes, "bytes of these")                                                                               \
  X (losses, "times that acknowledged data was lost")                                                                  \
  X (losses_told, "losses that some fsync has reported")                                                               \
  X (rewritten, "unstable writes sent again after a login")
#define LUNFS_GAUGES(X)                                                                                                \
  X (in_flight, "commands at the target now")                                                                          \
  X (queued, "requests waiting for the session now")                                                                   \
  X (unstable_bytes, "bytes written and not yet covered by SYNCHRONIZE CACHE now")                                     \
  X (unsynced_writes, "writes not yet covered by SYNCHRONIZE CACHE now")                                               \
  X (cached_bytes, "memory of the cache in use now")                                                                   \
  X (dirty_bytes, "bytes written and not yet sent to the target now")
#define LUNFS_COUNTERS(X) LUNFS_TOTALS (X) LUNFS_GAUGES (X)

#define LUNFS_LATENCY_BUCKETS 28 /* bucket i: below 2^i microseconds; the last one takes the rest */

typedef struct {
  _Atomic uint64_t count, sum_us, bucket[LUNFS_LATENCY_BUCKETS];
} LunfsLatency;

typedef struct {
#define LUNFS_COUNTER_FIELD(name, help) _Atomic uint64_t name;
  LUNFS_COUNTERS (LUNFS_COUNTER_FIELD)
#undef LUNFS_COUNTER_FIELD
  LunfsLatency read_latency, write_latency, flush_latency;
  _Atomic uint64_t errors_by_errno[160];
  _Atomic uint64_t dirty_since_us; /* monotonic: since when dirty_bytes has not been 0; 0 = it is */
} LunfsStats;

/* Single writer: a plain load and store is enough and costs no lock prefix. */
#define LUNFS_COUNT(stats, name, n)                                                                                    \
  atomic_store_explicit (&(stats)->name, atomic_load_explicit (&(stats)->name, memory_order_relaxed) + (uint64_t) (n), \
                         memory_order_relaxed)
#define LUNFS_GAUGE(stats, name, value) atomic_store_explicit (&(stats)->name, (uint64_t) (value), memory_order_relaxed)
#define LUNFS_VALUE(stats, name) atomic_load_explicit (&(stats)->name, memory_order_relaxed)

void lunfs_latency_add (LunfsLatency *latency, int64_t us);
/* Upper bound in microseconds of the bucket that holds the @percent-th percentile; 0 if nothing was counted. */
uint64_t lunfs_latency_percentile (const LunfsLatency *latency, double percent);
/* Count a request's error: @err is a positive errno. */
void lunfs_stats_error (LunfsStats *stats, int err);

#endif
