/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "supervisor/interface.h"

#include <stdio.h>
#include <string.h>

#include "lunfs/error.h"

LunfsInterface
lunfs_interface_own (void)
{
  return (LunfsInterface){
    .version = PACKAGE_VERSION,
    .protocol = LUNFS_PROTOCOL,
    .settings = LUNFS_SETTINGS_FORMAT,
    .arena = LUNFS_ARENA_VERSION,
    .layout = lunfs_arena_layout (),
  };
}

char *
lunfs_interface_to_text (const LunfsInterface *i)
{
  return g_strdup_printf ("lunfs-worker-interface version=%s protocol=%u settings=%u arena=%u layout=%08x\n",
                          i->version, i->protocol, i->settings, i->arena, i->layout);
}

bool
lunfs_interface_parse (const char *text, LunfsInterface *out)
{
  LunfsInterface i = { 0 };
  int used = -1;

  G_STATIC_ASSERT (sizeof i.version == 32);
  if (sscanf (text, "lunfs-worker-interface version=%31s protocol=%u settings=%u arena=%u layout=%x%n", i.version,
              &i.protocol, &i.settings, &i.arena, &i.layout, &used)
          != 5
      || used < 0 || strcmp (text + used, "\n") != 0)
    return false;
  *out = i;
  return true;
}

bool
lunfs_interface_fits (const LunfsInterface *ours, const LunfsInterface *theirs, GError **error)
{
  const struct {
    const char *what;
    uint32_t ours, theirs;
  } parts[] = {
    { "protocol", ours->protocol, theirs->protocol },
    { "format of the settings", ours->settings, theirs->settings },
    { "layout of the memory", ours->arena, theirs->arena },
    { "sizes in the memory", ours->layout, theirs->layout },
  };

  for (unsigned i = 0; i < G_N_ELEMENTS (parts); i++) {
    if (parts[i].ours == parts[i].theirs)
      continue;
    g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_MISFIT,
                 "lunfs %s cannot take over a mount of lunfs %s: %s %u, not %u; unmount and mount again to use it",
                 theirs->version, ours->version, parts[i].what, parts[i].theirs, parts[i].ours);
    return false;
  }
  return true;
}
