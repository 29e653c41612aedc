/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libfuse's low-level API, with the one place that says which version of it this program is written for. */
#ifndef LUNFS_FUSE_API_H
#define LUNFS_FUSE_API_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#endif
