/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel's numbers of requests. */
#ifndef LUNFS_UNIQUE_H
#define LUNFS_UNIQUE_H

#include "lunfs/arena.h"

#include <linux/fuse.h>

#define LUNFS_UNIQUE_RESEND (UINT64_C (1) << 63) /* sent again; newer than Debian 12's linux/fuse.h: Linux 6.9 */
#define LUNFS_UNIQUE_INTERRUPT UINT64_C (1)      /* not the request, but a signal for it */

static inline const struct fuse_in_header *
lunfs_slot_header (const LunfsArenaSlot *slot)
{
  return (const struct fuse_in_header *) (const void *) slot->header;
}

/* The same before and after the request was sent again. */
static inline uint64_t
lunfs_slot_unique (const LunfsArenaSlot *slot)
{
  return lunfs_slot_header (slot)->unique & ~LUNFS_UNIQUE_RESEND;
}

#endif
