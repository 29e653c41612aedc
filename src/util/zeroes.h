/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one source of zeroes to write; never written to, though an iovec cannot say so. */
#ifndef LUNFS_ZEROES_H
#define LUNFS_ZEROES_H

#include <stdint.h>

#define LUNFS_ZEROES_BYTES (1u << 20)
extern uint8_t lunfs_zeroes[LUNFS_ZEROES_BYTES];

#endif
