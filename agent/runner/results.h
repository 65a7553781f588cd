/* The results file of a lane: records are appended to it before anyone hears of them, and stay until the agent has
 * acknowledged them. It outlives the runner; the next runner of the lane reads it at its start. */
#ifndef RESULTS_H
#define RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

struct unacked {
  uint64_t seq, offset;
  uint32_t size;
  bool acked;
};

struct results {
  int fd;
  char name[32];
  uint64_t size, reserved, dead_bytes;
  bool no_reservation; /* the file system cannot promise room ahead */
  bool task_ended;     /* at opening: the task that the page names has its end on record */
  struct unacked *list; /* ends, by rising seq; [first, count) is the window that matters */
  uint32_t first, count, cap, open_count;
  struct page *page;
};

uint32_t crc32c(const void *bytes, size_t n);
/* Fills in magic, version, size and checksum of a record whose other fields are set; returns its size. */
size_t record_seal(uint8_t *record, size_t used);

/* Opens or makes the file, drops a torn end, lists what is not acknowledged. 0, or -1 with errno. */
int results_open(struct results *r, uint32_t lane, struct page *page);
/* True when room for the records of one more task is promised; otherwise errno says why not. */
bool results_reserve(struct results *r);
/* Appends sealed records that lie one after another. False with errno: nothing of them is in the file. */
bool results_append(struct results *r, const uint8_t *records, size_t n);
void results_ack(struct results *r, uint64_t seq);
/* The first end after `seq` that is not acknowledged, read from the file. Size, or 0 when there is none. */
size_t results_next(struct results *r, uint64_t seq, uint8_t *to);
bool results_full(const struct results *r);

#endif
