/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a test makes of the target, and what it may ask. */
#include "config.h"

#include "iscsi/ram-private.h"

#include <string.h>

LunfsRam *
lunfs_ram_new (const char *target_name, uint64_t nblocks, uint32_t block_size, uint64_t seed)
{
  LunfsRam *ram = g_new0 (LunfsRam, 1);

  ram->target_name = g_strdup (target_name);
  ram->conf.nblocks = ram->max_blocks = nblocks;
  ram->conf.block_size = block_size;
  ram->conf.refusal_asc = 0x20;
  ram->conf.naa = 0x123456789abcdef;
  ram->now = g_malloc0 (nblocks * block_size);
  ram->stable = g_malloc0 (nblocks * block_size);
  ram->dirty = g_malloc0 (nblocks);
  ram->mapped = g_malloc0 (nblocks);
  ram->random = seed * 0x9e3779b97f4a7c15 + 0x1234567;
  ram->faults = g_array_new (FALSE, TRUE, sizeof (LunfsRamFault));
  ram->log = g_array_new (FALSE, TRUE, sizeof (LunfsRamRecord));
  lunfs_ram_list (ram, true);
  return ram;
}

void
lunfs_ram_free (LunfsRam *ram)
{
  if (!ram)
    return;
  g_assert (ram->connections.length == 0);
  lunfs_ram_end_orphans (ram);
  lunfs_ram_list (ram, false);
  g_array_unref (ram->faults);
  g_array_unref (ram->log);
  g_free (ram->now);
  g_free (ram->stable);
  g_free (ram->dirty);
  g_free (ram->mapped);
  g_free (ram->target_name);
  g_free (ram);
}

LunfsRamConf *
lunfs_ram_conf (LunfsRam *ram)
{
  return &ram->conf;
}

LunfsRamStats *
lunfs_ram_stats (LunfsRam *ram)
{
  return &ram->stats;
}

const GArray *
lunfs_ram_log (LunfsRam *ram, bool clear)
{
  ram->logging = true;
  if (clear)
    g_array_set_size (ram->log, 0);
  return ram->log;
}

uint8_t *
lunfs_ram_data (LunfsRam *ram)
{
  return ram->now;
}

const uint8_t *
lunfs_ram_stable (LunfsRam *ram)
{
  return ram->stable;
}

void
lunfs_ram_fault (LunfsRam *ram, const LunfsRamFault *fault)
{
  g_array_append_val (ram->faults, *fault);
}

void
lunfs_ram_clear_faults (LunfsRam *ram)
{
  g_array_set_size (ram->faults, 0);
}

void
lunfs_ram_unit_attention (LunfsRam *ram, uint8_t asc, uint8_t ascq)
{
  for (GList *l = ram->connections.head; l; l = l->next) {
    LunfsRamConnection *connection = l->data;

    if (connection->nattentions < G_N_ELEMENTS (connection->attentions))
      connection->attentions[connection->nattentions++] = (uint16_t) (asc << 8 | ascq);
  }
}

void
lunfs_ram_not_ready (LunfsRam *ram, uint8_t ascq)
{
  ram->not_ready = ascq;
}

void
lunfs_ram_drop (LunfsRam *ram, const char *why)
{
  for (GList *l = ram->connections.head; l; l = l->next) {
    LunfsRamConnection *connection = l->data;

    for (GList *c = connection->tasks.head; c; c = c->next) {
      LunfsRamTask *task = lunfs_ram_task (c->data);

      if (!task->executed && connection->state == LUNFS_RAM_UP && lunfs_ram_roll (ram, 2)) {
        lunfs_ram_execute (ram, task->cmd);
        task->executed = true;
      }
    }
    if (connection->state == LUNFS_RAM_LOGIN) { /* what dies during login says so by login() */
      connection->outcome = LUNFS_LOGIN_TRANSPORT;
      connection->silent_login = false;
    } else {
      lunfs_ram_end_connection (connection, why);
    }
  }
}

void
lunfs_ram_power_loss (LunfsRam *ram, unsigned survive_percent)
{
  uint32_t bs = ram->conf.block_size;

  lunfs_ram_drop (ram, "the target lost power");
  lunfs_ram_forget_reservations (ram);
  for (uint64_t lba = 0; lba < ram->max_blocks; lba++) {
    if (!ram->dirty[lba])
      continue;
    if (lunfs_ram_roll (ram, 100) < survive_percent)
      lunfs_ram_make_stable (ram, lba);
    memcpy (ram->now + lba * bs, ram->stable + lba * bs, bs);
    ram->dirty[lba] = 0;
    ram->mapped[lba] = 1;
  }
}

void
lunfs_ram_refuse (LunfsRam *ram, LunfsLoginOutcome outcome, unsigned times)
{
  ram->refuse_outcome = outcome;
  ram->refuse_times = times;
}

void
lunfs_ram_fail_open (LunfsRam *ram, unsigned times)
{
  ram->fail_times = times;
}

void
lunfs_ram_mute (LunfsRam *ram, bool mute)
{
  ram->mute = mute;
  for (GList *l = ram->connections.head; l && !mute; l = l->next) {
    LunfsRamConnection *connection = l->data;

    if (connection->state == LUNFS_RAM_LOGIN || (connection->state == LUNFS_RAM_DEAD && !connection->leaving))
      lunfs_lane_arm (connection->lane, &connection->timer, 0);
    for (GList *c = connection->tasks.head; c; c = c->next) {
      LunfsRamTask *task = lunfs_ram_task (c->data);

      if (task->held) {
        task->held = false;
        lunfs_lane_arm (connection->lane, &task->timer, 0);
      }
    }
  }
}
