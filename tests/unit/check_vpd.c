/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a LUN says about itself: right, short, lying about its length, and hostile.
 * Each buffer is a heap copy of exactly its size, so that sanitizers see a read past its end. */

#include "scsi/vpd.h"

#include "util/bytes.h"

#include <check.h>

#include <stdlib.h>
#include <string.h>

/* A copy of @len bytes that nothing follows. */
static uint8_t *
exact (const uint8_t *bytes, size_t len)
{
  uint8_t *copy = malloc (len ? len : 1);

  ck_assert_ptr_nonnull (copy);
  if (len > 0)
    memcpy (copy, bytes, len);
  return copy;
}

/* Call parser (bytes, len, ...) on an exact copy. */
#define ON_COPY(result, parser, bytes, len, ...)                                                             \
  do {                                                                                                       \
    uint8_t *copy_ = exact (bytes, len);                                                                     \
                                                                                                             \
    result = parser (copy_, len, __VA_ARGS__);                                                               \
    free (copy_);                                                                                            \
  } while (0)

/* The parser says false to this input and leaves the result alone. */
#define REFUSES(type, parser, bytes, len)                                                                    \
  do {                                                                                                       \
    type got_, before_;                                                                                      \
    bool ok_;                                                                                                \
                                                                                                             \
    memset (&got_, 0x5a, sizeof got_);                                                                       \
    memset (&before_, 0x5a, sizeof before_);                                                                 \
    ON_COPY (ok_, parser, bytes, len, &got_);                                                                \
    ck_assert (!ok_);                                                                                        \
    ck_assert_mem_eq (&got_, &before_, sizeof got_);                                                         \
  } while (0)

START_TEST (inquiry_data)
{
  uint8_t buf[36] = { 0x00, 0x80, 0x05, 0x02, 31, 0x30 };
  LunfsInquiry q;
  bool ok;

  memcpy (buf + 8, "LIO-ORG \x01\xffvol 7         4.0 ", 28);
  ON_COPY (ok, lunfs_inquiry_parse, buf, 36, &q);
  ck_assert (ok && q.qualifier == 0 && q.device_type == 0 && q.removable && q.tpgs == 3);
  ck_assert_str_eq (q.vendor, "LIO-ORG");
  ck_assert_str_eq (q.product, "??vol 7");
  ck_assert_str_eq (q.revision, "4.0");

  buf[0] = 0x7f; /* no such LUN */
  ON_COPY (ok, lunfs_inquiry_parse, buf, 36, &q);
  ck_assert (ok && q.qualifier == 3 && q.device_type == 0x1f);
}
END_TEST

START_TEST (inquiry_cut)
{
  uint8_t buf[36] = { 0x00, 0x00, 0x05, 0x02, 255, 0x10 };
  LunfsInquiry q;
  bool ok;

  memset (buf + 8, 'A', 28);
  for (size_t len = 0; len < 5; len++)
    REFUSES (LunfsInquiry, lunfs_inquiry_parse, buf, len);
  for (size_t len = 5; len <= 36; len++) {
    ON_COPY (ok, lunfs_inquiry_parse, buf, len, &q);
    ck_assert (ok && q.tpgs == (len > 5 ? 1 : 0));
    ck_assert_uint_eq (strlen (q.vendor), len < 16 ? 0 : 8);
    ck_assert_uint_eq (strlen (q.product), len < 32 ? 0 : 16);
    ck_assert_uint_eq (strlen (q.revision), len < 36 ? 0 : 4);
  }
  buf[4] = 11; /* ends with the vendor */
  ON_COPY (ok, lunfs_inquiry_parse, buf, 36, &q);
  ck_assert (ok && q.vendor[0] == 'A' && q.product[0] == '\0');
}
END_TEST

START_TEST (supported_pages)
{
  static const uint8_t pages[] = { 0, 0x00, 0, 4, 0x00, 0x80, 0x83, 0xb0, 0xb2 };
  bool ok;

  ON_COPY (ok, lunfs_vpd_has_page, pages, 9, 0xb0);
  ck_assert (ok);
  ON_COPY (ok, lunfs_vpd_has_page, pages, 9, 0xb2); /* came, but is not in the page */
  ck_assert (!ok);
  ON_COPY (ok, lunfs_vpd_has_page, pages, 6, 0x83);
  ck_assert (!ok);
  for (size_t len = 0; len <= 4; len++) {
    ON_COPY (ok, lunfs_vpd_has_page, pages, len, 0x00);
    ck_assert (!ok);
  }
  ON_COPY (ok, lunfs_vpd_has_page, ((const uint8_t[]){ 0, 0x83, 0, 1, 0x80 }), 5, 0x80); /* another page */
  ck_assert (!ok);
  ON_COPY (ok, lunfs_vpd_has_page, ((const uint8_t[]){ 0, 0x00, 0xff, 0xff, 0x80 }), 5, 0x80);
  ck_assert (ok);
}
END_TEST

/* One designator of a VPD 83h page. */
typedef struct {
  uint8_t code_set, assoc_type, id_len;
  const char *id;
} Desig;

static size_t
build83 (uint8_t *page, const Desig *list, size_t count)
{
  size_t off = 4;

  for (size_t i = 0; i < count && list[i].id != NULL; i++) {
    page[off] = list[i].code_set;
    page[off + 1] = list[i].assoc_type;
    page[off + 2] = 0;
    page[off + 3] = list[i].id_len;
    memcpy (page + off + 4, list[i].id, list[i].id_len);
    off += 4 + (size_t)list[i].id_len;
  }
  page[0] = 0;
  page[1] = 0x83;
  lunfs_put_be16 (page + 2, (uint16_t)(off - 4));
  return off;
}

#define NAA6                                                                                                 \
  {                                                                                                          \
    1, 0x03, 16, "\x60\x01\x40\x5a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12"                          \
  }
#define NAA6_TEXT "naa.6001405abcdef0123456789abcdef012"
#define NAA5                                                                                                 \
  {                                                                                                          \
    1, 0x03, 8, "\x50\x01\x40\x5a\xbc\xde\xf0\x12"                                                           \
  }
#define NAA3                                                                                                 \
  {                                                                                                          \
    1, 0x03, 8, "\x33\x33\x33\x33\x00\x00\x00\x01"                                                           \
  }
#define EUI                                                                                                  \
  {                                                                                                          \
    1, 0x02, 8, "\x00\x11\x22\x33\x44\x55\x66\x77"                                                           \
  }
#define T10                                                                                                  \
  {                                                                                                          \
    2, 0x01, 24, "IET     00010001        "                                                                  \
  }
#define NAME                                                                                                 \
  {                                                                                                          \
    3, 0x08, 20, "iqn.2026-01.org.a:b\0"                                                                     \
  }

static const struct {
  const char *text; /* NULL: no identity */
  Desig list[5];
} designators[] = {
  { NAA6_TEXT, { T10, EUI, NAA5, NAA6, NAME } },
  { NAA6_TEXT,
    { NAA6, { 1, 0x03, 16, "\x6f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" } } },
  { "naa.5001405abcdef012", { T10, EUI, NAA3, NAA5 } },
  { "eui.0011223344556677", { NAME, T10, NAA3, EUI } },
  { "naa.3333333300000001", { NAME, T10, NAA3 } },
  { "t10.IET_00010001", { NAME, T10 } },
  { "iqn.2026-01.org.a:b", { NAME } },
  { "naa.6001405ab", { { 3, 0x08, 16, "naa.6001405AB\0\0" } } },
  /* Names of the port and of the target are not the LUN's; relative port and vendor specific are no names. */
  { NULL,
    { { 1, 0x93, 8, "\x50\x01\x40\x5a\xbc\xde\xf0\x12" },
      { 3, 0xa8, 8, "iqn.abc" },
      { 1, 0x94, 4, "\0\0\0\1" } } },
  { NULL, { { 1, 0x00, 4, "abcd" } } },
  { NULL, { { 1, 0x03, 7, "\x50\x01\x40\x5a\xbc\xde\xf0" } } },     /* NAA 5 has 8 bytes */
  { NULL, { { 1, 0x03, 8, "\x60\x01\x40\x5a\xbc\xde\xf0\x12" } } }, /* NAA 6 has 16 */
  { NULL, { { 1, 0x03, 0, "" }, { 1, 0x02, 0, "" }, { 2, 0x01, 0, "" }, { 3, 0x08, 0, "" } } },
  { NULL, { { 1, 0x02, 8, "\0\0\0\0\0\0\0\0" } } }, /* an EUI-64 that nobody set */
  { NULL, { { 1, 0x02, 9, "\0\0\0\0\0\0\0\0\1" } } },
  { NULL, { { 2, 0x01, 8, "IET     " } } }, /* a vendor alone */
  { NULL, { { 2, 0x01, 12, "            " } } },
  { NULL, { { 3, 0x08, 12, "../../passwd" } } },
  { "t10.V_.._.._etc_-_x", { { 2, 0x01, 17, "V ../../etc\n-\x80x  " } } }, /* never a path */
  { NULL, { { 2, 0x01, 24, "VENDOR                  " } } }, /* nothing behind the vendor */
  { NULL, { { 1, 0x01, 10, "\1\2\3\4\5\6\7\x08\0\0" } } },
  { NULL, { { 3, 0x08, 8, "naa.\0\0\0\0" } } }, /* nothing behind the kind of name */
  { NULL, { { 3, 0x08, 4, "iqn." } } },
  { "t10.0102030405060708ff", { { 1, 0x01, 9, "\1\2\3\4\5\6\7\x08\xff" } } },
};

START_TEST (designator_row)
{
  uint8_t page[1024];
  size_t len = build83 (page, designators[_i].list, 5);
  LunfsIdentity id = { .text = "", .serial = "kept" };
  bool ok;

  if (designators[_i].text == NULL) {
    REFUSES (LunfsIdentity, lunfs_vpd83_parse, page, len);
    return;
  }
  ON_COPY (ok, lunfs_vpd83_parse, page, len, &id);
  ck_assert (ok);
  ck_assert_str_eq (id.text, designators[_i].text);
  ck_assert_str_eq (id.serial, "kept");
}
END_TEST

/* A name that came in part is no name; those before it count. */
START_TEST (designators_cut)
{
  static const Desig list[] = { T10, NAA6 };
  uint8_t page[128];
  size_t full = build83 (page, list, 2), t10_end = 4 + 4 + 24;
  LunfsIdentity id;
  bool ok;

  for (size_t len = 0; len <= full; len++) {
    if (len < t10_end) {
      REFUSES (LunfsIdentity, lunfs_vpd83_parse, page, len);
      continue;
    }
    ON_COPY (ok, lunfs_vpd83_parse, page, len, &id);
    ck_assert (ok);
    ck_assert_str_eq (id.text, len < full ? "t10.IET_00010001" : NAA6_TEXT);
  }
  lunfs_put_be16 (page + 2, (uint16_t)(t10_end - 4));
  ON_COPY (ok, lunfs_vpd83_parse, page, full, &id);
  ck_assert (ok);
  ck_assert_str_eq (id.text, "t10.IET_00010001");
  lunfs_put_be16 (page + 2, 0xffff);
  ON_COPY (ok, lunfs_vpd83_parse, page, full, &id);
  ck_assert (ok);
  ck_assert_str_eq (id.text, NAA6_TEXT);
  page[1] = 0x80;
  REFUSES (LunfsIdentity, lunfs_vpd83_parse, page, full);
}
END_TEST

START_TEST (designator_of_255_bytes)
{
  static char id_bytes[255];
  uint8_t page[512];
  LunfsIdentity id;
  size_t len;
  bool ok;

  memset (id_bytes, 'x', 255);
  len = build83 (page, (const Desig[]){ { 2, 0x01, 251, id_bytes } }, 1); /* "t10." + 251 + NUL: just fits */
  ON_COPY (ok, lunfs_vpd83_parse, page, len, &id);
  ck_assert (ok);
  ck_assert_uint_eq (strlen (id.text), 255);
  len = build83 (page, (const Desig[]){ { 2, 0x01, 252, id_bytes } }, 1);
  REFUSES (LunfsIdentity, lunfs_vpd83_parse, page, len);
  len = build83 (page, (const Desig[]){ { 1, 0x01, 126, id_bytes } }, 1); /* as hex: 4 + 252 + NUL */
  REFUSES (LunfsIdentity, lunfs_vpd83_parse, page, len);
  len = build83 (page, (const Desig[]){ { 1, 0x01, 125, id_bytes } }, 1);
  ON_COPY (ok, lunfs_vpd83_parse, page, len, &id);
  ck_assert (ok);
  ck_assert_uint_eq (strlen (id.text), 254);
}
END_TEST

START_TEST (serial_number)
{
  static const uint8_t page[] = { 0, 0x80, 0, 10, ' ', 'A', 'b', ' ', ' ', '/', 0x07, '1', ' ', 0 };
  LunfsIdentity id = { .text = "" };
  bool ok;

  ON_COPY (ok, lunfs_vpd80_parse, page, sizeof page, &id);
  ck_assert (ok);
  ck_assert_str_eq (id.serial, "Ab  /?1");
  ck_assert_str_eq (id.text, "serial.Ab___1");

  strcpy (id.text, "naa.5");
  ON_COPY (ok, lunfs_vpd80_parse, page, sizeof page, &id);
  ck_assert (ok);
  ck_assert_str_eq (id.text, "naa.5");

  for (size_t len = 0; len < sizeof page; len++) /* a serial number in part may be another LUN's too */
    REFUSES (LunfsIdentity, lunfs_vpd80_parse, page, len);
}
END_TEST

START_TEST (serial_number_useless)
{
  uint8_t page[400] = { 0, 0x80, 0, 4, ' ', ' ', 0, ' ' };
  LunfsIdentity id = { .text = "" };
  bool ok;

  REFUSES (LunfsIdentity, lunfs_vpd80_parse, page, 8);
  page[3] = 0;
  REFUSES (LunfsIdentity, lunfs_vpd80_parse, page, 4);
  memset (page + 4, 'x', sizeof page - 4);
  lunfs_put_be16 (page + 2, 249); /* one more than fits behind "serial." */
  REFUSES (LunfsIdentity, lunfs_vpd80_parse, page, 4 + 249);
  lunfs_put_be16 (page + 2, 248);
  ON_COPY (ok, lunfs_vpd80_parse, page, 4 + 248, &id);
  ck_assert (ok && strlen (id.serial) == 248 && strlen (id.text) == 255);
  page[1] = 0x83;
  REFUSES (LunfsIdentity, lunfs_vpd80_parse, page, 4 + 248);
}
END_TEST

static void
build_b0 (uint8_t *page)
{
  memset (page, 0, 64);
  page[1] = 0xb0;
  page[3] = 0x3c;
  page[4] = 1;
  lunfs_put_be32 (page + 8, 0x10000);
  lunfs_put_be32 (page + 12, 0x800);
  lunfs_put_be32 (page + 20, 0xffffffff);
  lunfs_put_be32 (page + 24, 4);
  lunfs_put_be32 (page + 28, 16);
  lunfs_put_be32 (page + 32, 0x80000000 | 35);
  lunfs_put_be64 (page + 36, 0x100000000);
}

START_TEST (block_limits)
{
  LunfsLimits l = { .lbpu = true, .lbprz = 1, .max_transfer_blocks = 9 };
  uint8_t page[64];
  bool ok;

  build_b0 (page);
  ON_COPY (ok, lunfs_vpdb0_parse, page, 64, &l);
  ck_assert (ok && l.wsnz && l.max_transfer_blocks == 0x10000 && l.opt_transfer_blocks == 0x800);
  ck_assert (l.max_unmap_blocks == 0xffffffff && l.max_unmap_descriptors == 4);
  ck_assert (l.unmap_granularity_blocks == 16 && l.unmap_alignment_blocks == 3);
  ck_assert (l.max_write_same_blocks == 0x100000000);
  ck_assert (l.lbpu && l.lbprz == 1); /* B2h's fields stay */

  lunfs_put_be32 (page + 32, 35); /* UGAVALID clear */
  ON_COPY (ok, lunfs_vpdb0_parse, page, 64, &l);
  ck_assert (ok && l.unmap_alignment_blocks == 0);
  lunfs_put_be32 (page + 28, 0);
  lunfs_put_be32 (page + 32, 0xffffffff);
  ON_COPY (ok, lunfs_vpdb0_parse, page, 64, &l);
  ck_assert (ok && l.unmap_granularity_blocks == 0 && l.unmap_alignment_blocks == 0);
}
END_TEST

START_TEST (block_limits_cut)
{
  uint8_t page[64];
  LunfsLimits l;
  bool ok;

  build_b0 (page);
  for (size_t len = 0; len <= 64; len++) {
    if (len < 16) {
      REFUSES (LunfsLimits, lunfs_vpdb0_parse, page, len);
      continue;
    }
    l = (LunfsLimits){ .max_unmap_blocks = 7, .max_write_same_blocks = 7 }; /* from an earlier login */
    ON_COPY (ok, lunfs_vpdb0_parse, page, len, &l);
    ck_assert (ok && l.opt_transfer_blocks == 0x800);
    ck_assert_uint_eq (l.max_unmap_blocks, len < 36 ? 0 : 0xffffffff);
    ck_assert_int_eq (l.max_write_same_blocks != 0, len >= 44);
  }
  page[3] = 0x0c; /* SBC-2's length */
  ON_COPY (ok, lunfs_vpdb0_parse, page, 64, &l);
  ck_assert (ok && l.max_unmap_blocks == 0 && l.max_transfer_blocks == 0x10000);
  page[3] = 0x0b;
  REFUSES (LunfsLimits, lunfs_vpdb0_parse, page, 64);
}
END_TEST

START_TEST (provisioning)
{
  uint8_t page[8] = { 0, 0xb2, 0, 4, 0, 0xe0 | 1 << 2 };
  LunfsLimits l = { .max_unmap_blocks = 5 };
  bool ok;

  ON_COPY (ok, lunfs_vpdb2_parse, page, 8, &l);
  ck_assert (ok && l.lbpu && l.lbpws && l.lbpws10 && l.lbprz == 1 && l.max_unmap_blocks == 5);
  page[5] = 0x80 | 2 << 2; /* unmapped blocks read as a pattern of the vendor's: not zero */
  ON_COPY (ok, lunfs_vpdb2_parse, page, 8, &l);
  ck_assert (ok && l.lbpu && !l.lbpws && !l.lbpws10 && l.lbprz == 0);
  page[5] = 5 << 2;
  ON_COPY (ok, lunfs_vpdb2_parse, page, 8, &l);
  ck_assert (ok && l.lbprz == 5);
  for (size_t len = 0; len < 6; len++)
    REFUSES (LunfsLimits, lunfs_vpdb2_parse, page, len);
  page[3] = 1;
  REFUSES (LunfsLimits, lunfs_vpdb2_parse, page, 8);
}
END_TEST

static const struct {
  uint64_t last_lba;
  uint32_t block_size;
  uint64_t nblocks; /* 0: refused */
} capacities[] = {
  { 0, 512, 1 },
  { 0x7ffffffff, 4096, 0x800000000 },
  { 99, 65536, 100 },
  { INT64_MAX / 512 - 1, 512, INT64_MAX / 512 }, /* 2^63 - 512 bytes */
  { INT64_MAX / 512, 512, 0 },                   /* 2^63 */
  { UINT64_MAX, 512, 0 },
  { UINT64_MAX - 1, 65536, 0 },
  { 99, 0, 0 },
  { 99, 1, 0 },
  { 99, 256, 0 },
  { 99, 520, 0 },
  { 99, 131072, 0 },
  { 99, 0x80000000, 0 },
  { 99, 0xffffffff, 0 },
};

START_TEST (capacity16_row)
{
  uint8_t buf[32] = { 0 };
  LunfsCapacity c;
  bool ok;

  lunfs_put_be64 (buf, capacities[_i].last_lba);
  lunfs_put_be32 (buf + 8, capacities[_i].block_size);
  if (capacities[_i].nblocks == 0) {
    REFUSES (LunfsCapacity, lunfs_capacity16_parse, buf, 32);
    return;
  }
  ON_COPY (ok, lunfs_capacity16_parse, buf, 32, &c);
  ck_assert (ok && c.nblocks == capacities[_i].nblocks && c.block_size == capacities[_i].block_size);
  ck_assert (c.physical_block_size == c.block_size && !c.lbpme && !c.lbprz && !c.protected);
}
END_TEST

START_TEST (capacity16_cut)
{
  uint8_t buf[32] = { 0, 0, 0, 0, 0, 0, 0, 99, 0, 0, 2, 0, 0x01, 0x03, 0xc0 };
  LunfsCapacity c;
  bool ok;

  for (size_t len = 0; len <= 32; len++) {
    if (len < 12) {
      REFUSES (LunfsCapacity, lunfs_capacity16_parse, buf, len);
      continue;
    }
    ON_COPY (ok, lunfs_capacity16_parse, buf, len, &c);
    ck_assert (ok && c.nblocks == 100 && c.block_size == 512);
    ck_assert_int_eq (c.protected, len > 12);
    ck_assert_uint_eq (c.physical_block_size, len > 13 ? 4096 : 512);
    ck_assert (c.lbpme == (len > 14) && c.lbprz == (len > 14));
  }
  buf[10] = 0;
  buf[9] = 1;     /* 65536 */
  buf[13] = 0xff; /* * 2^15 is still a uint32_t */
  ON_COPY (ok, lunfs_capacity16_parse, buf, 32, &c);
  ck_assert (ok && c.physical_block_size == 0x80000000);
}
END_TEST

START_TEST (capacity10)
{
  uint8_t buf[8] = { 0xff, 0xff, 0xff, 0xfe, 0, 0, 0x10, 0 };
  LunfsCapacity c;
  bool ok;

  ON_COPY (ok, lunfs_capacity10_parse, buf, 8, &c);
  ck_assert (ok && c.nblocks == 0xffffffff && c.block_size == 4096 && c.physical_block_size == 4096);
  for (size_t len = 0; len < 8; len++)
    REFUSES (LunfsCapacity, lunfs_capacity10_parse, buf, len);
  buf[3] = 0xff; /* too large for this command */
  ON_COPY (ok, lunfs_capacity10_parse, buf, 8, &c);
  ck_assert (ok && c.nblocks == 0);
  buf[7] = 8; /* 4104-byte blocks */
  REFUSES (LunfsCapacity, lunfs_capacity10_parse, buf, 8);
}
END_TEST

/* Both headers with the same pages behind them. */
static size_t
build_modes (uint8_t *buf, bool ten, uint8_t device_specific, size_t desc_bytes, const uint8_t *pages,
             size_t n)
{
  size_t header = ten ? 8 : 4, total = header + desc_bytes + n;

  memset (buf, 0, total);
  if (ten) {
    lunfs_put_be16 (buf, (uint16_t)(total - 2));
    buf[3] = device_specific;
    lunfs_put_be16 (buf + 6, (uint16_t)desc_bytes);
  } else {
    buf[0] = (uint8_t)(total - 1);
    buf[2] = device_specific;
    buf[3] = (uint8_t)desc_bytes;
  }
  if (n > 0)
    memcpy (buf + header + desc_bytes, pages, n);
  return total;
}

static bool
modes_parse (bool ten, const uint8_t *buf, size_t len, LunfsModes *out)
{
  bool ok;

  if (ten)
    ON_COPY (ok, lunfs_mode10_parse, buf, len, out);
  else
    ON_COPY (ok, lunfs_mode6_parse, buf, len, out);
  return ok;
}

static const struct {
  uint8_t pages[32];
  size_t n, desc_bytes;
  bool have_caching, wce;
} modes[] = {
  { { 0x08, 0x12, 0x04 }, 20, 0, true, true },
  { { 0x08, 0x12, 0x10 }, 20, 8, true, false },
  { { 0x88, 0x12, 0x04 }, 20, 16, true, true },                                    /* PS bit */
  { { 0x0a, 2, 0, 0, 0x5c, 0x01, 0, 2, 0, 0, 0x08, 1, 0x04 }, 13, 8, true, true }, /* behind a subpage */
  { { 0x48, 0x01, 0, 2, 4, 4 }, 6, 0, false, false }, /* a subpage of 08h is another page */
  { { 0x0a, 2, 0x04, 0x04 }, 4, 0, false, false },
  { { 0x08, 0x00, 0x04 }, 3, 0, false, false }, /* empty page */
  { { 0x08, 0x12 }, 2, 0, false, false },       /* cut before WCE */
  { { 0x08 }, 1, 0, false, false },
  { { 0x4a, 0x01, 0xff }, 3, 0, false, false }, /* half a subpage header */
  { { 0x4a, 0x01, 0xff, 0xff, 0x08, 0x12, 0x04 }, 7, 0, false, false },
  { { 0x0a, 0xff, 0x08, 0x12, 0x04 }, 5, 0, false, false },
  { { 0x00, 0x01, 0x00, 0x08, 0x12, 0x04 }, 6, 0, false, false }, /* page 00h: any format, the last one */
  { { 0 }, 0, 0, false, false },
};

START_TEST (mode_row)
{
  for (int ten = 0; ten < 2; ten++) {
    uint8_t buf[128];
    LunfsModes m;
    size_t len = build_modes (buf, ten, 0x90, modes[_i].desc_bytes, modes[_i].pages, modes[_i].n);

    ck_assert (modes_parse (ten, buf, len, &m));
    ck_assert (m.write_protected && m.dpofua);
    ck_assert_int_eq (m.have_caching, modes[_i].have_caching);
    ck_assert_int_eq (m.wce, modes[_i].wce);
    build_modes (buf, ten, 0x6f, modes[_i].desc_bytes, modes[_i].pages, modes[_i].n);
    ck_assert (modes_parse (ten, buf, len, &m));
    ck_assert (!m.write_protected && !m.dpofua);
  }
}
END_TEST

START_TEST (modes_cut)
{
  for (int ten = 0; ten < 2; ten++) {
    size_t header = ten ? 8 : 4, wce_end = header + 8 + 3;
    uint8_t buf[128];
    size_t full = build_modes (buf, ten, 0x10, 8, modes[0].pages, modes[0].n);
    LunfsModes m;

    for (size_t len = 0; len <= full; len++) {
      if (len < header) {
        if (ten)
          REFUSES (LunfsModes, lunfs_mode10_parse, buf, len);
        else
          REFUSES (LunfsModes, lunfs_mode6_parse, buf, len);
        continue;
      }
      ck_assert (modes_parse (ten, buf, len, &m));
      ck_assert (m.dpofua && m.have_caching == (len >= wce_end) && m.wce == (len >= wce_end));
    }
    buf[ten ? 1 : 0] = (uint8_t)(wce_end - (ten ? 2 : 1) - 1); /* says that it ends before WCE */
    ck_assert (modes_parse (ten, buf, full, &m) && !m.have_caching);
    buf[ten ? 1 : 0] = (uint8_t)(header - (ten ? 2 : 1) - 1); /* says that not even the header is there */
    ck_assert (!modes_parse (ten, buf, full, &m));
    buf[ten ? 1 : 0] = 0xff;
    ck_assert (modes_parse (ten, buf, full, &m) && m.have_caching);
    buf[ten ? 7 : 3] = 0xff; /* block descriptors beyond the end */
    ck_assert (modes_parse (ten, buf, full, &m) && !m.have_caching);
  }
}
END_TEST

static size_t
build_luns (uint8_t *buf, const uint64_t *luns, size_t count)
{
  memset (buf, 0, 8);
  lunfs_put_be32 (buf, (uint32_t)(8 * count));
  for (size_t i = 0; i < count; i++)
    lunfs_put_be64 (buf + 8 + 8 * i, luns[i]);
  return 8 + 8 * count;
}

START_TEST (report_luns)
{
  static const uint64_t list[] = {
    0x7fff000000000000,                                                             /* flat 16383 */
    0x0007000000000000, 0x4007000000000000,                                         /* 7, twice */
    0x0000000000000000, 0x00ff000000000000, 0x4100000000000000, 0x0107000000000000, /* bus 1 */
    0x0007000100000000,                                                             /* second level */
    0x8007000000000000, /* logical unit addressing */
    0xc101000000000000, /* REPORT LUNS well known LUN */
    0x0009000000000001, /* reserved bytes used */
  };
  static const uint16_t want[] = { 0, 7, 0xff, 0x100, 0x3fff };
  uint8_t buf[8 + 8 * 11];
  size_t len = build_luns (buf, list, 11);
  uint16_t luns[16];
  uint32_t needed = 0;
  int n;

  ON_COPY (n, lunfs_report_luns_parse, buf, len, luns, 16, &needed);
  ck_assert_int_eq (n, 5);
  ck_assert_mem_eq (luns, want, sizeof want);
  ck_assert_uint_eq (needed, len);
  luns[3] = 0xabcd;
  ON_COPY (n, lunfs_report_luns_parse, buf, len, luns, 3, NULL);
  ck_assert_int_eq (n, 3);
  ck_assert_mem_eq (luns, want, 6);
  ck_assert_uint_eq (luns[3], 0xabcd);
  ON_COPY (n, lunfs_report_luns_parse, buf, len, NULL, 0, NULL);
  ck_assert_int_eq (n, 0);
}
END_TEST

START_TEST (report_luns_cut)
{
  static const uint64_t list[] = { 0, 1ull << 48, 2ull << 48 };
  uint8_t buf[8 + 8 * 3];
  size_t full = build_luns (buf, list, 3);
  uint16_t luns[4];
  uint32_t needed = 77;
  int n;

  for (size_t len = 0; len <= full; len++) {
    ON_COPY (n, lunfs_report_luns_parse, buf, len, luns, 4, &needed);
    ck_assert_int_eq (n, len < 8 ? -1 : (int)(len - 8) / 8);
    ck_assert_uint_eq (needed, len < 8 ? 77 : full);
  }
  lunfs_put_be32 (buf, 17); /* two and a bit */
  ON_COPY (n, lunfs_report_luns_parse, buf, full, luns, 4, &needed);
  ck_assert (n == 2 && needed == 24);
  lunfs_put_be32 (buf, 0xffffffff);
  ON_COPY (n, lunfs_report_luns_parse, buf, full, luns, 4, &needed);
  ck_assert (n == 3 && needed > 0xfffffff0 - 8 && needed % 8 == 0);
  lunfs_put_be32 (buf, 0);
  ON_COPY (n, lunfs_report_luns_parse, buf, full, luns, 4, &needed);
  ck_assert (n == 0 && needed == 8);
}
END_TEST

START_TEST (lun_on_the_wire)
{
  ck_assert_uint_eq (lunfs_lun_wire (0), 0);
  ck_assert_uint_eq (lunfs_lun_wire (255), 255);
  ck_assert_uint_eq (lunfs_lun_wire (256), 0x4100);
  ck_assert_uint_eq (lunfs_lun_wire (16383), 0x7fff);
}
END_TEST

static bool
lba_status (const uint8_t *buf, size_t len, uint64_t lba, uint32_t *out_n, bool *out_mapped)
{
  bool ok;

  ON_COPY (ok, lunfs_lba_status_parse, buf, len, lba, out_n, out_mapped);
  return ok;
}

START_TEST (lba_status_states)
{
  uint8_t buf[24] = { 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 1, 0, 0, 0xf0 };
  const uint64_t lba = 0x100000005;
  bool mapped;
  uint32_t n;

  for (uint8_t state = 0; state < 16; state++) {
    buf[20] = 0xf0 | state;
    ck_assert (lba_status (buf, 24, lba, &n, &mapped));
    ck_assert_uint_eq (n, 65536);
    ck_assert_int_eq (mapped, state != 1 && state != 2);
  }
}
END_TEST

START_TEST (lba_status_refused)
{
  uint8_t buf[24] = { 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 8, 1 };
  bool mapped = true;
  uint32_t n = 77;

  for (size_t len = 0; len < 24; len++)
    ck_assert (!lba_status (buf, len, 5, &n, &mapped));
  ck_assert (!lba_status (buf, 24, 4, &n, &mapped)); /* starts elsewhere */
  ck_assert (!lba_status (buf, 24, 6, &n, &mapped));
  buf[19] = 0; /* a run of nothing would make the caller ask for ever */
  ck_assert (!lba_status (buf, 24, 5, &n, &mapped));
  buf[19] = 8;
  buf[3] = 19;
  ck_assert (!lba_status (buf, 24, 5, &n, &mapped));
  lunfs_put_be32 (buf, 0xffffffff); /* lies about its length, but the first descriptor is here */
  memset (buf + 8, 0xff, 8);
  ck_assert (!lba_status (buf, 24, UINT64_MAX, &n, &mapped)); /* a run beyond the end of numbers */
  ck_assert (n == 77 && mapped);
  lunfs_put_be64 (buf + 8, 5);
  ck_assert (lba_status (buf, 24, 5, &n, &mapped));
  ck_assert (n == 8 && !mapped);
}
END_TEST

/* Noise of every length into every parser; the sanitizer is the judge. */
START_TEST (noise)
{
  static const uint8_t pages[] = { 0x00, 0x80, 0x83, 0xb0, 0xb2 };
  uint8_t bytes[96];
  uint16_t luns[8];

  srand (1);
  for (int round = 0; round < 20000; round++) {
    size_t len = (size_t)rand () % sizeof bytes;
    LunfsIdentity id = { .text = "" };
    LunfsInquiry inquiry;
    LunfsLimits limits = { 0 };
    LunfsCapacity capacity;
    LunfsModes m;
    uint8_t *copy;
    uint32_t n;
    bool mapped;

    for (size_t i = 0; i < sizeof bytes; i++)
      bytes[i] = (uint8_t)(rand () >> (rand () % 16));
    bytes[1] = pages[rand () % 5];
    copy = exact (bytes, len);
    lunfs_inquiry_parse (copy, len, &inquiry);
    lunfs_vpd_has_page (copy, len, 0xff);
    lunfs_vpd83_parse (copy, len, &id);
    lunfs_vpd80_parse (copy, len, &id);
    ck_assert (strlen (id.text) < LUNFS_IDENTITY_MAX && strchr (id.text, '/') == NULL);
    lunfs_vpdb0_parse (copy, len, &limits);
    lunfs_vpdb2_parse (copy, len, &limits);
    lunfs_capacity16_parse (copy, len, &capacity);
    lunfs_capacity10_parse (copy, len, &capacity);
    lunfs_mode6_parse (copy, len, &m);
    lunfs_mode10_parse (copy, len, &m);
    ck_assert_int_le (lunfs_report_luns_parse (copy, len, luns, 8, &n), 8);
    lunfs_lba_status_parse (copy, len, 0, &n, &mapped);
    free (copy);
  }
}
END_TEST

#define COUNT(a) ((int)(sizeof (a) / sizeof *(a)))

static void
add_identity_tests (TCase *tcase)
{
  tcase_add_loop_test (tcase, designator_row, 0, COUNT (designators));
  tcase_add_test (tcase, designators_cut);
  tcase_add_test (tcase, designator_of_255_bytes);
  tcase_add_test (tcase, serial_number);
  tcase_add_test (tcase, serial_number_useless);
}

/* ---- ALUA ---- */

START_TEST (port_group)
{
  static const uint8_t page[] = { 0,    0x83, 0, 24,                              /* */
                                  0x01, 0x03, 0, 8,    0x60, 1, 2, 3, 4, 5, 6, 7, /* NAA of the unit */
                                  0x01, 0x15, 0, 4,    0,    0, 1, 2,             /* group 0x0102 of the port */
                                  0x01, 0x15, 0, 0x40, 0,    0, 9, 9 };           /* cut */
  uint16_t group = 77;

  ck_assert (lunfs_vpd83_port_group (page, sizeof page, &group));
  ck_assert_uint_eq (group, 0x0102);
  group = 77;
  for (size_t len = 0; len < 24; len++)
    ck_assert (!lunfs_vpd83_port_group (page, len, &group));
  ck_assert_uint_eq (group, 77);
}
END_TEST

START_TEST (port_groups)
{
  static const uint8_t answer[] = { 0,    0,    0, 32,                                         /* */
                                    0x80, 0x0f, 0, 1,  0, 0, 0, 2,   0, 0, 0, 1, 0, 0, 0, 2, /* group 1, two ports */
                                    0x02, 0x0f, 1, 2,  0, 0, 0, 0,                           /* group 0x0102: standby */
                                    0x0f, 0x0f, 0, 9,  0, 0, 0, 200 }; /* more ports than there are */
  LunfsAluaState state = LUNFS_ALUA_NONE;

  ck_assert (lunfs_port_groups_parse (answer, sizeof answer, 1, &state));
  ck_assert_int_eq (state, LUNFS_ALUA_OPTIMIZED);
  ck_assert (lunfs_port_groups_parse (answer, sizeof answer, 0x0102, &state));
  ck_assert_int_eq (state, LUNFS_ALUA_STANDBY);
  ck_assert_str_eq (lunfs_alua_name (state), "standby");
  ck_assert (lunfs_port_groups_parse (answer, sizeof answer, 9, &state));
  ck_assert_int_eq (state, LUNFS_ALUA_TRANSITIONING);
  ck_assert (!lunfs_port_groups_parse (answer, sizeof answer, 3, &state));
  ck_assert (!lunfs_port_groups_parse (answer, 3, 1, &state));
  ck_assert (!lunfs_port_groups_parse (answer, 11, 1, &state));
  ck_assert (!lunfs_port_groups_parse (NULL, 0, 1, &state));
}
END_TEST

static Suite *
vpd_suite (void)
{
  Suite *suite = suite_create ("vpd");
  TCase *tcase = tcase_create ("vpd");

  tcase_add_test (tcase, inquiry_data);
  tcase_add_test (tcase, inquiry_cut);
  tcase_add_test (tcase, supported_pages);
  add_identity_tests (tcase);
  tcase_add_test (tcase, block_limits);
  tcase_add_test (tcase, block_limits_cut);
  tcase_add_test (tcase, provisioning);
  tcase_add_loop_test (tcase, capacity16_row, 0, COUNT (capacities));
  tcase_add_test (tcase, capacity16_cut);
  tcase_add_test (tcase, capacity10);
  tcase_add_loop_test (tcase, mode_row, 0, COUNT (modes));
  tcase_add_test (tcase, modes_cut);
  tcase_add_test (tcase, report_luns);
  tcase_add_test (tcase, report_luns_cut);
  tcase_add_test (tcase, lun_on_the_wire);
  tcase_add_test (tcase, lba_status_states);
  tcase_add_test (tcase, lba_status_refused);
  tcase_add_test (tcase, port_group);
  tcase_add_test (tcase, port_groups);
  tcase_add_test (tcase, noise);
  tcase_set_timeout (tcase, 60); /* under valgrind */
  suite_add_tcase (suite, tcase);
  return suite;
}

int
main (void)
{
  SRunner *runner = srunner_create (vpd_suite ());
  int failed;

  srunner_run_all (runner, CK_NORMAL);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
