/* The processes of a task: whatever descends from this process, which is their subreaper, so that nobody leaves the
 * tree by a double fork or a process session of its own. */
#ifndef TREE_H
#define TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Calls `visit` for each direct child of `pid` (of any of its threads). */
void tree_each_child(pid_t pid, void (*visit)(pid_t child, void *arg), void *arg);

/* A polite signal to every descendant of `root`, then SIGCONT, so that a stopped one hears it. Returns how many. */
int tree_signal(pid_t root, int sig);

/* SIGKILL to every direct child that `spare` does not name, with its process group when `groups`. What those leave
 * behind becomes our direct child: call again until nobody is left. Only un-reaped children are named, so no number
 * can have passed to a stranger. Returns how many children were found. */
int tree_kill_children(bool groups, bool (*spare)(pid_t child, void *arg), void *arg);

/* Ends what is left of a process session whose runner died unseen (its supervisor was dead too): the members of the
 * session and all their descendants, until none is alive, for at most two seconds. Returns how many are left. */
int tree_kill_session(pid_t session);

#endif
