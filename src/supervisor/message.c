/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words between supervisor and worker. */
#include "config.h"

#include "supervisor/supervisor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "util/fdpass.h"

static bool
transmit (int control_fd, LunfsMessage *m, const char *text, int fd)
{
  struct iovec iov = { m, sizeof *m };
  struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
  LunfsFdPass space;
  ssize_t n;

  g_strlcpy (m->text, text ? text : "", sizeof m->text);
  if (fd >= 0)
    lunfs_fdpass_attach (&h, &fd, 1, &space);
  do
    n = sendmsg (control_fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return n == sizeof *m;
}

bool
lunfs_message_send (int control_fd, LunfsMessageType type, int status, uint32_t limit_ms, const char *text)
{
  LunfsMessage m = { .type = type, .status = status, .limit_ms = limit_ms };

  return transmit (control_fd, &m, text, -1);
}

bool
lunfs_message_send_fd (int control_fd, LunfsMessageType type, const char *text, int fd)
{
  LunfsMessage m = { .type = type };

  return transmit (control_fd, &m, text, fd);
}

/* -1 = none. */
static int
take_fd (struct msghdr *h)
{
  const struct cmsghdr *c = CMSG_FIRSTHDR (h);
  int fd = -1;

  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN (sizeof fd))
    memcpy (&fd, CMSG_DATA (c), sizeof fd);
  return fd;
}

LunfsReceived
lunfs_message_receive (int control_fd, LunfsMessage *out, int *out_fd)
{
  LunfsMessage m;
  struct iovec iov = { &m, sizeof m };
  LunfsFdPass space;
  struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
  ssize_t n;

  if (out_fd) {
    h.msg_control = &space;
    h.msg_controllen = CMSG_SPACE (sizeof *out_fd);
  }
  do
    n = recvmsg (control_fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return LUNFS_RECEIVED_NONE;
  /* A message of another length comes from another program: better no talk than a wrong one. */
  if (n != sizeof m || h.msg_flags & MSG_TRUNC)
    return LUNFS_RECEIVED_END;
  m.text[sizeof m.text - 1] = '\0';
  *out = m;
  if (out_fd)
    *out_fd = take_fd (&h);
  return LUNFS_RECEIVED_MESSAGE;
}
