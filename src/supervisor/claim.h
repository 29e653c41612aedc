/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One writer per LUN and host.  Two mounts of a LUN would each write again what they acknowledged and the target lost, one
 * over the other's newer data; so a mount that writes claims its LUNs, and the second one is refused.
 *
 * A claim is a file /run/lunfs/lun-HASH (of an ordinary user: in /run/user/UID/lunfs) that names the supervisor and the worker
 * that took it last.  It holds as long as one of them lives: through all workers, and while a worker that has lost its
 * supervisor flushes; nobody has to clean up after a crash.  Any thread. */
#ifndef LUNFS_SUPERVISOR_CLAIM_H
#define LUNFS_SUPERVISOR_CLAIM_H

#include <stdbool.h>

/* Claim @key (any text) for the mount of supervisor @pid at @mountpoint, whose worker we are.  False: another living one has it; *out_holder (g_free)
 * says which.  True also where no file can be made: then there is no protection. */
bool lunfs_claim_take (const char *key, int pid, const char *mountpoint, char **out_holder);
/* Give it back if it is @pid's. */
void lunfs_claim_drop (const char *key, int pid);

#endif
