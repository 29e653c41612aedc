/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words between supervisor and worker. */
#include "config.h"

#include "supervisor/supervisor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

bool
lunfs_message_send (int control_fd, LunfsMessageType type, int status, uint32_t limit_ms, const char *text)
{
  LunfsMessage m;
  ssize_t n;

  memset (&m, 0, sizeof m);
  m.type = type;
  m.status = status;
  m.limit_ms = limit_ms;
  g_strlcpy (m.text, text ? text : "", sizeof m.text);
  do
    n = send (control_fd, &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return n == sizeof m;
}

LunfsReceived
lunfs_message_receive (int control_fd, LunfsMessage *out)
{
  LunfsMessage m;
  ssize_t n;

  do
    n = recv (control_fd, &m, sizeof m, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return LUNFS_RECEIVED_NONE;
  /* A message of another length comes from another program: better no talk than a wrong one. */
  if (n != sizeof m)
    return LUNFS_RECEIVED_END;
  m.text[sizeof m.text - 1] = '\0';
  *out = m;
  return LUNFS_RECEIVED_MESSAGE;
}
