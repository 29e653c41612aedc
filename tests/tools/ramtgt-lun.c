/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The LUNs: a mapping each, and one bit per page that says whether it was ever written since it was last
 * unmapped. */
#include "ramtgt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Connections touch a LUN's memory at the same time as several hosts do with a disk: what an overlapping read
 * returns is the initiator's business, so the thread sanitizer is told not to look there. */
#ifdef __SANITIZE_THREAD__
#define LUNS_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LUNS_UNDER_TSAN 1
#endif
#endif
#ifdef LUNS_UNDER_TSAN
void AnnotateBenignRaceSized (const char *file, int line, const volatile void *mem, size_t size,
                              const char *why);
#define BENIGN(mem, size) AnnotateBenignRaceSized (__FILE__, __LINE__, mem, size, "LUN data")
#else
#define BENIGN(mem, size) ((void)0)
#endif

static Lun *luns;

static uint64_t
fnv (uint64_t h, const void *data, size_t len)
{
  const uint8_t *p = data;

  for (size_t i = 0; i < len; i++)
    h = (h ^ p[i]) * 0x100000001b3ull;
  return h;
}

static void
identify (Lun *lun)
{
  uint64_t h;

  snprintf (lun->serial, sizeof lun->serial, "%.32s%04x", rt_conf.serial, lun->number);
  h = fnv (0xcbf29ce484222325ull, lun->serial, strlen (lun->serial));
  put64 (lun->naa, 0x6000ull << 48 | (h & 0xffffffffffffull)); /* NAA 6, OUI and vendor part */
  lun->naa[0] = 0x60;
  put64 (lun->naa + 8, fnv (h, &lun->number, sizeof lun->number));
}

/* A file that is there gives the size and says by its holes what is provisioned. */
static bool
open_file (Lun *lun)
{
  char path[4096];
  struct stat st;

  if (rt_conf.nluns > 1)
    snprintf (path, sizeof path, "%s.%u", rt_conf.file, lun->number);
  else
    snprintf (path, sizeof path, "%s", rt_conf.file);
  lun->fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lun->fd < 0 || fstat (lun->fd, &st)) {
    perror (path);
    return false;
  }
  if (st.st_size)
    lun->size = (uint64_t)st.st_size / rt_conf.block_size * rt_conf.block_size;
  else if (ftruncate (lun->fd, (off_t)lun->size)) {
    perror (path);
    return false;
  }
  return true;
}

static void
scan_file (Lun *lun)
{
  off_t hole = 0, data;

  while ((data = lseek (lun->fd, hole, SEEK_DATA)) >= 0 && (uint64_t)data < lun->size) {
    hole = lseek (lun->fd, data, SEEK_HOLE);
    if (hole <= data)
      break;
    lun_provision (lun, (uint64_t)data, min64 ((uint64_t)hole, lun->size) - (uint64_t)data);
  }
}

static void *
map (size_t len, int fd, int flags)
{
  void *p = mmap (NULL, len, PROT_READ | PROT_WRITE,
                  flags | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED), fd, 0);

  if (p == MAP_FAILED) {
    perror ("mmap");
    return NULL;
  }
  return p;
}

static bool
open_lun (Lun *lun)
{
  int flags = rt_conf.thin || rt_conf.file ? MAP_NORESERVE : 0;

  lun->fd = -1;
  lun->size = rt_conf.size;
  if (rt_conf.file && !open_file (lun))
    return false;
  lun->nblocks = lun->size / rt_conf.block_size;
  if (!lun->nblocks) {
    fprintf (stderr, "ramtgt: a LUN needs at least one block\n");
    return false;
  }
  identify (lun);
  lun->mem = map (lun->size, lun->fd, flags | (rt_conf.populate ? MAP_POPULATE : 0));
  lun->pages = map (lun->size / LUN_PAGE / 8 + 16, -1, MAP_NORESERVE);
  if (!lun->mem || !lun->pages)
    return false;
  BENIGN (lun->mem, lun->size);
  if (lun->fd >= 0)
    scan_file (lun);
  return true;
}

bool
luns_open (void)
{
  luns = calloc (rt_conf.nluns, sizeof *luns);
  if (!luns)
    return false;
  for (uint32_t i = 0; i < rt_conf.nluns; i++) {
    luns[i].number = (uint32_t)rt_conf.first_lun + i;
    if (!open_lun (&luns[i]))
      return false;
  }
  return true;
}

Lun *
lun_nth (uint32_t index)
{
  return &luns[index];
}

Lun *
lun_find (uint32_t number)
{
  uint64_t i = number - rt_conf.first_lun;

  return number >= rt_conf.first_lun && i < rt_conf.nluns ? &luns[i] : NULL;
}

/* Set or clear the bits of pages [first, end), a word at a time; words that are right already are not
 * touched. */
static void
mark (Lun *lun, uint64_t first, uint64_t end, bool set)
{
  while (first < end) {
    unsigned bit = first % 64;
    uint64_t n = min64 (64 - bit, end - first);
    uint64_t mask = (n == 64 ? ~0ull : (1ull << n) - 1) << bit;
    uint64_t *word = &lun->pages[first / 64];
    uint64_t now = __atomic_load_n (word, __ATOMIC_RELAXED);

    if (set && (now & mask) != mask)
      __atomic_fetch_or (word, mask, __ATOMIC_RELAXED);
    else if (!set && (now & mask))
      __atomic_fetch_and (word, ~mask, __ATOMIC_RELAXED);
    first += n;
  }
}

void
lun_provision (Lun *lun, uint64_t offset, uint64_t len)
{
  if (len)
    mark (lun, offset / LUN_PAGE, (offset + len - 1) / LUN_PAGE + 1, true);
}

static void
clear_memory (Lun *lun, uint64_t offset, uint64_t len)
{
  if (len < 64 * 1024)
    memset (lun->mem + offset, 0, len);
  else if (lun->fd < 0 && !madvise (lun->mem + offset, len, MADV_DONTNEED))
    return;
  else if (lun->fd >= 0
           && !fallocate (lun->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len))
    return;
  else
    memset (lun->mem + offset, 0, len);
}

void
lun_zero (Lun *lun, uint64_t offset, uint64_t len, bool keep)
{
  uint64_t end = offset + len;
  uint64_t first = (offset + LUN_PAGE - 1) / LUN_PAGE, last = end / LUN_PAGE;

  if (end == lun->size)
    last = (end + LUN_PAGE - 1) / LUN_PAGE;
  if (first >= last) {
    memset (lun->mem + offset, 0, len);
  } else {
    uint64_t from = first * LUN_PAGE, to = min64 (last * LUN_PAGE, end);
    memset (lun->mem + offset, 0, from - offset);
    clear_memory (lun, from, to - from);
    memset (lun->mem + to, 0, end - to);
    mark (lun, first, last, keep);
  }
  if (keep)
    lun_provision (lun, offset, len);
}

uint64_t
lun_extent (Lun *lun, uint64_t offset, uint64_t limit, bool *out_mapped)
{
  uint64_t page = offset / LUN_PAGE, end = offset + min64 (limit, lun->size - offset);
  bool mapped = __atomic_load_n (&lun->pages[page / 64], __ATOMIC_RELAXED) >> page % 64 & 1;

  while (page * LUN_PAGE < end) {
    uint64_t word = __atomic_load_n (&lun->pages[page / 64], __ATOMIC_RELAXED);
    uint64_t differs = (mapped ? ~word : word) >> page % 64;
    if (differs) {
      page += (unsigned)__builtin_ctzll (differs);
      break;
    }
    page += 64 - page % 64;
  }
  *out_mapped = mapped;
  return min64 (page * LUN_PAGE, end) - offset;
}
