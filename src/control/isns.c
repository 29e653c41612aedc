/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PDU: version 2, function 2, length 2, flags 2, transaction 2, sequence 2, then the payload: attributes, each tag 4,
 * length 4, value padded to four bytes; in an answer behind a status of 4 bytes.  All big-endian (RFC 4171 5.1, 6.1).
 *
 * A server answers with objects: a node's name, then its portals (16, 17) or portal groups (49, 50, 51), as asked for. */
#include "config.h"

#include "control/isns.h"

#include "control/url.h"
#include "lunfs/error.h"
#include "util/bytes.h"

#include <gio/gio.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 12
#define ISNS_VERSION 1
#define DEV_ATTR_QRY 0x0002
#define DEV_ATTR_QRY_RSP 0x8002
#define FLAG_CLIENT 0x8000
#define FLAG_LAST 0x0800
#define FLAG_FIRST 0x0400
#define ANSWER_MAX (4u << 20)
#define MAX_LINES 8192

enum {
  TAG_DELIMITER = 0,
  TAG_PORTAL_IP = 16,
  TAG_PORTAL_PORT = 17,
  TAG_NAME = 32,
  TAG_NODE_TYPE = 33,
  TAG_PG_IP = 49,
  TAG_PG_PORT = 50,
  TAG_PG_TAG = 51,
};
enum {
  STATUS_SOURCE_UNKNOWN = 6,
  STATUS_SOURCE_UNAUTHORIZED = 8,
  STATUS_NO_SUCH_ENTRY = 9,
};
#define NODE_TYPE_TARGET 1
#define PORT_IS_UDP 0x10000

/* ---- the question ---- */

static void
put16 (GByteArray *to, uint16_t value)
{
  value = GUINT16_TO_BE (value);
  g_byte_array_append (to, (const guint8 *) &value, sizeof value);
}

static void
put_attribute (GByteArray *to, uint32_t tag, const void *value, uint32_t len)
{
  static const uint8_t zeroes[4];
  uint32_t head[2] = { GUINT32_TO_BE (tag), GUINT32_TO_BE ((len + 3) / 4 * 4) };

  g_byte_array_append (to, (const guint8 *) head, sizeof head);
  g_byte_array_append (to, value, len);
  g_byte_array_append (to, zeroes, (4 - len % 4) % 4);
}

GByteArray *
lunfs_isns_query (const char *initiator_name, uint16_t transaction)
{
  static const uint32_t wanted[] = { TAG_NAME, TAG_PORTAL_IP, TAG_PORTAL_PORT, TAG_PG_IP, TAG_PG_PORT, TAG_PG_TAG };
  g_autoptr (GByteArray) payload = g_byte_array_new ();
  GByteArray *pdu = g_byte_array_new ();
  uint32_t type = GUINT32_TO_BE (NODE_TYPE_TARGET);

  put_attribute (payload, TAG_NAME, initiator_name, (uint32_t) strlen (initiator_name) + 1);
  put_attribute (payload, TAG_NODE_TYPE, &type, sizeof type);
  put_attribute (payload, TAG_DELIMITER, "", 0);
  for (unsigned i = 0; i < G_N_ELEMENTS (wanted); i++)
    put_attribute (payload, wanted[i], "", 0);
  put16 (pdu, ISNS_VERSION);
  put16 (pdu, DEV_ATTR_QRY);
  put16 (pdu, (uint16_t) payload->len);
  put16 (pdu, FLAG_CLIENT | FLAG_LAST | FLAG_FIRST);
  put16 (pdu, transaction);
  put16 (pdu, 0);
  g_byte_array_append (pdu, payload->data, payload->len);
  return pdu;
}

/* ---- the answer ---- */

/* What the attributes before have said. */
typedef struct {
  char *name;
  char portal[INET6_ADDRSTRLEN + 16]; /* "" = none complete */
  char ip[INET6_ADDRSTRLEN + 2];
  GPtrArray *lines;
  GHashTable *places; /* "PORTAL NAME" -> its place in the lines, plus one */
} Reader;

static void
add_line (Reader *r, unsigned tag)
{
  g_autofree char *key = NULL, *line = NULL;
  unsigned place;

  if (!r->name || !r->portal[0])
    return;
  key = g_strdup_printf ("%s %s", r->portal, r->name);
  line = g_strdup_printf ("%s,%u %s", r->portal, tag, r->name);
  place = GPOINTER_TO_UINT (g_hash_table_lookup (r->places, key));
  if (place && tag != 1) { /* 1 is what is said of a portal without a group */
    g_free (r->lines->pdata[place - 1]);
    r->lines->pdata[place - 1] = g_steal_pointer (&line);
  } else if (!place && r->lines->len < MAX_LINES) {
    g_ptr_array_add (r->lines, g_steal_pointer (&line));
    g_hash_table_insert (r->places, g_steal_pointer (&key), GUINT_TO_POINTER (r->lines->len));
  }
}

static void
take_ip (Reader *r, const uint8_t *value)
{
  static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
  char text[INET6_ADDRSTRLEN];

  if (memcmp (value, mapped, sizeof mapped) == 0) {
    inet_ntop (AF_INET, value + sizeof mapped, text, sizeof text);
    g_strlcpy (r->ip, text, sizeof r->ip);
  } else {
    inet_ntop (AF_INET6, value, text, sizeof text);
    snprintf (r->ip, sizeof r->ip, "[%s]", text);
  }
  r->portal[0] = '\0';
}

static void
take_attribute (Reader *r, uint32_t tag, const uint8_t *value, uint32_t len)
{
  uint32_t number = len == 4 ? lunfs_get_be32 (value) : 0;

  switch (tag) {
  case TAG_NAME:
    g_free (r->name);
    r->name = g_strndup ((const char *) value, len);
    if (!lunfs_iscsi_name_valid (r->name))
      g_clear_pointer (&r->name, g_free);
    r->portal[0] = r->ip[0] = '\0';
    break;
  case TAG_PORTAL_IP:
  case TAG_PG_IP:
    if (len == 16)
      take_ip (r, value);
    break;
  case TAG_PORTAL_PORT:
  case TAG_PG_PORT:
    r->portal[0] = '\0';
    if (r->ip[0] && number > 0 && number < PORT_IS_UDP)
      snprintf (r->portal, sizeof r->portal, "%s:%u", r->ip, number);
    if (tag == TAG_PORTAL_PORT)
      add_line (r, 1);
    break;
  case TAG_PG_TAG:
    if (len == 4 && number <= UINT16_MAX)
      add_line (r, number);
    break;
  default:
    break;
  }
}

static bool
bad (GError **error, const char *why)
{
  g_set_error (error, LUNFS_ERROR, LUNFS_EXIT_FAILED, "the iSNS server's answer %s", why);
  return false;
}

/* RFC 4171, 5.4 */
static const char *
status_text (uint32_t status)
{
  switch (status) {
  case STATUS_SOURCE_UNKNOWN:
    return "it does not know our initiator name";
  case STATUS_SOURCE_UNAUTHORIZED:
    return "it does not allow our initiator name";
  default:
    return "RFC 4171, 5.4 says what that is";
  }
}

bool
lunfs_isns_parse (const uint8_t *payload, size_t len, GPtrArray *lines, GError **error)
{
  g_autoptr (GHashTable) places = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  Reader r = { .lines = lines, .places = places };
  uint32_t status;
  size_t at = 4;

  if (len < 4)
    return bad (error, "has no status");
  status = lunfs_get_be32 (payload);
  if (status == STATUS_NO_SUCH_ENTRY)
    return true;
  if (status) {
    g_set_error (error, LUNFS_ERROR,
                 status == STATUS_SOURCE_UNKNOWN || status == STATUS_SOURCE_UNAUTHORIZED ? LUNFS_EXIT_AUTH
                                                                                         : LUNFS_EXIT_FAILED,
                 "the iSNS server refuses with status %u: %s", status, status_text (status));
    return false;
  }
  while (len - at >= 8) {
    uint32_t tag = lunfs_get_be32 (payload + at), n = lunfs_get_be32 (payload + at + 4);

    at += 8;
    if (n > len - at)
      break;
    take_attribute (&r, tag, payload + at, n);
    at += n;
  }
  g_free (r.name);
  return at == len ? true : bad (error, "ends inside an attribute");
}

/* ---- the connection ---- */

typedef struct {
  GSocketConnection *connection;
  gint64 until_us;
} Server;

/* Exactly @len bytes, however slowly they come, but not after the time. */
static bool
read_exactly (const Server *server, void *buf, size_t len, GError **error)
{
  GInputStream *in = g_io_stream_get_input_stream (G_IO_STREAM (server->connection));

  for (size_t done = 0; done < len;) {
    gint64 left_us = server->until_us - g_get_monotonic_time ();
    gssize n;

    if (left_us <= 0) {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no end of its answer in time");
      return false;
    }
    g_socket_set_timeout (g_socket_connection_get_socket (server->connection), (guint) (left_us / G_USEC_PER_SEC) + 1);
    n = g_input_stream_read (in, (char *) buf + done, len - done, NULL, error);
    if (n <= 0)
      return n == 0 ? bad (error, "ends too early") : false;
    done += (size_t) n;
  }
  return true;
}

/* One PDU; its payload is appended.  *out_last: the message ends with it. */
static bool
read_pdu (const Server *server, GByteArray *payload, uint16_t transaction, bool *out_last, GError **error)
{
  uint8_t head[HEADER_BYTES];
  unsigned len;

  if (!read_exactly (server, head, sizeof head, error))
    return false;
  len = lunfs_get_be16 (head + 4);
  if (lunfs_get_be16 (head) != ISNS_VERSION || lunfs_get_be16 (head + 2) != DEV_ATTR_QRY_RSP
      || lunfs_get_be16 (head + 8) != transaction)
    return bad (error, "is none to our question");
  if (payload->len + len > ANSWER_MAX)
    return bad (error, "is too long");
  g_byte_array_set_size (payload, payload->len + len);
  *out_last = lunfs_get_be16 (head + 6) & FLAG_LAST;
  return read_exactly (server, payload->data + payload->len - len, len, error);
}

GPtrArray *
lunfs_isns_ask (const char *host, uint16_t port, const char *initiator_name, unsigned timeout_s, GError **error)
{
  g_autoptr (GSocketClient) client = g_socket_client_new ();
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GByteArray) payload = g_byte_array_new (), question = NULL;
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) why = NULL;
  uint16_t transaction = (uint16_t) g_random_int_range (1, UINT16_MAX);
  bool last = false;

  g_socket_client_set_timeout (client, timeout_s);
  g_socket_client_set_enable_proxy (client, FALSE);
  question = lunfs_isns_query (initiator_name, transaction);
  connection = g_socket_client_connect_to_host (client, host, port, NULL, &why);
  if (connection
      && g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), question->data,
                                    question->len, NULL, NULL, &why)) {
    Server server = { connection, g_get_monotonic_time () + timeout_s * G_USEC_PER_SEC };

    while (!last && read_pdu (&server, payload, transaction, &last, &why))
      ;
  }
  if (!why && lunfs_isns_parse (payload->data, payload->len, lines, &why))
    return g_steal_pointer (&lines);
  if (why->domain == LUNFS_ERROR)
    g_propagate_prefixed_error (error, g_steal_pointer (&why), "%s port %u: ", host, port);
  else
    g_set_error (error, LUNFS_ERROR,
                 g_error_matches (why, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) ? LUNFS_EXIT_TIMEOUT : LUNFS_EXIT_TRANSPORT,
                 "iSNS server %s port %u: %s", host, port, why->message);
  return NULL;
}
