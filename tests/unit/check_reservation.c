/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session/reservation.c and hold.c: what lunfsctl asks for stays after losses of the session, and whoever was fenced stays
 * out. */
#include "row.h"

#include "lunfs/error.h"

#define BS 512
#define SECOND G_USEC_PER_SEC
#define NBLOCKS 64
#define OURS 0xabc
#define THEIRS 0xdef

static Row row;
static LunfsArenaReservation wish;
static bool new_nexus;
static LunfsRequest req;
static struct iovec iov;
static uint8_t data[BS];
static bool ended;

static void
on_done (LunfsRequest *r)
{
  ended = true;
}

static void
build (void)
{
  row.reservation = &wish;
  row_build (&row, true, NULL);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
}

static void
begin_with (LunfsCacheMode cache)
{
  memset (&wish, 0, sizeof wish);
  row_init (&row, NBLOCKS, BS, 7);
  row.settings->cache = cache;
  row.settings->replacement_timeout = 20;
  lunfs_ram_conf (row.ram)->latency_us = 100;
  lunfs_ram_conf (row.ram)->reservations = true;
  lunfs_ram_conf (row.ram)->new_nexus = new_nexus;
  build ();
}

static void
begin (void)
{
  begin_with (LUNFS_CACHE_NONE);
}

static int
io (LunfsOp op)
{
  lunfs_request_init (&req);
  req.op = op;
  req.length = op == LUNFS_OP_FLUSH ? 0 : BS;
  iov = (struct iovec){ data, BS };
  req.iov = &iov;
  req.niov = op == LUNFS_OP_FLUSH ? 0 : 1;
  req.done = on_done;
  req.submit_us = lunfs_lane_now_us (row.lane);
  ended = false;
  lunfs_lun_submit (row.lun, &req);
  for (unsigned i = 0; i < 60000 && !ended; i++)
    row_step (&row, 1000);
  ck_assert (ended);
  return req.result;
}

/* The report's outcome; a refusal of the session itself is its exit status, negative. */
static int
ask (const LunfsReserveJob *job)
{
  g_autoptr (GError) error = NULL;
  unsigned before = row.reserved;

  if (!lunfs_session_reserve (row.session, job, &error))
    return -error->code;
  for (unsigned i = 0; i < 60000 && row.reserved == before; i++)
    row_step (&row, 1000);
  ck_assert_uint_eq (row.reserved, before + 1);
  row_run (&row, SECOND, 1000);
  return (int) row.report.outcome;
}

static int
take (uint64_t key, unsigned type)
{
  return ask (&(LunfsReserveJob){ .what = LUNFS_RESERVE_TAKE, .key = key, .type = type });
}

static int
drop (bool keep)
{
  return ask (&(LunfsReserveJob){ .what = LUNFS_RESERVE_RELEASE, .keep = keep });
}

static int
preempt (uint64_t key)
{
  return ask (&(LunfsReserveJob){ .what = LUNFS_RESERVE_PREEMPT, .key = key });
}

static void
lose_session (void)
{
  unsigned ups = row.ups;

  lunfs_ram_drop (row.ram, "cut");
  for (unsigned i = 0; i < 60000 && row.ups == ups; i++)
    row_step (&row, 1000);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
}

static uint64_t
holder (void)
{
  unsigned type;

  return lunfs_ram_holder (row.ram, &type);
}

static void
must_be (LunfsReservationLoss lost)
{
  LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row.session, &snapshot);
  ck_assert_int_eq (snapshot.state, LUNFS_SESSION_UP);
  ck_assert_uint_eq (snapshot.reservation.lost, lost);
  ck_assert_uint_eq (wish.lost, lost);
  ck_assert_int_eq (strstr (snapshot.error, "lunfsctl release") != NULL, lost != LUNFS_LOST_NOT);
  ck_assert_int_eq (io (LUNFS_OP_WRITE), lost ? -EBADE : 0);
}

/* ---- asked for ---- */

START_TEST (test_take_and_release)
{
  unsigned type;

  new_nexus = _i;
  begin ();
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
  ck_assert_uint_eq (row.ups, 2); /* others may have written until now */
  ck_assert_uint_eq (lunfs_ram_holder (row.ram, &type), OURS);
  ck_assert_uint_eq (type, LUNFS_PR_WRITE_EXCLUSIVE);
  ck_assert_uint_eq (wish.key, OURS);
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK); /* again: nothing */
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, 0), 1);
  must_be (LUNFS_LOST_NOT);
  ck_assert_int_eq (take (THEIRS, LUNFS_PR_WRITE_EXCLUSIVE), -LUNFS_EXIT_EXISTS);
  ck_assert_int_eq (take (OURS, LUNFS_PR_EXCLUSIVE_ACCESS), LUNFS_RESERVE_CONFLICT); /* ours, of another type */
  ck_assert_uint_eq (row.report.holder.key, OURS);
  ck_assert_uint_eq (wish.type, LUNFS_PR_WRITE_EXCLUSIVE);
  ck_assert_int_eq (drop (true), LUNFS_RESERVE_OK);
  ck_assert_uint_eq (holder (), 0);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 1);
  ck_assert_int_eq (take (OURS, LUNFS_PR_EXCLUSIVE_ACCESS), LUNFS_RESERVE_OK);
  ck_assert_int_eq (drop (false), LUNFS_RESERVE_OK);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, 0), 0);
  ck_assert_uint_eq (wish.key, 0);
  ck_assert_int_eq (drop (false), -LUNFS_EXIT_NO_OBJECTS);
  ck_assert_uint_eq (row.takings, 0);
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

/* What cannot be done changes nothing. */
START_TEST (test_refused)
{
  begin ();
  lunfs_ram_other_registers (row.ram, THEIRS);
  ck_assert (lunfs_ram_other_reserves (row.ram, LUNFS_PR_EXCLUSIVE_ACCESS));
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_CONFLICT);
  ck_assert_uint_eq (row.report.holder.key, THEIRS);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 0);
  ck_assert_uint_eq (wish.key, 0);
  ck_assert_int_eq (preempt (THEIRS), -LUNFS_EXIT_NO_OBJECTS);
  ck_assert_int_eq (take (OURS, 0), LUNFS_RESERVE_OK);
  ck_assert_int_eq (preempt (0x999), LUNFS_RESERVE_NO_KEY);
  ck_assert_int_eq (preempt (OURS), -LUNFS_EXIT_USAGE);
  ck_assert_int_eq (preempt (THEIRS), LUNFS_RESERVE_OK);
  ck_assert_uint_eq (holder (), OURS);
  ck_assert_uint_eq (wish.type, LUNFS_PR_EXCLUSIVE_ACCESS);
  ck_assert_int_eq (drop (false), LUNFS_RESERVE_OK);
  lunfs_ram_conf (row.ram)->reservations = false;
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_UNSUPPORTED);
  ck_assert_int_eq (ask (&(LunfsReserveJob){ .what = LUNFS_RESERVE_KEYS }), LUNFS_RESERVE_UNSUPPORTED);
  ck_assert_uint_eq (wish.key, 0);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 1000);
  lunfs_ram_drop (row.ram, "cut");
  row_run (&row, SECOND, 1000);
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), -LUNFS_EXIT_TRANSPORT);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 0);
  row_free (&row);
}
END_TEST

START_TEST (test_keys)
{
  begin ();
  lunfs_ram_other_registers (row.ram, THEIRS);
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY), LUNFS_RESERVE_OK);
  ck_assert_int_eq (ask (&(LunfsReserveJob){ .what = LUNFS_RESERVE_KEYS }), LUNFS_RESERVE_OK);
  ck_assert (!row.report.changed);
  ck_assert_uint_eq (row.report.nkeys, 2);
  ck_assert_uint_eq (row.report.keys[0], THEIRS);
  ck_assert_uint_eq (row.report.keys[1], OURS);
  ck_assert_uint_eq (row.report.holder.key, OURS);
  ck_assert_uint_eq (row.report.holder.type, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY);
  row_free (&row);
}
END_TEST

static bool
begin_job (LunfsReserveWhat what)
{
  LunfsReserveJob job = { .what = what, .key = OURS, .type = LUNFS_PR_WRITE_EXCLUSIVE };
  g_autoptr (GError) error = NULL;

  return lunfs_session_reserve (row.session, &job, &error);
}

/* Who looks and who changes wait for each other; two of a kind do not. */
START_TEST (test_two_jobs)
{
  LunfsReserveWhat first = _i ? LUNFS_RESERVE_KEYS : LUNFS_RESERVE_TAKE;
  LunfsReserveWhat second = _i ? LUNFS_RESERVE_TAKE : LUNFS_RESERVE_KEYS;

  begin ();
  ck_assert (begin_job (first));
  ck_assert (!begin_job (first));
  ck_assert (begin_job (second));
  ck_assert (!begin_job (second));
  ck_assert (!begin_job (first));
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (row.reserved, 2);
  ck_assert_int_eq (row.report.outcome, LUNFS_RESERVE_OK);
  ck_assert_uint_eq (holder (), OURS);
  must_be (LUNFS_LOST_NOT);
  ck_assert (begin_job (LUNFS_RESERVE_KEYS)); /* ... and a session that is lost ends both */
  ck_assert (begin_job (LUNFS_RESERVE_RELEASE));
  lose_session ();
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (row.reserved, 4);
  ck_assert_int_eq (row.report.outcome, LUNFS_RESERVE_GONE);
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

/* Two of a cluster say the same: one holds it, the other is registered, which is as good. */
START_TEST (test_shared)
{
  new_nexus = _i;
  begin ();
  lunfs_ram_other_registers (row.ram, THEIRS);
  ck_assert (lunfs_ram_other_reserves (row.ram, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY));
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY), LUNFS_RESERVE_OK);
  must_be (LUNFS_LOST_NOT);
  lose_session ();
  must_be (LUNFS_LOST_NOT);
  ck_assert_uint_eq (holder (), THEIRS);
  lunfs_ram_other_releases (row.ram); /* 2A/04 is no fencing: nothing is given up */
  must_be (LUNFS_LOST_NOT);
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (holder (), OURS);
  ck_assert_uint_eq (row.takings, 0);
  row_free (&row);
}
END_TEST

/* ---- it stays ---- */

START_TEST (test_lost_session)
{
  static const unsigned types[] = { 0, 1, 3, 5, 6, 7, 8 };

  new_nexus = _i & 1;
  for (unsigned i = 0; i < G_N_ELEMENTS (types); i++) {
    begin ();
    ck_assert_int_eq (take (OURS, types[i]), LUNFS_RESERVE_OK);
    lunfs_ram_other_registers (row.ram, THEIRS);
    for (unsigned n = 0; n < 3; n++)
      lose_session ();
    ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 1); /* nothing is left of older nexuses */
    if (types[i] >= 1 && types[i] < 7)
      ck_assert_uint_eq (holder (), OURS);
    ck_assert (row.info.modes.have_caching);
    must_be (LUNFS_LOST_NOT);
    ck_assert_uint_eq (row.takings, 0);
    ck_assert_int_eq (drop (false), LUNFS_RESERVE_OK);
    ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 0);
    row_free (&row);
  }
}
END_TEST

/* Another worker, with what stands in the arena. */
START_TEST (test_successor)
{
  new_nexus = _i;
  begin ();
  ck_assert_int_eq (take (OURS, LUNFS_PR_EXCLUSIVE_ACCESS), LUNFS_RESERVE_OK);
  row_stop (&row);
  lunfs_lun_free (g_steal_pointer (&row.lun));
  lunfs_session_free (g_steal_pointer (&row.session));
  lunfs_cache_free (g_steal_pointer (&row.cache));
  row.stops = 0;
  build ();
  ck_assert_uint_eq (holder (), OURS);
  must_be (LUNFS_LOST_NOT);
  ck_assert_uint_eq (row.takings, 0);
  row_free (&row);
}
END_TEST

/* A target without APTPL forgets everything; one with it does not. */
START_TEST (test_power_loss)
{
  new_nexus = _i & 1;
  begin ();
  lunfs_ram_conf (row.ram)->persist = _i & 2;
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
  ck_assert_uint_eq (wish.persists, (_i & 2) != 0);
  lunfs_ram_power_loss (row.ram, 0);
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (holder (), OURS);
  must_be (LUNFS_LOST_NOT);
  lunfs_ram_power_loss (row.ram, 0); /* another one is first */
  lunfs_ram_other_registers (row.ram, THEIRS);
  lunfs_ram_other_reserves (row.ram, LUNFS_PR_WRITE_EXCLUSIVE);
  row_run (&row, 5 * SECOND, 1000);
  must_be (_i & 2 ? LUNFS_LOST_NOT : LUNFS_LOST_HELD);
  ck_assert_uint_eq (holder (), _i & 2 ? OURS : THEIRS);
  row_free (&row);
}
END_TEST

/* ---- fenced ---- */

START_TEST (test_preempted)
{
  bool while_away = _i & 2;

  new_nexus = _i & 1;
  begin ();
  lunfs_ram_conf (row.ram)->persist = _i & 4;
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY), LUNFS_RESERVE_OK);
  lunfs_ram_other_registers (row.ram, THEIRS);
  if (while_away) {
    lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 3);
    lunfs_ram_drop (row.ram, "cut");
    row_run (&row, SECOND / 2, 1000);
  }
  lunfs_ram_other_preempts (row.ram, OURS, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY);
  row_run (&row, 20 * SECOND, 10000);
  if (!while_away)
    io (LUNFS_OP_READ); /* brings the unit attention */
  row_run (&row, 20 * SECOND, 10000);
  must_be (LUNFS_LOST_PREEMPTED);
  ck_assert_uint_ge (row.takings, 1);
  /* By itself nothing changes, whatever the other one does. */
  lunfs_ram_other_releases (row.ram);
  lunfs_ram_other_registers (row.ram, 0);
  lose_session ();
  must_be (LUNFS_LOST_PREEMPTED);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, 0), 0);
  ck_assert_int_eq (io (LUNFS_OP_READ), 0);
  ck_assert_int_eq (preempt (THEIRS), -LUNFS_EXIT_NO_OBJECTS);
  /* The user decides. */
  if (_i & 1) {
    ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
    ck_assert_uint_eq (holder (), OURS);
  } else {
    ck_assert_int_eq (drop (false), LUNFS_RESERVE_OK);
  }
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

/* What was written and not synchronised is not written over the other one's data. */
START_TEST (test_preempted_dirty)
{
  new_nexus = _i;
  begin_with (LUNFS_CACHE_WRITEBACK);
  lunfs_ram_conf (row.ram)->wce = true;
  lose_session ();
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
  memset (data, 'o', BS);
  ck_assert_int_eq (io (LUNFS_OP_WRITE), 0);
  row_run (&row, SECOND, 1000);
  lunfs_ram_refuse (row.ram, LUNFS_LOGIN_TRANSPORT, 3);
  lunfs_ram_drop (row.ram, "cut");
  row_run (&row, SECOND / 2, 1000);
  lunfs_ram_other_registers (row.ram, THEIRS);
  lunfs_ram_other_preempts (row.ram, OURS, LUNFS_PR_WRITE_EXCLUSIVE);
  memset (lunfs_ram_data (row.ram), 't', BS);
  row_until (&row, LUNFS_SESSION_UP, 30 * SECOND);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[0], 't');
  ck_assert_int_eq (io (LUNFS_OP_WRITE), -EIO);
  ck_assert_int_lt (io (LUNFS_OP_FLUSH), 0);
  row_run (&row, 60 * SECOND, 10000);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[0], 't');
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->overlaps, 0);
  row_free (&row);
}
END_TEST

static bool
is_our_register (const uint8_t *cdb)
{
  return cdb[0] == 0x5f && cdb[1] == LUNFS_PR_REGISTER;
}

/* The preemption comes between our look at the keys and our registration with the new nexus. */
static bool
preempt_now (const uint8_t *cdb)
{
  static bool was;

  if (!cdb) {
    was = false;
  } else if (is_our_register (cdb) && !was && lunfs_ram_registrations (row.ram, OURS) > 0) {
    was = true;
    lunfs_ram_other_preempts (row.ram, OURS, LUNFS_PR_WRITE_EXCLUSIVE);
  }
  return false;
}

START_TEST (test_race)
{
  LunfsRamFault fault = { .match = preempt_now, .times = 1 };

  new_nexus = _i;
  begin ();
  ck_assert_int_eq (take (OURS, _i ? LUNFS_PR_WRITE_EXCLUSIVE : 0), LUNFS_RESERVE_OK);
  lunfs_ram_other_registers (row.ram, THEIRS);
  preempt_now (NULL);
  lunfs_ram_fault (row.ram, &fault);
  lose_session ();
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 0);
  must_be (LUNFS_LOST_PREEMPTED);
  row_free (&row);
}
END_TEST

/* ... and nobody hears of that registration's answer: it is there, but it is not the one that we had. */
static bool
preempt_and_cut (const uint8_t *cdb)
{
  static unsigned registers;

  if (!cdb) {
    registers = 0;
  } else if (is_our_register (cdb) && registers++ == 0) {
    preempt_now (cdb);
    return false;
  }
  return cdb && is_our_register (cdb);
}

START_TEST (test_race_cut)
{
  LunfsRamFault fault = { .match = preempt_and_cut, .kind = LUNFS_RAM_DROP_AFTER, .times = 1 };

  new_nexus = _i & 1;
  begin ();
  lunfs_ram_conf (row.ram)->persist = _i & 2;
  ck_assert_int_eq (take (OURS, new_nexus ? LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY : 0), LUNFS_RESERVE_OK);
  lunfs_ram_other_registers (row.ram, THEIRS);
  preempt_now (NULL);
  preempt_and_cut (NULL);
  lunfs_ram_fault (row.ram, &fault);
  lose_session ();
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), new_nexus); /* a nexus that is gone cannot take it back */
  must_be (LUNFS_LOST_PREEMPTED);
  lose_session ();
  must_be (LUNFS_LOST_PREEMPTED);
  row_free (&row);
}
END_TEST

/* The same without a preemption: nobody is fenced for a registration that came twice, whatever others do meanwhile. */
static bool
other_and_cut (const uint8_t *cdb)
{
  static bool was;

  if (!cdb)
    was = false;
  if (!cdb || !is_our_register (cdb))
    return false;
  if (was)
    lunfs_ram_other_registers (row.ram, THEIRS);
  was = true;
  return true;
}

START_TEST (test_join_cut)
{
  static const LunfsRamFaultKind kinds[] = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER };
  LunfsRamFault fault = { .match = other_and_cut, .skip = 1, .kind = kinds[_i & 1], .times = 3 };

  new_nexus = true;
  begin ();
  ck_assert_int_eq (take (OURS, _i & 2 ? LUNFS_PR_WRITE_EXCLUSIVE : 0), LUNFS_RESERVE_OK);
  other_and_cut (NULL);
  lunfs_ram_fault (row.ram, &fault);
  lose_session ();
  row_run (&row, 20 * SECOND, 1000);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 1);
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

/* ---- any command may fail, or be the last one of its session ---- */

/* At any command about reservations after a loss of the session: a preemption, and another loss. */
static struct {
  unsigned count, preempt_at, cut_at[2];
} any;

static bool
any_command (const uint8_t *cdb)
{
  if ((cdb[0] & 0xfe) != 0x5e)
    return false;
  any.count++;
  if (any.count == any.preempt_at)
    lunfs_ram_other_preempts (row.ram, OURS, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY);
  return any.count == any.cut_at[0] || any.count == any.cut_at[1];
}

START_TEST (test_any_order)
{
  static const LunfsRamFaultKind kinds[] = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER };
  static const unsigned types[] = { 0, LUNFS_PR_WRITE_EXCLUSIVE, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY };
  LunfsRamFault fault = { .match = any_command, .kind = kinds[_i & 1], .times = 2 };

  new_nexus = _i & 2;
  for (unsigned n = 0; n < 10 * 8; n++) {
    unsigned at = 1 + n % 10, cut = 1 + n / 10;

    begin ();
    lunfs_ram_conf (row.ram)->persist = _i & 4;
    ck_assert_int_eq (take (OURS, types[n % 3]), LUNFS_RESERVE_OK);
    lunfs_ram_other_registers (row.ram, THEIRS);
    memset (&any, 0, sizeof any);
    any.preempt_at = at;
    any.cut_at[0] = cut;
    any.cut_at[1] = cut + n % 5;
    lunfs_ram_fault (row.ram, &fault);
    lose_session ();
    row_run (&row, 10 * SECOND, 1000);
    if (any.count < at) { /* not yet */
      must_be (LUNFS_LOST_NOT);
      lunfs_ram_other_preempts (row.ram, OURS, LUNFS_PR_WRITE_EXCLUSIVE_REGISTRANTS_ONLY);
      io (LUNFS_OP_READ); /* brings the unit attention */
      row_run (&row, 10 * SECOND, 1000);
    }
    lose_session ();
    ck_assert_msg (wish.lost, "a preemption at command %u, and a cut at %u and %u, went unnoticed", at, cut,
                   any.cut_at[1]);
    ck_assert_int_eq (io (LUNFS_OP_WRITE), -EBADE);
    row_free (&row);
  }
}
END_TEST

static void
write_dirty (void)
{
  memset (data, 'o', BS);
  ck_assert_int_eq (io (LUNFS_OP_WRITE), 0);
  row_run (&row, SECOND, 1000);
}

static void
must_have_kept (void)
{
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (row.takings, 0);
  ck_assert_int_eq (io (LUNFS_OP_FLUSH), 0);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[0], 'o');
  must_be (LUNFS_LOST_NOT);
}

/* What a reserve without an end has left at the target does not keep ourselves out: it is ended, and nothing is lost. */
START_TEST (test_take_cut)
{
  static const LunfsRamFaultKind kinds[] = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER };
  LunfsRamFault fault = { .match = lunfs_ram_is_reserve_out, .kind = kinds[_i & 1], .skip = (_i >> 1) & 1 };
  bool nothing = (_i & 3) == 0;

  new_nexus = _i & 4;
  begin_with (LUNFS_CACHE_WRITEBACK);
  lunfs_ram_conf (row.ram)->wce = true;
  lose_session ();
  write_dirty ();
  lunfs_ram_fault (row.ram, &fault);
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_GONE);
  must_have_kept ();
  ck_assert_uint_eq (wish.key, nothing ? 0 : OURS);
  ck_assert_uint_eq (holder (), wish.key);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, 0), !nothing);
  lose_session ();
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

/* The same where another one holds it: his answer did not reach us. */
START_TEST (test_take_cut_in_vain)
{
  LunfsRamFault fault = { .match = lunfs_ram_is_reserve_out, .kind = LUNFS_RAM_DROP_AFTER, .skip = (unsigned) _i >> 1 };

  new_nexus = _i & 1;
  begin ();
  lunfs_ram_other_registers (row.ram, THEIRS);
  ck_assert (lunfs_ram_other_reserves (row.ram, LUNFS_PR_WRITE_EXCLUSIVE));
  lunfs_ram_fault (row.ram, &fault);
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_GONE);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (wish.key, 0);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 0);
  ck_assert_uint_eq (holder (), THEIRS);
  row_free (&row);
}
END_TEST

/* Registered before: what came of it is ours, and moves on with us. */
START_TEST (test_reserve_cut)
{
  static const LunfsRamFaultKind kinds[] = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER };
  LunfsRamFault fault = { .match = lunfs_ram_is_reserve_out, .kind = kinds[_i & 1], .skip = 1 };
  unsigned type;

  new_nexus = _i & 2;
  begin_with (LUNFS_CACHE_WRITEBACK);
  lunfs_ram_conf (row.ram)->wce = true;
  lose_session ();
  ck_assert_int_eq (take (OURS, 0), LUNFS_RESERVE_OK);
  write_dirty ();
  lunfs_ram_fault (row.ram, &fault);
  ck_assert_int_eq (take (OURS, LUNFS_PR_EXCLUSIVE_ACCESS), LUNFS_RESERVE_GONE);
  must_have_kept ();
  ck_assert_uint_eq (lunfs_ram_holder (row.ram, &type), _i & 1 ? OURS : 0);
  ck_assert_uint_eq (wish.type, type);
  lose_session ();
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

START_TEST (test_preempt_cut)
{
  LunfsRamFault fault = { .match = lunfs_ram_is_reserve_out, .kind = LUNFS_RAM_DROP_AFTER };

  new_nexus = _i;
  begin ();
  lunfs_ram_other_registers (row.ram, THEIRS);
  ck_assert (lunfs_ram_other_reserves (row.ram, LUNFS_PR_EXCLUSIVE_ACCESS));
  ck_assert_int_eq (take (OURS, 0), LUNFS_RESERVE_OK);
  lunfs_ram_fault (row.ram, &fault);
  ck_assert_int_eq (preempt (THEIRS), LUNFS_RESERVE_GONE);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  row_run (&row, 5 * SECOND, 1000);
  ck_assert_uint_eq (holder (), OURS);
  ck_assert_uint_eq (wish.type, LUNFS_PR_EXCLUSIVE_ACCESS);
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

START_TEST (test_cut)
{
  static const LunfsRamFaultKind kinds[] = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER, LUNFS_RAM_STATUS };

  for (unsigned k = 0; k < G_N_ELEMENTS (kinds); k++)
    for (unsigned skip = 0; skip < 8; skip++) {
      LunfsRamFault fault = {
        .match = lunfs_ram_is_reserve_out, .skip = skip, .kind = kinds[k], .status = LUNFS_STATUS_BUSY
      };

      new_nexus = _i;
      begin ();
      lunfs_ram_other_registers (row.ram, THEIRS);
      lunfs_ram_fault (row.ram, &fault);
      for (unsigned n = 0; n < 5 && take (OURS, LUNFS_PR_WRITE_EXCLUSIVE) != LUNFS_RESERVE_OK; n++)
        row_run (&row, 5 * SECOND, 1000);
      ck_assert_uint_eq (holder (), OURS);
      lose_session ();
      row_run (&row, 40 * SECOND, 10000);
      must_be (LUNFS_LOST_NOT);
      ck_assert_uint_eq (holder (), OURS);
      for (unsigned n = 0; n < 5 && wish.key; n++) {
        drop (false);
        row_run (&row, 5 * SECOND, 1000); /* a release that was begun is ended by the next login */
      }
      ck_assert_uint_eq (lunfs_ram_registrations (row.ram, OURS), 0);
      must_be (LUNFS_LOST_NOT);
      row_free (&row);
    }
}
END_TEST

/* A release whose end nobody heard of is none that others have brought about; one that never came is made up for. */
START_TEST (test_release_cut)
{
  static const LunfsRamFaultKind kinds[] = { LUNFS_RAM_DROP_BEFORE, LUNFS_RAM_DROP_AFTER };
  LunfsRamFault fault = { .match = lunfs_ram_is_reserve_out, .kind = kinds[_i & 1] };

  new_nexus = _i & 2;
  begin ();
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
  lunfs_ram_fault (row.ram, &fault);
  ck_assert_int_eq (drop (false), LUNFS_RESERVE_GONE);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  ck_assert_uint_eq (wish.key, 0);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, 0), 0);
  ck_assert_uint_eq (row.takings, 0);
  must_be (LUNFS_LOST_NOT);
  row_free (&row);
}
END_TEST

/* The nexus has a key of which nothing is known any more: the user's counts. */
START_TEST (test_forgotten_key)
{
  new_nexus = false;
  begin ();
  ck_assert_int_eq (take (THEIRS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
  memset (&wish, 0, sizeof wish);
  ck_assert_int_eq (take (OURS, LUNFS_PR_WRITE_EXCLUSIVE), LUNFS_RESERVE_OK);
  ck_assert_uint_eq (lunfs_ram_registrations (row.ram, 0), 1);
  ck_assert_uint_eq (holder (), OURS);
  row_free (&row);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("reservation");
  TCase *tc = tcase_create ("reservation");
  tcase_set_timeout (tc, 120);
  tcase_add_loop_test (tc, test_take_and_release, 0, 2);
  tcase_add_test (tc, test_refused);
  tcase_add_test (tc, test_keys);
  tcase_add_loop_test (tc, test_two_jobs, 0, 2);
  tcase_add_loop_test (tc, test_shared, 0, 2);
  tcase_add_loop_test (tc, test_lost_session, 0, 2);
  tcase_add_loop_test (tc, test_successor, 0, 2);
  tcase_add_loop_test (tc, test_power_loss, 0, 4);
  tcase_add_loop_test (tc, test_preempted, 0, 8);
  tcase_add_loop_test (tc, test_preempted_dirty, 0, 2);
  tcase_add_loop_test (tc, test_race, 0, 2);
  tcase_add_loop_test (tc, test_race_cut, 0, 4);
  tcase_add_loop_test (tc, test_join_cut, 0, 4);
  tcase_add_loop_test (tc, test_cut, 0, 2);
  tcase_add_loop_test (tc, test_any_order, 0, 8);
  tcase_add_loop_test (tc, test_take_cut, 0, 8);
  tcase_add_loop_test (tc, test_take_cut_in_vain, 0, 6);
  tcase_add_loop_test (tc, test_reserve_cut, 0, 4);
  tcase_add_loop_test (tc, test_preempt_cut, 0, 2);
  tcase_add_loop_test (tc, test_release_cut, 0, 4);
  tcase_add_test (tc, test_forgotten_key);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int bad = srunner_ntests_failed (runner);
  srunner_free (runner);
  return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
