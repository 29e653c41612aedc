/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A connection: its thread, what it received, what it will send, and the list of all of them.
 *
 * Input: one recv takes as much as there is; large data segments land where they belong without a copy.
 * Output: replies gather in a batch that leaves with one sendmsg before the thread would wait for input. With
 * --latency-us the batch goes to the sender thread instead, which lets each one leave that much later, so
 * that requests that arrive meanwhile are delayed by the same time and not by each other. */
#include "ramtgt.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Protects conns and each connection's next and registered. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t list_cond = PTHREAD_COND_INITIALIZER;
static Conn *conns;

static uint64_t
now_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

void
conn_fail (Conn *c)
{
  __atomic_store_n (&c->failed, true, __ATOMIC_RELAXED);
  shutdown (c->fd, SHUT_RDWR);
}

bool
conn_failed (Conn *c)
{
  return __atomic_load_n (&c->failed, __ATOMIC_RELAXED);
}

/* --- input -------------------------------------------------------------------------------------------------
 */

static ssize_t
receive (Conn *c, void *to, size_t len)
{
  ssize_t n;

  if (c->out->niov)
    conn_flush (c);
  do
    n = recv (c->fd, to, len, 0);
  while (n < 0 && errno == EINTR);
  if (n <= 0)
    conn_fail (c);
  return n;
}

bool
conn_fill (Conn *c, size_t want)
{
  while (c->end - c->start < want) {
    if (c->start == c->end)
      c->start = c->end = 0;
    else if (c->start + want > RECV_WINDOW || c->start > RECV_WINDOW / 2) {
      memmove (c->window, c->window + c->start, c->end - c->start);
      c->end -= c->start;
      c->start = 0;
    }
    ssize_t n = receive (c, c->window + c->end, RECV_WINDOW - c->end);
    if (n <= 0)
      return false;
    c->end += (size_t)n;
  }
  return true;
}

bool
conn_take (Conn *c, uint8_t *dst, uint32_t len)
{
  uint32_t pad = -len & 3;
  size_t have = min64 (c->end - c->start, len);

  if (dst)
    memcpy (dst, c->window + c->start, have);
  c->start += have;
  for (size_t done = have; done < len;) {
    size_t left = len - done;
    ssize_t n;
    c->start = c->end = 0;
    n = dst ? receive (c, dst + done, left) : receive (c, c->window, min64 (left, RECV_WINDOW));
    if (n <= 0)
      return false;
    done += (size_t)n;
  }
  if (!conn_fill (c, pad))
    return false;
  c->start += pad;
  return true;
}

/* --- output ------------------------------------------------------------------------------------------------
 */

static void
batch_send (Conn *c, Batch *b)
{
  struct iovec *v = b->iov;
  unsigned n = b->niov;

  while (n && !conn_failed (c)) {
    struct msghdr msg = { .msg_iov = v, .msg_iovlen = n };
    ssize_t sent = sendmsg (c->fd, &msg, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
      continue;
    if (sent < 0) {
      conn_fail (c);
      break;
    }
    while (n && (size_t)sent >= v->iov_len) {
      sent -= (ssize_t)v->iov_len;
      v++;
      n--;
    }
    if (n) {
      v->iov_base = (uint8_t *)v->iov_base + sent;
      v->iov_len -= (size_t)sent;
    }
  }
  b->bytes = b->niov = b->nhdr = b->heap_used = 0;
}

static void
batch_delay (Conn *c)
{
  Batch *b = c->out;

  b->due_ns = now_ns () + rt_conf.latency_us * 1000;
  b->next = NULL;
  pthread_mutex_lock (&c->lock);
  *c->queue_tail = b;
  c->queue_tail = &b->next;
  pthread_cond_broadcast (&c->cond);
  while (!c->spare && c->nbatches >= BATCHES_MAX)
    pthread_cond_wait (&c->cond, &c->lock);
  if ((b = c->spare))
    c->spare = b->next;
  else if ((b = calloc (1, sizeof *b)))
    c->nbatches++;
  else
    abort ();
  pthread_mutex_unlock (&c->lock);
  c->out = b;
}

void
conn_flush (Conn *c)
{
  if (!c->out->niov)
    return;
  if (rt_conf.latency_us)
    batch_delay (c);
  else
    batch_send (c, c->out);
}

static void
sleep_until (uint64_t ns)
{
  struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000ull), .tv_nsec = (long)(ns % 1000000000ull) };

  while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
    ;
}

static void *
sender_thread (void *arg)
{
  Conn *c = arg;

  prctl (PR_SET_NAME, "sender");
  prctl (PR_SET_TIMERSLACK, 1ul);
  pthread_mutex_lock (&c->lock);
  for (;;) {
    Batch *b = c->queue;
    if (!b) {
      if (c->sender_stop)
        break;
      pthread_cond_wait (&c->cond, &c->lock);
      continue;
    }
    if (!(c->queue = b->next))
      c->queue_tail = &c->queue;
    pthread_mutex_unlock (&c->lock);
    if (!conn_failed (c))
      sleep_until (b->due_ns);
    batch_send (c, b);
    pthread_mutex_lock (&c->lock);
    b->next = c->spare;
    c->spare = b;
    pthread_cond_broadcast (&c->cond);
  }
  pthread_mutex_unlock (&c->lock);
  return NULL;
}

void
conn_reserve (Conn *c, unsigned npdus, unsigned heap)
{
  /* A reply from the heap must not be cut by a flush between its PDUs, so it needs its bytes free, too. */
  size_t bytes = c->out->bytes + (heap ? BATCH_HEAP : 0);

  if (c->out->nhdr + npdus > BATCH_PDUS || c->out->heap_used + heap > BATCH_HEAP || bytes > BATCH_BYTES)
    conn_flush (c);
}

uint8_t *
conn_heap (Conn *c, unsigned len)
{
  uint8_t *p = c->out->heap + c->out->heap_used;

  memset (p, 0, len);
  c->out->heap_used += (len + 7) & ~7u;
  return p;
}

static void
append (Batch *b, const void *data, size_t len)
{
  b->iov[b->niov++] = (struct iovec){ (void *)(uintptr_t)data, len };
  b->bytes += len;
}

uint8_t *
conn_pdu (Conn *c, uint8_t opcode, uint8_t flags, uint32_t itt)
{
  uint8_t *h;

  conn_reserve (c, 1, 0);
  h = c->out->hdr[c->out->nhdr++];
  memset (h, 0, BHS_LEN);
  h[0] = opcode;
  h[1] = flags;
  put32 (h + 16, itt);
  append (c->out, h, BHS_LEN);
  return h;
}

void
conn_attach (Conn *c, uint8_t *hdr, const uint8_t *data, uint32_t len)
{
  static const uint8_t zeroes[4];

  hdr[5] = (uint8_t)(len >> 16);
  put16 (hdr + 6, (uint16_t)len);
  if (!len)
    return;
  append (c->out, data, len);
  if (len & 3)
    append (c->out, zeroes, -len & 3);
}

/* --- life --------------------------------------------------------------------------------------------------
 */

static void
conn_free (Conn *c)
{
  if (!c)
    return;
  for (unsigned i = 0; i < TASKS_MAX; i++)
    free (c->tasks[i].param);
  while (c->spare) {
    Batch *b = c->spare;
    c->spare = b->next;
    free (b);
  }
  if (c->fd >= 0)
    close (c->fd);
  pthread_cond_destroy (&c->cond);
  pthread_mutex_destroy (&c->lock);
  free (c->out);
  free (c->window);
  free (c->text);
  free (c->attention);
  free (c);
}

static Conn *
conn_new (int fd)
{
  Conn *c = calloc (1, sizeof *c);

  if (!c)
    return NULL;
  c->fd = fd;
  c->window = malloc (RECV_WINDOW);
  c->out = calloc (1, sizeof *c->out);
  c->text = malloc (TEXT_MAX + 1);
  c->attention = malloc (rt_conf.nluns);
  c->queue_tail = &c->queue;
  c->stat_sn = 1;
  c->params = (Params){
    .max_burst = 262144, .first_burst = 65536, .initial_r2t = 1, .immediate_data = 1, .peer_mrdsl = 8192
  };
  pthread_mutex_init (&c->lock, NULL);
  pthread_cond_init (&c->cond, NULL);
  if (!c->window || !c->out || !c->text || !c->attention) {
    c->fd = -1;
    conn_free (c);
    return NULL;
  }
  memset (c->attention, rt_conf.unit_attention, rt_conf.nluns);
  return c;
}

static void
unlist (Conn *c)
{
  pthread_mutex_lock (&list_lock);
  for (Conn **p = &conns; *p; p = &(*p)->next)
    if (*p == c) {
      *p = c->next;
      break;
    }
  pthread_cond_broadcast (&list_cond);
  pthread_mutex_unlock (&list_lock);
}

static void *
conn_thread (void *arg)
{
  Conn *c = arg;

  prctl (PR_SET_NAME, "conn");
  while (c->phase != PHASE_CLOSING && !conn_failed (c) && pdu_serve (c))
    ;
  if (!conn_failed (c))
    conn_flush (c);
  if (rt_conf.latency_us) {
    pthread_mutex_lock (&c->lock);
    c->sender_stop = true;
    pthread_cond_broadcast (&c->cond);
    pthread_mutex_unlock (&c->lock);
    pthread_join (c->sender, NULL);
  }
  unlist (c);
  conn_free (c);
  return NULL;
}

bool
conn_start (int fd)
{
  Conn *c = conn_new (fd);
  pthread_attr_t attr;
  pthread_t thread;
  int one = 1;

  if (!c) {
    close (fd);
    return false;
  }
  stat_add (STAT_CONNECTIONS, 1);
  setsockopt (fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (rt_conf.latency_us && pthread_create (&c->sender, NULL, sender_thread, c)) {
    conn_free (c);
    return false;
  }
  pthread_mutex_lock (&list_lock);
  c->next = conns;
  conns = c;
  pthread_mutex_unlock (&list_lock);
  pthread_attr_init (&attr);
  pthread_attr_setdetachstate (&attr, PTHREAD_CREATE_DETACHED);
  if (pthread_create (&thread, &attr, conn_thread, c))
    abort (); /* a test's target: out of threads is the end of it */
  pthread_attr_destroy (&attr);
  return true;
}

static Conn *
find_rival_locked (const Conn *c)
{
  for (Conn *o = conns; o; o = o->next)
    if (o != c && o->registered && !memcmp (o->isid, c->isid, sizeof c->isid)
        && !strcmp (o->initiator, c->initiator))
      return o;
  return NULL;
}

void
conn_register (Conn *c)
{
  Conn *rival, *told = NULL;

  pthread_mutex_lock (&list_lock);
  while ((rival = find_rival_locked (c))) {
    if (rival != told) {
      stat_add (STAT_REINSTATEMENTS, 1);
      conn_fail (rival);
      told = rival;
    }
    pthread_cond_wait (&list_cond, &list_lock);
  }
  c->registered = true;
  pthread_mutex_unlock (&list_lock);
}

void
conn_drop_all (void)
{
  pthread_mutex_lock (&list_lock);
  for (Conn *c = conns; c; c = c->next)
    conn_fail (c);
  pthread_mutex_unlock (&list_lock);
}
