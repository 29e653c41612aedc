/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stages: EDGE_READ (only writes that do not fill their first or last block: fetch these) -> EDGE_WRITE (only zeroing:
 * write them back with their part zeroed) -> DATA (pieces, LUNFS_IO_PARTS at a time) -> VERIFY (only after UNMAP: is all of
 * it deallocated, so that it reads as zeroes?  If not: DATA again by another method) -> done.
 *
 * An unaligned read or write needs no copy: the surroundings of the edge blocks stand in the bounce chunk as iovs before
 * and behind the request's own. */
#include "config.h"

#include "lun/io.h"

#include "util/iov.h"
#include "util/zeroes.h"

#include <errno.h>
#include <string.h>

#define MAX_VERIFY_STEPS 64
#define TAIL_BOUNCE (LUNFS_CHUNK_BYTES / 2)

static void advance (LunfsIo *io);

static bool
is_zeroing (const LunfsIo *io)
{
  return io->req->op == LUNFS_OP_DISCARD || io->req->op == LUNFS_OP_ZERO;
}

static uint8_t *
bounce (const LunfsIo *io, bool tail)
{
  return io->bounce + (tail ? TAIL_BOUNCE : 0);
}

static bool
one_block (const LunfsIo *io)
{
  return io->span.end - io->span.start == io->context->block_size;
}

/* Where the last block's old content stands. */
static uint8_t *
tail_block (const LunfsIo *io)
{
  return bounce (io, !one_block (io));
}

/* ---- pieces ---- */

static LunfsIoPart *
free_part (LunfsIo *io)
{
  for (unsigned i = 0; i < LUNFS_IO_PARTS; i++)
    if (!io->part[i].busy)
      return &io->part[i];
  return NULL;
}

static void
send_part (LunfsIo *io, LunfsIoPart *part, LunfsOp op, uint64_t offset, uint64_t length)
{
  part->busy = true;
  io->busy++;
  part->req.op = op;
  part->req.offset = offset;
  part->req.length = length;
  part->req.iov = part->iov;
  part->req.submit_us = io->req->submit_us;
  part->req.sent = false;
  io->context->lower->ops->submit (io->context->lower, &part->req);
}

static void
refuse_method (LunfsIo *io)
{
  io->context->zero_refused |= 1u << io->method;
  io->again = true; /* with the next method, from the start: zeroing twice does no harm */
}

/* Answer to GET LBA STATUS at io->next. */
static void
verified (LunfsIo *io, const LunfsRequest *req)
{
  if (req->result == 0 && !req->extent_mapped && req->extent_length > 0 && ++io->verify_steps < MAX_VERIFY_STEPS)
    io->next += req->extent_length;
  else if (req->result == 0 || req->result == -EOPNOTSUPP)
    refuse_method (io); /* a target may take UNMAP as no more than advice */
  else
    io->error = req->result;
}

static void
part_done (LunfsRequest *req)
{
  LunfsIoPart *part = req->owner;
  LunfsIo *io = part->io;

  part->busy = false;
  io->busy--;
  io->ended++;
  if (req->op == LUNFS_OP_WRITE && req->chunks && req->nchunks == 0)
    io->req->nchunks = 0; /* taken over further down */
  req->chunks = NULL;
  if (io->stage == LUNFS_IO_VERIFY) {
    verified (io, req);
  } else if (req->result == -EOPNOTSUPP && is_zeroing (io) && io->method != LUNFS_ZERO_WRITE) {
    refuse_method (io);
  } else if (req->result < 0 && io->error == 0) {
    io->error = req->result;
  }
  advance (io);
}

/* ---- edges ---- */

static void
read_edge (LunfsIo *io, bool tail)
{
  LunfsIoPart *part = &io->part[tail];
  uint32_t bs = io->context->block_size;

  part->iov[0] = (struct iovec){ tail ? tail_block (io) : bounce (io, false), bs };
  part->req.niov = 1;
  part->req.nchunks = 0;
  part->req.flags = 0;
  send_part (io, part, LUNFS_OP_READ, tail ? io->span.end - bs : io->span.start, bs);
}

static void
read_edges (LunfsIo *io)
{
  bool head = io->span.head_skip || (one_block (io) && io->span.tail_skip);
  bool tail = io->span.tail_skip && !one_block (io);

  LUNFS_COUNT (io->context->stats, read_modify_writes, 1);
  io->busy++; /* the first answer must not advance before both are sent */
  if (head)
    read_edge (io, false);
  if (tail)
    read_edge (io, true);
  io->busy--;
  advance (io);
}

static void
write_edge (LunfsIo *io, bool tail)
{
  LunfsIoPart *part = &io->part[tail];
  uint32_t bs = io->context->block_size;
  uint32_t from = tail ? 0 : io->span.head_skip;
  uint32_t to = tail || one_block (io) ? bs - io->span.tail_skip : bs;
  uint8_t *block = tail ? tail_block (io) : bounce (io, false);

  memset (block + from, 0, to - from);
  part->iov[0] = (struct iovec){ block, bs };
  part->req.niov = 1;
  part->req.nchunks = 0;
  part->req.flags = 0;
  send_part (io, part, LUNFS_OP_WRITE, tail ? io->span.end - bs : io->span.start, bs);
}

static void
write_edges (LunfsIo *io)
{
  io->busy++;
  if (io->span.head_skip || (one_block (io) && io->span.tail_skip))
    write_edge (io, false);
  if (io->span.tail_skip && !one_block (io))
    write_edge (io, true);
  io->busy--;
  advance (io);
}

/* ---- data ---- */

/* The request's iovs with what is around them in the edge blocks. */
static void
surround (LunfsIo *io)
{
  unsigned n = 0;

  if (io->span.head_skip)
    io->iov[n++] = (struct iovec){ bounce (io, false), io->span.head_skip };
  memcpy (&io->iov[n], io->req->iov, io->req->niov * sizeof *io->iov);
  n += io->req->niov;
  if (io->span.tail_skip)
    io->iov[n++] = (struct iovec){ tail_block (io) + io->context->block_size - io->span.tail_skip, io->span.tail_skip };
  io->niov = n;
}

static void
send_data (LunfsIo *io, LunfsIoPart *part)
{
  uint64_t from = io->next, stop = lunfs_piece_end (from, io->end, io->context->max_bytes, 0);

  io->next = stop;
  part->req.flags = io->req->flags & LUNFS_REQ_FUA;
  part->req.nchunks = 0;
  if (lunfs_span_aligned (&io->span) && stop - from == io->req->length) { /* all of it: its memory goes along */
    part->req.chunks = io->req->chunks;
    part->req.nchunks = io->req->nchunks;
  }
  part->req.niov = lunfs_iov_slice (io->iov, io->niov, from - io->start, stop - from, part->iov, LUNFS_IO_IOV);
  send_part (io, part, io->req->op, from, stop - from);
}

static void
send_zeroing (LunfsIo *io, LunfsIoPart *part)
{
  const LunfsIoContext *c = io->context;
  uint64_t granularity = (uint64_t) c->info->limits.unmap_granularity_blocks * c->block_size;
  uint64_t max =
      MIN (lunfs_zero_max_bytes (c->info, io->method), io->method == LUNFS_ZERO_WRITE ? c->max_bytes : UINT64_MAX);
  uint64_t shift = granularity ? (uint64_t) c->info->limits.unmap_alignment_blocks * c->block_size % granularity : 0;
  uint64_t from = io->next;
  uint64_t stop = lunfs_piece_end (from + granularity - shift, io->end + granularity - shift, max, granularity)
                  - (granularity - shift);

  io->next = stop;
  part->req.nchunks = 0;
  lunfs_zero_request (io->method, &part->req);
  part->iov[0] = (struct iovec){ lunfs_zeroes, stop - from };
  part->req.niov = part->req.op == LUNFS_OP_WRITE ? 1 : 0;
  send_part (io, part, part->req.op, from, stop - from);
}

static void
send_pieces (LunfsIo *io)
{
  LunfsIoPart *part;

  io->busy++;
  io->sending = true; /* answers from inside go round the loop */
  while (io->next < io->end && io->error == 0 && !io->again && (part = free_part (io))) {
    if (is_zeroing (io))
      send_zeroing (io, part);
    else
      send_data (io, part);
  }
  io->sending = false;
  io->busy--;
}

static void
start_data (LunfsIo *io)
{
  const LunfsIoContext *c = io->context;

  io->stage = LUNFS_IO_DATA;
  io->again = false;
  if (is_zeroing (io)) { /* edges are done: the whole blocks inside */
    io->start = io->span.start + (io->span.head_skip ? c->block_size : 0);
    io->end = io->span.end - (io->span.tail_skip ? c->block_size : 0);
    if (io->end < io->start || (one_block (io) && !lunfs_span_aligned (&io->span)))
      io->end = io->start;
    io->method =
        lunfs_zero_method (c->info, c->zero_refused, io->req->op, io->start / c->block_size, io->end / c->block_size);
  } else {
    surround (io);
    io->start = io->span.start;
    io->end = io->span.end;
  }
  io->next = io->start;
}

/* Requests may hold the whole pool, and none of them ends before it has its bounce buffer: so there is always the heap. */
static bool
take_bounce (LunfsIo *io)
{
  io->have_chunk = lunfs_pool_take (io->context->pool, &io->bounce_chunk, 1);
  io->bounce =
      io->have_chunk ? lunfs_pool_chunk (io->context->pool, io->bounce_chunk) : g_try_malloc (LUNFS_CHUNK_BYTES);
  return io->bounce != NULL;
}

static void
send_verify (LunfsIo *io)
{
  LunfsIoPart *part = &io->part[0];

  part->req.niov = part->req.nchunks = 0;
  part->req.flags = 0;
  send_part (io, part, LUNFS_OP_EXTENT, io->next, 0);
}

static void
finish (LunfsIo *io)
{
  if (io->have_chunk)
    lunfs_pool_give (io->context->pool, &io->bounce_chunk, 1);
  else
    g_free (io->bounce);
  io->have_chunk = false;
  io->bounce = NULL;
  io->done (io);
}

static void
advance (LunfsIo *io)
{
  if (io->sending)
    return;
  if (io->stage == LUNFS_IO_DATA && io->next < io->end)
    send_pieces (io); /* keeps its window full; does nothing after an error */
  if (io->busy)
    return;
  if (io->error) {
    finish (io);
    return;
  }
  switch (io->stage) {
  case LUNFS_IO_EDGE_READ:
    if (is_zeroing (io)) {
      io->stage = LUNFS_IO_EDGE_WRITE;
      write_edges (io);
      return;
    }
    /* fall through */
  case LUNFS_IO_EDGE_WRITE:
    start_data (io);
    break;
  case LUNFS_IO_DATA:
    if (io->again)
      start_data (io);
    else if (is_zeroing (io) && io->method == LUNFS_ZERO_UNMAP && io->next >= io->end && io->end > io->start) {
      io->stage = LUNFS_IO_VERIFY;
      io->next = io->start;
      io->verify_steps = 0;
      send_verify (io);
      return;
    }
    break;
  case LUNFS_IO_VERIFY:
    if (io->again) {
      start_data (io);
    } else if (io->next < io->end) {
      send_verify (io);
      return;
    }
    break;
  }
  send_pieces (io);
  if (io->busy == 0 && (io->next >= io->end || io->error))
    finish (io);
}

/* Something of what it changes may have reached the target. */
static bool
begun (const LunfsIo *io)
{
  if (io->ended > 0 && io->stage != LUNFS_IO_EDGE_READ)
    return true;
  for (unsigned i = 0; i < LUNFS_IO_PARTS; i++)
    if (io->part[i].busy && io->part[i].req.sent && io->part[i].req.op != LUNFS_OP_READ)
      return true;
  return false;
}

bool
lunfs_io_cancel (LunfsIo *io, bool dying)
{
  LunfsLayer *lower = io->context->lower;
  bool any = false;

  if (io->req->op != LUNFS_OP_READ && begun (io) && !dying)
    return false;
  for (unsigned i = 0; i < LUNFS_IO_PARTS; i++)
    if (io->part[i].busy && lower->ops->cancel (lower, &io->part[i].req, dying))
      any = true;
  return any;
}

void
lunfs_io_init (LunfsIo *io)
{
  io->link.data = io;
  for (unsigned i = 0; i < LUNFS_IO_PARTS; i++) {
    lunfs_request_init (&io->part[i].req);
    io->part[i].req.owner = &io->part[i];
    io->part[i].req.done = part_done;
    io->part[i].io = io;
  }
}

void
lunfs_io_start (LunfsIo *io, LunfsIoContext *context, LunfsRequest *req)
{
  io->context = context;
  io->req = req;
  io->span = lunfs_span (req->offset, req->length, context->block_size);
  io->busy = io->ended = 0;
  io->error = 0;
  io->again = io->sending = false;
  if (!lunfs_span_aligned (&io->span)) {
    if (!take_bounce (io)) {
      io->error = -ENOMEM;
      finish (io);
      return;
    }
    if (req->op != LUNFS_OP_READ) {
      io->stage = LUNFS_IO_EDGE_READ;
      read_edges (io);
      return;
    }
  }
  start_data (io);
  send_pieces (io);
  if (io->busy == 0)
    finish (io);
}
