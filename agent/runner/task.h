/* The one task a runner has: from its start over its end to its record. A task is over when its main process has been
 * waited for and nothing of its tree is alive.
 *
 *   NONE ── task_start ──▶ RUNNING ── main process ends ──▶ KILLING ── nobody left ──▶ NONE, record
 *                             │ kill, time limit, disk                      ▲
 *                             └──▶ TERMINATING (TERM sent) ── grace over ───┘
 */
#ifndef TASK_H
#define TASK_H

#include <stdbool.h>
#include <sys/types.h>

#include "output.h"
#include "results.h"
#include "run.h"

enum task_phase { TASK_NONE, TASK_RUNNING, TASK_TERMINATING, TASK_KILLING };

struct task {
  enum task_phase phase;
  struct run *run;
  pid_t pid;
  bool main_ended;
  bool folder_empty;
  int folder; /* the one that was made for it, -1: none */
  int status;
  enum cause cause; /* 0 until somebody but the task itself decided its end */
  enum stage stage;
  int err;
  uint64_t seq, start_ticks;
  uint64_t started_wall_ns, started_ns, ended_wall_ns, ended_ns;
  uint64_t time_limit_at, kill_at, give_up_at; /* monotonic; 0: none */
  uint64_t started_due; /* when the started record is written on its own; 0: it has been */
  uint64_t user_us, system_us, max_rss_bytes;
  uint64_t blocks_read, blocks_written; /* of 512 bytes, from and to storage */
  uint32_t left_behind;
  struct output out, err_out;
};

/* What a task puts before the runner: sealed records, to be appended and reported. */
struct news {
  uint8_t bytes[2 * RECORD_MAX_BYTES];
  size_t size;
};

/* Starts `run` (which it takes over). When that fails the ended record is in `news` and the phase is NONE. */
void task_start(struct task *t, struct run *run, struct results *results, int null_fd, struct news *news);
/* Begins the end of a running task: TERM to the whole tree, KILL after the grace. A second call can only shorten it. */
void task_end(struct task *t, enum cause cause, uint32_t grace_ms);
/* Waits for whatever has died, acts on deadlines. True when the task is over; its record is in `news` then. */
bool task_step(struct task *t, struct results *results, struct news *news, bool children_died);
/* The started record of a task that has run a while. */
void task_put_started(struct task *t, struct results *results, struct news *news);
/* Monotonic time of the next thing to do, 0 when there is none. */
uint64_t task_deadline(const struct task *t);
void task_disk(struct task *t, enum stage stage, int err);

/* The end of a run that was never started (killed while queued), or of the task that a dead runner left on its page. */
void task_put_unstarted(const char *key, uint32_t key_size, enum cause cause, enum stage stage, int err,
                        const struct page *lost, struct results *results, struct news *news);

#endif
