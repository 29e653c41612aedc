/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Only in builds with -fsanitize=thread, where the compiler includes it before everything else (configure.ac).
 *
 * GLib's locks are futexes inside a library that is not instrumented, and so is the lock of its main context: the
 * sanitizer would see no order between threads at all and call everything a race.  Here it is told what they do. */
#ifndef LUNFS_UTIL_TSAN_H
#define LUNFS_UTIL_TSAN_H

#include "config.h" /* what it defines must come before any system header */

#include <glib.h>
#include <sanitizer/tsan_interface.h>

static inline void
lunfs_tsan_init (GMutex *mutex)
{
  (g_mutex_init) (mutex);
  __tsan_mutex_create (mutex, __tsan_mutex_not_static);
}

static inline void
lunfs_tsan_clear (GMutex *mutex)
{
  __tsan_mutex_destroy (mutex, __tsan_mutex_not_static);
  (g_mutex_clear) (mutex);
}

static inline void
lunfs_tsan_lock (GMutex *mutex)
{
  __tsan_mutex_pre_lock (mutex, 0);
  (g_mutex_lock) (mutex);
  __tsan_mutex_post_lock (mutex, 0, 0);
}

static inline void
lunfs_tsan_unlock (GMutex *mutex)
{
  __tsan_mutex_pre_unlock (mutex, 0);
  (g_mutex_unlock) (mutex);
  __tsan_mutex_post_unlock (mutex, 0);
}

static inline void
lunfs_tsan_wait (GCond *cond, GMutex *mutex)
{
  __tsan_mutex_pre_unlock (mutex, 0);
  __tsan_mutex_post_unlock (mutex, 0);
  (g_cond_wait) (cond, mutex);
  __tsan_mutex_pre_lock (mutex, 0);
  __tsan_mutex_post_lock (mutex, 0, 0);
}

typedef struct {
  GSourceFunc func;
  gpointer data;
} LunfsTsanCall;

static inline gboolean
lunfs_tsan_called (gpointer data)
{
  LunfsTsanCall *call = (LunfsTsanCall *) data;
  gboolean again;

  __tsan_acquire (call);
  again = call->func (call->data);
  if (!again)
    g_free (call);
  return again;
}

static inline void
lunfs_tsan_invoke (GMainContext *context, int priority, GSourceFunc func, gpointer data)
{
  LunfsTsanCall *call = g_new (LunfsTsanCall, 1);

  *call = (LunfsTsanCall){ func, data };
  __tsan_release (call);
  (g_main_context_invoke_full) (context, priority, lunfs_tsan_called, call, NULL);
}

#define g_mutex_init(mutex) lunfs_tsan_init (mutex)
#define g_mutex_clear(mutex) lunfs_tsan_clear (mutex)
#define g_mutex_lock(mutex) lunfs_tsan_lock (mutex)
#define g_mutex_unlock(mutex) lunfs_tsan_unlock (mutex)
#define g_cond_wait(cond, mutex) lunfs_tsan_wait (cond, mutex)
#define g_main_context_invoke(context, func, data) lunfs_tsan_invoke (context, G_PRIORITY_DEFAULT, func, data)
#define g_main_context_invoke_full(context, priority, func, data, notify)                                              \
  lunfs_tsan_invoke (context, priority, func, data)

#endif
