/* Keeps a new agent program while it proves itself, and the former one in its place when it does not. */
#ifndef KEEP_H
#define KEEP_H

/* Runs until the agent has ended; gives its status. `plan` is described in PROTOCOL.md. */
int keep_main(const char *plan);

#endif
