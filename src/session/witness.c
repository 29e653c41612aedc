/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "session/witness.h"

#include <string.h>

#define PART_BYTES (LUNFS_PAGE_BYTES / 8) /* of a page: a bit of the mask */
#define EVERY_US 1000
#define BURST 16
#define CHANGED_SINCE UINT64_MAX

static bool
changes (const LunfsRequest *req)
{
  return req->op == LUNFS_OP_WRITE || req->op == LUNFS_OP_DISCARD || req->op == LUNFS_OP_ZERO;
}

static LunfsArenaWitness *
place (const LunfsWitnesses *w, uint64_t number)
{
  return &w->table[(number * UINT64_C (0x9e3779b97f4a7c15) >> 32) % LUNFS_ARENA_WITNESSES];
}

uint64_t
lunfs_witness_page (const LunfsArenaWitness *witness)
{
  return witness->where >> 8;
}

void
lunfs_witness_bytes (const LunfsArenaWitness *witness, uint32_t *out_from, uint32_t *out_to)
{
  unsigned mask = witness->where & 0xff, first = mask ? (unsigned) __builtin_ctz (mask) : 0;

  *out_from = first * PART_BYTES;
  *out_to = *out_from + (unsigned) __builtin_popcount (mask) * PART_BYTES; /* one run */
}

/* Not against malice: whoever can forge a block can write to the LUN anyway. */
static uint64_t
hash (const uint8_t *data, size_t len)
{
  uint64_t h = len, word;

  for (size_t i = 0; i < len; i += sizeof word) {
    memcpy (&word, data + i, sizeof word);
    h = (h ^ word) * UINT64_C (0x9e3779b97f4a7c15);
    h ^= h >> 29;
  }
  return h;
}

bool
lunfs_witness_agrees (const LunfsArenaWitness *witness, const uint8_t *page)
{
  uint32_t from, to;

  lunfs_witness_bytes (witness, &from, &to);
  return to <= LUNFS_PAGE_BYTES && hash (page + from, to - from) == witness->hash;
}

static void
withdraw (LunfsArenaWitness *witness)
{
  if (witness->where)
    __atomic_store_n (&witness->where, 0, __ATOMIC_SEQ_CST);
}

static void
withdraw_range (LunfsWitnesses *w, uint64_t first, uint64_t end)
{
  if (end - first > LUNFS_ARENA_WITNESSES) {
    for (unsigned i = 0; i < LUNFS_ARENA_WITNESSES; i++)
      if (lunfs_witness_page (&w->table[i]) >= first && lunfs_witness_page (&w->table[i]) < end)
        withdraw (&w->table[i]);
    return;
  }
  for (uint64_t number = first; number < end; number++)
    if (lunfs_witness_page (place (w, number)) == number)
      withdraw (place (w, number));
}

uint64_t
lunfs_witness_sending (LunfsWitnesses *w, const LunfsRequest *req)
{
  if (!w->table)
    return 0;
  if (!changes (req))
    return w->changing ? CHANGED_SINCE : w->changes;
  w->changes++;
  w->changing++;
  withdraw_range (w, req->offset / LUNFS_PAGE_BYTES, (req->offset + req->length - 1) / LUNFS_PAGE_BYTES + 1);
  return 0;
}

/* Bytes [@from, @to) of @req. */
static void
gather (const LunfsRequest *req, uint64_t from, uint64_t to, uint8_t *out)
{
  uint64_t at = 0;

  for (unsigned i = 0; i < req->niov && at < to; at += req->iov[i++].iov_len) {
    uint64_t begin = MAX (from, at), end = MIN (to, at + req->iov[i].iov_len);

    if (begin < end)
      memcpy (out + (begin - from), (const uint8_t *) req->iov[i].iov_base + (begin - at), end - begin);
  }
}

static void
note (LunfsWitnesses *w, const LunfsRequest *req, uint64_t number)
{
  uint8_t data[LUNFS_PAGE_BYTES];
  uint64_t start = number * LUNFS_PAGE_BYTES;
  uint64_t from = MAX (start, req->offset), to = MIN (start + LUNFS_PAGE_BYTES, req->offset + req->length);
  unsigned parts = (unsigned) ((to - from) / PART_BYTES);
  LunfsArenaWitness *witness = place (w, number);

  if (parts == 0)
    return;
  withdraw (witness);
  __atomic_signal_fence (__ATOMIC_SEQ_CST); /* who reads it comes after our death: the compiler's order is enough */
  gather (req, from - req->offset, to - req->offset, data);
  witness->hash = hash (data, to - from);
  __atomic_store_n (&witness->where, number << 8 | ((1u << parts) - 1) << (from - start) / PART_BYTES,
                    __ATOMIC_RELEASE);
}

/* How many may be noted now: one a millisecond, and what was not used lately. */
static unsigned
allowance (LunfsWitnesses *w, int64_t now_us)
{
  int64_t n = (now_us - w->noted_us) / EVERY_US;

  if (n > BURST) {
    n = BURST;
    w->noted_us = now_us - BURST * EVERY_US;
  }
  return (unsigned) MAX (n, 0);
}

void
lunfs_witness_answered (LunfsWitnesses *w, const LunfsRequest *req, uint64_t sent, bool good, int64_t now_us)
{
  uint64_t first = req->offset / LUNFS_PAGE_BYTES, npages;
  unsigned n;

  if (!w->table)
    return;
  if (changes (req))
    w->changing--;
  if (!good || req->length == 0)
    return;
  /* What a READ brought may be older than a WRITE that was answered before it. */
  if (req->op != LUNFS_OP_WRITE && (req->op != LUNFS_OP_READ || sent != w->changes))
    return;
  npages = (req->offset + req->length - 1) / LUNFS_PAGE_BYTES + 1 - first;
  n = (unsigned) MIN (allowance (w, now_us), npages);
  for (unsigned i = 0; i < n; i++)
    note (w, req, first + w->turn++ % npages);
  w->noted_us += n * (int64_t) EVERY_US;
}
