/* SPDX-License-Identifier: GPL-2.0-or-later */
/* May what an earlier mount has saved go to the LUN?  Is it the LUN; has the administrator decided; is the file whole; has nobody
 * registered for reservations since; and do the witnesses (session/witness.h) say that all is as it was? */
#include "config.h"

#include "worker/restore-private.h"

#include "session/witness.h"

#include <string.h>

/* ---- before anything is sent ---- */

const char *
lunfs_restore_judge (LunfsRestore *r, bool *out_approved)
{
  const LunfsArenaLun *l = lunfs_restore_record (r);
  const LunfsLunInfo *info = &r->info;
  uint32_t state = __atomic_load_n (&l->saved, __ATOMIC_ACQUIRE);

  *out_approved = state == LUNFS_SAVED_APPROVED;
  if (*out_approved)
    return NULL;
  if (state == LUNFS_SAVED_REFUSED)
    return l->saved_why;
  if (!lunfs_saved_is_whole (r->saved->arena))
    return "the host was restarted before the file was sealed: it may hold a mixture of old and new data";
  if (r->row->taken)
    return "another initiator has reserved the LUN";
  if (l->pr_known && (!info->have_pr || info->pr_generation_now != l->pr_generation))
    return "another initiator may have reserved the LUN since: its reservation generation has changed";
  return NULL;
}

const char *
lunfs_restore_obstacle (LunfsRestore *r)
{
  const LunfsArenaLun *l = lunfs_restore_record (r);
  LunfsIdentity known = { 0 };
  const char *differs;

  if (!r->holds)
    return "another mount has it";
  g_strlcpy (known.text, l->identity, sizeof known.text);
  differs = lunfs_session_differs (&known, l->nblocks, l->block_size, &r->info);
  if (differs)
    return differs;
  if (r->info.capacity.nblocks < l->nblocks)
    return "the LUN is smaller than it was";
  if (r->row->worker->settings->read_only)
    return "the mount is read-only: mount once without ro to have it written back";
  if (r->info.modes.write_protected)
    return "the LUN is write protected";
  return NULL;
}

/* ---- witnesses ---- */

const LunfsArenaWitness *
lunfs_restore_witnesses (const LunfsRestore *r)
{
  return &r->saved->arena->witnesses[r->index * LUNFS_ARENA_WITNESSES];
}

const LunfsArenaPage *
lunfs_restore_page (const LunfsRestore *r, guint i, const uint8_t **out_data)
{
  uint32_t at = g_array_index (r->pages, uint32_t, i);

  if (out_data)
    *out_data = r->saved->arena->chunks + (uint64_t) at * LUNFS_PAGE_BYTES;
  return &r->saved->arena->pages[at];
}

static const LunfsArenaPage *
find_page (const LunfsRestore *r, uint64_t number, const uint8_t **out_data)
{
  guint low = 0, high = r->pages->len;

  while (low < high) {
    guint middle = low + (high - low) / 2;
    const LunfsArenaPage *p = lunfs_restore_page (r, middle, out_data);

    if (p->number == number)
      return p;
    if (p->number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* An earlier attempt may have written there. */
static bool
is_covered (const LunfsRestore *r, uint64_t number)
{
  uint64_t start = number * LUNFS_PAGE_BYTES;

  if (!lunfs_restore_record (r)->saved_begun)
    return false;
  for (guint i = 0; i < r->ranges->len; i++) {
    const LunfsArenaRange *range = &r->saved->arena->ranges[g_array_index (r->ranges, uint32_t, i)];

    if (range->offset < start + LUNFS_PAGE_BYTES && start < range->offset + range->length)
      return true;
  }
  return find_page (r, number, NULL) != NULL;
}

static bool
is_what_we_wrote (const LunfsRestore *r, const LunfsArenaWitness *witness, const uint8_t *page)
{
  const uint8_t *data;
  const LunfsArenaPage *p = find_page (r, lunfs_witness_page (witness), &data);
  uint32_t from, to, bs = lunfs_restore_record (r)->block_size;

  if (!p)
    return false;
  lunfs_witness_bytes (witness, &from, &to);
  for (uint32_t at = from / bs * bs; at < to; at += bs)
    if (!(p->blocks & 1u << at / bs) || memcmp (page + at, data + at, bs) != 0)
      return false;
  return true;
}

void
lunfs_restore_compare (LunfsRestore *r, const LunfsRestoreOp *op)
{
  uint64_t number = lunfs_witness_page (op->witness);

  if (lunfs_witness_agrees (op->witness, op->page))
    r->same++;
  else if (!is_covered (r, number))
    r->changed++;
  else if (is_what_we_wrote (r, op->witness, op->page))
    r->same++;
}

char *
lunfs_restore_verdict (const LunfsRestore *r)
{
  if (r->changed)
    return g_strdup_printf (
        "another initiator has written to the LUN since: %u of %u places that were looked at differ", r->changed,
        r->changed + r->same);
  if (r->same == 0)
    return g_strdup ("nothing shows that no other initiator has written to the LUN since");
  return NULL;
}
