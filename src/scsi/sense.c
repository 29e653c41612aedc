/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status and sense: the parser, the policy table and its text.
 *
 * To change what lunfs does on an error, change one row below.  The first row that fits wins, so exact rows
 * stand above the row of their ASC, and that above the row of their key; what fits no row fails with EIO.
 *
 * Tries count the first attempt too: "retry once" is 2.  0 tries: until the request's deadline. */

#include "scsi/sense.h"

#include "util/bytes.h"

#include <glib.h>

#include <errno.h>
#include <stdio.h>

#define ANY (-1)
#define READS (1 << LUNFS_CMD_READ)
#define ALL (1 << LUNFS_CMD_READ | 1 << LUNFS_CMD_WRITE | 1 << LUNFS_CMD_OTHER)

#define BUSY_DELAY_MS 8    /* a full queue drains in about one round trip */
#define READY_POLL_MS 500  /* TEST UNIT READY while a unit starts */
#define ALUA_DELAY_MS 1000 /* a port group changes state within seconds */
#define UA_TRIES 16        /* a target may queue several unit attentions per nexus (SAM-5 5.14) */

typedef struct {
  uint8_t key;
  int asc, ascq; /* or ANY */
  unsigned kinds;
  LunfsAction action;
  int err_read, err_write; /* OTHER takes err_write: it is UNMAP, WRITE SAME, SYNCHRONIZE CACHE */
  unsigned max_tries, delay_ms, ua;
  const char *text;
} Row;

#define KEY(k) LUNFS_KEY_##k
#define ACT(a) LUNFS_ACT_##a
#define UA(u) LUNFS_UA_##u

/* clang-format off */
static const Row table[] = {
  { KEY (NO_SENSE),  ANY,  ANY,  ALL, ACT (RETRY), EIO, EIO, 2, 0, 0, NULL },
  { KEY (RECOVERED), ANY,  ANY,  ALL, ACT (DONE),  0,   0,   0, 0, 0, NULL },

  /* 04/xx: SPC-4 table F.1; which of them pass by themselves as in Linux's scsi_io_completion_action(). */
  { KEY (NOT_READY), 0x04, 0x00, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "cause not reportable" },
  { KEY (NOT_READY), 0x04, 0x01, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "becoming ready" },
  { KEY (NOT_READY), 0x04, 0x02, ALL, ACT (START_UNIT),  EIO, EIO, 2, 0, 0, "start unit required" },
  { KEY (NOT_READY), 0x04, 0x03, ALL, ACT (FAIL),        EIO, EIO, 1, 0, 0, "manual intervention required" },
  { KEY (NOT_READY), 0x04, 0x04, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "format in progress" },
  { KEY (NOT_READY), 0x04, 0x05, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "rebuild in progress" },
  { KEY (NOT_READY), 0x04, 0x06, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "recalculation in progress" },
  { KEY (NOT_READY), 0x04, 0x07, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "operation in progress" },
  { KEY (NOT_READY), 0x04, 0x08, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "long write in progress" },
  { KEY (NOT_READY), 0x04, 0x09, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "self-test in progress" },

  /* UA (ALUA): through another portal it may be served. */
  { KEY (NOT_READY), 0x04, 0x0a, ALL, ACT (WAIT_READY),  EIO, EIO, 0, ALUA_DELAY_MS, 0, "ALUA state transition" },
  { KEY (NOT_READY), 0x04, 0x0b, ALL, ACT (WAIT_READY),  EIO, EIO, 0, ALUA_DELAY_MS, UA (ALUA), "target port in standby" },
  { KEY (NOT_READY), 0x04, 0x0c, ALL, ACT (WAIT_READY),  EIO, EIO, 0, ALUA_DELAY_MS, UA (ALUA), "target port unavailable" },

  { KEY (NOT_READY), 0x04, 0x12, ALL, ACT (FAIL),        EIO, EIO, 1, 0, 0, "offline" },
  { KEY (NOT_READY), 0x04, 0x14, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "space allocation in progress" },
  { KEY (NOT_READY), 0x04, 0x1a, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "start stop unit in progress" },
  { KEY (NOT_READY), 0x04, 0x1b, ALL, ACT (FAIL),        EBUSY, EBUSY, 1, 0, 0, "sanitize in progress" },
  { KEY (NOT_READY), 0x04, 0x1d, ALL, ACT (WAIT_READY),  EIO, EIO, 0, READY_POLL_MS, 0, "configuration in progress" },
  { KEY (NOT_READY), 0x3a, ANY,  ALL, ACT (FAIL),        ENOMEDIUM, ENOMEDIUM, 1, 0, 0, "medium not present" },
  /* LIO says 08/00 when its backend fails, counting on a finite number of retries. */
  { KEY (NOT_READY), 0x08, 0x00, ALL, ACT (RETRY_LATER), EIO, EIO, 4, READY_POLL_MS, 0, "communication failure" },
  { KEY (NOT_READY), ANY,  ANY,  ALL, ACT (RETRY_LATER), EIO, EIO, 4, READY_POLL_MS, 0, NULL },

  { KEY (MEDIUM_ERROR), 0x31, ANY, ALL,   ACT (FAIL),  EIO, EIO, 1, 0, 0, "medium format corrupted" },
  { KEY (MEDIUM_ERROR), 0x11, ANY, READS, ACT (SPLIT), EIO, EIO, 2, 0, 0, "unrecovered read error" },
  { KEY (MEDIUM_ERROR), 0x0c, ANY, ALL,   ACT (RETRY), EIO, EIO, 2, 0, 0, "write error" },
  { KEY (MEDIUM_ERROR), ANY,  ANY, READS, ACT (SPLIT), EIO, EIO, 2, 0, 0, NULL },
  { KEY (MEDIUM_ERROR), ANY,  ANY, ALL,   ACT (RETRY), EIO, EIO, 2, 0, 0, NULL },

  { KEY (HARDWARE_ERROR), 0x44, 0x00, ALL, ACT (RETRY_LATER), EIO, EIO, 4, 500, 0, "internal target failure" },
  { KEY (HARDWARE_ERROR), ANY,  ANY,  ALL, ACT (FAIL),        EIO, EIO, 1, 0, 0, NULL },

  /* 22/00 is SCSI-2's 20/00.  1A/00 and 26/xx are bugs of ours. */
  { KEY (ILLEGAL_REQUEST), 0x1a, 0x00, ALL, ACT (FAIL),        EINVAL, EINVAL, 1, 0, 0, "parameter list length error" },
  { KEY (ILLEGAL_REQUEST), 0x20, 0x00, ALL, ACT (FEATURE_OFF), EOPNOTSUPP, EOPNOTSUPP, 1, 0, 0, "invalid command operation code" },
  { KEY (ILLEGAL_REQUEST), 0x21, 0x00, ALL, ACT (CAPACITY),    EIO, ENOSPC, 1, 0, 0, "LBA out of range" },
  { KEY (ILLEGAL_REQUEST), 0x22, 0x00, ALL, ACT (FEATURE_OFF), EOPNOTSUPP, EOPNOTSUPP, 1, 0, 0, "illegal function" },
  { KEY (ILLEGAL_REQUEST), 0x24, 0x00, ALL, ACT (FEATURE_OFF), EINVAL, EINVAL, 1, 0, 0, "invalid field in CDB" },
  { KEY (ILLEGAL_REQUEST), 0x25, 0x00, ALL, ACT (LUN_GONE),    ENXIO, ENXIO, 0, 1000, 0, "logical unit not supported" },
  { KEY (ILLEGAL_REQUEST), 0x26, ANY,  ALL, ACT (FAIL),        EINVAL, EINVAL, 1, 0, 0, "invalid field in parameter list" },
  { KEY (ILLEGAL_REQUEST), 0x27, 0x00, ALL, ACT (READ_ONLY),   EIO, EROFS, 1, 0, 0, "write protected" },
  { KEY (ILLEGAL_REQUEST), ANY,  ANY,  ALL, ACT (FAIL),        EIO, EIO, 1, 0, 0, NULL },

  /* SPC-4 5.14: the command was not executed; each session gets its own copy. */
#define UNIT_ATTENTION(asc, ascq, ua, text) \
  { KEY (UNIT_ATTENTION), asc, ascq, ALL, ACT (UNIT_ATTENTION), EIO, EIO, UA_TRIES, 0, ua, text }
  UNIT_ATTENTION (0x28, ANY,  UA (RESET),       "medium may have changed"),
  UNIT_ATTENTION (0x29, ANY,  UA (RESET),       "power on, reset, or nexus loss"),
  UNIT_ATTENTION (0x2a, 0x00, UA (MODE),        "parameters changed"),
  UNIT_ATTENTION (0x2a, 0x01, UA (MODE),        "mode parameters changed"),
  UNIT_ATTENTION (0x2a, 0x03, UA (RESERVATION), "reservations preempted"),
  UNIT_ATTENTION (0x2a, 0x04, UA (RESERVATION), "reservations released"),
  UNIT_ATTENTION (0x2a, 0x05, UA (RESERVATION), "registrations preempted"),
  UNIT_ATTENTION (0x2a, 0x06, UA (ALUA),        "ALUA state changed"),
  UNIT_ATTENTION (0x2a, 0x07, UA (ALUA),        "ALUA state transition failed"),
  UNIT_ATTENTION (0x2a, 0x09, UA (CAPACITY),    "capacity data changed"),
  UNIT_ATTENTION (0x2f, 0x01, UA (RESET),       "commands cleared by power loss notification"),
  UNIT_ATTENTION (0x2f, ANY,  0,                "commands cleared by another initiator"),
  UNIT_ATTENTION (0x38, 0x07, UA (THIN_LOW),    "thin provisioning soft threshold reached"),
  UNIT_ATTENTION (0x3f, 0x01, 0,                "microcode changed"),
  UNIT_ATTENTION (0x3f, 0x02, UA (INQUIRY),     "changed operating definition"),
  UNIT_ATTENTION (0x3f, 0x03, UA (INQUIRY),     "inquiry data changed"),
  UNIT_ATTENTION (0x3f, 0x05, UA (INQUIRY),     "device identifier changed"),
  UNIT_ATTENTION (0x3f, 0x0e, UA (LUNS),        "reported LUNs data changed"),
  UNIT_ATTENTION (0x5a, 0x02, UA (MODE),        "operator selected write protect"),
  UNIT_ATTENTION (0x5a, 0x03, UA (MODE),        "operator selected write permit"),
  UNIT_ATTENTION (ANY,  ANY,  0,                NULL),

  { KEY (DATA_PROTECT), 0x27, 0x07, ALL, ACT (FAIL),      ENOSPC, ENOSPC, 1, 0, 0, "space allocation failed" },
  { KEY (DATA_PROTECT), 0x27, ANY,  ALL, ACT (READ_ONLY), EIO, EROFS, 1, 0, 0, "write protected" },
  { KEY (DATA_PROTECT), ANY,  ANY,  ALL, ACT (FAIL),      EIO, EIO, 1, 0, 0, NULL },

  { KEY (ABORTED_COMMAND), 0x10, ANY, ALL, ACT (RETRY), EILSEQ, EILSEQ, 2, 0, 0, "protection information check failed" },
  { KEY (ABORTED_COMMAND), 0x47, ANY, ALL, ACT (RETRY), EIO, EIO, 6, 0, 0, "transport CRC or parity error" },
  { KEY (ABORTED_COMMAND), 0x4b, ANY, ALL, ACT (RETRY), EIO, EIO, 6, 0, 0, "data phase error" },
  { KEY (ABORTED_COMMAND), ANY,  ANY, ALL, ACT (RETRY), EIO, EIO, 6, 0, 0, NULL },

  { KEY (VOLUME_OVERFLOW), ANY,  ANY,  ALL, ACT (FAIL), ENOSPC, ENOSPC, 1, 0, 0, NULL },
  { KEY (MISCOMPARE),      0x1d, 0x00, ALL, ACT (FAIL), EIO, EIO, 1, 0, 0, "miscompare during verify" },
};

/* SAM-5 5.3.  EBADE is what Linux's block layer gives for a reservation conflict and what QEMU turns back into
 * that status for its guest.  ACA ACTIVE cannot be: we never set NACA.  CHECK CONDITION: the row without sense. */
static const struct {
  unsigned status;
  LunfsVerdict verdict;
  const char *text;
} statuses[] = {
  { LUNFS_STATUS_GOOD,                 { ACT (DONE), .err = 0 },                              "GOOD" },
  { LUNFS_STATUS_CONDITION_MET,        { ACT (DONE), .err = 0 },                              "CONDITION MET" },
  { LUNFS_STATUS_BUSY,                 { ACT (BUSY), .err = EIO, .delay_ms = BUSY_DELAY_MS }, "BUSY" },
  { LUNFS_STATUS_TASK_SET_FULL,        { ACT (BUSY), .err = EIO, .delay_ms = BUSY_DELAY_MS }, "TASK SET FULL" },
  { LUNFS_STATUS_RESERVATION_CONFLICT, { ACT (FENCE), .err = EBADE, .max_tries = 1 },         "RESERVATION CONFLICT" },
  { LUNFS_STATUS_TASK_ABORTED,         { ACT (RETRY), .err = EIO, .max_tries = 6 },           "TASK ABORTED" },
  { LUNFS_STATUS_ACA_ACTIVE,           { ACT (SESSION_DEAD), .err = EIO },                    "ACA ACTIVE" },
  { LUNFS_STATUS_NONE,                 { ACT (SESSION_DEAD), .err = EIO },                    "no status" },
  { LUNFS_STATUS_CHECK_CONDITION,      { ACT (RETRY), .err = EIO, .max_tries = 2 },           "CHECK CONDITION" },
};
/* clang-format on */

static const LunfsVerdict unknown_status = { .action = LUNFS_ACT_SESSION_DEAD, .err = EIO };
static const LunfsVerdict unknown_sense = { .action = LUNFS_ACT_FAIL, .err = EIO, .max_tries = 1 };

static const char *const key_names[16] = {
  "NO SENSE",       "RECOVERED ERROR", "NOT READY",   "MEDIUM ERROR",    "HARDWARE ERROR", "ILLEGAL REQUEST",
  "UNIT ATTENTION", "DATA PROTECT",    "BLANK CHECK", "VENDOR SPECIFIC", "COPY ABORTED",   "ABORTED COMMAND",
  "key 0xc",        "VOLUME OVERFLOW", "MISCOMPARE",  "COMPLETED",
};

/* Bytes of sense data that are really there: what came, cut at ADDITIONAL SENSE LENGTH. */
static size_t
sense_bytes (const uint8_t *buf, size_t len)
{
  return MIN (len, (size_t) buf[7] + 8);
}

/* SPC-4 4.5.3 */
static void
parse_fixed (const uint8_t *buf, size_t n, LunfsSense *sense)
{
  sense->key = buf[2] & 0x0f;
  if (buf[0] & 0x80) {
    sense->has_info = true;
    sense->info = lunfs_get_be32 (buf + 3);
  }
  if (n > 12)
    sense->asc = buf[12];
  if (n > 13)
    sense->ascq = buf[13];
}

/* SPC-4 4.5.2.2: the information descriptor, type 00h. */
static bool
parse_info_descriptor (const uint8_t *desc, size_t n, uint64_t *out_info)
{
  if (n < 12 || desc[0] != 0x00 || desc[1] < 0x0a || !(desc[2] & 0x80))
    return false;
  *out_info = lunfs_get_be64 (desc + 4);
  return true;
}

/* SPC-4 4.5.2 */
static void
parse_descriptors (const uint8_t *buf, size_t n, LunfsSense *sense)
{
  size_t off = 8;

  sense->key = buf[1] & 0x0f;
  sense->asc = buf[2];
  sense->ascq = buf[3];
  while (off + 2 <= n && !sense->has_info) {
    sense->has_info = parse_info_descriptor (buf + off, n - off, &sense->info);
    off += 2 + (size_t) buf[off + 1];
  }
}

void
lunfs_sense_parse (const uint8_t *buf, size_t len, LunfsSense *out)
{
  uint8_t code;

  *out = (LunfsSense){ .valid = false };
  if (buf == NULL || len < 8)
    return;
  code = buf[0] & 0x7f;
  if (code < 0x70 || code > 0x73) /* reserved, or 7Fh vendor specific */
    return;
  out->valid = true;
  out->deferred = code & 1;
  if (code <= 0x71)
    parse_fixed (buf, sense_bytes (buf, len), out);
  else
    parse_descriptors (buf, sense_bytes (buf, len), out);
}

static bool
row_fits (const Row *row, const LunfsSense *sense, LunfsCmdKind kind)
{
  return row->key == sense->key && (row->asc == ANY || row->asc == sense->asc)
         && (row->ascq == ANY || row->ascq == sense->ascq) && (row->kinds & (1u << kind)) != 0;
}

static const Row *
find_row (const LunfsSense *sense, LunfsCmdKind kind)
{
  for (size_t i = 0; i < G_N_ELEMENTS (table); i++)
    if (row_fits (&table[i], sense, kind))
      return &table[i];
  return NULL;
}

/* SPC-4 4.5.5: deferred sense is about an earlier command that had been answered with GOOD, and the command
 * that brought the news was not executed.  So even a recovered error means: send this one again. */
static LunfsVerdict
verdict_deferred (const LunfsSense *sense)
{
  bool harmless = sense->key == LUNFS_KEY_NO_SENSE || sense->key == LUNFS_KEY_RECOVERED;

  return (LunfsVerdict){
    .action = LUNFS_ACT_UNIT_ATTENTION,
    .err = EIO,
    .max_tries = UA_TRIES,
    .ua = harmless ? 0 : LUNFS_UA_DEFERRED,
  };
}

static LunfsVerdict
verdict_sense (const LunfsSense *sense, LunfsCmdKind kind)
{
  const Row *row;

  if (sense->deferred)
    return verdict_deferred (sense);
  row = find_row (sense, kind);
  if (row == NULL)
    return unknown_sense;
  return (LunfsVerdict){
    .action = row->action,
    .err = kind == LUNFS_CMD_READ ? row->err_read : row->err_write,
    .max_tries = row->max_tries,
    .delay_ms = row->delay_ms,
    .ua = row->ua,
  };
}

LunfsVerdict
lunfs_sense_verdict (unsigned status, const LunfsSense *sense, LunfsCmdKind kind)
{
  if (status == LUNFS_STATUS_CHECK_CONDITION && sense != NULL && sense->valid)
    return verdict_sense (sense, kind);
  for (size_t i = 0; i < G_N_ELEMENTS (statuses); i++)
    if (statuses[i].status == status)
      return statuses[i].verdict;
  return unknown_status;
}

static const char *
status_text (unsigned status, char *buf, size_t size)
{
  for (size_t i = 0; i < G_N_ELEMENTS (statuses); i++)
    if (statuses[i].status == status) {
      snprintf (buf, size, "%s%s", statuses[i].text, status == LUNFS_STATUS_CHECK_CONDITION ? " without sense" : "");
      return buf;
    }
  snprintf (buf, size, "status 0x%02x", status);
  return buf;
}

const char *
lunfs_sense_text (unsigned status, const LunfsSense *sense, char *buf, size_t size)
{
  const Row *row;
  const char *name;
  char info[32] = "";

  if (status != LUNFS_STATUS_CHECK_CONDITION || sense == NULL || !sense->valid)
    return status_text (status, buf, size);
  row = find_row (sense, LUNFS_CMD_READ); /* the kind makes no difference to the name */
  name = row ? row->text : NULL;
  if (sense->has_info)
    snprintf (info, sizeof info, ", info 0x%" G_GINT64_MODIFIER "x", sense->info);
  snprintf (buf, size, "%s%s %02X/%02X%s%s%s%s", sense->deferred ? "deferred " : "", key_names[sense->key & 0x0f],
            sense->asc, sense->ascq, name ? " (" : "", name ? name : "", name ? ")" : "", info);
  return buf;
}
