/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "session/command.h"
#include "util/bytes.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define BS 4096u

static uint8_t data[2][4 * BS];
static uint8_t zeroes[BS];
static const LunfsCommandForm sixteen = { .block_size = BS, .zeroes = zeroes };
static LunfsCommand cmd;
static struct iovec iov[4];
static uint8_t param[LUNFS_PARAM_BYTES];

static void
build (LunfsOp op, uint32_t flags, uint64_t lba, uint64_t nblocks, const LunfsCommandForm *form)
{
  struct iovec source[2] = { { data[0], BS }, { data[1], nblocks * BS - BS } };
  LunfsRequest req = { .op = op, .flags = flags, .offset = lba * BS, .length = nblocks * BS };

  if (op == LUNFS_OP_READ || op == LUNFS_OP_WRITE) {
    req.iov = source;
    req.niov = 2;
  }
  memset (&cmd, 0xaa, sizeof cmd);
  lunfs_command_build (&cmd, &req, form, iov, param);
}

START_TEST (test_read_write)
{
  LunfsCommandForm form = sixteen;

  for (unsigned i = 0; i < 2; i++) {
    build (i ? LUNFS_OP_WRITE : LUNFS_OP_READ, LUNFS_REQ_FUA, UINT64_C (0x123456789a), 3, &form);
    ck_assert_uint_eq (cmd.cdb[0], i ? 0x8a : 0x88);
    ck_assert_uint_eq (cmd.cdb[1], 0); /* no DPOFUA, no FUA */
    ck_assert_uint_eq (cmd.cdb_len, 16);
    ck_assert_uint_eq (lunfs_get_be64 (cmd.cdb + 2), UINT64_C (0x123456789a));
    ck_assert_uint_eq (lunfs_get_be32 (cmd.cdb + 10), 3);
    ck_assert_int_eq (cmd.xfer, i ? LUNFS_XFER_OUT : LUNFS_XFER_IN);
    ck_assert_uint_eq (cmd.xfer_bytes, 3 * BS);
    ck_assert_uint_eq (cmd.niov, 2);
    ck_assert_ptr_eq (cmd.iov, iov); /* a copy of its own */
    ck_assert_ptr_eq (cmd.iov[1].iov_base, data[1]);
  }
  form.dpofua = true;
  build (LUNFS_OP_WRITE, LUNFS_REQ_FUA, 0, 2, &form);
  ck_assert_uint_eq (cmd.cdb[1], 0x08);
  build (LUNFS_OP_WRITE, 0, 0, 2, &form);
  ck_assert_uint_eq (cmd.cdb[1], 0);
}
END_TEST

START_TEST (test_ten)
{
  static const struct {
    uint64_t lba, nblocks;
    bool ten;
  } cases[] = { { 0, 2, true },          { UINT32_MAX - 2, 2, true }, { UINT32_MAX, 2, false },
                { 5, 65535, true },      { 5, 65536, false },         { UINT64_C (1) << 33, 2, false } };
  LunfsCommandForm form = sixteen;

  form.use10 = true;
  for (unsigned i = 0; i < G_N_ELEMENTS (cases); i++) {
    build (LUNFS_OP_READ, 0, cases[i].lba, cases[i].nblocks, &form);
    ck_assert_uint_eq (cmd.cdb[0], cases[i].ten ? 0x28 : 0x88);
    ck_assert_uint_eq (cmd.cdb_len, cases[i].ten ? 10 : 16);
  }
  build (LUNFS_OP_FLUSH, 0, 0, 0, &form);
  ck_assert_uint_eq (cmd.cdb[0], 0x35);
}
END_TEST

START_TEST (test_others)
{
  build (LUNFS_OP_FLUSH, 0, 0, 0, &sixteen);
  ck_assert_uint_eq (cmd.cdb[0], 0x91);
  ck_assert_uint_eq (cmd.xfer_bytes, 0);
  ck_assert_int_eq (cmd.xfer, LUNFS_XFER_NONE);
  for (unsigned i = 0; i < 2; i++) {
    build (i ? LUNFS_OP_DISCARD : LUNFS_OP_ZERO, 0, 7, 9, &sixteen);
    ck_assert_uint_eq (cmd.cdb[0], 0x93);
    ck_assert_uint_eq (cmd.cdb[1], i ? 0x08 : 0);
    ck_assert_uint_eq (lunfs_get_be32 (cmd.cdb + 10), 9);
    ck_assert_uint_eq (cmd.xfer_bytes, BS); /* one block, whatever the range */
    ck_assert_ptr_eq (cmd.iov[0].iov_base, zeroes);
  }
  build (LUNFS_OP_DISCARD, LUNFS_REQ_UNMAP, 7, 9, &sixteen);
  ck_assert_uint_eq (cmd.cdb[0], 0x42);
  ck_assert_uint_eq (cmd.xfer_bytes, 24);
  ck_assert_int_eq (cmd.xfer, LUNFS_XFER_OUT);
  ck_assert_ptr_eq (cmd.iov[0].iov_base, param);
  ck_assert_uint_eq (lunfs_get_be64 (param + 8), 7);
  ck_assert_uint_eq (lunfs_get_be32 (param + 16), 9);
  build (LUNFS_OP_EXTENT, 0, 7, 9, &sixteen);
  ck_assert_uint_eq (cmd.cdb[0], 0x9e);
  ck_assert_uint_eq (cmd.cdb[1], 0x12);
  ck_assert_int_eq (cmd.xfer, LUNFS_XFER_IN);
  ck_assert_uint_eq (cmd.xfer_bytes, cmd.iov[0].iov_len);
}
END_TEST

START_TEST (test_limits)
{
  LunfsRequest req = { .op = LUNFS_OP_WRITE };

  ck_assert_int_eq (lunfs_command_limit_ms (&req, 30000), 30000);
  ck_assert_int_eq (lunfs_command_kind (&req), LUNFS_CMD_WRITE);
  req.op = LUNFS_OP_FLUSH;
  ck_assert_int_ge (lunfs_command_limit_ms (&req, 30000), 60000);
  ck_assert_int_eq (lunfs_command_limit_ms (&req, 500000), 500000);
  ck_assert_int_eq (lunfs_command_kind (&req), LUNFS_CMD_OTHER);
  req.op = LUNFS_OP_READ;
  ck_assert_int_eq (lunfs_command_kind (&req), LUNFS_CMD_READ);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("command");
  TCase *tc = tcase_create ("command");
  SRunner *runner;
  int failed;

  tcase_add_test (tc, test_read_write);
  tcase_add_test (tc, test_ten);
  tcase_add_test (tc, test_others);
  tcase_add_test (tc, test_limits);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
