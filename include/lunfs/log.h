/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log: one line per event, to stderr (foreground, before daemonising) or syslog(3), or a file.
 *
 * Any thread; a line is written with one call.  Levels as in syslog.  Debug lines carry a domain and cost one
 * load and a branch while off.  Never pass a secret. */
#ifndef LUNFS_LOG_H
#define LUNFS_LOG_H

#include <glib.h>
#include <stdbool.h>

typedef enum { LUNFS_LOG_ERROR, LUNFS_LOG_WARNING, LUNFS_LOG_NOTICE, LUNFS_LOG_INFO, LUNFS_LOG_DEBUG } LunfsLogLevel;

/* Debug domains (bits), named as the rooms. */
enum {
  LUNFS_DBG_FUSE = 1 << 0,
  LUNFS_DBG_LUN = 1 << 1,
  LUNFS_DBG_CACHE = 1 << 2,
  LUNFS_DBG_SESSION = 1 << 3,
  LUNFS_DBG_ISCSI = 1 << 4,
  LUNFS_DBG_LANE = 1 << 5,
  LUNFS_DBG_CONTROL = 1 << 6,
  LUNFS_DBG_SUPERVISOR = 1 << 7,
  LUNFS_DBG_ALL = 0xff,
};
extern _Atomic unsigned lunfs_log_debug_mask;

/* Where lines go.  @target: "stderr", "syslog" or a file path (opened for append). @return false with @error. */
bool lunfs_log_open (const char *target, LunfsLogLevel level, unsigned debug_mask, GError **error);
/* From the next line on.  Any thread. */
void lunfs_log_set (LunfsLogLevel level, unsigned debug_mask);
/* Comma-separated domain names or "all" -> mask; false for an unknown name. */
bool lunfs_log_parse_domains (const char *text, unsigned *out_mask);
void lunfs_log (LunfsLogLevel level, const char *format, ...) G_GNUC_PRINTF (2, 3);
void lunfs_log_debug_line (const char *domain, const char *format, ...) G_GNUC_PRINTF (2, 3);

#define lunfs_error(...) lunfs_log (LUNFS_LOG_ERROR, __VA_ARGS__)
#define lunfs_warning(...) lunfs_log (LUNFS_LOG_WARNING, __VA_ARGS__)
#define lunfs_notice(...) lunfs_log (LUNFS_LOG_NOTICE, __VA_ARGS__)
#define lunfs_info(...) lunfs_log (LUNFS_LOG_INFO, __VA_ARGS__)
/* lunfs_debug (SESSION, "...") */
#define lunfs_debug(domain, ...)                                                                                       \
  do {                                                                                                                 \
    if (G_UNLIKELY (lunfs_log_debug_mask & LUNFS_DBG_##domain))                                                        \
      lunfs_log_debug_line (#domain, __VA_ARGS__);                                                                     \
  } while (0)

#endif
