/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a range of blocks is made to read as zeroes: which command, in what pieces.  Pure.
 *
 * Punching a hole must leave zeroes.  WRITE SAME with the UNMAP bit promises that (SBC-3 5.50); UNMAP is only a request,
 * which the target may ignore, so it serves only for whole granules of a LUN with LBPRZ=1 and is checked by GET LBA STATUS
 * afterwards.  Zeroes written are the last resort and always right. */
#ifndef LUNFS_DISCARD_H
#define LUNFS_DISCARD_H

#include "lunfs/luninfo.h"
#include "lunfs/request.h"

typedef enum {
  LUNFS_ZERO_WRITE_SAME_UNMAP,
  LUNFS_ZERO_UNMAP,
  LUNFS_ZERO_WRITE_SAME,
  LUNFS_ZERO_WRITE,
} LunfsZeroMethod;

/* Methods that turned out not to work on this LUN: bit 1 << LunfsZeroMethod. */
typedef unsigned LunfsZeroRefused;

/* The best method for @op (DISCARD or ZERO) on blocks [first, end). */
LunfsZeroMethod lunfs_zero_method (const LunfsLunInfo *info, LunfsZeroRefused refused, LunfsOp op, uint64_t first,
                                   uint64_t end);
/* Most bytes one command of @method may cover. */
uint64_t lunfs_zero_max_bytes (const LunfsLunInfo *info, LunfsZeroMethod method);
/* What of the request goes to the session. */
void lunfs_zero_request (LunfsZeroMethod method, LunfsRequest *req);
/* Space can be given back by punching holes. */
bool lunfs_can_unmap (const LunfsLunInfo *info);

#endif
