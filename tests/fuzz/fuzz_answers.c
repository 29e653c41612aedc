/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What else a LUN says about itself: READ CAPACITY, MODE SENSE, REPORT LUNS, GET LBA STATUS, REPORT TARGET PORT
 * GROUPS; the first byte says which. */
#include "config.h"

#include "fuzz.h"

#include "scsi/vpd.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

#define UNTOUCHED 0xa5

static void
usable (const LunfsCapacity *c)
{
  must (c->block_size >= 512 && c->block_size <= 65536 && (c->block_size & (c->block_size - 1)) == 0);
  must (c->nblocks <= (uint64_t) INT64_MAX / c->block_size);
  must (c->physical_block_size >= c->block_size && c->physical_block_size % c->block_size == 0);
}

static void
capacity16 (FuzzBytes *in)
{
  LunfsCapacity c, again;
  uint8_t answer[32] = { 0 };

  memset (&c, UNTOUCHED, sizeof c);
  if (!lunfs_capacity16_parse (in->p, in->left, &c)) {
    must (fuzz_all (&c, sizeof c, UNTOUCHED));
    return;
  }
  usable (&c);
  must (c.nblocks > 0);
  lunfs_put_be64 (answer, c.nblocks - 1);
  lunfs_put_be32 (answer + 8, c.block_size);
  answer[12] = c.protected;
  answer[13] = (uint8_t) __builtin_ctz (c.physical_block_size / c.block_size);
  answer[14] = (uint8_t) ((c.lbpme ? 0x80 : 0) | (c.lbprz ? 0x40 : 0));
  must (lunfs_capacity16_parse (answer, sizeof answer, &again));
  must (again.nblocks == c.nblocks && again.block_size == c.block_size && again.lbpme == c.lbpme
        && again.lbprz == c.lbprz && again.protected == c.protected
        && again.physical_block_size == c.physical_block_size);
}

static void
capacity10 (FuzzBytes *in)
{
  LunfsCapacity c;

  memset (&c, UNTOUCHED, sizeof c);
  if (!lunfs_capacity10_parse (in->p, in->left, &c)) {
    must (fuzz_all (&c, sizeof c, UNTOUCHED));
    return;
  }
  usable (&c);
  must (c.nblocks <= UINT32_MAX && !c.lbpme && !c.lbprz && !c.protected);
}

static void
modes (FuzzBytes *in, bool ten)
{
  LunfsModes m, cut;
  bool ok;

  memset (&m, UNTOUCHED, sizeof m);
  ok = ten ? lunfs_mode10_parse (in->p, in->left, &m) : lunfs_mode6_parse (in->p, in->left, &m);
  if (!ok) {
    must (fuzz_all (&m, sizeof m, UNTOUCHED));
    return;
  }
  must (m.have_caching || !m.wce);
  if (!m.have_caching) /* what came later cannot have been seen */
    return;
  ok = ten ? lunfs_mode10_parse (in->p, 7, &cut) : lunfs_mode6_parse (in->p, 3, &cut);
  must (!ok);
}

static void
lun_list (FuzzBytes *in)
{
  int max = fuzz_u8 (in) * 4;
  uint16_t *luns = malloc ((size_t) max * sizeof *luns), all[16384];
  uint32_t needed = UNTOUCHED;
  int n = lunfs_report_luns_parse (in->p, in->left, luns, max, &needed);
  uint8_t answer[16] = { 0 };
  uint16_t one;

  must (n >= -1 && n <= max && (n >= 0 || in->left < 8));
  if (n >= 0) {
    must (needed >= 8 && needed % 8 == 0);
    must (lunfs_report_luns_parse (in->p, in->left, all, G_N_ELEMENTS (all), NULL) >= n);
    must (n == 0 || memcmp (all, luns, (size_t) n * sizeof *luns) == 0);
  }
  for (int i = 0; i < n; i++) {
    must (luns[i] < 16384 && (i == 0 || luns[i - 1] < luns[i]));
    lunfs_put_be32 (answer, 8);
    lunfs_put_be16 (answer + 8, lunfs_lun_wire (luns[i]));
    must (lunfs_report_luns_parse (answer, sizeof answer, &one, 1, &needed) == 1 && one == luns[i] && needed == 16);
  }
  free (luns);
}

static void
lba_status (FuzzBytes *in)
{
  uint64_t lba = fuzz_u64 (in);
  uint32_t nblocks = 0;
  bool mapped = false;

  if (!lunfs_lba_status_parse (in->p, in->left, lba, &nblocks, &mapped))
    must (nblocks == 0 && !mapped);
  else
    must (in->left >= 24 && nblocks > 0 && lba + nblocks > lba);
}

static void
port_groups (FuzzBytes *in)
{
  uint16_t group = fuzz_u16 (in);
  LunfsAluaState state = LUNFS_ALUA_NONE;

  if (!lunfs_port_groups_parse (in->p, in->left, group, &state))
    must (state == LUNFS_ALUA_NONE);
  else
    must (in->left >= 12 && state < 16 && lunfs_alua_name (state));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzBytes in = { data, size };

  switch (fuzz_u8 (&in) % 7) {
  case 0:
    capacity16 (&in);
    break;
  case 1:
    capacity10 (&in);
    break;
  case 2:
    modes (&in, false);
    break;
  case 3:
    modes (&in, true);
    break;
  case 4:
    lun_list (&in);
    break;
  case 5:
    lba_status (&in);
    break;
  default:
    port_groups (&in);
    break;
  }
  return 0;
}
