/* What the peers of a runner may ask of it: the frames of PROTOCOL.md. A frame that is none closes its connection and
 * touches nothing else. */
#ifndef CONTROL_H
#define CONTROL_H

#include "runner.h"

void control_welcome(struct runner *r, struct conn *c);
void control_accept(struct runner *r);
void control_guest(struct runner *r, struct conn *guest);
/* Reads and obeys a connection that has said hello; closes it when it ends. */
void control_serve(struct runner *r, struct conn *c);

#endif
