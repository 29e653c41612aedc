/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One LUN's data path over a target in memory, on a lane that the test turns by hand, with a clock of the test's own.
 * Wired as the worker does it. */
#ifndef LUNFS_TEST_ROW_H
#define LUNFS_TEST_ROW_H

#include "cache/cache.h"
#include "iscsi/ram.h"
#include "lun/lun.h"
#include "lunfs/log.h"
#include "scsi/sense.h"
#include "session/session.h"

#ifndef ck_abort_msg /* tests/fuzz/fuzz_row.h does without libcheck */
#include <check.h>
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROW_TARGET "iqn.2026-01.org.example:ram"

typedef struct {
  int64_t now_us;
  LunfsLane *lane;
  LunfsRam *ram;
  LunfsSettings *settings;
  LunfsStats stats;
  LunfsArena *arena;
  LunfsPool *pool;
  uint64_t cache_limit_bytes, kept_limit_bytes;
  int request_limit_s; /* the kernel's; 0 = it has none */
  LunfsFrames *frames;
  LunfsSession *session;
  LunfsCache *cache;
  LunfsLun *lun;
  bool hold_recovery; /* the test calls lunfs_session_serve or lunfs_cache_up itself */
  bool hold_resolve;
  bool known_quiet;        /* with @known of row_build: the worker before left in peace */
  bool reject;             /* as if another mount of this host wrote to the LUN */
  bool may_refuse;         /* the lun room may find the LUN unusable: it is not served then, as in the worker */
  LunfsTransportOpen open; /* lunfs_ram_open */
  const char *addresses[2];
  unsigned naddresses;
  /* what was heard */
  char asked_host[64];
  unsigned ups, downs, failures, stops, resolves, deferrals, outages, takings, lun_changes;
  unsigned quiets, lefts;
  bool refused;
  LunfsLoginOutcome outcome;
  char text[160];
  LunfsLunInfo info;
  LunfsArenaReservation *reservation; /* for row_build */
  unsigned reserved;                  /* reports */
  LunfsReserveReport report;          /* the last one */
} Row;

static inline int64_t
row_clock (void *user)
{
  return ((Row *) user)->now_us;
}

static inline void
row_on_up (void *user, const LunfsLunInfo *info)
{
  Row *row = user;
  const char *why = NULL;

  row->ups++;
  row->info = *info;
  if (row->hold_recovery)
    return;
  if (row->lun && !lunfs_lun_update (row->lun, info, &why)) {
    if (!row->may_refuse)
      ck_abort_msg ("%s", why);
    row->refused = true;
    return;
  }
  if (row->reject) {
    lunfs_session_reject (row->session, LUNFS_LOGIN_IN_USE, "in use");
    return;
  }
  if (row->cache)
    lunfs_cache_up (row->cache, info);
  else
    lunfs_session_serve (row->session);
}

static inline void
row_on_recovered (void *user)
{
  lunfs_session_serve (((Row *) user)->session);
}

static inline void
row_on_down (void *user)
{
  Row *row = user;

  row->downs++;
  if (row->cache)
    lunfs_cache_forget (row->cache);
}

static inline void
row_on_deferred (void *user, int err)
{
  Row *row = user;

  row->deferrals++;
  if (row->cache)
    lunfs_cache_lost (row->cache, err);
}

static inline void
row_on_failing (void *user)
{
  Row *row = user;

  row->outages++;
  if (row->cache)
    lunfs_cache_failing (row->cache);
}

static inline void
row_on_failed (void *user, LunfsLoginOutcome outcome, const char *text)
{
  Row *row = user;

  row->failures++;
  row->outcome = outcome;
  g_strlcpy (row->text, text, sizeof row->text);
}

static inline void
row_on_stopped (void *user)
{
  ((Row *) user)->stops++;
}

static inline void
row_on_quiet (void *user)
{
  ((Row *) user)->quiets++;
}

static inline void
row_on_left (void *user)
{
  ((Row *) user)->lefts++;
}

static inline void
row_on_resolve (void *user, LunfsSession *session, const char *host)
{
  Row *row = user;

  row->resolves++;
  g_strlcpy (row->asked_host, host, sizeof row->asked_host);
  if (!row->hold_resolve)
    lunfs_session_resolved (session, row->addresses, row->naddresses, "no such host");
}

static inline void
row_on_taken (void *user)
{
  Row *row = user;

  row->takings++;
  if (row->cache)
    lunfs_cache_disown (row->cache);
}

static inline void
row_on_reserved (void *user, const LunfsReserveJob *job, const LunfsReserveReport *report)
{
  Row *row = user;

  row->reserved++;
  row->report = *report;
}

static inline void
row_on_luns_changed (void *user)
{
  ((Row *) user)->lun_changes++;
}

/* Lane, target, memory; settings may be changed before row_build. */
static inline void
row_init (Row *row, uint64_t nblocks, uint32_t block_size, uint64_t seed)
{
  memset (row, 0, sizeof *row);
  row->now_us = 1000000;
  row->lane = lunfs_lane_new (0, row_clock, row);
  row->ram = lunfs_ram_new (ROW_TARGET, nblocks, block_size, seed);
  row->settings = lunfs_settings_new ();
  row->settings->queue_depth = 16;
  row->arena = lunfs_arena_create (4 << 20, NULL);
  ck_assert_ptr_nonnull (row->arena);
  row->pool = lunfs_pool_new (row->arena, false);
  row->cache_limit_bytes = 2 << 20;
  row->kept_limit_bytes = 1 << 20;
  row->settings->cache = LUNFS_CACHE_NONE;
  row->open = lunfs_ram_open;
  row->addresses[0] = "192.0.2.1";
  row->addresses[1] = "192.0.2.2";
  row->naddresses = 1;
  g_random_set_seed ((guint32) seed);
}

static inline void
row_build_cache (Row *row)
{
  LunfsCacheConf conf = {
    .label = "LUN",
    .lane = row->lane,
    .lower = lunfs_session_layer (row->session),
    .mode = row->settings->cache,
    .write_delay_us = (int64_t) row->settings->cache_write_delay_ms * 1000,
    .read_ahead_bytes = row->settings->read_ahead,
    .request_limit_s = row->request_limit_s,
    .stats = &row->stats,
    .recovered = row_on_recovered,
    .user = row,
  };

  if (!row->frames)
    row->frames = lunfs_frames_new (row->arena, row->pool, row->cache_limit_bytes, row->kept_limit_bytes);
  conf.frames = row->frames;
  row->cache = lunfs_cache_new (&conf);
}

/* @whole: cache and lun above the session. */
static inline void
row_build (Row *row, bool whole, const LunfsLunInfo *known)
{
  static const LunfsSessionEvents events = {
    .up = row_on_up,
    .deferred = row_on_deferred,
    .taken = row_on_taken,
    .reserved = row_on_reserved,
    .luns_changed = row_on_luns_changed,
    .failing = row_on_failing,
    .down = row_on_down,
    .failed = row_on_failed,
    .stopped = row_on_stopped,
    .quiet = row_on_quiet,
    .left = row_on_left,
  };
  LunfsSessionConf conf = {
    .open = row->open,
    .settings = row->settings,
    .host = "ram.example.org",
    .port = 3260,
    .target_name = ROW_TARGET,
    .stats = &row->stats,
    .request_limit = row->request_limit_s,
    .reservation = row->reservation,
    .resolve = row_on_resolve,
    .resolve_user = row,
  };

  if (known) {
    conf.known_identity = known->identity;
    conf.known_quiet = row->known_quiet;
    conf.known_nblocks = known->capacity.nblocks;
    conf.known_block_size = known->capacity.block_size;
  }
  row->session = lunfs_session_new (row->lane, &conf, &events, row);
  if (whole) {
    row_build_cache (row);
    row->lun = lunfs_lun_new (row->lane, lunfs_cache_layer (row->cache), row->pool, &row->stats, false, false);
  }
  lunfs_session_start (row->session);
}

static inline void
row_step (Row *row, int64_t us)
{
  row->now_us += us;
  lunfs_lane_run_once (row->lane, 0);
}

/* Turn the lane for @us, in steps. */
static inline void
row_run (Row *row, int64_t us, int64_t step_us)
{
  for (int64_t end = row->now_us + us; row->now_us < end;)
    row_step (row, MIN (step_us, end - row->now_us));
}

static inline LunfsSessionState
row_state (Row *row)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row->session, &snapshot);
  return snapshot.state;
}

/* Turn the lane until the session is in @state; how long it took. */
static inline int64_t
row_until (Row *row, LunfsSessionState state, int64_t limit_us)
{
  int64_t begin = row->now_us;

  while (row_state (row) != state) {
    if (row->now_us - begin >= limit_us)
      ck_abort_msg ("still %s, not %s, after %d ms", lunfs_session_state_name (row_state (row)),
                    lunfs_session_state_name (state), (int) ((row->now_us - begin) / 1000));
    row_step (row, 1000);
  }
  return row->now_us - begin;
}

static inline void
row_stop (Row *row)
{
  if (row->session && row_state (row) != LUNFS_SESSION_STOPPED) {
    lunfs_ram_mute (row->ram, false);
    lunfs_session_stop (row->session, 1000);
    row_until (row, LUNFS_SESSION_STOPPED, 3000000);
  }
  ck_assert_uint_eq (row->stops, row->session ? 1 : 0);
}

static inline void
row_free (Row *row)
{
  row_stop (row);
  ck_assert_uint_eq (lunfs_ram_stats (row->ram)->overlaps, 0);
  ck_assert_uint_eq (lunfs_ram_stats (row->ram)->open, 0);
  lunfs_lun_free (row->lun);
  lunfs_session_free (row->session);
  lunfs_cache_free (row->cache);
  lunfs_frames_free (row->frames);
  lunfs_ram_free (row->ram);
  lunfs_pool_free (row->pool);
  lunfs_arena_free (row->arena);
  lunfs_settings_free (row->settings);
  lunfs_lane_free (row->lane);
}

#endif
