/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "iscsi/address.h"

#include <glib.h>

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 3260
#define HOST_MAX_BYTES 253

static bool
parse_port (const char *text, const char *end, uint16_t *out_port)
{
  unsigned long port;
  char *stop;

  if (text == end) {
    *out_port = DEFAULT_PORT;
    return true;
  }
  if (text[0] != ':' || !g_ascii_isdigit (text[1]))
    return false;
  port = strtoul (text + 1, &stop, 10);
  if (stop != end || port == 0 || port > G_MAXUINT16)
    return false;
  *out_port = (uint16_t) port;
  return true;
}

bool
lunfs_address_split (const char *text, char **out_host, uint16_t *out_port)
{
  const char *end = text + strcspn (text, ","), *host = text, *host_end;

  if (text[0] == '[') {
    host = text + 1;
    host_end = memchr (text, ']', (size_t) (end - text));
    if (!host_end || host_end == host || !parse_port (host_end + 1, end, out_port))
      return false;
  } else {
    host_end = g_strrstr_len (text, end - text, ":");
    if (!host_end)
      host_end = end;
    if (host_end == host || !parse_port (host_end, end, out_port))
      return false;
  }
  if (host_end - host > HOST_MAX_BYTES)
    return false;
  *out_host = g_strndup (host, (size_t) (host_end - host));
  return true;
}

char *
lunfs_address_parse (const char *text, uint16_t *port)
{
  char *address;

  return *text == '[' && lunfs_address_split (text, &address, port) ? address : g_strdup (text);
}
