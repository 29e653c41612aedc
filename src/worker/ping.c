/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor asks whether we turn (supervisor/pulse.h): each lane takes a mail, the last one answers. */
#include "config.h"

#include "worker/worker-private.h"

#include <stdatomic.h>

typedef struct {
  LunfsMail mail;
  LunfsWorkerPing *ping;
} Round;

struct LunfsWorkerPing {
  const LunfsWorker *worker;
  atomic_uint out; /* lanes that have not taken theirs */
  Round round[];   /* one per lane */
};

static void /* lane */
deliver (LunfsMail *mail)
{
  LunfsWorkerPing *ping = ((Round *) mail)->ping;
  int control_fd = ping->worker->fds.control_fd;

  if (atomic_fetch_sub (&ping->out, 1) == 1)
    lunfs_message_send (control_fd, LUNFS_MSG_PONG, 0, 0, NULL);
}

LunfsWorkerPing *
lunfs_worker_ping_new (const LunfsWorker *w)
{
  LunfsWorkerPing *ping = g_malloc0 (sizeof *ping + w->nlanes * sizeof *ping->round);

  ping->worker = w;
  for (unsigned i = 0; i < w->nlanes; i++)
    ping->round[i] = (Round){ .mail.deliver = deliver, .ping = ping };
  return ping;
}

void
lunfs_worker_ping (LunfsWorker *w)
{
  if (atomic_load (&w->ping->out) != 0) /* the former one is still on its way */
    return;
  atomic_store (&w->ping->out, w->nlanes);
  for (unsigned i = 0; i < w->nlanes; i++)
    lunfs_lane_post (w->lanes[i], &w->ping->round[i].mail);
}
