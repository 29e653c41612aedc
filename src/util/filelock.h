/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An exclusive lock of an open file (F_OFD_SETLK): of all descriptors that came from one open(2), in whichever process, until
 * the last of them is closed. */
#ifndef LUNFS_FILELOCK_H
#define LUNFS_FILELOCK_H

#include <stdbool.h>

/* Does not wait.  True also if it has the lock already. */
bool lunfs_file_lock (int fd);
/* For all of them, at once. */
void lunfs_file_unlock (int fd);
/* Somebody else has it; asks without taking it. */
bool lunfs_file_is_locked (int fd);

#endif
