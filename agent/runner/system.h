/* Small questions to the kernel that both roles ask: clocks, who a process is, sockets by a short name, the log. */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

uint64_t wall_ns(void);
uint64_t monotonic_ns(void);
uint64_t boot_ns(void);

/* Start time of a process in clock ticks since boot, its parent, its process session and its state letter. A zombie is
 * answered like any other: callers that ask "alive?" look at the state. 0, or -1 when there is no such process. */
struct process {
  pid_t parent, session;
  char state;
  uint64_t start_ticks;
};
int process_read(pid_t pid, struct process *out);

void boot_id_read(uint8_t id[16]);

/* A listening Unix socket of that name in the current directory, mode 0600, -1 with errno. */
int socket_listen(const char *name);
int socket_connect(const char *name);
/* The peer must be of our own user (or root). Gives its pid. */
bool socket_peer_is_ours(int fd, pid_t *pid);

void close_inherited(int from);

/* One line to descriptor 2 with time and role. The file behind it is emptied beyond 256 KiB when it is our own log. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern const char *note_role;
extern bool note_owns_log;

#endif
