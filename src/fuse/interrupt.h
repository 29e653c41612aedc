/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FUSE_INTERRUPT: whoever waits for a request got a signal.  The kernel goes on waiting for the answer, even for a process
 * that is being killed; lunfs answers EINTR where nothing is lost by it (LunfsLayerOps.cancel): in an outage. */
#ifndef LUNFS_INTERRUPT_H
#define LUNFS_INTERRUPT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LUNFS_INTERRUPT_AGAIN_US 300000

/* Thread @tid (struct fuse_in_header.pid) is being killed and will see no answer.  Reads /proc; false if that tells nothing. */
bool lunfs_interrupt_dying (uint32_t tid);
/* The same from the text of /proc/TID/status. */
bool lunfs_interrupt_dying_text (const char *status);

#endif
