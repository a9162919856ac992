/* A program that makes socket calls and prints what came of them. `probe CASE` prints the same transcript on any two
 * runs on sockets that behave alike: no times, no ports, no descriptor numbers but those that the case chose. */
#ifndef PROBE_H
#define PROBE_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long, in milliseconds, something that happens soon is waited for. */
enum { PATIENCE = 10000 };
/* After so many seconds a process is ended: nothing here takes that long. */
enum { LIMIT = 30 };

/* A connection's two ends, both in this process. */
struct pair {
    int near; /* connected */
    int far;  /* accepted */
};

/* A line of the transcript. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A call and what it returned, with the error's name. */
#define TELL(call) told(#call, (long)(call))
void told(const char *call, long result);
/* The same of a call that reads into `buffer`, with what was read. */
#define HEAR(call) heard(#call, (long)(call), buffer)
void heard(const char *call, long result, const char *buffer);
/* Events of poll or epoll, by name. */
void saw(const char *what, unsigned events);
/* The name of an error. */
const char *name_of(int error);

/* Makes a call that sends until nothing more is taken, however much room there still was, and tells what it returned
 * then. Is how many octets were taken. */
#define UNTIL_FULL(call)                            \
    ({                                              \
        long taken_, all_ = 0;                      \
        while ((taken_ = (long)(call)) > 0)         \
            all_ += taken_;                         \
        told(#call, taken_);                        \
        all_;                                       \
    })

/* Ends the program where a case cannot go on. */
#define MUST(call) must(#call, (long)(call))
long must(const char *call, long result);

/* Listens on a free port of 127.0.0.1. */
int listener(void);
struct sockaddr_in address_of(int descriptor);
/* Connects to what this listener listens on. */
int connection_to(int listener);
struct pair connected(void);
/* Connects until nobody listens there any more, which is the case soon, and tells what connect returned then. */
void left(struct sockaddr_in address);
void close_both(struct pair pair);

void put(int descriptor, const char *text);
/* Writes or reads so many octets of a pattern, from `from` on. Reading returns how many came, and compares them. */
void put_pattern(int descriptor, size_t from, size_t length);
size_t get_pattern(int descriptor, size_t from, size_t length);
/* Fills `octets` with the pattern. */
void pattern(char *octets, size_t from, size_t length);

/* Wait until so many octets can be read; until poll reports all of `events`. Return what there is then. */
int arrived(int descriptor, int octets);
unsigned settled(int descriptor, unsigned asked, unsigned events);
/* Writes until nothing more can be taken. Returns how much was. */
size_t fill(int descriptor);
/* Reads until so many octets came, or the end. */
size_t drain(int descriptor, size_t octets);
void not_blocking(int descriptor);
/* Waits for a child, and says how it ended. */
void ended(const char *who, pid_t child);

#endif
