/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iSNS (RFC 4171): asks a name server which iSCSI targets it knows, and at which portals.  Client only, one question.
 *
 * The two in the middle are pure; lunfs_isns_ask blocks: for programs that have nothing else to do. */
#ifndef LUNFS_ISNS_H
#define LUNFS_ISNS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define LUNFS_ISNS_PORT 3205

/* The whole PDU of a DevAttrQry for all targets, as @initiator_name. */
GByteArray *lunfs_isns_query (const char *initiator_name, uint16_t transaction);
/* The payload of the answer, of all its PDUs together: char* "PORTAL,TAG NAME", as LunfsFound.lines, into @lines.  False with
 * @error: it is none, or the server refuses. */
bool lunfs_isns_parse (const uint8_t *payload, size_t len, GPtrArray *lines, GError **error);

/* char*, as above.  @timeout_s: to connect, and then for the whole answer.  NULL with @error. */
GPtrArray *lunfs_isns_ask (const char *host, uint16_t port, const char *initiator_name, unsigned timeout_s,
                           GError **error);

#endif
