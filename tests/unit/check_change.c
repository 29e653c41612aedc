/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What may change at a LUN that is in use: it shrinks and grows back, another initiator takes it, a block goes bad, the
 * target gets other LUNs.  A whole row, since what is kept for a rewrite is the point. */
#include "row.h"

#define BS 512
#define SECOND G_USEC_PER_SEC
#define NBLOCKS 1024

static Row row;
static LunfsRequest req;
static struct iovec iov;
static uint8_t data[8 * BS];
static bool done;

static void
setup (void)
{
  row = (Row){ 0 };
  req = (LunfsRequest){ 0 }; /* it remembers losses; under valgrind the tests share one process */
  row_init (&row, NBLOCKS, BS, 7);
  lunfs_ram_conf (row.ram)->wce = true;
  lunfs_ram_conf (row.ram)->latency_us = 100;
  row.settings->cmd_timeout = 5;
  row_build (&row, true, NULL);
  row_until (&row, LUNFS_SESSION_UP, SECOND);
}

static void
teardown (void)
{
  row_free (&row);
}

static void
on_done (LunfsRequest *r)
{
  done = true;
}

static int
io (LunfsOp op, uint64_t lba, unsigned nblocks, uint8_t fill)
{
  int64_t end = row.now_us + 20 * SECOND;

  if (op == LUNFS_OP_WRITE)
    memset (data, fill, sizeof data);
  lunfs_request_init (&req);
  req.op = op;
  req.offset = lba * BS;
  req.length = op == LUNFS_OP_FLUSH ? 0 : nblocks * BS;
  iov = (struct iovec){ data, nblocks * BS };
  req.iov = &iov;
  req.niov = op == LUNFS_OP_READ || op == LUNFS_OP_WRITE;
  req.chunks = NULL;
  req.nchunks = 0;
  req.flags = 0;
  req.done = on_done;
  done = false;
  lunfs_lun_submit (row.lun, &req);
  while (!done) {
    ck_assert_msg (row.now_us < end, "the request hangs");
    row_step (&row, 100);
  }
  return req.result;
}

static const char *
error_text (void)
{
  static LunfsSessionSnapshot snapshot;

  lunfs_session_snapshot (row.session, &snapshot);
  return snapshot.error;
}

static void
relogin (void)
{
  unsigned ups = row.ups;

  lunfs_ram_drop (row.ram, "cut");
  while (row.ups == ups || row_state (&row) != LUNFS_SESSION_UP)
    row_step (&row, 1000);
}

/* Reads go on where there are blocks; nothing is written, nothing is called synchronised; all is kept until it is back. */
START_TEST (test_shrunk)
{
  LunfsGeometry g;

  ck_assert_int_eq (io (LUNFS_OP_WRITE, 3, 1, 0x11), 0); /* not synchronised */
  lunfs_ram_conf (row.ram)->nblocks = NBLOCKS / 2;
  lunfs_ram_power_loss (row.ram, 0);
  if (_i) { /* while it is up: by a unit attention */
    row_until (&row, LUNFS_SESSION_UP, 2 * SECOND);
  }
  while (!strstr (error_text (), "smaller"))
    row_step (&row, 1000);
  lunfs_lun_geometry (row.lun, &g);
  ck_assert_uint_eq (g.size_bytes, NBLOCKS * BS); /* the file keeps its size */
  ck_assert_int_eq (io (LUNFS_OP_READ, 1, 1, 0), 0);
  ck_assert_int_eq (io (LUNFS_OP_READ, NBLOCKS - 1, 1, 0), -EIO);
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 1, 1, 0x22), -EIO);
  ck_assert_int_eq (io (LUNFS_OP_DISCARD, 0, 8, 0), -EIO);
  ck_assert_int_eq (io (LUNFS_OP_EXTENT, NBLOCKS - 4, 0, 0), 0); /* beyond the end that it has now */
  ck_assert (req.extent_mapped && req.extent_length == 4 * BS);
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), -EIO);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[3 * BS], 0);
  row_run (&row, 20 * SECOND, 10000);
  relogin (); /* still */
  ck_assert_ptr_nonnull (strstr (error_text (), "smaller"));
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), -EIO);
  lunfs_ram_conf (row.ram)->nblocks = NBLOCKS;
  if (_i)
    lunfs_session_look (row.session);
  else
    relogin ();
  row_run (&row, SECOND, 1000);
  ck_assert_str_eq (error_text (), "");
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), 0);
  ck_assert_uint_eq (lunfs_ram_stable (row.ram)[3 * BS], 0x11); /* kept, and written again */
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 1, 1, 0x22), 0);
}
END_TEST

/* It was reserved meanwhile: what the other wrote stays, and fsync does not claim that ours is there. */
START_TEST (test_disowned)
{
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 3, 1, 0x11), 0);
  if (_i == 0)
    lunfs_ram_unit_attention (row.ram, 0x2a, 0x05);
  else
    lunfs_ram_fault (row.ram,
                     &(LunfsRamFault){ .match = lunfs_ram_is_write, .status = LUNFS_STATUS_RESERVATION_CONFLICT });
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 9, 1, 0x12), _i == 0 ? 0 : -EBADE);
  ck_assert_uint_eq (row.takings, 1);
  lunfs_ram_power_loss (row.ram, 0);
  memset (lunfs_ram_data (row.ram) + 3 * BS, 0x99, BS); /* the other one's */
  row_run (&row, SECOND, 1000);
  row_until (&row, LUNFS_SESSION_UP, 10 * SECOND);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[3 * BS], 0x99);
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), -EIO);
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), 0);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[3 * BS], 0x99);
}
END_TEST

/* Synchronised before the login: nothing is lost and nothing is said. */
START_TEST (test_disowned_but_synchronised)
{
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 3, 1, 0x11), 0);
  lunfs_ram_unit_attention (row.ram, 0x2a, 0x03);
  ck_assert_int_eq (io (LUNFS_OP_READ, 0, 1, 0), 0);
  row_run (&row, SECOND, 1000);
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), 0);
  ck_assert_uint_eq (lunfs_ram_stable (row.ram)[3 * BS], 0x11);
  relogin ();
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), 0);
}
END_TEST

START_TEST (test_reserved)
{
  lunfs_ram_fault (row.ram, &(LunfsRamFault){
                                .match = lunfs_ram_is_write, .times = 3, .status = LUNFS_STATUS_RESERVATION_CONFLICT });
  for (unsigned i = 0; i < 3; i++) {
    ck_assert_int_eq (io (LUNFS_OP_WRITE, 1, 1, 1), -EBADE);
    ck_assert_ptr_nonnull (strstr (error_text (), "RESERVATION CONFLICT"));
  }
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x8a], 3); /* each was tried once */
  ck_assert_int_eq (io (LUNFS_OP_READ, 1, 1, 0), 0);
  ck_assert_ptr_nonnull (strstr (error_text (), "RESERVATION CONFLICT"));
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 1, 1, 1), 0);
  ck_assert_str_eq (error_text (), "");
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, reservation_conflicts), 3);
}
END_TEST

START_TEST (test_medium_error)
{
  lunfs_ram_fault (row.ram, &(LunfsRamFault){ .match = lunfs_ram_is_read,
                                              .times = 2,
                                              .status = LUNFS_STATUS_CHECK_CONDITION,
                                              .key = LUNFS_KEY_MEDIUM_ERROR,
                                              .asc = 0x11 });
  ck_assert_int_eq (io (LUNFS_OP_READ, 8, 8, 0), -EIO);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, medium_errors), 1);
  ck_assert_int_eq (io (LUNFS_OP_READ, 8, 8, 0), 0);
}
END_TEST

/* Met by a command, or eaten by the probe of the next login. */
START_TEST (test_luns_changed)
{
  if (_i == 0) {
    lunfs_ram_unit_attention (row.ram, 0x3f, 0x0e);
    ck_assert_int_eq (io (LUNFS_OP_READ, 0, 1, 0), 0);
  } else {
    lunfs_ram_drop (row.ram, "cut");
    while (row_state (&row) != LUNFS_SESSION_LOGIN)
      row_step (&row, 10);
    lunfs_ram_unit_attention (row.ram, 0x3f, 0x0e);
    row_until (&row, LUNFS_SESSION_UP, SECOND);
  }
  row_run (&row, SECOND, 1000);
  ck_assert_uint_eq (row.lun_changes, 1);
}
END_TEST

/* It comes back smaller and, it says, without a volatile cache: what it has lost is still only here. */
START_TEST (test_shrunk_without_cache)
{
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 3, 1, 0x11), 0);
  lunfs_ram_conf (row.ram)->nblocks = NBLOCKS / 2;
  lunfs_ram_conf (row.ram)->wce = false;
  lunfs_ram_power_loss (row.ram, 0);
  row_until (&row, LUNFS_SESSION_DOWN, 2 * SECOND);
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), -EIO);
}
END_TEST

/* Somebody takes the LUN while we write again what it had lost. */
START_TEST (test_taken_in_recovery)
{
  for (unsigned i = 0; i < 40; i++) /* far from each other, so that each is a WRITE of its own when it is written again */
    ck_assert_int_eq (io (LUNFS_OP_WRITE, 16 * i, 1, 0x11), 0);
  lunfs_ram_power_loss (row.ram, 0);
  lunfs_ram_log (row.ram, true);
  lunfs_ram_fault (row.ram,
                   &(LunfsRamFault){ .match = lunfs_ram_is_write, .status = LUNFS_STATUS_RESERVATION_CONFLICT });
  row_until (&row, LUNFS_SESSION_DOWN, 2 * SECOND);
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert_uint_eq (row.takings, 1);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[16 * 39 * BS], 0);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->commands[0x8a],
                     40 + 16); /* what was at the target when it was heard of */
  ck_assert_int_eq (io (LUNFS_OP_FLUSH, 0, 0, 0), -EIO);
}
END_TEST

/* The kernel's limit is for the kernel's requests. */
START_TEST (test_recovery_has_no_limit)
{
  static const LunfsTimeouts limits = {
    .replacement_timeout = -1, .login_timeout = 15, .noop_out_timeout = 5, .cmd_timeout = 3600, .request_limit = 10
  };

  lunfs_session_set_timeouts (row.session, &limits);
  ck_assert_int_eq (io (LUNFS_OP_WRITE, 3, 1, 0x11), 0);
  lunfs_ram_fault (row.ram,
                   &(LunfsRamFault){ .match = lunfs_ram_is_write, .status = LUNFS_STATUS_BUSY, .times = 1000000 });
  lunfs_ram_power_loss (row.ram, 0);
  row_until (&row, LUNFS_SESSION_RECOVER, 2 * SECOND);
  ck_assert_int_eq (io (LUNFS_OP_READ, 0, 1, 0), -EIO);
  ck_assert_uint_eq (LUNFS_VALUE (&row.stats, losses), 0);
  lunfs_ram_clear_faults (row.ram);
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert_uint_eq (lunfs_ram_data (row.ram)[3 * BS], 0x11);
}
END_TEST

START_TEST (test_look_in_recovery)
{
  unsigned connections;

  ck_assert_int_eq (io (LUNFS_OP_WRITE, 3, 1, 0x11), 0);
  lunfs_ram_power_loss (row.ram, 0);
  row_until (&row, LUNFS_SESSION_RECOVER, 2 * SECOND);
  connections = lunfs_ram_stats (row.ram)->connections;
  lunfs_session_look (row.session);
  row_until (&row, LUNFS_SESSION_UP, 5 * SECOND);
  ck_assert_uint_eq (lunfs_ram_stats (row.ram)->connections, connections);
}
END_TEST

/* The signal came before the request. */
START_TEST (test_cancel_unsubmitted)
{
  lunfs_request_init (&req);
  req.op = LUNFS_OP_DISCARD;
  req.length = BS;
  ck_assert (!lunfs_lun_cancel (row.lun, &req, true));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("change");
  TCase *tc = tcase_create ("change");
  SRunner *runner;
  int failed;

  lunfs_log_open ("/dev/null", LUNFS_LOG_INFO, 0, NULL);
  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_loop_test (tc, test_shrunk, 0, 2);
  tcase_add_loop_test (tc, test_disowned, 0, 2);
  tcase_add_test (tc, test_disowned_but_synchronised);
  tcase_add_test (tc, test_reserved);
  tcase_add_test (tc, test_shrunk_without_cache);
  tcase_add_test (tc, test_taken_in_recovery);
  tcase_add_test (tc, test_recovery_has_no_limit);
  tcase_add_test (tc, test_look_in_recovery);
  tcase_add_test (tc, test_cancel_unsubmitted);
  tcase_add_test (tc, test_medium_error);
  tcase_add_loop_test (tc, test_luns_changed, 0, 2);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed != 0;
}
