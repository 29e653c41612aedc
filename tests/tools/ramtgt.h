/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ramtgt: a small iSCSI target that keeps its LUNs in memory, for tests and measurements.  Loopback only.
 *
 *   ramtgt-main.c       options, listening socket, signals, control socket
 *   ramtgt-conn.c       one connection: receive window, batches of output, delayed sender, list of sessions
 *   ramtgt-login.c      login and text negotiation
 *   ramtgt-pdu.c        PDU dispatch, sequence numbers, data transfer of commands
 *   ramtgt-scsi.c       table of SCSI commands; transfer and provisioning commands
 *   ramtgt-inquiry.c    commands that describe the unit: INQUIRY, VPD, capacity, mode pages, REPORT LUNS
 *   ramtgt-lun.c        memory of a LUN and the bitmap of its provisioned pages
 *   ramtgt-stats.c      counters and their JSON
 *
 * Every file includes this one first.
 *
 * Threads: main waits for signals; one thread accepts; one serves the control socket; each connection has one
 * thread that does everything, and with --latency-us a second one that sends what is due.  A connection's
 * fields belong to its thread unless a comment says otherwise. */
#ifndef RAMTGT_H
#define RAMTGT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <endian.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

enum {
  BHS_LEN = 48,
  RECV_WINDOW = 1 << 20,  /* at most this much of the peer's data is held */
  TEXT_MAX = 16384,       /* login or text data in one exchange */
  SCRATCH_MAX = 32768,    /* largest reply that is not LUN data */
  PARAM_LIST_MAX = 65536, /* largest parameter list of a command */
  TASKS_MAX = 512,        /* commands of a connection that wait for data; also the largest command window */
  BATCH_PDUS = 256,
  BATCH_HEAP = 2 * SCRATCH_MAX,
  BATCH_BYTES = 4 << 20,
  BATCHES_MAX = 512, /* delayed batches of a connection */
  LUN_PAGE = 4096,   /* granularity of provisioning */
  UNMAP_DESCRIPTORS_MAX = 256,
};

/* --- options -----------------------------------------------------------------------------------------------
 */

typedef struct Conf {
  uint64_t port, nluns, first_lun, size, block_size, physical_exponent;
  uint64_t mrdsl, first_burst, max_burst, latency_us, cmdsn_window;
  uint64_t max_transfer, max_unmap, max_ws; /* blocks; 0 = no limit reported */
  const char *iqn, *file, *serial, *control;
  bool initial_r2t, immediate_data, thin, populate;
  bool wce, dpofua, unmap, write_same, rw16, write_protect, unit_attention;
  bool provisioning; /* unmap or write_same */
} Conf;

extern Conf rt_conf; /* written by main () before any thread starts */

/* --- counters ----------------------------------------------------------------------------------------------
 */

typedef enum Stat {
  STAT_CONNECTIONS,
  STAT_LOGINS,
  STAT_DISCOVERY_LOGINS,
  STAT_LOGIN_FAILURES,
  STAT_REINSTATEMENTS,
  STAT_LOGOUTS,
  STAT_READ_BYTES,
  STAT_WRITE_BYTES,
  STAT_SYNCS,
  STAT_FUA_WRITES,
  STAT_FUA_READS,
  STAT_UNMAPPED_BYTES,
  STAT_DATA_OUTS,
  STAT_R2TS,
  STAT_NOPS,
  STAT_TMFS,
  STAT_UNIT_ATTENTIONS,
  STAT_CHECK_CONDITIONS,
  STAT_WINDOW_OVERRUNS, /* commands beyond MaxCmdSN: the initiator's mistake */
  STAT_CMDSN_GAPS,      /* commands out of order: the same */
  STAT_PROTOCOL_ERRORS, /* connections closed for a peer's violation */
  STAT_COUNT
} Stat;

void stat_add (Stat stat, uint64_t n);
void stat_reset (void);
/* One line of JSON with its newline; free with free (). */
char *stat_json (void);

/* --- LUNs --------------------------------------------------------------------------------------------------
 */

typedef struct Lun {
  uint32_t number;
  uint8_t *mem; /* size bytes; shared by all connections without a lock, like a disk */
  uint64_t size, nblocks;
  int fd;          /* backing file or -1 */
  uint64_t *pages; /* bit = page is provisioned; atomic */
  char serial[48];
  uint8_t naa[16];
} Lun;

bool luns_open (void);
Lun *lun_find (uint32_t number); /* NULL if there is none */
Lun *lun_nth (uint32_t index);
/* Note that [offset, offset + len) holds data. */
void lun_provision (Lun *lun, uint64_t offset, uint64_t len);
/* Zero the range; its whole pages lose their provisioning unless @keep. */
void lun_zero (Lun *lun, uint64_t offset, uint64_t len, bool keep);
/* Length of the run of equally provisioned pages from @offset, at most @limit; *out_mapped says which. */
uint64_t lun_extent (Lun *lun, uint64_t offset, uint64_t limit, bool *out_mapped);

/* --- connections -------------------------------------------------------------------------------------------
 */

/* Output that leaves with one sendmsg: headers and small data are its own, LUN data is sent from where it is.
 */
typedef struct Batch {
  struct Batch *next;
  uint64_t due_ns;
  size_t bytes;
  unsigned niov, nhdr, heap_used;
  struct iovec iov[3 * BATCH_PDUS];
  uint8_t hdr[BATCH_PDUS][BHS_LEN];
  uint8_t heap[BATCH_HEAP];
} Batch;

typedef struct Params { /* what login negotiated */
  uint32_t max_burst, first_burst, initial_r2t, immediate_data;
  uint32_t peer_mrdsl; /* what the initiator takes in one PDU */
} Params;

typedef struct Conn Conn;
typedef struct ScsiOp ScsiOp;

typedef struct Cmd { /* one SCSI command, from its PDU to its status */
  Conn *conn;
  Lun *lun;
  const ScsiOp *op;
  uint8_t cdb[16];
  uint32_t itt, edtl, lun_number;
  bool used, immediate, reads, writes;
  uint8_t status, key;
  uint16_t asc; /* ASC << 8 | ASCQ */
  uint64_t lba, nblocks;
  const uint8_t *in; /* data for the initiator */
  uint64_t in_len;
  uint8_t *scratch; /* SCRATCH_MAX zeroed bytes that live until the reply is sent */
  uint8_t *out;     /* where the initiator's data goes; NULL = nowhere */
  uint64_t out_len;
  uint8_t *param;       /* out, when it is a parameter list of our own */
  uint32_t ttt, r2t_sn; /* transfer of Data-Out */
  uint32_t got, asked;
} Cmd;

typedef enum Phase { PHASE_LOGIN, PHASE_FULL, PHASE_CLOSING } Phase;

struct Conn {
  int fd;
  Phase phase;
  bool failed; /* atomic: also set by the sender */
  uint8_t *window;
  size_t start, end; /* received and not yet used: window[start, end) */
  Batch *out;
  uint32_t stat_sn, exp_cmdsn, max_cmdsn;
  Params params;
  /* login */
  char initiator[224];
  uint8_t isid[6];
  uint16_t tsih;
  bool discovery, named;
  char *text;
  uint32_t text_len;
  /* commands */
  Cmd tasks[TASKS_MAX];
  uint32_t next_ttt;
  bool *attention; /* one per LUN: unit attention not yet reported */
  /* Delayed output; protected by lock. */
  pthread_mutex_t lock;
  pthread_cond_t cond;
  pthread_t sender;
  Batch *queue, **queue_tail, *spare;
  unsigned nbatches;
  bool sender_stop;
  /* List of connections; protected by its lock. */
  Conn *next;
  bool registered;
};

bool conn_start (int fd); /* takes fd */
void conn_drop_all (void);
/* End the sessions with the same initiator and ISID, wait for their threads, then count as the session. */
void conn_register (Conn *c);
void conn_fail (Conn *c);
bool conn_failed (Conn *c);

/* Make at least @want bytes available at window[start]. */
bool conn_fill (Conn *c, size_t want);
/* Move a data segment with its padding to @dst; NULL drops it. */
bool conn_take (Conn *c, uint8_t *dst, uint32_t len);

/* Make sure that @npdus headers and @heap bytes fit into the batch; sends it if not. */
void conn_reserve (Conn *c, unsigned npdus, unsigned heap);
uint8_t *conn_heap (Conn *c, unsigned len); /* zeroed; after conn_reserve () */
uint8_t *conn_pdu (Conn *c, uint8_t opcode, uint8_t flags, uint32_t itt);
void conn_attach (Conn *c, uint8_t *hdr, const uint8_t *data, uint32_t len);
void conn_flush (Conn *c);

/* --- PDUs and commands -------------------------------------------------------------------------------------
 */

bool login_pdu (Conn *c, const uint8_t *bhs, uint32_t len);
bool text_pdu (Conn *c, const uint8_t *bhs, uint32_t len);
/* Receive and serve one PDU; false = the connection is over. */
bool pdu_serve (Conn *c);
/* StatSN (taken if @status), ExpCmdSN and MaxCmdSN of a reply. */
void pdu_sequence (Conn *c, uint8_t *hdr, bool status);

enum { OP_WRITES = 1, OP_ANY_LUN = 2, OP_NO_ATTENTION = 4, OP_TRANSFER = 8 };

struct ScsiOp {
  uint8_t opcode;
  int8_t service_action; /* -1 = none */
  const char *name;
  unsigned flags;
  void (*start) (Cmd *cmd);  /* checks; sets in/in_len or out/out_len, or fails */
  void (*finish) (Cmd *cmd); /* when all of out is there; may be NULL */
  const bool *enabled;       /* NULL = always */
};

const ScsiOp *scsi_find (const uint8_t *cdb); /* NULL = no such command */
const ScsiOp *scsi_nth (unsigned index);      /* NULL after the last */
unsigned scsi_index (const ScsiOp *op);
void scsi_start (Cmd *cmd);
void scsi_finish (Cmd *cmd);
void scsi_fail (Cmd *cmd, uint8_t key, uint16_t asc);
void scsi_count (const ScsiOp *op); /* NULL = unknown command */

/* Reply with @len bytes of scratch, cut to the allocation length. */
void scsi_reply (Cmd *cmd, uint64_t len, uint64_t allocation);
/* Writes the 20 bytes of a sense data segment: length and fixed format. */
void scsi_sense (uint8_t *p, uint8_t key, uint16_t asc);

void op_inquiry (Cmd *cmd);
void op_read_capacity10 (Cmd *cmd);
void op_read_capacity16 (Cmd *cmd);
void op_mode_sense (Cmd *cmd);
void op_report_luns (Cmd *cmd);
void op_request_sense (Cmd *cmd);

enum { KEY_NONE = 0, KEY_ILLEGAL = 5, KEY_ATTENTION = 6, KEY_PROTECT = 7 };
enum {
  ASC_PARAM_LENGTH = 0x1a00,
  ASC_OPCODE = 0x2000,
  ASC_LBA_RANGE = 0x2100,
  ASC_CDB_FIELD = 0x2400,
  ASC_NO_LUN = 0x2500,
  ASC_PARAM_FIELD = 0x2600,
  ASC_PROTECTED = 0x2700,
  ASC_RESET = 0x2900,
  ASC_SAVING = 0x3900,
};

/* --- big endian --------------------------------------------------------------------------------------------
 */

static inline void
put16 (uint8_t *p, uint16_t v)
{
  v = htobe16 (v);
  memcpy (p, &v, sizeof v);
}

static inline void
put32 (uint8_t *p, uint32_t v)
{
  v = htobe32 (v);
  memcpy (p, &v, sizeof v);
}

static inline void
put64 (uint8_t *p, uint64_t v)
{
  v = htobe64 (v);
  memcpy (p, &v, sizeof v);
}

static inline uint16_t
get16 (const uint8_t *p)
{
  uint16_t v;
  memcpy (&v, p, sizeof v);
  return be16toh (v);
}

static inline uint32_t
get24 (const uint8_t *p)
{
  return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t
get32 (const uint8_t *p)
{
  uint32_t v;
  memcpy (&v, p, sizeof v);
  return be32toh (v);
}

static inline uint64_t
get64 (const uint8_t *p)
{
  uint64_t v;
  memcpy (&v, p, sizeof v);
  return be64toh (v);
}

static inline uint64_t
min64 (uint64_t a, uint64_t b)
{
  return a < b ? a : b;
}

#endif
