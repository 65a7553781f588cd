/* One output stream of a task: what is read from its pipe is kept inline up to a limit, beyond that in a file of at
 * most `limit` bytes, the first half of which keeps the head and the second half, as a ring, the tail.
 *
 * The file while the task runs: stream offset o lies at o for o < limit, and at half + (o - half) mod (limit - half)
 * beyond. output_finish() turns the ring so that the file reads: head, "[… N bytes left out …]", tail. No byte more is
 * needed on the disk for that, so a full disk cannot spoil it. */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

struct output {
  int read_end, write_end; /* we keep a write end too: without it each task's exit would wake us twice */
  int folder;              /* where the file will be, opened before the task could exchange it */
  bool folder_shared;      /* and closed by the other stream */
  const char *name;        /* "": no file, what is beyond the inline limit is dropped */
  int file;
  uint32_t inline_limit;
  uint64_t limit;
  uint64_t total;
  int err; /* errno of the first write that failed; from then on what comes is counted and dropped */
  uint8_t head[INLINE_MAX_BYTES];
};

/* Opens pipe and folder. 0, or the stage that failed with errno. `path` must live as long as the output. */
enum stage output_open(struct output *o, const char *path, uint64_t limit, uint32_t inline_limit, int shared_folder);
/* Reads what is in the pipe, at most `most` bytes. True when there may be more. */
bool output_take(struct output *o, size_t most);
/* Empties the pipe, turns the ring, closes. What strangers (holding the pipe from outside the tree) write later is
 * not waited for. */
void output_finish(struct output *o);
void output_close(struct output *o);
bool output_cut(const struct output *o);
/* Copies kept bytes from stream offset *offset on; when they were dropped, from the first later one that is kept. */
size_t output_read(struct output *o, uint64_t *offset, uint8_t *to, size_t most);

#endif
