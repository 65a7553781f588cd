#define _GNU_SOURCE
#include "results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "system.h"

/* Room promised ahead of each task: its started and its ended record. */
#define RESERVE_NEED (2u * RECORD_MAX_BYTES)
#define RESERVE_STEP (256u << 10)

uint32_t crc32c(const void *bytes, size_t n) {
  static uint32_t table[256];
  if (!table[1])
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
      table[i] = c;
    }
  uint32_t crc = ~0u;
  for (const uint8_t *p = bytes; n--; p++) crc = table[(crc ^ *p) & 255] ^ crc >> 8;
  return ~crc;
}

#define CRC_FROM offsetof(struct record, kind)

size_t record_seal(uint8_t *bytes, size_t used) {
  struct record *r = (struct record *)bytes;
  size_t size = (used + 7) & ~(size_t)7;
  memset(bytes + used, 0, size - used);
  r->magic = RECORD_MAGIC;
  r->version = RECORD_VERSION;
  r->size = (uint32_t)size;
  r->crc = crc32c(bytes + CRC_FROM, size - CRC_FROM);
  return size;
}

/* Is what begins here a whole record? `have` bytes are there. */
static bool record_whole(const uint8_t *bytes, size_t have) {
  struct record r;
  if (have < STARTED_BYTES) return false;
  memset(&r, 0, sizeof r);
  memcpy(&r, bytes, have < sizeof r ? have : sizeof r);
  size_t least = r.kind == RECORD_ENDED ? sizeof r : STARTED_BYTES;
  if ((r.magic & 255) == RECORD_ACKED_BYTE) r.magic = (r.magic & ~255u) | (RECORD_MAGIC & 255);
  if (r.magic != RECORD_MAGIC || r.version != RECORD_VERSION || r.size % 8 || r.size < least || r.size > RECORD_MAX_BYTES ||
      r.size > have || r.key_size > KEY_MAX_BYTES)
    return false;
  if (r.kind == RECORD_ENDED) {
    if (r.out_inline > INLINE_MAX_BYTES || r.err_inline > INLINE_MAX_BYTES) return false;
    least += r.out_inline + r.err_inline;
  } else if (r.kind != RECORD_STARTED) {
    return false;
  }
  if (least + r.key_size > r.size) return false;
  return crc32c(bytes + CRC_FROM, r.size - CRC_FROM) == r.crc;
}

static bool list_add(struct results *r, uint64_t seq, uint64_t offset, uint32_t size) {
  if (r->first && r->count == r->cap) {
    memmove(r->list, r->list + r->first, (r->count - r->first) * sizeof *r->list);
    r->count -= r->first;
    r->first = 0;
  }
  if (r->count == r->cap) {
    uint32_t cap = r->cap ? r->cap * 2 : 64;
    void *list = realloc(r->list, cap * sizeof *r->list);
    if (!list) return false;
    r->list = list;
    r->cap = cap;
  }
  r->list[r->count++] = (struct unacked){seq, offset, size, false};
  r->open_count++;
  return true;
}

static void notice(struct results *r, const struct record *rec, uint64_t offset) {
  struct page *p = r->page;
  if (rec->seq >= p->next_seq) p->next_seq = rec->seq + 1;
  if (rec->kind != RECORD_ENDED || rec->seq <= p->acked_through || rec->magic != RECORD_MAGIC) {
    r->dead_bytes += rec->size;
    return;
  }
  if (rec->seq > p->last_end_seq) p->last_end_seq = rec->seq;
  if (!list_add(r, rec->seq, offset, rec->size)) r->dead_bytes += rec->size;
}

int results_open(struct results *r, uint32_t lane, struct page *page) {
  static uint8_t window[RECORD_MAX_BYTES];
  memset(r, 0, sizeof *r);
  r->page = page;
  snprintf(r->name, sizeof r->name, "lane-%u.results", lane);
  r->fd = open(r->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (r->fd < 0) return -1;
  for (;;) {
    ssize_t n = pread(r->fd, window, sizeof window, (off_t)r->size);
    if (n < 0) return -1;
    if (!record_whole(window, (size_t)n)) {
      if (n > 0) {
        note("%s: dropped a torn end of %lld bytes at %llu", r->name, (long long)lseek(r->fd, 0, SEEK_END) - (long long)r->size,
             (unsigned long long)r->size);
        if (ftruncate(r->fd, (off_t)r->size) < 0) return -1;
      }
      break;
    }
    struct record rec;
    memset(&rec, 0, sizeof rec);
    uint32_t size;
    memcpy(&size, window + offsetof(struct record, size), 4);
    memcpy(&rec, window, size < sizeof rec ? size : sizeof rec);
    const uint8_t *key = window + (rec.kind == RECORD_ENDED ? sizeof rec : STARTED_BYTES);
    if (rec.kind == RECORD_ENDED && rec.seq > page->task_seq && rec.key_size == page->key_size &&
        !memcmp(key, page->key, rec.key_size))
      r->task_ended = true;
    notice(r, &rec, r->size);
    r->size += size;
  }
  r->reserved = r->size;
  return 0;
}

bool results_reserve(struct results *r) {
  if (r->no_reservation || r->size + RESERVE_NEED <= r->reserved) return true;
  uint32_t steps[2] = {RESERVE_STEP, RESERVE_NEED};
  for (int i = 0; i < 2; i++) {
    if (fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)r->size, steps[i]) == 0) {
      r->reserved = r->size + steps[i];
      return true;
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS) {
      r->no_reservation = true;
      return true;
    }
  }
  return false;
}

static bool write_all(int fd, const uint8_t *bytes, size_t n, uint64_t at) {
  while (n) {
    ssize_t w = pwrite(fd, bytes, n, (off_t)at);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) {
      if (w == 0) errno = ENOSPC;
      return false;
    }
    bytes += w;
    n -= (size_t)w;
    at += (size_t)w;
  }
  return true;
}

bool results_append(struct results *r, const uint8_t *records, size_t n) {
  if (!write_all(r->fd, records, n, r->size)) {
    int err = errno;
    /* A torn record would hide everything behind it from the next reader. */
    if (ftruncate(r->fd, (off_t)r->size) < 0) note("%s: %s", r->name, strerror(errno));
    r->reserved = r->size;
    errno = err;
    return false;
  }
  for (size_t at = 0; at < n;) {
    struct record rec;
    memset(&rec, 0, sizeof rec);
    memcpy(&rec, records + at, STARTED_BYTES);
    notice(r, &rec, r->size + at);
    at += rec.size;
  }
  r->size += n;
  return true;
}

/* Rewrites the file with what is not acknowledged, once half of it is dead: amortised, each byte is copied once. */
static void compact(struct results *r) {
  if (r->size < RESULTS_COMPACT_BYTES || r->dead_bytes < r->size / 2) return;
  if (!r->open_count) {
    if (ftruncate(r->fd, 0) < 0) return;
    r->size = r->reserved = r->dead_bytes = 0;
    r->first = r->count = 0;
    return;
  }
  static uint8_t record[RECORD_MAX_BYTES];
  char name[48];
  snprintf(name, sizeof name, "%s.new", r->name);
  int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  uint64_t size = 0;
  bool good = true;
  for (uint32_t i = r->first; i < r->count && good; i++) {
    struct unacked *u = &r->list[i];
    if (u->acked) continue;
    good = pread(r->fd, record, u->size, (off_t)u->offset) == (ssize_t)u->size && write_all(fd, record, u->size, size);
    size += u->size;
  }
  /* If we crash before the rename the old file still holds all of it; after it, the new one does. */
  if (!good || rename(name, r->name) < 0) {
    close(fd);
    unlink(name);
    return;
  }
  close(r->fd);
  r->fd = fd;
  uint32_t kept = 0;
  uint64_t at = 0;
  for (uint32_t i = r->first; i < r->count; i++) {
    if (r->list[i].acked) continue;
    r->list[kept] = r->list[i];
    r->list[kept].offset = at;
    at += r->list[kept++].size;
  }
  r->first = 0;
  r->count = kept;
  r->size = r->reserved = size;
  r->dead_bytes = 0;
}

/* The place of the first entry whose seq is not below. */
static uint32_t find(const struct results *r, uint64_t seq) {
  uint32_t low = r->first, high = r->count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (r->list[middle].seq < seq)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void results_ack(struct results *r, uint64_t seq) {
  uint32_t i = find(r, seq);
  if (i == r->count || r->list[i].seq != seq || r->list[i].acked) return;
  /* Out of order: the page's number cannot say it, so the record itself must, or it would be told again one day. */
  if (i != r->first && pwrite(r->fd, &(char){RECORD_ACKED_BYTE}, 1, (off_t)r->list[i].offset) != 1)
    note("%s: %s", r->name, strerror(errno));
  r->list[i].acked = true;
  r->open_count--;
  r->dead_bytes += r->list[i].size;
  while (r->first < r->count && r->list[r->first].acked) r->page->acked_through = r->list[r->first++].seq;
  compact(r);
}

size_t results_next(struct results *r, uint64_t seq, uint8_t *to) {
  for (uint32_t i = find(r, seq + 1); i < r->count; i++) {
    struct unacked *u = &r->list[i];
    if (u->acked) continue;
    if (pread(r->fd, to, u->size, (off_t)u->offset) == (ssize_t)u->size && record_whole(to, u->size)) return u->size;
    note("%s: the record at %llu cannot be read back", r->name, (unsigned long long)u->offset);
  }
  return 0;
}

bool results_full(const struct results *r) { return r->open_count >= UNACKED_MAX || r->size >= RESULTS_MAX_BYTES; }
