/* SPDX-License-Identifier: GPL-2.0-or-later */
/* open-iscsi's database as iscsiadm keeps it: text files of "name = value" lines.
 *
 *   DIR/nodes/TARGET/ADDRESS,PORT,TPGT/IFACE   one record for each target, portal and interface; older ones end at the portal
 *   DIR/send_targets/ADDRESS,PORT/st_config    portals that were asked; older ones end before st_config
 *   DIR/iscsid.conf                            what new records begin with
 *
 * Reads only; decides nothing. */
#ifndef LUNFS_NODEDB_H
#define LUNFS_NODEDB_H

#include <glib.h>
#include <stdbool.h>

typedef struct {
  char *path;         /* below DIR, for messages */
  GHashTable *values; /* name -> value */
} LunfsNodeRecord;

typedef struct {
  GPtrArray *nodes, *portals; /* LunfsNodeRecord, sorted by path */
  LunfsNodeRecord *defaults;  /* iscsid.conf; empty if there is none */
  GPtrArray *warnings;        /* char*: what could not be read, or is of a kind that is not */
} LunfsNodeDb;

/* NULL with @error: there is no database. */
LunfsNodeDb *lunfs_nodedb_read (const char *dir, GError **error);
void lunfs_nodedb_free (LunfsNodeDb *db);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LunfsNodeDb, lunfs_nodedb_free)

LunfsNodeRecord *lunfs_node_record_parse (const char *path, const char *text);
void lunfs_node_record_free (LunfsNodeRecord *record);
/* NULL: not there, or empty, or "<empty>" as iscsiadm prints it. */
const char *lunfs_node_record_get (const LunfsNodeRecord *record, const char *name);

#endif
