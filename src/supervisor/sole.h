/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Never two workers at once.  A supervisor reaps its worker before it starts another; one that goes on after another
 * supervisor's death has not that worker for a child, and it may still run. */
#ifndef LUNFS_SUPERVISOR_SOLE_H
#define LUNFS_SUPERVISOR_SOLE_H

#include <stdbool.h>

/* Worker, before it looks into the arena: make this process the only one that has it, for the rest of its life.  The former one
 * leaves by itself when its supervisor is gone; if it does not within two seconds, it is killed.  False: it would not go. */
bool lunfs_sole_become (int arena_fd);

#endif
