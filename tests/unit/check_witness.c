/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "session/witness.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024u

static LunfsArenaWitness table[LUNFS_ARENA_WITNESSES];
static uint8_t disk[256 * KIB];
static LunfsWitnesses w;
static int64_t now_us;

static void
setup (void)
{
  memset (table, 0, sizeof table);
  for (size_t i = 0; i < sizeof disk; i++)
    disk[i] = (uint8_t) (i * 31 + i / 4096);
  w = (LunfsWitnesses){ .table = table };
  now_us = 1000000;
}

typedef struct {
  LunfsRequest req;
  struct iovec iov[2];
  uint64_t sent;
} Io;

static void
begin (Io *io, LunfsOp op, uint64_t offset, uint64_t length)
{
  uint64_t half = length / 2;

  *io = (Io){ .req = { .op = op, .offset = offset, .length = length, .niov = 2 } };
  io->req.iov = io->iov;
  io->iov[0] = (struct iovec){ disk + offset, half };
  io->iov[1] = (struct iovec){ disk + offset + half, length - half };
  io->sent = lunfs_witness_sending (&w, &io->req);
}

static void
end (Io *io, bool good)
{
  lunfs_witness_answered (&w, &io->req, io->sent, good, now_us);
}

static void
whole (LunfsOp op, uint64_t offset, uint64_t length)
{
  Io io;

  begin (&io, op, offset, length);
  end (&io, true);
}

/* How many there are; each must be true of the disk. */
static unsigned
count (void)
{
  unsigned n = 0;

  for (unsigned i = 0; i < LUNFS_ARENA_WITNESSES; i++)
    if (table[i].where) {
      ck_assert (lunfs_witness_agrees (&table[i], disk + lunfs_witness_page (&table[i]) * LUNFS_PAGE_BYTES));
      n++;
    }
  return n;
}

START_TEST (test_write)
{
  uint32_t from = 9, to = 9;

  whole (LUNFS_OP_WRITE, 8 * KIB, 4 * KIB);
  ck_assert_uint_eq (count (), 1);
  for (unsigned i = 0; i < LUNFS_ARENA_WITNESSES; i++)
    if (table[i].where) {
      ck_assert_uint_eq (lunfs_witness_page (&table[i]), 2);
      lunfs_witness_bytes (&table[i], &from, &to);
      disk[2 * 4096 + 4095] ^= 1;
      ck_assert (!lunfs_witness_agrees (&table[i], disk + 2 * 4096));
    }
  ck_assert_uint_eq (from, 0);
  ck_assert_uint_eq (to, 4096);
}
END_TEST

/* Only the bytes that were written count. */
START_TEST (test_part)
{
  uint32_t from = 9, to = 9;

  whole (LUNFS_OP_WRITE, 4 * KIB + 512, 1024);
  ck_assert_uint_eq (count (), 1);
  for (unsigned i = 0; i < LUNFS_ARENA_WITNESSES; i++)
    if (table[i].where)
      lunfs_witness_bytes (&table[i], &from, &to);
  ck_assert_uint_eq (from, 512);
  ck_assert_uint_eq (to, 1536);
  disk[4 * KIB] ^= 1;
  disk[4 * KIB + 1536] ^= 1;
  ck_assert_uint_eq (count (), 1);
}
END_TEST

START_TEST (test_none)
{
  uint32_t from = 9, to = 9;
  LunfsArenaWitness none = { 0 };

  lunfs_witness_bytes (&none, &from, &to);
  ck_assert_uint_eq (from, 0);
  ck_assert_uint_eq (to, 0);
  w.table = NULL;
  whole (LUNFS_OP_WRITE, 0, 4096);
}
END_TEST

/* Withdrawn before anything is sent, and again only when it is answered well. */
START_TEST (test_withdrawn)
{
  Io io;

  whole (LUNFS_OP_WRITE, 0, 8 * KIB);
  ck_assert_uint_eq (count (), 2);
  now_us += 100000;
  begin (&io, (LunfsOp) (_i == 0 ? LUNFS_OP_WRITE : _i == 1 ? LUNFS_OP_DISCARD : LUNFS_OP_ZERO), 4608, 512);
  memset (disk + 4096, 1, 4096);
  ck_assert_uint_eq (count (), 1);
  end (&io, false);
  ck_assert_uint_eq (count (), 1);
}
END_TEST

/* A range larger than the table. */
START_TEST (test_withdrawn_all)
{
  LunfsRequest big = { .op = LUNFS_OP_DISCARD, .offset = 4096, .length = UINT64_C (1) << 40 };

  whole (LUNFS_OP_WRITE, 0, 12 * KIB);
  ck_assert_uint_eq (count (), 3);
  lunfs_witness_sending (&w, &big);
  ck_assert_uint_eq (count (), 1);
}
END_TEST

START_TEST (test_read)
{
  Io read, write;

  whole (LUNFS_OP_READ, 0, 4096);
  ck_assert_uint_eq (count (), 1);
  now_us += 100000;
  /* A WRITE that was sent and answered while it was under way. */
  begin (&read, LUNFS_OP_READ, 4096, 4096);
  begin (&write, LUNFS_OP_WRITE, 4608, 512);
  end (&write, false);
  end (&read, true);
  ck_assert_uint_eq (count (), 1);
  /* One that was sent before, and answered after it. */
  begin (&write, LUNFS_OP_WRITE, 4608, 512);
  begin (&read, LUNFS_OP_READ, 4096, 4096);
  end (&read, true);
  end (&write, false);
  ck_assert_uint_eq (count (), 1);
  begin (&read, LUNFS_OP_READ, 4096, 4096);
  end (&read, false);
  ck_assert_uint_eq (count (), 1);
  whole (LUNFS_OP_READ, 4096, 4096);
  ck_assert_uint_eq (count (), 2);
}
END_TEST

/* One a millisecond. */
START_TEST (test_rate)
{
  whole (LUNFS_OP_WRITE, 0, sizeof disk);
  ck_assert_uint_eq (count (), 16);
  whole (LUNFS_OP_READ, 200 * KIB, 4096);
  ck_assert_uint_eq (count (), 16);
  now_us += 1000;
  whole (LUNFS_OP_READ, 200 * KIB, 32 * KIB);
  ck_assert_uint_eq (count (), 17);
}
END_TEST

/* Random commands: whatever is noted is true at any time. */
START_TEST (test_random)
{
  for (unsigned round = 0; round < 20000; round++) {
    uint64_t offset = (uint64_t) g_random_int_range (0, sizeof disk / 512 - 64) * 512;
    uint64_t length = (uint64_t) g_random_int_range (1, 64) * 512;
    bool writes = g_random_boolean ();
    Io io;

    begin (&io, writes ? LUNFS_OP_WRITE : LUNFS_OP_READ, offset, length);
    if (writes) {
      memset (disk + offset, (int) g_random_int_range (0, 256), length / 2);
      if (round % 16 == 0)
        count ();
    }
    end (&io, g_random_int_range (0, 4) > 0);
    now_us += g_random_int_range (0, 3000);
  }
  ck_assert_uint_gt (count (), 10);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("witness");
  TCase *tc = tcase_create ("witness");
  tcase_add_checked_fixture (tc, setup, NULL);
  tcase_add_test (tc, test_write);
  tcase_add_test (tc, test_part);
  tcase_add_test (tc, test_none);
  tcase_add_loop_test (tc, test_withdrawn, 0, 3);
  tcase_add_test (tc, test_withdrawn_all);
  tcase_add_test (tc, test_read);
  tcase_add_test (tc, test_rate);
  tcase_add_test (tc, test_random);
  suite_add_tcase (suite, tc);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
