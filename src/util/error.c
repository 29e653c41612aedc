/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lunfs/error.h"

G_DEFINE_QUARK (lunfs - error - quark, lunfs_error)
