/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Upgrade in place, the supervisor's part: which program workers are, whether a newly installed one fits, and the record of
 * it all in the arena, from which the workers tell lunfsctl.  When what happens is policy.c's decision.
 *
 * The program is the file at the path the supervisor was started from.  It is opened once, asked (lunfs_program_ask), and
 * what was asked is what runs; the program before it is kept until the new one has proven itself.  One thread. */
#ifndef LUNFS_SUPERVISOR_UPGRADE_H
#define LUNFS_SUPERVISOR_UPGRADE_H

#include "supervisor/program.h"

typedef struct LunfsUpgrade LunfsUpgrade;

typedef enum { LUNFS_ANSWER_PENDING, LUNFS_ANSWER_FITS, LUNFS_ANSWER_MISFIT } LunfsUpgradeAnswer;

LunfsUpgrade *lunfs_upgrade_new (LunfsArenaHeader *header); /* borrowed */
/* A supervisor was killed in the middle: nobody else would end it, and no other could begin. */
void lunfs_upgrade_end_interrupted (LunfsArenaUpgrade *record);
void lunfs_upgrade_free (LunfsUpgrade *u); /* NULL is fine */
/* What the next worker is. */
const LunfsProgram *lunfs_upgrade_program (const LunfsUpgrade *u);

/* Begin: ask what is installed now.  MISFIT: refused already, and said so. */
LunfsUpgradeAnswer lunfs_upgrade_ask (LunfsUpgrade *u);
/* Where the answer comes from: poll it; -1 = no question is open. */
int lunfs_upgrade_fd (const LunfsUpgrade *u);
/* The program that is being asked; 0 = none. */
pid_t lunfs_upgrade_child (const LunfsUpgrade *u);
/* After that: FITS, or MISFIT: refused, and said so. */
LunfsUpgradeAnswer lunfs_upgrade_read (LunfsUpgrade *u);
/* Nothing comes of it, @why: the question is not answered in time, the mount is being stopped. */
void lunfs_upgrade_abandon (LunfsUpgrade *u, const char *why);
/* The old worker was asked to leave. */
void lunfs_upgrade_leaving (LunfsUpgrade *u);
/* From the next worker on it is the new program, also if that was fallen back from. */
void lunfs_upgrade_switch (LunfsUpgrade *u);
/* The new worker serves. */
void lunfs_upgrade_served (LunfsUpgrade *u);
/* The new worker is no good, @why: from the next one on it is the program before it. */
void lunfs_upgrade_fall_back (LunfsUpgrade *u, const char *why);
/* The other program, former or fallen back from, is not needed any more. */
void lunfs_upgrade_confirm (LunfsUpgrade *u);

#endif
