/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "fuse/interrupt.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_US 300000

struct LunfsInterrupts {
  LunfsInterruptFind *find;
  GMutex lock; /* Protects list. */
  GQueue list; /* Interrupt */
};

typedef struct {
  LunfsMail mail;
  LunfsTimer timer;
  GList link; /* in LunfsInterrupts.list */
  LunfsInterrupts *interrupts;
  LunfsLane *lane;
  uint32_t tid;
  void *user;
  uint64_t id;
} Interrupt;

/* A fatal signal becomes SIGKILL in the pending set of every thread (kernel/signal.c: complete_signal). */
bool
lunfs_interrupt_dying_text (const char *status)
{
  static const char *const masks[] = { "\nSigPnd:", "\nShdPnd:" };

  for (unsigned i = 0; i < G_N_ELEMENTS (masks); i++) {
    const char *line = strstr (status, masks[i]);

    if (line && (strtoull (line + strlen (masks[i]), NULL, 16) & (UINT64_C (1) << (SIGKILL - 1))))
      return true;
  }
  return false;
}

bool
lunfs_interrupt_dying (uint32_t tid)
{
  char path[32], text[4096];
  size_t n;
  FILE *f;

  snprintf (path, sizeof path, "/proc/%u/status", tid);
  if (tid == 0 || !(f = fopen (path, "re")))
    return false;
  n = fread (text, 1, sizeof text - 1, f);
  fclose (f);
  text[n] = '\0';
  return lunfs_interrupt_dying_text (text);
}

static void
interrupt_free (Interrupt *i)
{
  LunfsInterrupts *interrupts = i->interrupts;

  g_mutex_lock (&interrupts->lock);
  g_queue_unlink (&interrupts->list, &i->link);
  g_mutex_unlock (&interrupts->lock);
  g_free (i);
}

static void
try_interrupt (Interrupt *i, bool first)
{
  LunfsLun *lun;
  LunfsRequest *req = i->interrupts->find (i->user, i->id, &lun);
  bool dying;

  if (!req) {
    interrupt_free (i);
    return;
  }
  dying = lunfs_interrupt_dying (i->tid);
  if ((first || dying) && lunfs_lun_cancel (lun, req, dying))
    interrupt_free (i);
  else
    lunfs_lane_arm (i->lane, &i->timer, AGAIN_US);
}

static void
fired (LunfsTimer *timer)
{
  try_interrupt ((Interrupt *) ((char *) timer - offsetof (Interrupt, timer)), false);
}

static void
deliver (LunfsMail *mail)
{
  try_interrupt ((Interrupt *) mail, true);
}

void
lunfs_interrupts_add (LunfsInterrupts *interrupts, LunfsLane *lane, uint32_t tid, void *user, uint64_t id)
{
  Interrupt *i = g_new0 (Interrupt, 1);

  i->mail.deliver = deliver;
  i->timer.fire = fired;
  i->link.data = i;
  i->interrupts = interrupts;
  i->lane = lane;
  i->tid = tid;
  i->user = user;
  i->id = id;
  g_mutex_lock (&interrupts->lock);
  g_queue_push_tail_link (&interrupts->list, &i->link);
  g_mutex_unlock (&interrupts->lock);
  lunfs_lane_post (lane, &i->mail);
}

LunfsInterrupts *
lunfs_interrupts_new (LunfsInterruptFind *find)
{
  LunfsInterrupts *interrupts = g_new0 (LunfsInterrupts, 1);

  interrupts->find = find;
  g_mutex_init (&interrupts->lock);
  return interrupts;
}

void
lunfs_interrupts_free (LunfsInterrupts *interrupts)
{
  GList *link;

  if (!interrupts)
    return;
  while ((link = g_queue_pop_head_link (&interrupts->list)))
    g_free (link->data);
  g_mutex_clear (&interrupts->lock);
  g_free (interrupts);
}
