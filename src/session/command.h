/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LunfsRequest -> one SCSI command.  Pure. */
#ifndef LUNFS_COMMAND_H
#define LUNFS_COMMAND_H

#include "iscsi/transport.h"
#include "lunfs/request.h"
#include "scsi/sense.h"

/* Parameter data that a command carries besides the request's own data. */
#define LUNFS_PARAM_BYTES 32

typedef struct {
  uint32_t block_size; /* bytes, a power of two */
  bool use10;          /* the target lacks the 16-byte forms */
  bool dpofua;
  const uint8_t *zeroes; /* at least one block of zeroes, for WRITE SAME */
} LunfsCommandForm;

/* Fill @cmd's cdb, xfer and iov for @req (whole blocks, small enough for one command).
 * @iov: room for req->niov elements, at least 1; becomes cmd->iov.  @param: LUNFS_PARAM_BYTES bytes for parameter lists
 * and short answers, kept until the command is done. */
void lunfs_command_build (LunfsCommand *cmd, const LunfsRequest *req, const LunfsCommandForm *form, struct iovec *iov,
                          uint8_t *param);
LunfsCmdKind lunfs_command_kind (const LunfsRequest *req);
/* Time allowed for the answer, in milliseconds; @cmd_timeout_ms is for reads and writes. */
int64_t lunfs_command_limit_ms (const LunfsRequest *req, int64_t cmd_timeout_ms);

#endif
