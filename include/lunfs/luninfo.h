/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a probe found out about a LUN: made by the session after every login, read by lun, cache and status. */
#ifndef LUNFS_LUNINFO_H
#define LUNFS_LUNINFO_H

#include "scsi/vpd.h"

typedef struct {
  LunfsInquiry inquiry;
  LunfsIdentity identity;
  LunfsCapacity capacity;
  LunfsLimits limits;
  LunfsAluaState alua;
  LunfsModes modes; /* no caching page: wce is taken as true, the safe side */
  /* Not 0: the size it had before, in blocks; it is smaller now, so reads are served where there are blocks, and nothing
   * is written (the session's finding). */
  uint64_t shrunk_from_nblocks;
  bool have_pr;           /* asked for and told: PRGENERATION, counts changes of the registrations of all initiators */
  uint32_t pr_generation; /* as it was found */
  uint32_t pr_generation_now; /* after what we have changed since (session/hold.c) */
} LunfsLunInfo;

#endif
