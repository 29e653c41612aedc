/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses as targets give them (RFC 7143 13.8, TargetAddress). */
#ifndef LUNFS_ADDRESS_H
#define LUNFS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/* "HOST[:PORT][,GROUP]", an IPv6 address in brackets; @out_host without them, for the caller to free. */
bool lunfs_address_split (const char *text, char **out_host, uint16_t *out_port);
/* "[ADDRESS]:PORT", or an address without a port, which then stays as it is.  The address, for the caller to free. */
char *lunfs_address_parse (const char *text, uint16_t *port);

#endif
