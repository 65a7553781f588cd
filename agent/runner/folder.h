/* The folder of a task, made before it and, when it was left empty, kept for the next one: a folder costs as much as a
 * start, and a million silent tasks must not leave a million of them. Only runs that ask for it (RUN_MAKE_FOLDER). */
#ifndef FOLDER_H
#define FOLDER_H

#include <stdbool.h>

/* Makes the folder and the one it is in; what that one is in must be there. A descriptor (O_PATH) of it, or -1 with
 * errno. A folder of that name that is there already belongs to another history and is moved aside. */
int folder_make(const char *path);
/* Was it left empty, with the rights it was made with? Then it becomes the folder of the next task. Called for the one
 * that was made last, with the descriptor that it gave. */
bool folder_keep(const char *path, int folder);
/* Removes what is kept. */
void folder_drop(void);

#endif
