/* What the supervisor holds. supervisor.c is its loop and its agent, lanes.c its runners, entry.c the agent process it
 * keeps alive when it is the entry of a container or a batch script. */
#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "wire.h"

enum lane_state {
  LANE_NONE,     /* no runner */
  LANE_STARTING, /* started by us, not serving yet */
  LANE_UP,
  LANE_FALLEN, /* its connection ended; what became of it is found out, then NONE */
};

struct lane {
  enum lane_state state;
  pid_t child; /* 0: none, or one that an earlier supervisor started */
  struct conn link;
  bool wanted; /* the agent waits for it */
  bool served; /* it has been UP: its death is no failure to start */
  char failure[256];
};

struct lanes {
  struct lane list[LANES_MAX];
  uint32_t count; /* highest lane in use + 1 */
  bool cleaning;  /* a runner has died: what it left behind is being ended, and no lane is given out */
  uint64_t cleaning_since;
  int log_fd;
};

/* Finds runners of an earlier supervisor, connects to them and asks them to leave once idle (we are not their parent,
 * so what they would leave behind would not come to us); ends what dead ones left. */
void lanes_adopt(struct lanes *l);
void lane_start(struct lanes *l, uint32_t lane);
/* Reads a runner's connection. */
void lane_serve(struct lanes *l, uint32_t lane);
/* A child has been waited for. True when it was a runner. */
bool lanes_child_ended(struct lanes *l, pid_t pid, int status);
/* One pass over leftovers; `also_spare` is the agent's process or 0. */
void lanes_clean(struct lanes *l, pid_t also_spare);
void lanes_retire(struct lanes *l);
uint32_t lanes_alive(const struct lanes *l);
/* enum lane_flag */
uint32_t lane_flags(const struct lanes *l, uint32_t lane);

/* The agent that the supervisor keeps running. */
struct entry {
  char **argv; /* NULL: there is none */
  pid_t pid;
  uint64_t started_ns, restart_at;
  uint32_t failures;
  bool ending, ended;
  int exit_code;
};
void entry_start(struct entry *e);
void entry_signal(struct entry *e, int sig);
/* True when that was the agent. Decides whether it is started again. */
bool entry_child_ended(struct entry *e, pid_t pid, int status);

struct supervise_options {
  const char *state_dir;
  uint32_t idle_exit_seconds;
  char **agent_argv;
};
int supervisor_main(const struct supervise_options *options);

#endif
