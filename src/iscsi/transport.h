/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One logged-in connection to one target, as the session room sees it.  Two implementations: libiscsi.c (libiscsi,
 * the only file that includes its headers) and ram.c (a disk in memory, for tests of everything to the left).
 *
 * A transport belongs to one lane and is never used twice: after dead() it can only be closed, and a new one opened.
 * Events and done() come from the lane's loop, never from inside submit().  The owner must not close() from inside an
 * event or a done(); it defers that to the end of the pass (lunfs_lane_defer). */
#ifndef LUNFS_TRANSPORT_H
#define LUNFS_TRANSPORT_H

#include "lane/lane.h"
#include "lunfs/settings.h"
#include "scsi/cdb.h"

#include <sys/uio.h>

typedef enum { LUNFS_XFER_NONE, LUNFS_XFER_IN, LUNFS_XFER_OUT } LunfsXfer;

#define LUNFS_SENSE_MAX 96

typedef struct LunfsCommand LunfsCommand;
struct LunfsCommand {
  GList link; /* the transport's, while submitted */
  uint8_t cdb[LUNFS_CDB_MAX];
  uint8_t cdb_len;
  LunfsXfer xfer;
  uint32_t xfer_bytes;
  struct iovec *iov; /* private to this command: libiscsi edits it while it sends */
  unsigned niov;

  /* answer, valid in done() */
  uint16_t status; /* SAM status, or LUNFS_STATUS_NONE: no answer, fate unknown */
  uint8_t sense_len;
  uint8_t sense[LUNFS_SENSE_MAX];
  uint32_t underflow_bytes; /* residual reported by the target */
  bool overflow;

  void (*done) (LunfsCommand *cmd); /* exactly once; the memory is the owner's again */
  void *owner;
  int64_t submit_us; /* lane clock, set by submit */

  bool answered; /* transport's own, like space: */
  _Alignas(16) unsigned char space[224];
};

typedef enum {
  LUNFS_LOGIN_OK,
  LUNFS_LOGIN_TRANSPORT, /* connect failed, connection lost: try again */
  LUNFS_LOGIN_BUSY,      /* service unavailable, out of resources, too many connections: try again */
  LUNFS_LOGIN_AUTH,      /* authentication or authorization failed: try again, seldom */
  LUNFS_LOGIN_NOT_FOUND, /* no such target here */
  LUNFS_LOGIN_NOT_DISK,  /* logged in, but the LUN is something else (the session's finding) */
  LUNFS_LOGIN_MOVED,     /* at another portal for now: the text is its address, as lunfs_address_split takes it */
  LUNFS_LOGIN_REFUSED,   /* any other refusal or protocol error */
  LUNFS_LOGIN_IN_USE,    /* another mount of this host writes to the LUN (the worker's finding) */
} LunfsLoginOutcome;

typedef struct {
  void (*login) (void *user, LunfsLoginOutcome outcome, const char *text);
  void (*dead) (void *user, const char *why); /* once, after a successful login */
  void (*pong) (void *user);                  /* answer to ping() */
  void (*logged_out) (void *user);
  /* Answer to lun_reset(): RFC 7143 11.6.1 response code, 0 = done; 255 = rejected. */
  void (*lun_was_reset) (void *user, unsigned response);
  /* Discovery sessions: one call per target and portal ("ip:port,tpgt"), then name NULL. */
  void (*target) (void *user, const char *name, const char *portal);
} LunfsTransportEvents;

typedef struct {
  const char *initiator_name;
  const char *target_name; /* NULL: a discovery session */
  const char *address;     /* numeric, IPv6 without brackets */
  uint16_t port;
  uint16_t lun;
  const char *user, *password, *target_user, *target_password;
  LunfsDigest header_digest;
  uint32_t isid_random; /* 24 bits */
  uint16_t isid_qualifier;
  unsigned tcp_user_timeout_ms;
  /* Pass through SecurityNegotiation even without CHAP: tgtd ends the older session of a nexus only there. */
  bool security_negotiation;
} LunfsConnConf;

typedef struct LunfsTransport LunfsTransport;
typedef struct {
  void (*submit) (LunfsTransport *t, LunfsCommand *cmd);
  void (*ping) (LunfsTransport *t); /* NOP-Out, at most one at a time */
  void (*logout) (LunfsTransport *t);
  /* Task management LOGICAL UNIT RESET (SAM-5 7.4): ends all commands of all nexuses at this LUN. */
  void (*lun_reset) (LunfsTransport *t);
  /* How long no byte has come from the target, in microseconds. */
  int64_t (*idle_us) (LunfsTransport *t);
  /* Drop the connection and free @t.  Every command still owned gets its done() before this returns. */
  void (*close) (LunfsTransport *t);
} LunfsTransportOps;
struct LunfsTransport {
  const LunfsTransportOps *ops;
};

/* Start connecting and logging in; the outcome comes by events->login, unless the owner closes first (its deadline).
 * @conf's strings are only read during the call.  NULL with @error if it cannot even start. */
typedef LunfsTransport *(*LunfsTransportOpen) (LunfsLane *lane, const LunfsConnConf *conf,
                                               const LunfsTransportEvents *events, void *user, GError **error);

#endif
