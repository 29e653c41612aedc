/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FUSE_INTERRUPT: whoever waits for a request got a signal.  The kernel goes on waiting for the answer, even for a process
 * that is being killed; lunfs answers EINTR where nothing is lost by it (LunfsLayerOps.cancel): in an outage.
 *
 * The kernel tells of a signal once.  If the request cannot be given up then (the loss of the session is noticed later, or
 * the signal was a harmless one), it is looked at again while it lasts: is its thread being killed by now?  That happens on
 * the LUN's lane, where requests end, so that none ends meanwhile. */
#ifndef LUNFS_INTERRUPT_H
#define LUNFS_INTERRUPT_H

#include "lun/lun.h"

/* The signals that are being looked after, of one kind of request. */
typedef struct LunfsInterrupts LunfsInterrupts;

/* Request @id of @user and its @lun, if it is still under way; else NULL.  LUN's lane. */
typedef LunfsRequest *LunfsInterruptFind (void *user, uint64_t id, LunfsLun **lun);

LunfsInterrupts *lunfs_interrupts_new (LunfsInterruptFind *find);
void lunfs_interrupts_free (LunfsInterrupts *interrupts); /* the lanes have stopped; NULL is fine */
/* Thread @tid (struct fuse_in_header.pid), which waits for request @id of @user, got a signal.  @lane: the LUN's.  @user
 * stays until the lanes have stopped, the request need not.  Any thread; nothing is answered from inside. */
void lunfs_interrupts_add (LunfsInterrupts *interrupts, LunfsLane *lane, uint32_t tid, void *user, uint64_t id);

/* Thread @tid is being killed and will see no answer.  Reads /proc; false if that tells nothing. */
bool lunfs_interrupt_dying (uint32_t tid);
/* The same from the text of /proc/TID/status. */
bool lunfs_interrupt_dying_text (const char *status);

#endif
