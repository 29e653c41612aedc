/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The random part of the mount's ISIDs (RFC 7143 4.1.2): the same for the same mount of the same host, so that a start
 * after a crash of everything ends the sessions left over at the target (session reinstatement, RFC 7143 6.3.5) and no
 * write of theirs is executed any more. */
#ifndef LUNFS_SUPERVISOR_ISID_H
#define LUNFS_SUPERVISOR_ISID_H

#include "lunfs/settings.h"

/* 24 bits from initiator name, host, source and mount point.  Two live processes with one ISID would throw each other out
 * for ever, so a lock file is taken; if another process has it the number is random instead.
 * *out_lock_fd: keep it open as long as the mount lives; -1 if no lock could be made (then the number is random too). */
uint32_t lunfs_isid_choose (const LunfsSettings *settings, int *out_lock_fd);

/* The number is given: go on with a mount that has it.  -1 if there can be no lock. */
int lunfs_isid_lock (uint32_t isid);

/* The mount is gone: remove the lock file.  @lock_fd is closed; -1 is fine. */
void lunfs_isid_release (uint32_t isid, int lock_fd);

#endif
