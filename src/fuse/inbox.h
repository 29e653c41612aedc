/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a dead worker had read and not answered: the kernel sends it again if asked (RESEND, from Linux 6.9), or it is still
 * in the slots (INBOX, any Linux).  A mount uses one of the two, never both: RESEND changes the numbers of requests.
 *
 * INBOX.  The slots are the buffers the kernel copies into, so a request is there before read(2) returns, and stays until its
 * answer has been written.  For each one found the kernel is asked whether it still waits, by an answer to a signal for it
 * that says nothing: 0 if the request is outstanding, ENOENT if it was answered, or was torn and failed by the kernel. */
#ifndef LUNFS_INBOX_H
#define LUNFS_INBOX_H

#include "lunfs/pool.h"
#include "lunfs/settings.h"

/* What is asked of the kernel. */
typedef struct {
  bool (*outstanding) (void *user, uint64_t unique);
  void (*refuse) (void *user, uint64_t unique); /* answer EIO */
  void *user;
} LunfsInboxKernel;

/* The mount's way.  @kernel_resends: FUSE_HAS_RESEND was offered. */
bool lunfs_inbox_wanted (LunfsRecovery recovery, bool kernel_resends);

/* A successor's first step, before anybody takes chunks (lunfs_pool_new reserves those of slots in use): leaves in the slots
 * what waits for an answer and can be served.  Not @inbox: nothing.  Returns how many there are. */
unsigned lunfs_inbox_sort (LunfsArena *arena, bool inbox, const LunfsInboxKernel *kernel);
/* The second: chunks that belong to the cache as well (a WRITE was stored, and the worker died before it was answered) are
 * copied.  False: there is no memory for that. */
bool lunfs_inbox_own (LunfsArena *arena, LunfsPool *pool, LunfsArenaSlot *slot);

/* The real one; @fuse_fd is the user. */
bool lunfs_inbox_ask (void *fuse_fd, uint64_t unique);
void lunfs_inbox_refuse (void *fuse_fd, uint64_t unique);

#endif
