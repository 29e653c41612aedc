/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The steps are a table: what to send, and what to make of the answer.  A step that the target does not know is skipped
 * unless the LUN is useless without it. */
#include "config.h"

#include "session/probe.h"

#include "lunfs/log.h"
#include "scsi/sense.h"
#include "util/bytes.h"

#include <errno.h>
#include <string.h>

#define BUFFER_BYTES 4096
/* Allocation lengths whose low byte is large too: SCSI-2 targets look at no more than that. */
#define VPD83_BYTES 0x0ff0
#define VPD80_BYTES 0x01fc
#define KEYS_BYTES 0x00f8     /* the header is all that is looked at */
#define MAX_TRIES 16          /* unit attentions and aborts of one step */
#define READY_POLL_US 1000000 /* NOT READY: ask again */

typedef enum {
  STEP_READY,
  STEP_START,
  STEP_INQUIRY,
  STEP_VPD00,
  STEP_VPD83,
  STEP_VPD80,
  STEP_PORT_GROUPS,
  STEP_CAPACITY16,
  STEP_CAPACITY10,
  STEP_VPDB0,
  STEP_VPDB2,
  STEP_MODE6,
  STEP_MODE10,
  STEP_KEYS,
  STEP_END,
} Step;

struct LunfsProbe {
  LunfsLane *lane;
  LunfsStats *stats;
  LunfsProbeDone done;
  LunfsProbeWaits waits;
  void *user;
  LunfsTransport *transport;
  LunfsCommand cmd;
  struct iovec iov;
  LunfsTimer timer; /* waits for a unit to become ready */
  Step step;
  unsigned tries, restarts, attentions;
  bool running, in_flight, started_unit, have_capacity;
  bool has83, has80, hasb0, hasb2, others, has_group, ask_keys;
  uint16_t port_group;
  char told[128]; /* what it is waiting for, as told last */
  LunfsLunInfo info;
  uint8_t buffer[BUFFER_BYTES];
};

static void send_step (LunfsProbe *probe);

static void
end (LunfsProbe *probe, int error, const char *text)
{
  probe->running = false;
  lunfs_lane_cancel (probe->lane, &probe->timer);
  probe->done (probe->user, error, error ? NULL : &probe->info, text);
}

static bool
wanted (const LunfsProbe *probe, Step step)
{
  switch (step) {
  case STEP_START:
    return false; /* only by request of STEP_READY */
  case STEP_VPD83:
    return probe->has83;
  case STEP_VPD80:
    return probe->has80;
  case STEP_PORT_GROUPS:
    return probe->has_group && probe->info.inquiry.tpgs;
  case STEP_VPDB0:
    return probe->hasb0;
  case STEP_VPDB2:
    return probe->hasb2;
  case STEP_CAPACITY10:
    return !probe->have_capacity;
  case STEP_MODE10:
    return !probe->info.modes.have_caching;
  case STEP_KEYS:
    return probe->ask_keys;
  default:
    return true;
  }
}

static void
finish (LunfsProbe *probe)
{
  if (!probe->have_capacity) {
    end (probe, -EIO, "the LUN does not tell a usable capacity");
    return;
  }
  if (!probe->info.modes.have_caching)
    probe->info.modes.wce = true; /* unknown: as if there were a volatile cache */
  end (probe, 0, NULL);
}

static void
next_step (LunfsProbe *probe)
{
  do
    probe->step++;
  while (probe->step < STEP_END && !wanted (probe, probe->step));
  probe->tries = 0;
  if (probe->step == STEP_END)
    finish (probe);
  else
    send_step (probe);
}

/* Returns the CDB length; *bytes is the answer expected. */
static unsigned
build (LunfsProbe *probe, uint8_t *cdb, uint32_t *bytes)
{
  *bytes = 252;
  switch (probe->step) {
  case STEP_READY:
    *bytes = 0;
    return lunfs_cdb_test_unit_ready (cdb);
  case STEP_START:
    *bytes = 0;
    return lunfs_cdb_start_unit (cdb);
  case STEP_INQUIRY:
    return lunfs_cdb_inquiry (cdb, false, 0, 252);
  case STEP_VPD00:
    return lunfs_cdb_inquiry (cdb, true, 0x00, 252);
  case STEP_VPD83:
    *bytes = VPD83_BYTES;
    return lunfs_cdb_inquiry (cdb, true, 0x83, VPD83_BYTES);
  case STEP_VPD80:
    *bytes = VPD80_BYTES;
    return lunfs_cdb_inquiry (cdb, true, 0x80, VPD80_BYTES);
  case STEP_PORT_GROUPS:
    *bytes = BUFFER_BYTES;
    return lunfs_cdb_report_port_groups (cdb, BUFFER_BYTES);
  case STEP_VPDB0:
    return lunfs_cdb_inquiry (cdb, true, 0xb0, 252);
  case STEP_VPDB2:
    return lunfs_cdb_inquiry (cdb, true, 0xb2, 252);
  case STEP_CAPACITY16:
    *bytes = 32;
    return lunfs_cdb_read_capacity16 (cdb, 32);
  case STEP_CAPACITY10:
    *bytes = 8;
    return lunfs_cdb_read_capacity10 (cdb);
  case STEP_MODE6:
    return lunfs_cdb_mode_sense6 (cdb, 0x08, 252);
  case STEP_KEYS:
    *bytes = KEYS_BYTES;
    return lunfs_cdb_read_keys (cdb, KEYS_BYTES);
  default:
    return lunfs_cdb_mode_sense10 (cdb, 0x08, 252);
  }
}

static void
send_step (LunfsProbe *probe)
{
  uint32_t bytes;

  memset (probe->buffer, 0, sizeof probe->buffer);
  probe->cmd.cdb_len = (uint8_t) build (probe, probe->cmd.cdb, &bytes);
  probe->iov = (struct iovec){ probe->buffer, bytes };
  probe->cmd.iov = &probe->iov;
  probe->cmd.niov = 1;
  probe->cmd.xfer = bytes ? LUNFS_XFER_IN : LUNFS_XFER_NONE;
  probe->cmd.xfer_bytes = bytes;
  probe->tries++;
  probe->in_flight = true;
  probe->transport->ops->submit (probe->transport, &probe->cmd);
}

static void
took_inquiry (LunfsProbe *probe, size_t len)
{
  char text[96];

  if (!lunfs_inquiry_parse (probe->buffer, len, &probe->info.inquiry)) {
    end (probe, -EIO, "the answer to INQUIRY is unusable");
  } else if (probe->info.inquiry.qualifier != 0) {
    end (probe, -ENXIO, "the target has no such LUN (iscsi://HOST/TARGET mounts all that it has)");
  } else if (probe->info.inquiry.device_type != 0x00 && probe->info.inquiry.device_type != 0x0e) {
    /* SPC-4 table 145: 00h direct access, 0Eh simplified direct access */
    g_snprintf (text, sizeof text, "not a disk (SCSI device type %02xh)", probe->info.inquiry.device_type);
    end (probe, -ENODEV, text);
  } else {
    next_step (probe);
  }
}

static void
took (LunfsProbe *probe, size_t len)
{
  const uint8_t *buf = probe->buffer;

  switch (probe->step) {
  case STEP_START:
    probe->step = STEP_READY; /* is it ready now? */
    probe->tries = 0;
    send_step (probe);
    return;
  case STEP_INQUIRY:
    took_inquiry (probe, len);
    return;
  case STEP_VPD00:
    probe->has83 = lunfs_vpd_has_page (buf, len, 0x83);
    probe->has80 = lunfs_vpd_has_page (buf, len, 0x80);
    probe->hasb0 = lunfs_vpd_has_page (buf, len, 0xb0);
    probe->hasb2 = lunfs_vpd_has_page (buf, len, 0xb2);
    break;
  case STEP_VPD83:
    lunfs_vpd83_parse (buf, len, &probe->info.identity);
    probe->has_group = lunfs_vpd83_port_group (buf, len, &probe->port_group);
    break;
  case STEP_PORT_GROUPS:
    lunfs_port_groups_parse (buf, len, probe->port_group, &probe->info.alua);
    break;
  case STEP_VPD80:
    lunfs_vpd80_parse (buf, len, &probe->info.identity);
    break;
  case STEP_VPDB0:
    lunfs_vpdb0_parse (buf, len, &probe->info.limits);
    break;
  case STEP_VPDB2:
    lunfs_vpdb2_parse (buf, len, &probe->info.limits);
    break;
  case STEP_CAPACITY16:
    probe->have_capacity = lunfs_capacity16_parse (buf, len, &probe->info.capacity);
    break;
  case STEP_CAPACITY10:
    probe->have_capacity = lunfs_capacity10_parse (buf, len, &probe->info.capacity) && probe->info.capacity.nblocks > 0;
    break;
  case STEP_MODE6:
    lunfs_mode6_parse (buf, len, &probe->info.modes);
    break;
  case STEP_MODE10:
    lunfs_mode10_parse (buf, len, &probe->info.modes);
    break;
  case STEP_KEYS:
    probe->info.have_pr = len >= 8;
    probe->info.pr_generation = lunfs_get_be32 (buf);
    break;
  default:
    break;
  }
  next_step (probe);
}

/* NOT READY and friends during the first step: the LUN exists, so wait; the session's own clock bounds it. */
static void
not_ready (LunfsProbe *probe, const LunfsVerdict *verdict, const char *sense)
{
  if (probe->others && (verdict->ua & LUNFS_UA_ALUA)) {
    end (probe, -EHOSTUNREACH, sense);
    return;
  }
  if (verdict->action == LUNFS_ACT_START_UNIT && !probe->started_unit) {
    probe->started_unit = true;
    probe->step = STEP_START;
    probe->tries = 0;
    send_step (probe);
    return;
  }
  probe->tries = 0;
  lunfs_lane_arm (probe->lane, &probe->timer, READY_POLL_US);
  if (strcmp (probe->told, sense) != 0) {
    g_strlcpy (probe->told, sense, sizeof probe->told);
    probe->waits (probe->user, sense);
  }
}

static void
begin (LunfsProbe *probe)
{
  probe->started_unit = probe->have_capacity = false;
  probe->has83 = probe->has80 = probe->hasb0 = probe->hasb2 = probe->has_group = false;
  probe->info = (LunfsLunInfo){ .alua = LUNFS_ALUA_NONE };
  probe->step = STEP_READY;
  probe->tries = 0;
  send_step (probe);
}

static void
refused (LunfsProbe *probe, const LunfsVerdict *verdict, const char *sense)
{
  switch (verdict->action) {
  case LUNFS_ACT_UNIT_ATTENTION:
    LUNFS_COUNT (probe->stats, unit_attentions, 1);
    probe->attentions |= verdict->ua;
    if (probe->step > STEP_START && probe->restarts++ < MAX_TRIES) { /* what was learned so far may be another LUN's */
      begin (probe);
      return;
    }
    /* fall through */
  case LUNFS_ACT_RETRY:
    if (probe->tries < MAX_TRIES)
      send_step (probe);
    else
      end (probe, -EIO, sense);
    return;
  case LUNFS_ACT_RETRY_LATER:
  case LUNFS_ACT_BUSY:
  case LUNFS_ACT_WAIT_READY:
  case LUNFS_ACT_START_UNIT:
    not_ready (probe, verdict, sense);
    return;
  case LUNFS_ACT_LUN_GONE:
    end (probe, -ENXIO, "the target has no such LUN (iscsi://HOST/TARGET mounts all that it has)");
    return;
  default:
    break;
  }
  if (probe->step == STEP_INQUIRY)
    end (probe, -EIO, sense);
  else
    took (probe, 0); /* an optional step: nothing learned; of TEST UNIT READY any other sense is left to the commands */
}

static void
command_done (LunfsCommand *cmd)
{
  LunfsProbe *probe = cmd->owner;
  LunfsSense sense;
  LunfsVerdict verdict;
  char text[128];

  probe->in_flight = false;
  if (!probe->running)
    return;
  if (cmd->status == LUNFS_STATUS_NONE) {
    end (probe, -ECANCELED, NULL);
    return;
  }
  lunfs_sense_parse (cmd->sense, cmd->sense_len, &sense);
  verdict = lunfs_sense_verdict (cmd->status, &sense, LUNFS_CMD_OTHER);
  if (verdict.action == LUNFS_ACT_DONE)
    took (probe, cmd->xfer_bytes - MIN (cmd->underflow_bytes, cmd->xfer_bytes));
  else
    refused (probe, &verdict, lunfs_sense_text (cmd->status, &sense, text, sizeof text));
}

static void
timer_fired (LunfsTimer *timer)
{
  LunfsProbe *probe = (LunfsProbe *) ((char *) timer - offsetof (LunfsProbe, timer));

  if (probe->running && !probe->in_flight)
    send_step (probe);
}

LunfsProbe *
lunfs_probe_new (LunfsLane *lane, LunfsStats *stats, LunfsProbeDone done, LunfsProbeWaits waits, void *user)
{
  LunfsProbe *probe = g_new0 (LunfsProbe, 1);

  probe->lane = lane;
  probe->stats = stats;
  probe->done = done;
  probe->waits = waits;
  probe->user = user;
  probe->cmd.done = command_done;
  probe->cmd.owner = probe;
  probe->timer.fire = timer_fired;
  return probe;
}

void
lunfs_probe_free (LunfsProbe *probe)
{
  if (!probe)
    return;
  g_assert (!probe->in_flight);
  lunfs_lane_cancel (probe->lane, &probe->timer);
  g_free (probe);
}

void
lunfs_probe_start (LunfsProbe *probe, LunfsTransport *transport, bool others)
{
  g_assert (!probe->running && !probe->in_flight);
  probe->transport = transport;
  probe->others = others;
  probe->told[0] = '\0';
  probe->running = true;
  probe->restarts = probe->attentions = 0;
  begin (probe);
}

void
lunfs_probe_ask_keys (LunfsProbe *probe)
{
  probe->ask_keys = true;
}

void
lunfs_probe_abort (LunfsProbe *probe)
{
  probe->running = false;
  lunfs_lane_cancel (probe->lane, &probe->timer);
}

bool
lunfs_probe_busy (const LunfsProbe *probe)
{
  return probe->in_flight;
}

unsigned
lunfs_probe_attentions (const LunfsProbe *probe)
{
  return probe->attentions;
}

int64_t
lunfs_probe_since_us (const LunfsProbe *probe)
{
  return probe->in_flight ? probe->cmd.submit_us : 0;
}
