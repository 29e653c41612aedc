/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lunfs-mounter --receive: without any privilege, in the place of the program that it becomes. */
#ifndef LUNFS_MOUNTER_RECEIVE_H
#define LUNFS_MOUNTER_RECEIVE_H

/* Beside its socket: where lunfs says what a service manager is told. */
#define LUNFS_NOTIFY_SUFFIX ".notify"

/* Fetch the mount from @socket, waiting at most @wait_s for the mounter, and run @command with it: "{}" in it becomes the
 * mount's /dev/fd/N.  Returns only with an exit status, and has said why. */
int lunfs_receive (const char *socket, int wait_s, char **command);

#endif
