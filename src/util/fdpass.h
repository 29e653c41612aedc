/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that go along with a message over a local socket (SCM_RIGHTS). */
#ifndef LUNFS_FDPASS_H
#define LUNFS_FDPASS_H

#include <string.h>
#include <sys/socket.h>

#define LUNFS_FDPASS_MAX 4

typedef union {
  struct cmsghdr head;
  char space[CMSG_SPACE (LUNFS_FDPASS_MAX * sizeof (int))];
} LunfsFdPass;

/* Before sendmsg: @fds, at most LUNFS_FDPASS_MAX, go with @m by means of *out_space. */
static inline void
lunfs_fdpass_attach (struct msghdr *m, const int *fds, size_t nfds, LunfsFdPass *out_space)
{
  memset (out_space, 0, sizeof *out_space);
  m->msg_control = out_space;
  m->msg_controllen = CMSG_SPACE (nfds * sizeof *fds);
  out_space->head.cmsg_level = SOL_SOCKET;
  out_space->head.cmsg_type = SCM_RIGHTS;
  out_space->head.cmsg_len = CMSG_LEN (nfds * sizeof *fds);
  memcpy (CMSG_DATA (&out_space->head), fds, nfds * sizeof *fds);
}

#endif
