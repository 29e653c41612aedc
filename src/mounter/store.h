/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of a service manager that lunfs needs to outlive itself (supervisor/notify.h): what it sends is kept while it is
 * away, and handed to the next one.  All of it is asked for and removed by lunfs; nothing here looks into it. */
#ifndef LUNFS_MOUNTER_STORE_H
#define LUNFS_MOUNTER_STORE_H

#include <stdbool.h>
#include <sys/types.h>

/* What is kept; the mounter has /dev/fuse already. */
enum { LUNFS_KEPT_ARENA, LUNFS_KEPT_SETTINGS, LUNFS_KEPT_PROBE, LUNFS_KEPT_N };

typedef struct {
  uid_t owner;           /* he and root are heard */
  int fds[LUNFS_KEPT_N]; /* -1 = none */
} LunfsKept;

void lunfs_kept_init (LunfsKept *kept, uid_t owner);
/* Read what waits at @sock. */
void lunfs_kept_hear (LunfsKept *kept, int sock);
/* There is a memory to go on with. */
bool lunfs_kept_is_whole (const LunfsKept *kept);
void lunfs_kept_drop (LunfsKept *kept, int which);
void lunfs_kept_drop_all (LunfsKept *kept);

#endif
