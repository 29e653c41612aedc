/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lun/order.h"

/* A node may run if no write that came before it, running or waiting, overlaps it. */
static bool
blocked (const LunfsOrderNode *node)
{
  for (GList *l = node->link.prev; l; l = l->prev) {
    const LunfsOrderNode *other = l->data;

    if (!other->reads && other->first < node->end && node->first < other->end)
      return true;
  }
  return false;
}

bool
lunfs_order_enter (LunfsOrder *order, LunfsOrderNode *node, uint64_t first, uint64_t end, bool reads)
{
  node->link.data = node;
  node->first = first;
  node->end = end;
  node->reads = reads;
  g_queue_push_tail_link (&order->nodes, &node->link);
  node->running = !blocked (node);
  if (!node->running)
    order->nwaiting++;
  return node->running;
}

void
lunfs_order_leave (LunfsOrder *order, LunfsOrderNode *node)
{
  g_queue_unlink (&order->nodes, &node->link);
  if (!node->running)
    order->nwaiting--;
}

LunfsOrderNode *
lunfs_order_next (LunfsOrder *order)
{
  if (order->nwaiting == 0)
    return NULL;
  for (GList *l = order->nodes.head; l; l = l->next) {
    LunfsOrderNode *node = l->data;

    if (node->running || blocked (node))
      continue;
    node->running = true;
    order->nwaiting--;
    return node;
  }
  return NULL;
}
