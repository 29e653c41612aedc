/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "util/zeroes.h"

uint8_t lunfs_zeroes[LUNFS_ZEROES_BYTES];
