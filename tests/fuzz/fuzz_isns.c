/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The payload of an iSNS server's answer: lines that can be used, or an error. */
#include "config.h"

#include "fuzz.h"

#include "control/isns.h"
#include "control/url.h"
#include "iscsi/address.h"

#include <string.h>

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autofree uint8_t *copy = g_memdup2 (data, size); /* of exactly that size */
  bool ok;

  fuzz_quiet ();
  ok = lunfs_isns_parse (copy, size, lines, &error);
  must (ok == !error && lines->len <= 8192);
  for (unsigned i = 0; i < lines->len; i++) {
    const char *line = lines->pdata[i], *blank = strchr (line, ' ');
    g_autofree char *portal = g_strndup (line, (size_t) (blank - line)), *host = NULL;
    uint16_t port = 0;

    must (fuzz_printable (portal) && lunfs_iscsi_name_valid (blank + 1));
    must (lunfs_address_split (portal, &host, &port) && port > 0);
  }
  return 0;
}
