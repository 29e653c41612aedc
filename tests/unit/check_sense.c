/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy table row by row, and sense data in every form a target may send it.
 * Each buffer is a heap copy of exactly its size, so that sanitizers see a read past its end. */

#include "scsi/sense.h"

#include <check.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define R LUNFS_CMD_READ
#define W LUNFS_CMD_WRITE
#define O LUNFS_CMD_OTHER

typedef struct {
  uint8_t key, asc, ascq;
  LunfsCmdKind kind;
  LunfsAction action;
  int err;
  unsigned max_tries, ua;
} Case;

/* clang-format off */
static const Case cases[] = {
  { 0x0, 0x00, 0x00, R, LUNFS_ACT_RETRY, EIO, 2, 0 },
  { 0x0, 0x5d, 0x10, W, LUNFS_ACT_RETRY, EIO, 2, 0 },
  { 0x1, 0x17, 0x01, R, LUNFS_ACT_DONE, 0, 0, 0 },
  { 0x1, 0x0c, 0x00, W, LUNFS_ACT_DONE, 0, 0, 0 },

  { 0x2, 0x04, 0x00, R, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x01, R, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x02, W, LUNFS_ACT_START_UNIT, EIO, 2, 0 },
  { 0x2, 0x04, 0x03, W, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0x2, 0x04, 0x04, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x05, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x06, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x07, O, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x08, O, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x09, O, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x0a, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x0b, W, LUNFS_ACT_WAIT_READY, EIO, 0, LUNFS_UA_ALUA },

  { 0x2, 0x04, 0x0c, R, LUNFS_ACT_WAIT_READY, EIO, 0, LUNFS_UA_ALUA },
  { 0x2, 0x04, 0x12, R, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0x2, 0x04, 0x14, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x1a, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0x1b, W, LUNFS_ACT_FAIL, EBUSY, 1, 0 },
  { 0x2, 0x04, 0x1d, W, LUNFS_ACT_WAIT_READY, EIO, 0, 0 },
  { 0x2, 0x04, 0xff, W, LUNFS_ACT_RETRY_LATER, EIO, 4, 0 },
  { 0x2, 0x08, 0x00, W, LUNFS_ACT_RETRY_LATER, EIO, 4, 0 },
  { 0x2, 0x3a, 0x00, R, LUNFS_ACT_FAIL, ENOMEDIUM, 1, 0 },
  { 0x2, 0x3a, 0x02, W, LUNFS_ACT_FAIL, ENOMEDIUM, 1, 0 },

  { 0x3, 0x11, 0x00, R, LUNFS_ACT_SPLIT, EIO, 2, 0 },
  { 0x3, 0x11, 0x04, R, LUNFS_ACT_SPLIT, EIO, 2, 0 },
  { 0x3, 0x14, 0x01, R, LUNFS_ACT_SPLIT, EIO, 2, 0 },
  { 0x3, 0x11, 0x00, W, LUNFS_ACT_RETRY, EIO, 2, 0 },
  { 0x3, 0x0c, 0x02, W, LUNFS_ACT_RETRY, EIO, 2, 0 },
  { 0x3, 0x0c, 0x00, O, LUNFS_ACT_RETRY, EIO, 2, 0 },
  { 0x3, 0x14, 0x00, O, LUNFS_ACT_RETRY, EIO, 2, 0 },
  { 0x3, 0x31, 0x00, R, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0x3, 0x31, 0x01, W, LUNFS_ACT_FAIL, EIO, 1, 0 },

  { 0x4, 0x44, 0x00, R, LUNFS_ACT_RETRY_LATER, EIO, 4, 0 },
  { 0x4, 0x44, 0x00, W, LUNFS_ACT_RETRY_LATER, EIO, 4, 0 },
  { 0x4, 0x3e, 0x03, W, LUNFS_ACT_FAIL, EIO, 1, 0 },

  { 0x5, 0x1a, 0x00, O, LUNFS_ACT_FAIL, EINVAL, 1, 0 },
  { 0x5, 0x20, 0x00, O, LUNFS_ACT_FEATURE_OFF, EOPNOTSUPP, 1, 0 },
  { 0x5, 0x20, 0x00, R, LUNFS_ACT_FEATURE_OFF, EOPNOTSUPP, 1, 0 },
  { 0x5, 0x21, 0x00, R, LUNFS_ACT_CAPACITY, EIO, 1, 0 },
  { 0x5, 0x21, 0x00, W, LUNFS_ACT_CAPACITY, ENOSPC, 1, 0 },
  { 0x5, 0x21, 0x00, O, LUNFS_ACT_CAPACITY, ENOSPC, 1, 0 },
  { 0x5, 0x22, 0x00, O, LUNFS_ACT_FEATURE_OFF, EOPNOTSUPP, 1, 0 },
  { 0x5, 0x24, 0x00, W, LUNFS_ACT_FEATURE_OFF, EINVAL, 1, 0 },
  { 0x5, 0x25, 0x00, W, LUNFS_ACT_LUN_GONE, ENXIO, 0, 0 },
  { 0x5, 0x26, 0x00, O, LUNFS_ACT_FAIL, EINVAL, 1, 0 },
  { 0x5, 0x26, 0x02, O, LUNFS_ACT_FAIL, EINVAL, 1, 0 },
  { 0x5, 0x27, 0x00, W, LUNFS_ACT_READ_ONLY, EROFS, 1, 0 },
  { 0x5, 0x27, 0x00, R, LUNFS_ACT_READ_ONLY, EIO, 1, 0 },
  { 0x5, 0x00, 0x00, R, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0x5, 0x2c, 0x00, W, LUNFS_ACT_FAIL, EIO, 1, 0 },

  { 0x6, 0x28, 0x00, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESET },
  { 0x6, 0x29, 0x00, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESET },
  { 0x6, 0x29, 0x07, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESET },
  { 0x6, 0x2a, 0x00, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_MODE },
  { 0x6, 0x2a, 0x01, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_MODE },
  { 0x6, 0x2a, 0x02, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, 0 },
  { 0x6, 0x2a, 0x03, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESERVATION },
  { 0x6, 0x2a, 0x04, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESERVATION },
  { 0x6, 0x2a, 0x05, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESERVATION },
  { 0x6, 0x2a, 0x06, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_ALUA },
  { 0x6, 0x2a, 0x07, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_ALUA },
  { 0x6, 0x2a, 0x09, O, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_CAPACITY },
  { 0x6, 0x2f, 0x00, O, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, 0 },
  { 0x6, 0x2f, 0x01, O, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_RESET },
  { 0x6, 0x38, 0x07, W, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_THIN_LOW },
  { 0x6, 0x3f, 0x01, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, 0 },
  { 0x6, 0x3f, 0x02, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_INQUIRY },
  { 0x6, 0x3f, 0x03, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_INQUIRY },
  { 0x6, 0x3f, 0x05, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_INQUIRY },
  { 0x6, 0x3f, 0x0e, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_LUNS },
  { 0x6, 0x5a, 0x02, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_MODE },
  { 0x6, 0x5a, 0x03, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, LUNFS_UA_MODE },
  { 0x6, 0x77, 0x77, R, LUNFS_ACT_UNIT_ATTENTION, EIO, 16, 0 },

  { 0x7, 0x27, 0x00, W, LUNFS_ACT_READ_ONLY, EROFS, 1, 0 },
  { 0x7, 0x27, 0x01, W, LUNFS_ACT_READ_ONLY, EROFS, 1, 0 },
  { 0x7, 0x27, 0x02, O, LUNFS_ACT_READ_ONLY, EROFS, 1, 0 },
  { 0x7, 0x27, 0x07, W, LUNFS_ACT_FAIL, ENOSPC, 1, 0 },
  { 0x7, 0x27, 0x07, O, LUNFS_ACT_FAIL, ENOSPC, 1, 0 },
  { 0x7, 0x20, 0x02, W, LUNFS_ACT_FAIL, EIO, 1, 0 },

  { 0x8, 0x00, 0x00, R, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0x9, 0x80, 0x00, R, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0xa, 0x0d, 0x00, O, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0xb, 0x00, 0x00, R, LUNFS_ACT_RETRY, EIO, 6, 0 },
  { 0xb, 0x10, 0x01, W, LUNFS_ACT_RETRY, EILSEQ, 2, 0 },
  { 0xb, 0x10, 0x03, R, LUNFS_ACT_RETRY, EILSEQ, 2, 0 },
  { 0xb, 0x29, 0x03, W, LUNFS_ACT_RETRY, EIO, 6, 0 },
  { 0xb, 0x47, 0x05, W, LUNFS_ACT_RETRY, EIO, 6, 0 },
  { 0xb, 0x4b, 0x00, W, LUNFS_ACT_RETRY, EIO, 6, 0 },
  { 0xc, 0x00, 0x00, W, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0xd, 0x00, 0x00, W, LUNFS_ACT_FAIL, ENOSPC, 1, 0 },
  { 0xe, 0x1d, 0x00, O, LUNFS_ACT_FAIL, EIO, 1, 0 },
  { 0xf, 0x00, 0x00, R, LUNFS_ACT_FAIL, EIO, 1, 0 },
};
/* clang-format on */

START_TEST (table_row)
{
  const Case *c = &cases[_i];
  LunfsSense sense = { .valid = true, .key = c->key, .asc = c->asc, .ascq = c->ascq };
  LunfsVerdict v = lunfs_sense_verdict (LUNFS_STATUS_CHECK_CONDITION, &sense, c->kind);

  ck_assert_msg (v.action == c->action && v.err == c->err && v.max_tries == c->max_tries && v.ua == c->ua,
                 "%x %02x/%02x kind %d: action %d err %d tries %u ua %#x", c->key, c->asc, c->ascq, c->kind,
                 v.action, v.err, v.max_tries, v.ua);
}
END_TEST

static bool
is_sound (LunfsVerdict v, uint8_t key)
{
  bool waits = v.action == LUNFS_ACT_RETRY_LATER || v.action == LUNFS_ACT_WAIT_READY;

  return (v.action == LUNFS_ACT_DONE) == (key == LUNFS_KEY_RECOVERED)
         && (v.action == LUNFS_ACT_DONE) == (v.err == 0)
         && (v.action == LUNFS_ACT_UNIT_ATTENTION) == (key == LUNFS_KEY_UNIT_ATTENTION) && v.err >= 0
         && v.err < 512 && (!waits || v.delay_ms > 0) && (v.action != LUNFS_ACT_RETRY || v.max_tries > 1);
}

/* Whatever a target says, the session gets an action with an end and an errno that FUSE takes. */
START_TEST (every_verdict_is_sound)
{
  unsigned bad = 0;

  for (unsigned i = 0; i < 3u << 20; i++) {
    LunfsSense sense = { .valid = true, .key = (i >> 16) % 16, .asc = (uint8_t)(i >> 8), .ascq = (uint8_t)i };

    if (!is_sound (lunfs_sense_verdict (LUNFS_STATUS_CHECK_CONDITION, &sense, (LunfsCmdKind)(i >> 20)),
                   sense.key))
      bad++;
  }
  ck_assert_uint_eq (bad, 0);
}
END_TEST

static const struct {
  unsigned status;
  LunfsAction action;
  int err;
  unsigned max_tries;
} status_cases[] = {
  { LUNFS_STATUS_GOOD, LUNFS_ACT_DONE, 0, 0 },
  { LUNFS_STATUS_CONDITION_MET, LUNFS_ACT_DONE, 0, 0 },
  { LUNFS_STATUS_BUSY, LUNFS_ACT_BUSY, EIO, 0 },
  { LUNFS_STATUS_TASK_SET_FULL, LUNFS_ACT_BUSY, EIO, 0 },
  { LUNFS_STATUS_RESERVATION_CONFLICT, LUNFS_ACT_FENCE, EBADE, 1 },
  { LUNFS_STATUS_TASK_ABORTED, LUNFS_ACT_RETRY, EIO, 6 },
  { LUNFS_STATUS_ACA_ACTIVE, LUNFS_ACT_SESSION_DEAD, EIO, 0 },
  { LUNFS_STATUS_NONE, LUNFS_ACT_SESSION_DEAD, EIO, 0 },
  { LUNFS_STATUS_CHECK_CONDITION, LUNFS_ACT_RETRY, EIO, 2 }, /* no sense came with it */
  { 0x10, LUNFS_ACT_SESSION_DEAD, EIO, 0 },
  { 0x22, LUNFS_ACT_SESSION_DEAD, EIO, 0 },
  { 0x0f000001, LUNFS_ACT_SESSION_DEAD, EIO, 0 },
};

START_TEST (status_row)
{
  LunfsSense none = { .valid = false };
  LunfsSense gone = { .valid = true, .key = LUNFS_KEY_ILLEGAL_REQUEST, .asc = 0x25 };
  unsigned status = status_cases[_i].status;
  const LunfsSense *senses[] = { NULL, &none, status == LUNFS_STATUS_CHECK_CONDITION ? NULL : &gone };

  for (size_t i = 0; i < 3; i++) {
    LunfsVerdict v = lunfs_sense_verdict (status, senses[i], W);

    ck_assert_int_eq (v.action, status_cases[_i].action);
    ck_assert_int_eq (v.err, status_cases[_i].err);
    ck_assert_uint_eq (v.max_tries, status_cases[_i].max_tries);
    ck_assert_int_eq (v.delay_ms > 0, v.action == LUNFS_ACT_BUSY);
  }
}
END_TEST

START_TEST (deferred_sense_never_ends_the_command)
{
  LunfsSense sense = { .valid = true, .deferred = true };

  for (uint8_t key = 0; key < 16; key++) {
    LunfsVerdict v;

    sense.key = key;
    v = lunfs_sense_verdict (LUNFS_STATUS_CHECK_CONDITION, &sense, W);
    ck_assert_int_eq (v.action, LUNFS_ACT_UNIT_ATTENTION);
    ck_assert_uint_eq (v.ua, key > LUNFS_KEY_RECOVERED ? LUNFS_UA_DEFERRED : 0);
    ck_assert_int_eq (v.err, EIO);
    ck_assert_uint_gt (v.max_tries, 1);
  }
}
END_TEST

/* Parse an exact-size heap copy of the first @len bytes. */
static LunfsSense
parse (const uint8_t *bytes, size_t len)
{
  LunfsSense sense;
  uint8_t *copy = malloc (len ? len : 1);

  memset (&sense, 0xee, sizeof sense);
  if (len > 0)
    memcpy (copy, bytes, len);
  lunfs_sense_parse (copy, len, &sense);
  free (copy);
  return sense;
}

static const uint8_t fixed[18] = { 0xf0, 0, 0x23, 0x01, 0x02, 0x03, 0x04, 10, 0,
                                   0,    0, 0,    0x11, 0x05, 0,    0,    0,  0 };
static const uint8_t descriptor[] = {
  0x72, 0x03, 0x11, 0x05, 0,    0,    0,    18, /* header */
  0x02, 4,    0,    0,    0x80, 0,              /* sense key specific, shortened by a bad target */
  0x00, 0x0a, 0x80, 0,    0x01, 0x02, 0x03, 0x04, 5, 6, 7, 8, /* information */
};

static void
assert_sense (const LunfsSense *s, uint8_t key, uint8_t asc, uint8_t ascq)
{
  ck_assert (s->valid);
  ck_assert_uint_eq (s->key, key);
  ck_assert_uint_eq (s->asc, asc);
  ck_assert_uint_eq (s->ascq, ascq);
}

START_TEST (fixed_format)
{
  uint8_t buf[18];
  LunfsSense s = parse (fixed, 18);

  assert_sense (&s, 3, 0x11, 0x05);
  ck_assert (!s.deferred && s.has_info && s.info == 0x01020304);

  memcpy (buf, fixed, 18);
  buf[0] = 0x71; /* deferred, VALID clear */
  s = parse (buf, 18);
  assert_sense (&s, 3, 0x11, 0x05);
  ck_assert (s.deferred && !s.has_info && s.info == 0);
}
END_TEST

START_TEST (fixed_format_cut)
{
  uint8_t buf[18];
  LunfsSense s;

  for (size_t len = 0; len < 8; len++)
    ck_assert (!parse (fixed, len).valid);
  for (size_t len = 8; len <= 18; len++) {
    s = parse (fixed, len);
    assert_sense (&s, 3, len > 12 ? 0x11 : 0, len > 13 ? 0x05 : 0);
  }
  memcpy (buf, fixed, 18);
  buf[7] = 5; /* says that it ends with byte 12 */
  s = parse (buf, 18);
  assert_sense (&s, 3, 0x11, 0);
  buf[7] = 0xff; /* says more than came */
  s = parse (buf, 18);
  assert_sense (&s, 3, 0x11, 0x05);
}
END_TEST

START_TEST (descriptor_format)
{
  uint8_t buf[sizeof descriptor];
  LunfsSense s = parse (descriptor, sizeof descriptor);

  assert_sense (&s, 3, 0x11, 0x05);
  ck_assert (!s.deferred && s.has_info && s.info == 0x0102030405060708);

  memcpy (buf, descriptor, sizeof buf);
  buf[0] = 0x73;
  buf[16] = 0; /* VALID clear */
  s = parse (buf, sizeof buf);
  assert_sense (&s, 3, 0x11, 0x05);
  ck_assert (s.deferred && !s.has_info);
}
END_TEST

START_TEST (descriptor_format_cut)
{
  uint8_t buf[sizeof descriptor];

  for (size_t len = 0; len < sizeof descriptor; len++) {
    LunfsSense s = parse (descriptor, len);

    ck_assert_int_eq (s.valid, len >= 8);
    ck_assert (!s.has_info);
  }
  memcpy (buf, descriptor, sizeof buf);
  buf[7] = 17; /* the information descriptor lies one byte behind the end */
  ck_assert (!parse (buf, sizeof buf).has_info);
  buf[7] = 0xff;
  ck_assert (parse (buf, sizeof buf).has_info);
  buf[9] = 0xff; /* the first descriptor swallows the second */
  ck_assert (!parse (buf, sizeof buf).has_info);
  memset (buf + 8, 0, sizeof buf - 8); /* empty descriptors all the way */
  ck_assert (!parse (buf, sizeof buf).has_info);
}
END_TEST

START_TEST (unknown_response_codes)
{
  uint8_t buf[18];
  LunfsSense s;

  memcpy (buf, fixed, 18);
  for (unsigned code = 0; code < 256; code++) {
    buf[0] = (uint8_t)code;
    ck_assert_int_eq (parse (buf, 18).valid, (code & 0x7f) >= 0x70 && (code & 0x7f) <= 0x73);
  }
  memset (&s, 0xee, sizeof s);
  lunfs_sense_parse (NULL, 0, &s);
  ck_assert (!s.valid && !s.deferred && !s.has_info && s.key == 0 && s.asc == 0 && s.info == 0);
}
END_TEST

/* Noise of every length; the sanitizer is the judge. */
START_TEST (noise)
{
  uint8_t buf[64];

  srand (1);
  for (int round = 0; round < 20000; round++) {
    for (size_t i = 0; i < sizeof buf; i++)
      buf[i] = (uint8_t)rand ();
    buf[0] = 0x70 | (buf[0] & 0x83);
    parse (buf, (size_t)rand () % sizeof buf);
  }
}
END_TEST

static const struct {
  unsigned status;
  LunfsSense sense;
  const char *text;
} text_cases[] = {
  { 0x02, { .valid = true, .key = 2, .asc = 4, .ascq = 1 }, "NOT READY 04/01 (becoming ready)" },
  { 0x02,
    { .valid = true, .key = 6, .asc = 0x3f, .ascq = 0x0e },
    "UNIT ATTENTION 3F/0E (reported LUNs data changed)" },
  { 0x02,
    { .valid = true, .key = 6, .asc = 0x29, .ascq = 5 },
    "UNIT ATTENTION 29/05 (power on, reset, or nexus loss)" },
  { 0x02, { .valid = true, .key = 4, .asc = 0xab, .ascq = 0xcd }, "HARDWARE ERROR AB/CD" },
  { 0x02, { .valid = true, .key = 12 }, "key 0xc 00/00" },
  { 0x02,
    { .valid = true, .deferred = true, .key = 3, .asc = 0x0c, .ascq = 2, .has_info = true, .info = 0x1000 },
    "deferred MEDIUM ERROR 0C/02 (write error), info 0x1000" },
  { 0x02, { .valid = false }, "CHECK CONDITION without sense" },
  { 0x18, { .valid = false }, "RESERVATION CONFLICT" },
  { 0x28, { .valid = true, .key = 2 }, "TASK SET FULL" },
  { 0x100, { .valid = false }, "no status" },
  { 0x99, { .valid = false }, "status 0x99" },
};

START_TEST (text_row)
{
  char buf[128];
  char tiny[8];

  ck_assert_ptr_eq (lunfs_sense_text (text_cases[_i].status, &text_cases[_i].sense, buf, sizeof buf), buf);
  ck_assert_str_eq (buf, text_cases[_i].text);
  lunfs_sense_text (text_cases[_i].status, &text_cases[_i].sense, tiny, sizeof tiny);
  ck_assert_uint_eq (strlen (tiny), strlen (buf) < 7 ? strlen (buf) : 7);
}
END_TEST

#define COUNT(a) ((int)(sizeof (a) / sizeof *(a)))

static Suite *
sense_suite (void)
{
  Suite *suite = suite_create ("sense");
  TCase *tcase = tcase_create ("sense");

  tcase_add_loop_test (tcase, table_row, 0, COUNT (cases));
  tcase_add_test (tcase, every_verdict_is_sound);
  tcase_add_loop_test (tcase, status_row, 0, COUNT (status_cases));
  tcase_add_test (tcase, deferred_sense_never_ends_the_command);
  tcase_add_test (tcase, fixed_format);
  tcase_add_test (tcase, fixed_format_cut);
  tcase_add_test (tcase, descriptor_format);
  tcase_add_test (tcase, descriptor_format_cut);
  tcase_add_test (tcase, unknown_response_codes);
  tcase_add_test (tcase, noise);
  tcase_add_loop_test (tcase, text_row, 0, COUNT (text_cases));
  tcase_set_timeout (tcase, 60); /* under valgrind */
  suite_add_tcase (suite, tcase);
  return suite;
}

int
main (void)
{
  SRunner *runner = srunner_create (sense_suite ());
  int failed;

  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
