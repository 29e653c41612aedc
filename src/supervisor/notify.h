/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The service manager: sd_notify(3)'s protocol, written out (no libsystemd), and its store of descriptors.
 *
 * What is stored outlives us: whoever is started next is handed the mount, the arena and the settings (stored.h).  A
 * manager whose store is off or full drops what it is sent without a word, and a worker that believed in it would leave
 * the mount to nobody.  So the last thing sent is the end of a pipe: while that is open, all that went before is kept.
 *
 * The supervisor's thread only. */
#ifndef LUNFS_SUPERVISOR_NOTIFY_H
#define LUNFS_SUPERVISOR_NOTIFY_H

#include <glib.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct LunfsNotify LunfsNotify;

/* From $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID, which are removed: they are for this process, and for its child
 * if it goes to the background.  Without a manager all that follows does nothing. */
LunfsNotify *lunfs_notify_new (void);
void lunfs_notify_free (LunfsNotify *notify);

/* Lines "NAME=VALUE".  Waits a second at most if the manager does not read. */
void lunfs_notify_say (const LunfsNotify *notify, const char *lines);
/* WatchdogSec=, microseconds; 0 = none. */
int64_t lunfs_notify_watchdog_us (const LunfsNotify *notify);

/* Keep @fd under @name, instead of what stands there if @replace. */
void lunfs_notify_store (const LunfsNotify *notify, const char *name, int fd, bool replace);
/* After the last lunfs_notify_store. */
void lunfs_notify_store_done (LunfsNotify *notify);
void lunfs_notify_store_clear (LunfsNotify *notify, const char *const *names);

#define LUNFS_NOTIFY_POLLFDS 2
/* To be polled: LUNFS_NOTIFY_POLLFDS of them, -1 where there is nothing to wait for. */
void lunfs_notify_pollfds (const LunfsNotify *notify, struct pollfd *out);
/* With what poll said.  True: lunfs_notify_is_stored has changed. */
bool lunfs_notify_polled (LunfsNotify *notify, const struct pollfd *polled);
/* The manager has all that was sent. */
bool lunfs_notify_is_stored (const LunfsNotify *notify);

#endif
