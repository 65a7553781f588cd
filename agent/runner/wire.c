#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_STEP (64u << 10)
#define READ_ROUND (1u << 20)
#define OUT_MAX (4u << 20)
/* An empty buffer that a big frame has blown up is given back. */
#define KEEP_MAX (256u << 10)

static void buffer_free(struct buffer *b) {
  free(b->data);
  memset(b, 0, sizeof *b);
}

static bool buffer_room(struct buffer *b, size_t room) {
  if (b->from == b->to) {
    b->from = b->to = 0;
    if (b->cap > KEEP_MAX && room <= KEEP_MAX) buffer_free(b);
  }
  if (b->cap - b->to >= room) return true;
  if (b->from) {
    memmove(b->data, b->data + b->from, b->to - b->from);
    b->to -= b->from;
    b->from = 0;
    if (b->cap - b->to >= room) return true;
  }
  size_t cap = b->cap ? b->cap : READ_STEP;
  while (cap - b->to < room) cap *= 2;
  uint8_t *data = realloc(b->data, cap);
  if (!data) return false;
  b->data = data;
  b->cap = cap;
  return true;
}

void conn_open(struct conn *c, int fd) {
  memset(c, 0, sizeof *c);
  c->fd = fd;
}

void conn_close(struct conn *c) {
  if (c->fd >= 0) close(c->fd);
  buffer_free(&c->in);
  buffer_free(&c->out);
  c->fd = -1;
  c->role = ROLE_NONE;
}

bool conn_read(struct conn *c) {
  for (size_t round = 0; round < READ_ROUND;) {
    /* A whole frame and one step may lie here at most: frames are taken out before the next call. */
    if (c->in.to - c->in.from > FRAME_MAX_BYTES + READ_ROUND) return true;
    if (!buffer_room(&c->in, READ_STEP)) return false;
    ssize_t n = recv(c->fd, c->in.data + c->in.to, READ_STEP, MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c->in.to += (size_t)n;
    round += (size_t)n;
    if ((size_t)n < READ_STEP) return true;
  }
  return true;
}

int conn_frame(struct conn *c, struct frame *f) {
  size_t have = c->in.to - c->in.from;
  if (have < FRAME_HEAD_BYTES) return 0;
  const uint8_t *p = c->in.data + c->in.from;
  uint32_t size;
  memcpy(&size, p, 4);
  if (size < FRAME_HEAD_BYTES || size > (c->role == ROLE_NONE ? HELLO_MAX_BYTES : FRAME_MAX_BYTES)) return -1;
  if (p[5] || p[6] || p[7]) return -1;
  if (have < size) return 0;
  f->type = p[4];
  f->body = p + FRAME_HEAD_BYTES;
  f->size = size - FRAME_HEAD_BYTES;
  c->in.from += size;
  return 1;
}

bool conn_put(struct conn *c, uint8_t type, const void *a, size_t a_size, const void *b, size_t b_size) {
  if (c->fd < 0) return false;
  size_t size = FRAME_HEAD_BYTES + a_size + b_size;
  if (size > FRAME_MAX_BYTES || conn_pending(c) + size > OUT_MAX + FRAME_MAX_BYTES) return false;
  if (!buffer_room(&c->out, size)) return false;
  uint8_t *p = c->out.data + c->out.to;
  uint32_t n = (uint32_t)size;
  memcpy(p, &n, 4);
  p[4] = type;
  p[5] = p[6] = p[7] = 0;
  if (a_size) memcpy(p + FRAME_HEAD_BYTES, a, a_size);
  if (b_size) memcpy(p + FRAME_HEAD_BYTES + a_size, b, b_size);
  c->out.to += size;
  return true;
}

bool conn_put_error(struct conn *c, enum error_code code, const char *sentence) {
  uint32_t n = code;
  return conn_put(c, FRAME_ERROR, &n, 4, sentence, strlen(sentence));
}

bool conn_flush(struct conn *c) {
  while (c->out.from < c->out.to) {
    ssize_t n = send(c->fd, c->out.data + c->out.from, c->out.to - c->out.from, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    c->out.from += (size_t)n;
  }
  return true;
}

void conn_refuse(struct conn *c, enum error_code code, const char *sentence) {
  if (conn_put_error(c, code, sentence)) conn_flush(c);
  conn_close(c);
}

bool conn_peer_gone(struct conn *c) {
  char one;
  ssize_t n = recv(c->fd, &one, 1, MSG_PEEK | MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

size_t conn_pending(const struct conn *c) { return c->out.to - c->out.from; }
