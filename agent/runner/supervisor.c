/* The supervisor: one per agent state directory. It owns the directory (flock), starts runners, inherits and ends what
 * a dead runner leaves behind, and lets one agent at a time in. Tasks do not pass through it: the agent talks to the
 * runners directly, so its death costs nobody anything. */
#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system.h"

#define GUESTS_MAX 4
#define EXIT_OWNED 3

struct supervisor {
  struct lanes lanes;
  struct entry entry;
  struct conn agent, guests[GUESTS_MAX];
  uint32_t lanes_allowed;
  bool stopping;
  uint64_t agent_left_ns, idle_exit_ns; /* idle exit 0: never */
  int signal_fd, listen_fd;
};

static void tell_lane(struct supervisor *s, uint32_t lane, int32_t pid, const char *sentence) {
  struct {
    uint32_t lane;
    int32_t pid;
  } body = {lane, pid};
  s->lanes.list[lane].wanted = false;
  conn_put(&s->agent, FRAME_LANE, &body, sizeof body, sentence, strlen(sentence));
}

/* Gives the lanes that the agent waits for, once nothing of a dead runner's task is alive any more. */
static void serve_wanted(struct supervisor *s) {
  for (uint32_t i = 0; i < LANES_MAX && s->agent.fd >= 0; i++) {
    struct lane *it = &s->lanes.list[i];
    if (!it->wanted) continue;
    if (it->state == LANE_UP) {
      tell_lane(s, i, it->child ? it->child : -1, "");
    } else if (it->state == LANE_NONE && it->failure[0]) {
      tell_lane(s, i, 0, it->failure);
      it->failure[0] = 0;
    } else if (it->state == LANE_NONE && !s->lanes.cleaning) {
      lane_start(&s->lanes, i);
      if (it->failure[0]) tell_lane(s, i, 0, it->failure);
    }
  }
}

static bool on_open_lane(struct supervisor *s, const struct frame *f) {
  uint32_t lane;
  if (f->size != 4) return false;
  memcpy(&lane, f->body, 4);
  if (lane >= LANES_MAX) return false;
  if (lane >= s->lanes_allowed && !lane_flags(&s->lanes, lane)) {
    char sentence[160];
    snprintf(sentence, sizeof sentence, "Lane %u does not exist: this agent said it has %u.", lane, s->lanes_allowed);
    tell_lane(s, lane, 0, sentence);
    return true;
  }
  s->lanes.list[lane].failure[0] = 0;
  s->lanes.list[lane].wanted = true;
  return true;
}

static void serve_agent(struct supervisor *s) {
  struct frame f;
  bool there = conn_read(&s->agent), good = true;
  int got;
  while (good && (got = conn_frame(&s->agent, &f)) != 0) {
    good = got > 0;
    if (good && f.type == FRAME_OPEN_LANE)
      good = on_open_lane(s, &f);
    else if (good && f.type == FRAME_STOP)
      s->stopping = true;
    else
      good = false;
  }
  if (good && s->stopping) lanes_retire(&s->lanes);
  if (!good) conn_refuse(&s->agent, ERROR_FRAME, "An agent may send open_lane and stop to its supervisor.");
  if (!there && s->agent.fd >= 0) conn_close(&s->agent);
  if (s->agent.fd < 0) s->agent_left_ns = monotonic_ns();
}

static void welcome(struct supervisor *s) {
  static uint32_t held[LANES_MAX][2];
  struct process self = {0};
  struct welcome w = {.version = PROTOCOL_VERSION, .pid = getpid(), .queue_max = QUEUE_MAX};
  process_read(getpid(), &self);
  w.start_ticks = self.start_ticks;
  boot_id_read(w.boot_id);
  for (uint32_t i = 0; i < s->lanes.count; i++) {
    uint32_t flags = lane_flags(&s->lanes, i);
    s->lanes.list[i].wanted = false;
    if (!flags) continue;
    held[w.lane][0] = i;
    held[w.lane++][1] = flags;
  }
  conn_put(&s->agent, FRAME_WELCOME, &w, sizeof w, held, w.lane * sizeof held[0]);
}

static void serve_guest(struct supervisor *s, struct conn *guest) {
  struct frame f;
  uint32_t hello[3];
  bool there = conn_read(guest);
  int got = conn_frame(guest, &f);
  if (got == 0) {
    if (!there) conn_close(guest);
    return;
  }
  if (got < 0 || f.type != FRAME_HELLO || f.size != sizeof hello) {
    conn_refuse(guest, ERROR_FRAME, "The first frame must be a hello of 12 bytes.");
    return;
  }
  memcpy(hello, f.body, sizeof hello);
  char sentence[200];
  if (hello[0] != PROTOCOL_VERSION) {
    snprintf(sentence, sizeof sentence, "This supervisor speaks version %u of the control protocol, the agent version %u.", PROTOCOL_VERSION,
             hello[0]);
    conn_refuse(guest, ERROR_VERSION, sentence);
  } else if (hello[1] != ROLE_AGENT || hello[2] < 1 || hello[2] > LANES_MAX) {
    snprintf(sentence, sizeof sentence, "A supervisor serves agents (role 1) with 1 to %u lanes.", LANES_MAX);
    conn_refuse(guest, ERROR_FRAME, sentence);
  } else if (s->agent.fd >= 0 && !conn_peer_gone(&s->agent)) {
    snprintf(sentence, sizeof sentence,
             "The agent with process id %d uses this state directory: stop it first, or give this agent a directory of its own.",
             (int)s->agent.peer);
    conn_refuse(guest, ERROR_BUSY, sentence);
  } else {
    if (s->agent.fd >= 0) conn_close(&s->agent);
    s->agent = *guest;
    s->agent.role = ROLE_AGENT;
    conn_open(guest, -1);
    s->lanes_allowed = hello[2];
    s->stopping = false;
    welcome(s);
    serve_agent(s);
  }
}

static void accept_guest(struct supervisor *s) {
  int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct conn *place = &s->guests[0];
  for (int i = GUESTS_MAX - 1; i >= 0; i--)
    if (s->guests[i].fd < 0) place = &s->guests[i];
  if (place->fd >= 0) conn_close(place);
  conn_open(place, fd);
  if (!socket_peer_is_ours(fd, &place->peer))
    conn_refuse(place, ERROR_PEER, "This supervisor serves only agents of its own user.");
}

/* True: leave now. A service manager that ends us without an agent of our own ends nothing else: runners live on and
 * the next supervisor adopts them. */
static bool on_signals(struct supervisor *s) {
  struct signalfd_siginfo info;
  bool leave = false;
  while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) continue;
    if (s->entry.argv)
      entry_signal(&s->entry, (int)info.ssi_signo);
    else
      leave |= info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT;
  }
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
    if (!lanes_child_ended(&s->lanes, pid, status)) entry_child_ended(&s->entry, pid, status);
  return leave;
}

static int wait_ms(const struct supervisor *s, uint64_t now) {
  uint64_t at = s->entry.restart_at;
  if (s->lanes.cleaning) return 5;
  if (s->idle_exit_ns && s->agent.fd < 0 && !s->stopping) {
    uint64_t idle_at = s->agent_left_ns + s->idle_exit_ns;
    if (!at || idle_at < at) at = idle_at;
  }
  if (!at) return -1;
  return at <= now ? 0 : at - now > 60000000000ull ? 60000 : (int)((at - now + 999999) / 1000000);
}

enum { P_SIGNAL, P_LISTEN, P_AGENT, P_GUEST, P_LANE = P_GUEST + GUESTS_MAX };

static int loop(struct supervisor *s) {
  static struct pollfd p[P_LANE + LANES_MAX];
  for (;;) {
    uint64_t now = monotonic_ns();
    if (s->entry.restart_at && now >= s->entry.restart_at) entry_start(&s->entry);
    if (s->entry.ended) return s->entry.exit_code;
    if (s->lanes.cleaning) lanes_clean(&s->lanes, s->entry.pid);
    serve_wanted(s);
    if (s->idle_exit_ns && s->agent.fd < 0 && !s->stopping && now - s->agent_left_ns >= s->idle_exit_ns) {
      s->stopping = true;
      lanes_retire(&s->lanes);
    }
    if (s->stopping && !lanes_alive(&s->lanes) && !s->lanes.cleaning && !s->entry.argv) return 0;
    if (s->agent.fd >= 0 && !conn_flush(&s->agent)) conn_close(&s->agent);
    p[P_SIGNAL] = (struct pollfd){s->signal_fd, POLLIN, 0};
    p[P_LISTEN] = (struct pollfd){s->listen_fd, POLLIN, 0};
    p[P_AGENT] = (struct pollfd){s->agent.fd, (short)(POLLIN | (conn_pending(&s->agent) ? POLLOUT : 0)), 0};
    for (int i = 0; i < GUESTS_MAX; i++) p[P_GUEST + i] = (struct pollfd){s->guests[i].fd, POLLIN, 0};
    for (uint32_t i = 0; i < s->lanes.count; i++) p[P_LANE + i] = (struct pollfd){s->lanes.list[i].link.fd, POLLIN, 0};
    uint32_t lanes = s->lanes.count;
    if (poll(p, P_LANE + lanes, wait_ms(s, now)) < 0 && errno != EINTR) return 1;
    for (uint32_t i = 0; i < lanes; i++)
      if (p[P_LANE + i].revents) lane_serve(&s->lanes, i);
    if (p[P_SIGNAL].revents && on_signals(s)) return 0;
    if (p[P_AGENT].revents) serve_agent(s);
    for (int i = 0; i < GUESTS_MAX; i++)
      if (p[P_GUEST + i].revents && s->guests[i].fd >= 0) serve_guest(s, &s->guests[i]);
    if (p[P_LISTEN].revents) accept_guest(s);
  }
}

static int complain(const char *what, int code) {
  fprintf(stderr, "airavata-runner: %s: %s\n", what, strerror(errno));
  return code;
}

/* The flock is the ownership; the text in the file is for people and for the sentence of whoever comes second. */
static int take_ownership(const char *state_dir) {
  char text[160] = "";
  int fd = open("supervisor.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return complain("supervisor.lock", 1);
  if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    fprintf(stderr, "airavata-runner: %s already has a supervisor (%s)\n", state_dir, text);
    return EXIT_OWNED;
  }
  struct process self = {0};
  uint8_t boot[16];
  process_read(getpid(), &self);
  boot_id_read(boot);
  int n = snprintf(text, sizeof text, "pid %d start %llu boot ", (int)getpid(), (unsigned long long)self.start_ticks);
  for (int i = 0; i < 16; i++) n += snprintf(text + n, sizeof text - (size_t)n, "%02x", boot[i]);
  text[n++] = '\n';
  if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0) return complain("supervisor.lock", 1);
  return 0; /* and the descriptor stays open for life */
}

int supervisor_main(const struct supervise_options *o) {
  static struct supervisor supervisor;
  struct supervisor *s = &supervisor;
  sigset_t all, ours;
  note_role = "supervisor";
  note_owns_log = o->agent_argv == NULL;
  close_inherited(3);
  if (mkdir(o->state_dir, 0700) < 0 && errno != EEXIST) return complain(o->state_dir, 1);
  /* From here on every name is relative, so that a long path fits into a socket address. */
  if (chdir(o->state_dir) < 0) return complain(o->state_dir, 1);
  umask(022);
  int failed = take_ownership(o->state_dir);
  if (failed) return failed;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int sig = 1; sig < NSIG; sig++) signal(sig, SIG_DFL);
  sigemptyset(&ours);
  sigaddset(&ours, SIGCHLD);
  sigaddset(&ours, SIGTERM);
  sigaddset(&ours, SIGINT);
  sigaddset(&ours, SIGHUP);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  conn_open(&s->agent, -1);
  for (int i = 0; i < GUESTS_MAX; i++) conn_open(&s->guests[i], -1);
  for (uint32_t i = 0; i < LANES_MAX; i++) conn_open(&s->lanes.list[i].link, -1);
  s->agent_left_ns = monotonic_ns();
  s->idle_exit_ns = o->agent_argv ? 0 : o->idle_exit_seconds * 1000000000ull;
  s->lanes.log_fd = open("supervisor.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (s->lanes.log_fd < 0) return complain("supervisor.log", 1);
  if ((s->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) return complain("signalfd", 1);
  lanes_adopt(&s->lanes);
  if ((s->listen_fd = socket_listen("supervisor.sock")) < 0) return complain("supervisor.sock", 1);
  if (o->agent_argv) {
    s->entry.argv = o->agent_argv;
    entry_start(&s->entry);
  } else {
    setsid();
    /* Whoever started us reads this line; then the terminal or pipe is let go. */
    if (write(1, "ready\n", 6) < 0) note("nobody waits for us");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, 0);
    dup2(null, 1);
    dup2(s->lanes.log_fd, 2);
  }
  return loop(s);
}
