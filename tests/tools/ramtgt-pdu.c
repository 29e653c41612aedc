/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PDUs: one function each, found by opcode.  A SCSI command goes
 *     on_command -> scsi_start -> [immediate data] -> [Data-Out, R2T, ...] -> scsi_finish -> Data-In or
 * response A command that has all its data with it lives on the stack; one that waits for Data-Out lives in
 * Conn.tasks, near the slot that its ITT names, and is found again from there. */
#include "ramtgt.h"

#include <stdio.h>
#include <stdlib.h>

enum { BHS_FINAL = 0x80, BHS_IMMEDIATE = 0x40, CMD_READ = 0x40, CMD_WRITE = 0x20 };
enum { RESIDUAL_OVER = 4, RESIDUAL_UNDER = 2, HAS_STATUS = 1 };
enum { STATUS_CHECK_CONDITION = 2 };

typedef struct PduKind {
  bool (*serve) (Conn *c, const uint8_t *bhs, uint32_t len);
  bool in_login;
} PduKind;

static bool
violation (Conn *c, const char *what)
{
  stat_add (STAT_PROTOCOL_ERRORS, 1);
  fprintf (stderr, "ramtgt: %s: %s\n", c->initiator, what);
  return false;
}

/* --- sequence numbers --------------------------------------------------------------------------------------
 */

void
pdu_sequence (Conn *c, uint8_t *hdr, bool status)
{
  put32 (hdr + 24, status ? c->stat_sn++ : c->stat_sn);
  put32 (hdr + 28, c->exp_cmdsn);
  put32 (hdr + 32, c->max_cmdsn);
}

/* A non-immediate PDU takes a place in the window; pdu_done () gives it back. */
static void
pdu_accept (Conn *c, const uint8_t *bhs)
{
  uint32_t sn = get32 (bhs + 24);

  if (bhs[0] & BHS_IMMEDIATE)
    return;
  if ((int32_t)(sn - c->max_cmdsn) > 0)
    stat_add (STAT_WINDOW_OVERRUNS, 1);
  if (sn != c->exp_cmdsn)
    stat_add (STAT_CMDSN_GAPS, 1);
  c->exp_cmdsn = sn + 1;
}

static void
pdu_done (Conn *c, bool immediate)
{
  if (!immediate)
    c->max_cmdsn++;
}

/* --- replies -----------------------------------------------------------------------------------------------
 */

static void
put_residual (uint8_t *h, uint64_t expected, uint64_t real)
{
  if (real == expected)
    return;
  h[1] |= real > expected ? RESIDUAL_OVER : RESIDUAL_UNDER;
  put32 (h + 44, (uint32_t)(real > expected ? real - expected : expected - real));
}

static void
send_response (Cmd *cmd)
{
  Conn *c = cmd->conn;
  uint8_t *h, *sense = NULL;

  conn_reserve (c, 1, 32);
  if (cmd->status == STATUS_CHECK_CONDITION) {
    stat_add (STAT_CHECK_CONDITIONS, 1);
    sense = conn_heap (c, 20);
    scsi_sense (sense, cmd->key, cmd->asc);
  }
  h = conn_pdu (c, 0x21, 0x80, cmd->itt);
  h[3] = cmd->status;
  pdu_sequence (c, h, true);
  put_residual (h, cmd->edtl, cmd->status ? 0 : cmd->in_len + cmd->out_len);
  if (sense)
    conn_attach (c, h, sense, 20);
}

/* All Data-In PDUs of a command; the last one carries the status. */
static void
send_data_in (Cmd *cmd)
{
  Conn *c = cmd->conn;
  uint64_t len = min64 (cmd->in_len, cmd->edtl), offset = 0, burst = 0;

  for (uint32_t sn = 0; offset < len; sn++) {
    uint64_t n = min64 (len - offset, c->params.peer_mrdsl);
    bool last, burst_end;
    uint8_t *h;
    n = min64 (n, c->params.max_burst - burst);
    last = offset + n == len;
    burst_end = last || burst + n == c->params.max_burst;
    h = conn_pdu (c, 0x25, (uint8_t)((burst_end ? BHS_FINAL : 0) | (last ? HAS_STATUS : 0)), cmd->itt);
    put32 (h + 20, 0xffffffff);
    pdu_sequence (c, h, last);
    if (!last)
      put32 (h + 24, 0);
    else
      put_residual (h, cmd->edtl, cmd->in_len);
    put32 (h + 36, sn);
    put32 (h + 40, (uint32_t)offset);
    conn_attach (c, h, cmd->in + offset, (uint32_t)n);
    offset += n;
    burst = burst_end ? 0 : burst + n;
  }
}

static void
send_r2t (Cmd *cmd)
{
  Conn *c = cmd->conn;
  uint64_t want = min64 (min64 (cmd->out_len, cmd->edtl) - cmd->got, c->params.max_burst);
  uint8_t *h = conn_pdu (c, 0x31, 0x80, cmd->itt);

  stat_add (STAT_R2TS, 1);
  put32 (h + 20, cmd->ttt);
  pdu_sequence (c, h, false);
  put32 (h + 36, cmd->r2t_sn++);
  put32 (h + 40, cmd->got);
  put32 (h + 44, (uint32_t)want);
  cmd->asked = cmd->got + (uint32_t)want;
}

/* --- commands ----------------------------------------------------------------------------------------------
 */

static void
cmd_release (Cmd *cmd)
{
  free (cmd->param);
  cmd->param = NULL;
  cmd->used = false;
}

static void
cmd_complete (Cmd *cmd)
{
  if (!cmd->status)
    scsi_finish (cmd);
  pdu_done (cmd->conn, cmd->immediate);
  if (!cmd->status && cmd->reads && min64 (cmd->in_len, cmd->edtl) > 0)
    send_data_in (cmd);
  else
    send_response (cmd);
  cmd_release (cmd);
}

static Cmd *
task_find (Conn *c, uint32_t itt)
{
  for (uint32_t i = 0; i < TASKS_MAX; i++) {
    Cmd *cmd = &c->tasks[(itt + i) % TASKS_MAX];
    if (cmd->used && cmd->itt == itt)
      return cmd;
  }
  return NULL;
}

static Cmd *
task_store (Conn *c, const Cmd *from)
{
  for (uint32_t i = 0; i < TASKS_MAX; i++) {
    Cmd *cmd = &c->tasks[(from->itt + i) % TASKS_MAX];
    if (cmd->used)
      continue;
    *cmd = *from;
    cmd->used = true;
    cmd->ttt = c->next_ttt++ & 0x7fffffff;
    return cmd;
  }
  return NULL;
}

/* Data of the initiator: as much as the command wants lands in place, the rest is dropped. */
static bool
cmd_receive (Cmd *cmd, uint32_t len)
{
  Conn *c = cmd->conn;
  uint32_t pad = -len & 3, wanted = 0;

  if (cmd->out && cmd->got < cmd->out_len)
    wanted = (uint32_t)min64 (len, cmd->out_len - cmd->got);
  if (wanted == len || !wanted) {
    if (!conn_take (c, wanted ? cmd->out + cmd->got : NULL, len))
      return false;
  } else { /* cut inside a segment: rare, so byte for byte through the window */
    for (uint32_t i = 0; i < len + pad; i++, c->start++) {
      if (!conn_fill (c, 1))
        return false;
      if (i < wanted)
        cmd->out[cmd->got + i] = c->window[c->start];
    }
  }
  cmd->got += len;
  return true;
}

/* After a sequence of data has ended: ask for more, or finish. */
static void
cmd_advance (Cmd *cmd)
{
  if (!cmd->status && cmd->got < min64 (cmd->out_len, cmd->edtl))
    send_r2t (cmd);
  else
    cmd_complete (cmd);
}

static uint32_t
lun_number (const uint8_t *p)
{
  static const uint8_t rest[6];
  unsigned method = p[0] >> 6;

  if (method > 1 || memcmp (p + 2, rest, sizeof rest))
    return UINT32_MAX;
  return (uint32_t)(p[0] & 0x3f) << 8 | p[1];
}

static bool
on_command (Conn *c, const uint8_t *bhs, uint32_t len)
{
  Cmd cmd = { .conn = c,
              .itt = get32 (bhs + 16),
              .edtl = get32 (bhs + 20),
              .immediate = bhs[0] & BHS_IMMEDIATE,
              .reads = bhs[1] & CMD_READ,
              .writes = bhs[1] & CMD_WRITE,
              .lun_number = lun_number (bhs + 8) };
  Cmd *task;

  if (c->discovery)
    return violation (c, "SCSI command in a discovery session");
  if (len && (!cmd.writes || !c->params.immediate_data))
    return violation (c, "immediate data that was not agreed");
  if (!(bhs[1] & BHS_FINAL) && (!cmd.writes || c->params.initial_r2t))
    return violation (c, "unsolicited data that was not agreed");
  if (len > min64 (c->params.first_burst, cmd.edtl))
    return violation (c, "immediate data beyond FirstBurstLength");
  memcpy (cmd.cdb, bhs + 32, sizeof cmd.cdb);
  pdu_accept (c, bhs);
  scsi_start (&cmd);
  cmd.asked = bhs[1] & BHS_FINAL ? len : (uint32_t)min64 (c->params.first_burst, cmd.edtl);
  if (len && !cmd_receive (&cmd, len)) {
    free (cmd.param);
    return false;
  }
  if ((bhs[1] & BHS_FINAL) && (cmd.status || cmd.got >= min64 (cmd.out_len, cmd.edtl))) {
    cmd_complete (&cmd);
    return true;
  }
  if (!(task = task_store (c, &cmd))) {
    free (cmd.param);
    return violation (c, "too many commands");
  }
  if (bhs[1] & BHS_FINAL)
    cmd_advance (task);
  return true;
}

static bool
on_data_out (Conn *c, const uint8_t *bhs, uint32_t len)
{
  uint32_t ttt = get32 (bhs + 20);
  Cmd *cmd = task_find (c, get32 (bhs + 16));

  stat_add (STAT_DATA_OUTS, 1);
  if (!cmd) /* of a task that was aborted */
    return conn_take (c, NULL, len);
  if (ttt != 0xffffffff && ttt != cmd->ttt)
    return violation (c, "Data-Out with a wrong target transfer tag");
  if (get32 (bhs + 40) != cmd->got || len > cmd->asked - cmd->got)
    return violation (c, "Data-Out outside of its sequence");
  if (!cmd_receive (cmd, len))
    return false;
  if (bhs[1] & BHS_FINAL)
    cmd_advance (cmd);
  return true;
}

/* --- the rest ----------------------------------------------------------------------------------------------
 */

static bool
on_nop_out (Conn *c, const uint8_t *bhs, uint32_t len)
{
  uint32_t itt = get32 (bhs + 16), echo = (uint32_t)min64 (len, c->params.peer_mrdsl);
  uint8_t ping[SCRATCH_MAX], *data, *h;

  stat_add (STAT_NOPS, 1);
  if (len > sizeof ping)
    return violation (c, "NOP-Out with too much data");
  if (!conn_take (c, ping, len))
    return false;
  if (itt == 0xffffffff) /* the answer to a ping that we never send */
    return true;
  pdu_accept (c, bhs);
  pdu_done (c, bhs[0] & BHS_IMMEDIATE);
  conn_reserve (c, 1, echo + 8);
  data = conn_heap (c, echo);
  memcpy (data, ping, echo);
  h = conn_pdu (c, 0x20, 0x80, itt);
  memcpy (h + 8, bhs + 8, 8);
  put32 (h + 20, 0xffffffff);
  pdu_sequence (c, h, true);
  conn_attach (c, h, data, echo);
  return true;
}

static bool
tmf_hits (const Cmd *cmd, unsigned function, uint32_t lun, uint32_t rtt)
{
  switch (function) {
  case 1: /* ABORT TASK */
    return cmd->itt == rtt;
  case 2: /* ABORT TASK SET */
  case 3: /* CLEAR ACA; harmless */
  case 4: /* CLEAR TASK SET */
  case 5: /* LOGICAL UNIT RESET */
    return cmd->lun_number == lun;
  default: /* target resets */
    return true;
  }
}

static bool
on_tmf (Conn *c, const uint8_t *bhs, uint32_t len)
{
  uint8_t *h;

  stat_add (STAT_TMFS, 1);
  if (!conn_take (c, NULL, len))
    return false;
  pdu_accept (c, bhs);
  for (unsigned i = 0; i < TASKS_MAX; i++)
    if (c->tasks[i].used && tmf_hits (&c->tasks[i], bhs[1] & 0x7f, lun_number (bhs + 8), get32 (bhs + 20))) {
      pdu_done (c, c->tasks[i].immediate);
      cmd_release (&c->tasks[i]);
    }
  pdu_done (c, bhs[0] & BHS_IMMEDIATE);
  h = conn_pdu (c, 0x22, 0x80, get32 (bhs + 16));
  pdu_sequence (c, h, true);
  return true;
}

static bool
on_logout (Conn *c, const uint8_t *bhs, uint32_t len)
{
  uint8_t *h;

  stat_add (STAT_LOGOUTS, 1);
  if (!conn_take (c, NULL, len))
    return false;
  pdu_accept (c, bhs);
  pdu_done (c, bhs[0] & BHS_IMMEDIATE);
  h = conn_pdu (c, 0x26, 0x80, get32 (bhs + 16));
  pdu_sequence (c, h, true);
  c->phase = PHASE_CLOSING;
  return true;
}

static bool
on_text (Conn *c, const uint8_t *bhs, uint32_t len)
{
  pdu_accept (c, bhs);
  pdu_done (c, bhs[0] & BHS_IMMEDIATE);
  return text_pdu (c, bhs, len);
}

static const PduKind kinds[] = {
  [0x00] = { on_nop_out, false }, [0x01] = { on_command, false }, [0x02] = { on_tmf, false },
  [0x03] = { login_pdu, true },   [0x04] = { on_text, false },    [0x05] = { on_data_out, false },
  [0x06] = { on_logout, false },
};

bool
pdu_serve (Conn *c)
{
  uint8_t bhs[BHS_LEN];
  unsigned opcode;
  uint32_t len;

  if (!conn_fill (c, BHS_LEN))
    return false;
  memcpy (bhs, c->window + c->start, BHS_LEN);
  c->start += BHS_LEN;
  if (bhs[4] && (!conn_fill (c, bhs[4] * 4u)))
    return false;
  c->start += bhs[4] * 4u; /* additional headers: none means anything here */
  opcode = bhs[0] & 0x3f;
  len = get24 (bhs + 5);
  if (opcode >= sizeof kinds / sizeof *kinds || !kinds[opcode].serve)
    return violation (c, "unknown PDU");
  if (kinds[opcode].in_login != (c->phase == PHASE_LOGIN))
    return violation (c, "PDU in the wrong phase");
  if (len > (c->phase == PHASE_LOGIN ? TEXT_MAX : rt_conf.mrdsl))
    return violation (c, "data segment beyond MaxRecvDataSegmentLength");
  return kinds[opcode].serve (c, bhs, len);
}
