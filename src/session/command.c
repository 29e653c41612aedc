/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "session/command.h"

#include <string.h>

static void
data_in_param (LunfsCommand *cmd, LunfsXfer xfer, void *data, uint32_t bytes, struct iovec *iov)
{
  iov[0] = (struct iovec){ data, bytes };
  cmd->iov = iov;
  cmd->niov = 1;
  cmd->xfer = xfer;
  cmd->xfer_bytes = bytes;
}

static void
data_of_request (LunfsCommand *cmd, LunfsXfer xfer, const LunfsRequest *req, struct iovec *iov)
{
  memcpy (iov, req->iov, req->niov * sizeof *iov);
  cmd->iov = iov;
  cmd->niov = req->niov;
  cmd->xfer = xfer;
  cmd->xfer_bytes = (uint32_t) req->length;
}

void
lunfs_command_build (LunfsCommand *cmd, const LunfsRequest *req, const LunfsCommandForm *form, struct iovec *iov,
                     uint8_t *param)
{
  uint64_t lba = req->offset / form->block_size;
  uint32_t nblocks = (uint32_t) (req->length / form->block_size);
  bool ten = form->use10 && lba + nblocks <= UINT32_MAX && nblocks <= UINT16_MAX;

  cmd->iov = NULL;
  cmd->niov = 0;
  cmd->xfer = LUNFS_XFER_NONE;
  cmd->xfer_bytes = 0;
  switch (req->op) {
  case LUNFS_OP_READ:
    cmd->cdb_len = (uint8_t) lunfs_cdb_read (cmd->cdb, ten, lba, nblocks);
    data_of_request (cmd, LUNFS_XFER_IN, req, iov);
    break;
  case LUNFS_OP_WRITE:
    cmd->cdb_len =
        (uint8_t) lunfs_cdb_write (cmd->cdb, ten, lba, nblocks, form->dpofua && (req->flags & LUNFS_REQ_FUA));
    data_of_request (cmd, LUNFS_XFER_OUT, req, iov);
    break;
  case LUNFS_OP_FLUSH:
    cmd->cdb_len = (uint8_t) (form->use10 ? lunfs_cdb_sync_cache10 (cmd->cdb) : lunfs_cdb_sync_cache16 (cmd->cdb));
    break;
  case LUNFS_OP_DISCARD:
    if (req->flags & LUNFS_REQ_UNMAP) {
      lunfs_unmap_param (param, lba, nblocks);
      cmd->cdb_len = (uint8_t) lunfs_cdb_unmap (cmd->cdb, LUNFS_UNMAP_PARAM_BYTES);
      data_in_param (cmd, LUNFS_XFER_OUT, param, LUNFS_UNMAP_PARAM_BYTES, iov);
      break;
    }
    /* fall through */
  case LUNFS_OP_ZERO:
    cmd->cdb_len = (uint8_t) lunfs_cdb_write_same16 (cmd->cdb, lba, nblocks, req->op == LUNFS_OP_DISCARD);
    data_in_param (cmd, LUNFS_XFER_OUT, (void *) form->zeroes, form->block_size, iov);
    break;
  case LUNFS_OP_EXTENT:
    memset (param, 0, LUNFS_PARAM_BYTES);
    cmd->cdb_len = (uint8_t) lunfs_cdb_get_lba_status (cmd->cdb, lba, 24);
    data_in_param (cmd, LUNFS_XFER_IN, param, 24, iov); /* header and one descriptor */
    break;
  }
}

LunfsCmdKind
lunfs_command_kind (const LunfsRequest *req)
{
  switch (req->op) {
  case LUNFS_OP_READ:
    return LUNFS_CMD_READ;
  case LUNFS_OP_WRITE:
  case LUNFS_OP_DISCARD:
  case LUNFS_OP_ZERO:
    return LUNFS_CMD_WRITE;
  default:
    return LUNFS_CMD_OTHER;
  }
}

int64_t
lunfs_command_limit_ms (const LunfsRequest *req, int64_t cmd_timeout_ms)
{
  switch (req->op) {
  case LUNFS_OP_READ:
  case LUNFS_OP_WRITE:
  case LUNFS_OP_EXTENT:
    return cmd_timeout_ms;
  default: /* caches to empty, ranges to deallocate: a slow disk may take minutes honestly */
    return MAX (cmd_timeout_ms, 120000);
  }
}
