/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the last worker ended, for its successor: in the arena. */
#ifndef LUNFS_SUPERVISOR_ENDING_H
#define LUNFS_SUPERVISOR_ENDING_H

#include "lunfs/arena.h"

/* A signal that speaks of a fault in the program.  Not SIGKILL: that is an operator, a test or the lack of memory. */
bool lunfs_ending_is_fault (int signal);
/* Supervisor, when it has reaped a worker: @wait_state as from waitpid(2). */
void lunfs_ending_note (LunfsArenaHeader *header, int wait_state);
/* Nobody has reaped the last worker: requests that it was serving are not to blame for the end of one before. */
void lunfs_ending_forget (LunfsArenaHeader *header);
/* After lunfs_ending_note, before the next worker: was it serving a request that another one had crashed over?  Then the request is to blame
 * rather than the program. */
bool lunfs_ending_accuses (const LunfsArena *arena);
/* "signal 11 (Segmentation fault)", "status 1", and what to do if that is known; "" if none has ended.  Free with g_free. */
char *lunfs_ending_text (const LunfsArenaHeader *header);

#endif
