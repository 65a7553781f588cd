/* What a runner holds. runner.c is its loop, control.c what its peers may ask of it. */
#ifndef RUNNER_H
#define RUNNER_H

#include "results.h"
#include "task.h"
#include "wire.h"

#define GUESTS_MAX 2

struct runner {
  uint32_t lane;
  struct page *page;
  struct results results;
  struct task task;
  struct run *queue[QUEUE_MAX];
  uint64_t queue_from[QUEUE_MAX]; /* number of the agent's connection that brought it */
  uint64_t agent_number;
  uint32_t queue_count, queue_bytes;
  struct news news;
  struct news unwritten; /* ends that the disk did not take yet */
  uint64_t retry_at;
  struct conn agent, boss;
  struct conn guests[GUESTS_MAX]; /* have not said hello yet */
  uint64_t told_through;          /* the agent has been sent every end up to here */
  bool behind;                    /* and there are more, to be read from the file */
  bool ready_sent;
  uint32_t queue_high;            /* most that waited since the agent was last written to */
  uint64_t tell_at;               /* ends gathered for one message go out by then; 0: none are held back */
  bool retiring;
  int signal_fd, listen_fd, null_fd;
};

/* Serves one lane of the state directory that is the current directory. `boss_fd` is a socket to the supervisor. */
int runner_main(uint32_t lane, int boss_fd);
/* Takes one out of the queue without freeing it. */
void runner_unqueue(struct runner *r, uint32_t i);
/* Appends the news, marks the page, tells the agent. */
void runner_settle(struct runner *r);

#endif
