/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An answer to INQUIRY: standard data, or one of the VPD pages, told apart by the page code in it. */
#include "config.h"

#include "fuzz.h"

#include "scsi/reservation.h"
#include "scsi/vpd.h"
#include "util/bytes.h"

#include <string.h>

#define UNTOUCHED 0xa5

static bool
trimmed (const char *text)
{
  size_t len = strlen (text);

  return len == 0 || (text[0] != ' ' && text[len - 1] != ' ');
}

static void
standard (const uint8_t *buf, size_t len)
{
  LunfsInquiry q;

  memset (&q, UNTOUCHED, sizeof q);
  if (!lunfs_inquiry_parse (buf, len, &q)) {
    must (fuzz_all (&q, sizeof q, UNTOUCHED));
    return;
  }
  must (len >= 5 && q.qualifier < 8 && q.device_type < 32 && q.tpgs < 4);
  must (strlen (q.vendor) <= 8 && strlen (q.product) <= 16 && strlen (q.revision) <= 4);
  must (fuzz_printable (q.vendor) && fuzz_printable (q.product) && fuzz_printable (q.revision));
  must (trimmed (q.vendor) && trimmed (q.product) && trimmed (q.revision));
}

static void
pages (const uint8_t *buf, size_t len)
{
  for (unsigned page = 0; page < 256; page++)
    if (lunfs_vpd_has_page (buf, len, (uint8_t) page))
      must (len > 4 && buf[1] == 0 && memchr (buf + 4, (int) page, len - 4));
}

/* It stands in by-id, in a path and in the log. */
static void
good_name (const char *text)
{
  static const char *const prefixes[] = { "naa.", "eui.", "t10.", "iqn.", "serial." };
  unsigned known = 0;

  must (strlen (text) < LUNFS_IDENTITY_MAX && fuzz_printable (text) && !strpbrk (text, "/ \"'\\<>&"));
  for (size_t i = 0; i < G_N_ELEMENTS (prefixes); i++)
    known += g_str_has_prefix (text, prefixes[i]) && text[strlen (prefixes[i])];
  must (known == 1);
}

static void
designators (const uint8_t *buf, size_t len)
{
  LunfsIdentity id;
  uint16_t group = 0xa5a5;

  if (!lunfs_vpd83_port_group (buf, len, &group))
    must (group == 0xa5a5);
  memset (&id, UNTOUCHED, sizeof id);
  if (!lunfs_vpd83_parse (buf, len, &id)) {
    must (fuzz_all (&id, sizeof id, UNTOUCHED));
    return;
  }
  must (fuzz_all (id.serial, sizeof id.serial, UNTOUCHED));
  good_name (id.text);
  must (!g_str_has_prefix (id.text, "serial."));
}

static void
serial (const uint8_t *buf, size_t len)
{
  LunfsIdentity named = { .text = "naa.6001405" }, unnamed = { .text = "" };

  if (!lunfs_vpd80_parse (buf, len, &unnamed)) {
    must (fuzz_all (&unnamed, sizeof unnamed, 0));
    return;
  }
  good_name (unnamed.text);
  must (unnamed.serial[0] && fuzz_printable (unnamed.serial) && trimmed (unnamed.serial));
  must (lunfs_vpd80_parse (buf, len, &named));
  must (strcmp (named.text, "naa.6001405") == 0 && strcmp (named.serial, unnamed.serial) == 0);
}

static void
limits (const uint8_t *buf, size_t len)
{
  LunfsLimits l, before;

  memset (&l, 0, sizeof l);
  l = (LunfsLimits){ .max_unmap_blocks = 99, .lbpu = true, .lbprz = 1 };
  before = l;
  if (lunfs_vpdb0_parse (buf, len, &l)) {
    must (len >= 16 && l.max_transfer_blocks == lunfs_get_be32 (buf + 8));
    must (l.unmap_alignment_blocks == 0 || l.unmap_alignment_blocks < l.unmap_granularity_blocks);
    must (l.lbpu && !l.lbpws && !l.lbpws10 && l.lbprz == 1); /* page B2h's */
  } else {
    must (memcmp (&l, &before, sizeof l) == 0);
  }
  before = l;
  if (lunfs_vpdb2_parse (buf, len, &l))
    must (l.lbprz < 8 && (l.lbprz == 0 || (l.lbprz & 1)) && l.max_unmap_blocks == before.max_unmap_blocks);
  else
    must (memcmp (&l, &before, sizeof l) == 0);
}

/* The same bytes as answers to PERSISTENT RESERVE IN. */
static void
reservations (const uint8_t *buf, size_t len)
{
  LunfsKeys keys;
  LunfsHolder holder;

  if (lunfs_keys_parse (buf, len, &keys)) {
    must (keys.nkeys <= (len - 8) / 8);
    must (keys.nkeys == 0 || lunfs_keys_count (buf, &keys, lunfs_keys_get (buf, keys.nkeys - 1)) > 0);
  } else {
    must (len < 8);
  }
  if (lunfs_holder_parse (buf, len, &holder))
    must (holder.type < 16 && (holder.type > 0 || holder.key == 0 || len >= 22));
  lunfs_reservations_persist (buf, len);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  standard (data, size);
  pages (data, size);
  designators (data, size);
  serial (data, size);
  limits (data, size);
  reservations (data, size);
  return 0;
}
