/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Status and sense -> what to do and which errno: the one table of the project.
 *
 * Pure: no I/O, no state, any thread.  Sources: SPC-4 4.5 (sense data), Table 42 ff. (keys), SAM-5 5.3
 * (status codes).  The session decides *when* to retry; this table decides *whether*. */
#ifndef LUNFS_SCSI_SENSE_H
#define LUNFS_SCSI_SENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SAM-5 table 33.  LUNFS_STATUS_NONE: the command got no status (session lost, PDU rejected). */
enum {
  LUNFS_STATUS_GOOD = 0x00,
  LUNFS_STATUS_CHECK_CONDITION = 0x02,
  LUNFS_STATUS_CONDITION_MET = 0x04,
  LUNFS_STATUS_BUSY = 0x08,
  LUNFS_STATUS_RESERVATION_CONFLICT = 0x18,
  LUNFS_STATUS_TASK_SET_FULL = 0x28,
  LUNFS_STATUS_ACA_ACTIVE = 0x30,
  LUNFS_STATUS_TASK_ABORTED = 0x40,
  LUNFS_STATUS_NONE = 0x100,
};

enum {
  LUNFS_KEY_NO_SENSE = 0x0,
  LUNFS_KEY_RECOVERED = 0x1,
  LUNFS_KEY_NOT_READY = 0x2,
  LUNFS_KEY_MEDIUM_ERROR = 0x3,
  LUNFS_KEY_HARDWARE_ERROR = 0x4,
  LUNFS_KEY_ILLEGAL_REQUEST = 0x5,
  LUNFS_KEY_UNIT_ATTENTION = 0x6,
  LUNFS_KEY_DATA_PROTECT = 0x7,
  LUNFS_KEY_ABORTED_COMMAND = 0xb,
  LUNFS_KEY_VOLUME_OVERFLOW = 0xd,
  LUNFS_KEY_MISCOMPARE = 0xe,
};

typedef struct {
  bool valid;    /* false: no or unusable sense data; the other fields are 0 */
  bool deferred; /* response code 71h/73h: it is about an earlier command */
  uint8_t key, asc, ascq;
  bool has_info; /* INFORMATION field valid: usually the LBA in error */
  uint64_t info;
} LunfsSense;

/* What the session does with a command that ended with this status and sense. */
typedef enum {
  LUNFS_ACT_DONE,           /* success */
  LUNFS_ACT_RETRY,          /* again at once, at most max_tries times in all */
  LUNFS_ACT_RETRY_LATER,    /* again after delay_ms, doubled each time with jitter, until the deadline or max_tries */
  LUNFS_ACT_BUSY,           /* not executed, queue too deep: as RETRY_LATER, and reduce the queue depth */
  LUNFS_ACT_WAIT_READY,     /* not ready: poll TEST UNIT READY every delay_ms until the deadline, then retry */
  LUNFS_ACT_START_UNIT,     /* START STOP UNIT (start) once, then retry */
  LUNFS_ACT_UNIT_ATTENTION, /* not executed: act on `ua`, then again at once (bounded by max_tries in a row) */
  LUNFS_ACT_FEATURE_OFF,    /* the target lacks this command or field: caller falls back */
  LUNFS_ACT_CAPACITY,       /* LBA out of range: READ CAPACITY again, then fail with err */
  LUNFS_ACT_LUN_GONE,       /* LOGICAL UNIT NOT SUPPORTED: the LUN is not there (now) */
  LUNFS_ACT_READ_ONLY,      /* write protected: LUN becomes read-only, fail with err */
  LUNFS_ACT_FENCE,          /* reservation: no retry, writes are fenced, fail with err */
  LUNFS_ACT_SPLIT,          /* medium error: retry, then narrow down to the block in error */
  LUNFS_ACT_SESSION_DEAD,   /* nothing on this session can be believed: log in again, replay */
  LUNFS_ACT_FAIL,           /* final, err */
} LunfsAction;

/* What a unit attention asks for (bits; SPC-4 5.14). */
enum {
  LUNFS_UA_RESET = 1 << 0,       /* 29/xx: verify identity, capacity, WCE, registrations; rewrite unstable data */
  LUNFS_UA_CAPACITY = 1 << 1,    /* 2A/09: READ CAPACITY */
  LUNFS_UA_MODE = 1 << 2,        /* 2A/01, 2A/00: MODE SENSE */
  LUNFS_UA_RESERVATION = 1 << 3, /* 2A/03, 2A/04, 2A/05: fence */
  LUNFS_UA_ALUA = 1 << 4,        /* 2A/06, 2A/07: REPORT TARGET PORT GROUPS */
  LUNFS_UA_INQUIRY = 1 << 5,     /* 3F/03: identity again */
  LUNFS_UA_LUNS = 1 << 6,        /* 3F/0E: REPORT LUNS */
  LUNFS_UA_THIN_LOW = 1 << 7,    /* 38/07: thin provisioning soft threshold */
  LUNFS_UA_DEFERRED = 1 << 8,    /* deferred sense: an earlier write, answered GOOD, is lost: rewrite unstable data,
                                     and latch an error for fsync if there is none to rewrite */
};

typedef struct {
  LunfsAction action;
  int err;            /* positive errno if the action is final or its tries are used up; 0 for DONE */
  unsigned max_tries; /* attempts in all, the first one included; 0 = until the request's deadline */
  unsigned delay_ms;  /* first delay of RETRY_LATER, BUSY, WAIT_READY */
  unsigned ua;        /* LUNFS_UA_* for UNIT_ATTENTION; LUNFS_UA_ALUA with WAIT_READY: another portal may serve */
} LunfsVerdict;

/* What kind of command it was: the same sense means different errnos for a read and a write. */
typedef enum { LUNFS_CMD_READ, LUNFS_CMD_WRITE, LUNFS_CMD_OTHER } LunfsCmdKind;

/* Parse fixed (70h, 71h) or descriptor (72h, 73h) sense data of @len bytes at @buf (without iSCSI's two
 * length bytes).  Short, empty or unknown data gives valid=false; never reads past @len. */
void lunfs_sense_parse (const uint8_t *buf, size_t len, LunfsSense *out);

/* The table.  @status: SAM status or LUNFS_STATUS_NONE; @sense may be NULL. */
LunfsVerdict lunfs_sense_verdict (unsigned status, const LunfsSense *sense, LunfsCmdKind kind);

/* "NOT READY 04/01 (becoming ready)" style text into @buf, for logs and the status file; returns @buf. */
const char *lunfs_sense_text (unsigned status, const LunfsSense *sense, char *buf, size_t size);

#endif
