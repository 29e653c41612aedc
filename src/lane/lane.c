/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lane/lane.h"

#include "lunfs/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define BATCH 64

struct LunfsLane {
  unsigned index;
  LunfsClock clock;
  void *clock_user;
  int64_t now_us;
  int epfd;
  LunfsTimers timers;
  LunfsDefer *defer_head, **defer_tail;
  struct epoll_event batch[BATCH]; /* of the pass under way: unwatch clears its entries here */
  int nbatch;
  GThread *thread;
  _Atomic (GThread *) self; /* whose passes these are; for lunfs_lane_is_current */

  LunfsWatch mailbox;
  _Atomic (LunfsMail *) mail; /* newest first */
  atomic_bool asleep;         /* set before the wait: a poster that sees it writes the eventfd */
  atomic_bool stop;
};

static int64_t
monotonic_us (void *user)
{
  return g_get_monotonic_time ();
}

static void
mailbox_ready (LunfsWatch *watch, uint32_t events)
{
  uint64_t n;

  while (read (watch->fd, &n, sizeof n) < 0 && errno == EINTR)
    ;
}

LunfsLane *
lunfs_lane_new (unsigned index, LunfsClock clock, void *clock_user)
{
  LunfsLane *lane = g_new0 (LunfsLane, 1);

  lane->index = index;
  lane->clock = clock ? clock : monotonic_us;
  lane->clock_user = clock_user;
  lane->now_us = lane->clock (clock_user);
  lane->epfd = epoll_create1 (EPOLL_CLOEXEC);
  g_assert (lane->epfd >= 0);
  lunfs_timers_init (&lane->timers);
  lane->defer_tail = &lane->defer_head;
  lane->mailbox.ready = mailbox_ready;
  lunfs_lane_watch (lane, &lane->mailbox, eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK), EPOLLIN);
  return lane;
}

void
lunfs_lane_free (LunfsLane *lane)
{
  if (!lane)
    return;
  g_assert (!lane->thread);
  close (lane->mailbox.fd);
  close (lane->epfd);
  lunfs_timers_clear (&lane->timers);
  g_free (lane);
}

unsigned
lunfs_lane_index (const LunfsLane *lane)
{
  return lane->index;
}

bool
lunfs_lane_is_current (const LunfsLane *lane)
{
  return atomic_load_explicit (&((LunfsLane *) lane)->self, memory_order_relaxed) == g_thread_self ();
}

int64_t
lunfs_lane_now_us (LunfsLane *lane)
{
  return lane->now_us;
}

void
lunfs_lane_watch (LunfsLane *lane, LunfsWatch *watch, int fd, uint32_t events)
{
  struct epoll_event ev = { .events = events, .data.ptr = watch };

  if (watch->added && watch->fd != fd)
    lunfs_lane_unwatch (lane, watch);
  if (watch->added && watch->events == events)
    return;
  if (epoll_ctl (lane->epfd, watch->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) < 0) {
    lunfs_warning ("cannot watch descriptor %d: %s", fd, g_strerror (errno));
    return;
  }
  watch->fd = fd;
  watch->events = events;
  watch->added = true;
}

void
lunfs_lane_unwatch (LunfsLane *lane, LunfsWatch *watch)
{
  if (!watch->added)
    return;
  epoll_ctl (lane->epfd, EPOLL_CTL_DEL, watch->fd, NULL); /* fails if the owner closed it: gone all the same */
  watch->added = false;
  for (int i = 0; i < lane->nbatch; i++)
    if (lane->batch[i].data.ptr == watch)
      lane->batch[i].data.ptr = NULL;
}

void
lunfs_lane_arm (LunfsLane *lane, LunfsTimer *timer, int64_t delay_us)
{
  lunfs_timers_arm (&lane->timers, timer, lane->now_us + MAX (delay_us, 0));
}

void
lunfs_lane_cancel (LunfsLane *lane, LunfsTimer *timer)
{
  lunfs_timers_cancel (&lane->timers, timer);
}

void
lunfs_lane_defer (LunfsLane *lane, LunfsDefer *defer)
{
  if (defer->queued)
    return;
  defer->queued = true;
  defer->next = NULL;
  *lane->defer_tail = defer;
  lane->defer_tail = &defer->next;
}

void
lunfs_lane_undefer (LunfsLane *lane, LunfsDefer *defer)
{
  LunfsDefer **p = &lane->defer_head;

  if (!defer->queued)
    return;
  while (*p != defer)
    p = &(*p)->next;
  *p = defer->next;
  if (lane->defer_tail == &defer->next)
    lane->defer_tail = p;
  defer->queued = false;
}

static void
run_deferred (LunfsLane *lane)
{
  LunfsDefer *defer;

  while ((defer = lane->defer_head)) {
    lane->defer_head = defer->next;
    if (!lane->defer_head)
      lane->defer_tail = &lane->defer_head;
    defer->queued = false;
    defer->run (defer);
  }
}

static void
wake (LunfsLane *lane)
{
  uint64_t one = 1;

  while (write (lane->mailbox.fd, &one, sizeof one) < 0 && errno == EINTR)
    ;
}

void
lunfs_lane_post (LunfsLane *lane, LunfsMail *mail)
{
  LunfsMail *head = atomic_load_explicit (&lane->mail, memory_order_relaxed);

  do
    mail->next = head;
  while (!atomic_compare_exchange_weak (&lane->mail, &head, mail));
  /* Sequentially consistent with the lane's store to asleep and load of mail: one of us sees the other. */
  if (atomic_exchange (&lane->asleep, false))
    wake (lane);
}

static void
take_mail (LunfsLane *lane)
{
  LunfsMail *mail = atomic_exchange (&lane->mail, NULL);
  LunfsMail *in_order = NULL;

  while (mail) {
    LunfsMail *next = mail->next;

    mail->next = in_order;
    in_order = mail;
    mail = next;
  }
  while (in_order) {
    LunfsMail *next = in_order->next;

    in_order->deliver (in_order);
    in_order = next;
  }
}

static int
wait_ms (LunfsLane *lane, int max_wait_ms)
{
  int64_t next_us = lunfs_timers_next_us (&lane->timers);
  int64_t ms = max_wait_ms;

  if (next_us != INT64_MAX) {
    int64_t until_ms = next_us <= lane->now_us ? 0 : (next_us - lane->now_us + 999) / 1000;

    if (ms < 0 || until_ms < ms)
      ms = until_ms;
  }
  return (int) MIN (ms, G_MAXINT);
}

void
lunfs_lane_run_once (LunfsLane *lane, int max_wait_ms)
{
  int n;

  atomic_store_explicit (&lane->self, g_thread_self (), memory_order_relaxed);
  run_deferred (lane); /* of a caller outside the loop (set-up, tests) */
  atomic_store (&lane->asleep, true);
  if (atomic_load (&lane->mail) || atomic_load (&lane->stop))
    max_wait_ms = 0;
  n = epoll_wait (lane->epfd, lane->batch, BATCH, wait_ms (lane, max_wait_ms));
  atomic_store (&lane->asleep, false);
  lane->now_us = lane->clock (lane->clock_user);
  lane->nbatch = MAX (n, 0);
  lunfs_timers_run (&lane->timers, lane->now_us);
  take_mail (lane);
  for (int i = 0; i < lane->nbatch; i++) {
    LunfsWatch *watch = lane->batch[i].data.ptr;

    if (watch)
      watch->ready (watch, lane->batch[i].events);
  }
  lane->nbatch = 0;
  run_deferred (lane);
}

static gpointer
lane_thread (gpointer data)
{
  LunfsLane *lane = data;

  while (!atomic_load (&lane->stop))
    lunfs_lane_run_once (lane, -1);
  return NULL;
}

void
lunfs_lane_start (LunfsLane *lane)
{
  char name[16];

  snprintf (name, sizeof name, "lunfs-lane%u", lane->index);
  lane->thread = g_thread_new (name, lane_thread, lane);
}

void
lunfs_lane_stop (LunfsLane *lane)
{
  if (!lane->thread)
    return;
  atomic_store (&lane->stop, true);
  wake (lane);
  g_thread_join (g_steal_pointer (&lane->thread));
}

typedef struct {
  LunfsMail mail;
  void (*func) (void *user);
  void *user;
  pthread_mutex_t lock; /* pthread's, not GLib's: ThreadSanitizer sees no others */
  pthread_cond_t cond;
  bool returned;
} Call;

static void
call_deliver (LunfsMail *mail)
{
  Call *call = (Call *) mail;

  call->func (call->user);
  pthread_mutex_lock (&call->lock);
  call->returned = true;
  pthread_cond_signal (&call->cond);
  pthread_mutex_unlock (&call->lock);
}

void
lunfs_lane_call (LunfsLane *lane, void (*func) (void *user), void *user)
{
  Call call = { .mail.deliver = call_deliver, .func = func, .user = user };

  if (!lane->thread || lunfs_lane_is_current (lane)) {
    func (user);
    return;
  }
  pthread_mutex_init (&call.lock, NULL);
  pthread_cond_init (&call.cond, NULL);
  lunfs_lane_post (lane, &call.mail);
  pthread_mutex_lock (&call.lock);
  while (!call.returned)
    pthread_cond_wait (&call.cond, &call.lock);
  pthread_mutex_unlock (&call.lock);
  pthread_mutex_destroy (&call.lock);
  pthread_cond_destroy (&call.cond);
}
