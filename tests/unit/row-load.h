/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests for a row's session, beside lun and cache: one a block, and how many of them have ended. */
#ifndef LUNFS_TEST_ROW_LOAD_H
#define LUNFS_TEST_ROW_LOAD_H

#include "row.h"

#define BS 512
#define SECOND G_USEC_PER_SEC
#define NBLOCKS 64
#define NREQS 24 /* more than the queue's depth: some wait */

static Row row;
static LunfsRequest req[NREQS];
static struct iovec iov[NREQS];
static uint8_t data[NREQS][BS];
static unsigned ended, failed;

static void
on_done (LunfsRequest *r)
{
  ended++;
  failed += r->result < 0;
}

static void
submit (LunfsOp op, unsigned n)
{
  ended = failed = 0;
  for (unsigned i = 0; i < n; i++) {
    lunfs_request_init (&req[i]);
    req[i].op = op;
    req[i].offset = i * BS;
    req[i].length = BS;
    iov[i] = (struct iovec){ data[i], BS };
    req[i].iov = &iov[i];
    req[i].niov = 1;
    req[i].done = on_done;
    req[i].submit_us = lunfs_lane_now_us (row.lane);
    lunfs_session_layer (row.session)->ops->submit (lunfs_session_layer (row.session), &req[i]);
  }
}

#endif
