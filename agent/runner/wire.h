/* A framed connection over a Unix socket: never blocks, never trusts a length, buffers grow only by what has arrived. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

struct buffer {
  uint8_t *data;
  size_t cap, from, to; /* what is in it lies at [from, to) */
};

struct conn {
  int fd; /* -1: nobody */
  enum role role;
  pid_t peer;
  struct buffer in, out;
};

struct frame {
  uint8_t type;
  const uint8_t *body; /* valid until the next conn_read */
  uint32_t size;
};

void conn_open(struct conn *c, int fd);
void conn_close(struct conn *c);
/* Reads what is there (at most 1 MiB a call, so that others get their turn). False: the peer is gone. */
bool conn_read(struct conn *c);
/* 1: a frame; 0: not yet; -1: what the peer sent is no frame. */
int conn_frame(struct conn *c, struct frame *f);
/* Puts a frame of up to two parts into the out buffer. False: out of memory or the peer does not read (4 MiB wait). */
bool conn_put(struct conn *c, uint8_t type, const void *a, size_t a_size, const void *b, size_t b_size);
bool conn_put_error(struct conn *c, enum error_code code, const char *sentence);
/* Writes what the peer takes. False: the peer is gone. */
bool conn_flush(struct conn *c);
/* Writes what it can of an error and closes: for peers that are refused. */
void conn_refuse(struct conn *c, enum error_code code, const char *sentence);
/* True when the peer has closed and nothing of it is left to read. */
bool conn_peer_gone(struct conn *c);
size_t conn_pending(const struct conn *c);

#endif
