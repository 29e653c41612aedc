/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages with descriptors over a local socket (SCM_RIGHTS), and who sent them. */
#ifndef LUNFS_MOUNTER_PASS_H
#define LUNFS_MOUNTER_PASS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "util/fdpass.h"

/* /dev/fuse, arena and settings; a service manager's client sends one at a time. */
#define LUNFS_PASS_MAX LUNFS_FDPASS_MAX

typedef struct {
  char text[512];
  int fds[LUNFS_PASS_MAX]; /* close-on-exec */
  unsigned nfds;
  uid_t uid; /* of the sender, where the socket tells (SO_PASSCRED) */
} LunfsPassed;

/* A bound socket of @type at @path, for @uid and root alone; -1 and @error. */
int lunfs_pass_listen (const char *path, int type, uid_t uid, gid_t gid, GError **error);
bool lunfs_pass_send (int sock, const char *text, const int *fds, unsigned nfds);
/* False: nothing there, the other end is gone, or no message of ours. */
bool lunfs_pass_receive (int sock, LunfsPassed *out);
void lunfs_pass_close (LunfsPassed *passed);
/* Who is at the other end of a connection; -1: not known. */
uid_t lunfs_pass_peer (int sock);

#endif
