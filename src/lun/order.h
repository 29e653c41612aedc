/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which writes may run now: never two that overlap (contract 5), first come first served.  A read may be entered, too: it
 * waits for the writes that came before it, and nobody waits for it.
 *
 * Pure bookkeeping over block ranges, one lane, no lock.  Also what makes read-modify-write and replay after a session
 * loss safe: whoever holds a range is its only writer. */
#ifndef LUNFS_ORDER_H
#define LUNFS_ORDER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
  GList link;
  uint64_t first, end; /* blocks [first, end) */
  bool reads, running;
} LunfsOrderNode;

typedef struct {
  GQueue nodes; /* running and waiting, in order of arrival */
  unsigned nwaiting;
} LunfsOrder;

/* Enter with the range [first, end).  True: it runs now.  False: it waits; lunfs_order_leave of another will hand it out. */
bool lunfs_order_enter (LunfsOrder *order, LunfsOrderNode *node, uint64_t first, uint64_t end, bool reads);
/* Leave, running or waiting. */
void lunfs_order_leave (LunfsOrder *order, LunfsOrderNode *node);
/* The next waiting node that may run now, marked running; NULL if none.  Call until NULL after each leave. */
LunfsOrderNode *lunfs_order_next (LunfsOrder *order);

#endif
