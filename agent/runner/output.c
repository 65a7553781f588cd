#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STEP_BYTES (64u << 10)
#define TURN_BYTES (32u << 10)

static uint8_t step[STEP_BYTES];

enum stage output_open(struct output *o, const char *path, uint64_t limit, uint32_t inline_limit, int shared_folder) {
  int ends[2];
  o->read_end = o->write_end = o->folder = o->file = -1;
  o->total = 0;
  o->err = 0;
  o->limit = limit < OUTPUT_MIN_BYTES ? OUTPUT_MIN_BYTES : limit;
  o->inline_limit = inline_limit > INLINE_MAX_BYTES ? INLINE_MAX_BYTES : inline_limit;
  const char *slash = strrchr(path, '/');
  o->name = slash ? slash + 1 : "";
  if (*path) {
    char folder[4096];
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (!slash || path[0] != '/' || !*o->name || n >= sizeof folder) {
      errno = EINVAL;
      return STAGE_OUTPUT;
    }
    memcpy(folder, path, n);
    folder[n] = 0;
    o->folder = shared_folder >= 0 ? shared_folder : open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    o->folder_shared = shared_folder >= 0;
    if (o->folder < 0) return STAGE_OUTPUT;
  }
  if (pipe2(ends, O_CLOEXEC) < 0) return STAGE_PIPE;
  o->read_end = ends[0];
  o->write_end = ends[1];
  /* Only our end: O_NONBLOCK is a property of the open file, and the task must see an ordinary pipe. */
  fcntl(o->read_end, F_SETFL, O_NONBLOCK);
  return STAGE_NONE;
}

static uint64_t half(const struct output *o) { return o->limit / 2; }
static uint64_t ring(const struct output *o) { return o->limit - half(o); }

static uint64_t place(const struct output *o, uint64_t offset) {
  return offset < half(o) ? offset : half(o) + (offset - half(o)) % ring(o);
}

static bool write_at(struct output *o, const uint8_t *bytes, size_t n, uint64_t at) {
  while (n) {
    ssize_t w = pwrite(o->file, bytes, n, (off_t)at);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) {
      o->err = w < 0 ? errno : ENOSPC;
      return false;
    }
    bytes += w;
    n -= (size_t)w;
    at += (size_t)w;
  }
  return true;
}

/* Writes bytes whose stream offset is `offset`, in pieces that end where head or ring end. */
static void keep(struct output *o, const uint8_t *bytes, size_t n, uint64_t offset) {
  while (n && !o->err) {
    uint64_t at = place(o, offset), end = at < half(o) ? half(o) : o->limit;
    size_t piece = n < end - at ? n : (size_t)(end - at);
    if (!write_at(o, bytes, piece, at)) return;
    bytes += piece;
    n -= piece;
    offset += piece;
  }
}

static void take(struct output *o, const uint8_t *bytes, size_t n) {
  uint64_t offset = o->total;
  o->total += n;
  if (o->file < 0) {
    size_t room = offset < o->inline_limit ? o->inline_limit - (size_t)offset : 0;
    if (n <= room || !*o->name || o->err) {
      memcpy(o->head + (room ? offset : 0), bytes, n < room ? n : room);
      return;
    }
    o->file = openat(o->folder, o->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (o->file < 0) {
      o->err = errno;
      memcpy(o->head + (room ? offset : 0), bytes, room);
      return;
    }
    keep(o, o->head, (size_t)offset, 0);
  }
  keep(o, bytes, n, offset);
}

bool output_take(struct output *o, size_t most) {
  while (most && o->read_end >= 0) {
    ssize_t n = read(o->read_end, step, most < STEP_BYTES ? most : STEP_BYTES);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    take(o, step, (size_t)n);
    most -= (size_t)n;
    if ((size_t)n < 4096) return false;
  }
  return true;
}

static bool read_at(struct output *o, uint8_t *bytes, size_t n, uint64_t at) {
  while (n) {
    ssize_t r = pread(o->file, bytes, n, (off_t)at);
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) return false;
    bytes += r;
    n -= (size_t)r;
    at += (size_t)r;
  }
  return true;
}

static void mirror(uint8_t *to, const uint8_t *from, size_t n) {
  for (size_t i = 0; i < n; i++) to[i] = from[n - 1 - i];
}

/* Reverses the bytes at [low, high) of the file from both ends inwards, in small memory. */
static bool reverse(struct output *o, uint64_t low, uint64_t high) {
  static uint8_t a[TURN_BYTES], b[TURN_BYTES];
  while (high - low > 1) {
    uint64_t span = high - low;
    size_t n = span / 2 < TURN_BYTES ? (size_t)(span / 2) : TURN_BYTES;
    if (!read_at(o, a, n, low) || !read_at(o, b, n, high - n)) return false;
    mirror(step, a, n);
    if (!write_at(o, step, n, high - n)) return false;
    mirror(step, b, n);
    if (!write_at(o, step, n, low)) return false;
    low += n;
    high -= n;
  }
  return true;
}

/* Rotating left by k is three reversals; then the sentence takes the place of the oldest bytes of the tail. */
static void turn(struct output *o) {
  uint64_t oldest = half(o) + (o->total - half(o)) % ring(o);
  bool good = reverse(o, half(o), oldest) && reverse(o, oldest, o->limit) && reverse(o, half(o), o->limit);
  if (!good) {
    if (!o->err) o->err = EIO;
    return;
  }
  char sentence[80];
  uint64_t out = o->total - o->limit;
  /* The sentence takes the place of bytes that it must count too, and the number decides on its length: the length
   * only grows from one round to the next, so it settles. */
  int n = 0;
  for (int before = -1; n != before;) {
    before = n;
    n = snprintf(sentence, sizeof sentence, "\n[\u2026 %llu bytes left out \u2026]\n", (unsigned long long)(out + (uint64_t)n));
  }
  write_at(o, (uint8_t *)sentence, (size_t)n, half(o));
}

bool output_cut(const struct output *o) {
  if (o->err) return true;
  return o->file >= 0 ? o->total > o->limit : o->total > o->inline_limit;
}

void output_finish(struct output *o) {
  if (o->write_end >= 0) close(o->write_end);
  o->write_end = -1;
  /* Everybody of the tree is dead: what a pipe can hold (1 MiB at most for a user) is all there can be. */
  for (int i = 0; i < 32 && output_take(o, 64 << 10); i++) {
  }
  if (o->file >= 0 && !o->err && o->total > o->limit) turn(o);
  output_close(o);
}

void output_close(struct output *o) {
  if (o->read_end >= 0) close(o->read_end);
  if (o->write_end >= 0) close(o->write_end);
  if (o->folder >= 0 && !o->folder_shared) close(o->folder);
  if (o->file >= 0) close(o->file);
  /* `file` is asked about once more for the record: "was there one". */
  o->read_end = o->write_end = o->folder = -1;
}

size_t output_read(struct output *o, uint64_t *offset, uint8_t *to, size_t most) {
  bool in_file = o->file >= 0;
  uint64_t kept = in_file ? o->limit : o->inline_limit;
  uint64_t head = o->total <= kept ? o->total : in_file ? half(o) : o->inline_limit;
  if (*offset >= head && o->total > kept && in_file && *offset < o->total - ring(o)) *offset = o->total - ring(o);
  uint64_t end = *offset < head ? head : in_file ? o->total : head;
  if (*offset >= end) return 0;
  size_t n = end - *offset < most ? (size_t)(end - *offset) : most;
  if (!in_file) {
    memcpy(to, o->head + *offset, n);
    return n;
  }
  uint64_t at = place(o, *offset), stop = at < half(o) ? half(o) : o->limit;
  if (n > stop - at) n = (size_t)(stop - at);
  return read_at(o, to, n, at) ? n : 0;
}
