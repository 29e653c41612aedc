/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "mounter/pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lunfs/error.h"

typedef union {
  struct cmsghdr head;
  char space[CMSG_SPACE (LUNFS_PASS_MAX * sizeof (int)) + CMSG_SPACE (sizeof (struct ucred))];
} Ancillary;

static bool
bind_for (int sock, const char *path, uid_t uid, gid_t gid)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  mode_t before;
  int bound;

  if (g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  unlink (path); /* a former mounter's */
  before = umask (0177);
  bound = bind (sock, (struct sockaddr *) &address, sizeof address);
  umask (before);
  return bound == 0 && lchown (path, uid, gid) == 0;
}

int
lunfs_pass_listen (const char *path, int type, uid_t uid, gid_t gid, GError **error)
{
  int sock = socket (AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

  if (sock >= 0 && bind_for (sock, path, uid, gid) && setsockopt (sock, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0
      && (type == SOCK_DGRAM || listen (sock, 4) == 0))
    return sock;
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "cannot listen at %s: %s", path, g_strerror (errno));
  if (sock >= 0)
    close (sock);
  return -1;
}

bool
lunfs_pass_send (int sock, const char *text, const int *fds, unsigned nfds)
{
  struct iovec iov = { (void *) text, strlen (text) + 1 };
  struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
  LunfsFdPass space;

  lunfs_fdpass_attach (&m, fds, nfds, &space);
  return sendmsg (sock, &m, MSG_NOSIGNAL) >= 0;
}

static void
take (LunfsPassed *out, struct cmsghdr *c)
{
  struct ucred who;

  if (c->cmsg_level != SOL_SOCKET)
    return;
  if (c->cmsg_type == SCM_RIGHTS && out->nfds == 0) {
    out->nfds = MIN ((unsigned) ((c->cmsg_len - CMSG_LEN (0)) / sizeof (int)), LUNFS_PASS_MAX);
    memcpy (out->fds, CMSG_DATA (c), out->nfds * sizeof (int));
  } else if (c->cmsg_type == SCM_CREDENTIALS) {
    memcpy (&who, CMSG_DATA (c), sizeof who);
    out->uid = who.uid;
  }
}

bool
lunfs_pass_receive (int sock, LunfsPassed *out)
{
  struct iovec iov = { out->text, sizeof out->text - 1 };
  Ancillary control;
  struct msghdr m = {
    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space
  };
  ssize_t n = recvmsg (sock, &m, MSG_CMSG_CLOEXEC);

  out->nfds = 0;
  out->uid = (uid_t) -1;
  if (n < 0)
    return false;
  out->text[n] = '\0';
  for (struct cmsghdr *c = CMSG_FIRSTHDR (&m); c; c = CMSG_NXTHDR (&m, c))
    take (out, c);
  if (n > 0 && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
    return true;
  lunfs_pass_close (out);
  return false;
}

void
lunfs_pass_close (LunfsPassed *passed)
{
  for (unsigned i = 0; i < passed->nfds; i++)
    if (passed->fds[i] >= 0)
      close (passed->fds[i]);
  passed->nfds = 0;
}

uid_t
lunfs_pass_peer (int sock)
{
  struct ucred who;
  socklen_t len = sizeof who;

  return getsockopt (sock, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.uid : (uid_t) -1;
}
