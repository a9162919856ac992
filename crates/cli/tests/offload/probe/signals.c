/* Signals interrupt what waits. */
#include <sys/epoll.h>
#include <sys/time.h>

#include "probe.h"

static _Atomic int alarms;

static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

/* A signal each few milliseconds: one of them comes while the call waits. */
static void interrupt(int flags) {
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    MUST(sigaction(SIGALRM, &action, NULL));
    struct itimerval often = {.it_interval.tv_usec = 10000, .it_value.tv_usec = 10000};
    MUST(setitimer(ITIMER_REAL, &often, NULL));
}

static void no_more(void) {
    struct itimerval never = {0};
    MUST(setitimer(ITIMER_REAL, &never, NULL));
    signal(SIGALRM, SIG_DFL);
    alarm(LIMIT);
}

void interrupted_calls(void) {
    struct pair pair = connected();
    int listening = listener();
    char buffer[8];
    struct iovec in = {buffer, sizeof buffer};
    struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1};
    fill(pair.near);
    interrupt(0);
    TELL(read(pair.near, buffer, sizeof buffer));
    TELL(recv(pair.near, buffer, sizeof buffer, 0));
    TELL(readv(pair.near, &in, 1));
    TELL(recvmsg(pair.near, &message, 0));
    TELL(accept(listening, NULL, NULL));
    UNTIL_FULL(write(pair.near, "x", 1));
    UNTIL_FULL(send(pair.near, "x", 1, 0));
    /* Part of what was asked for is there: that is the answer. */
    put(pair.far, "part");
    arrived(pair.near, 4);
    HEAR(recv(pair.near, buffer, 8, MSG_WAITALL));
    no_more();
    close(listening);
    close_both(pair);
}

static int served;

/* Once some signals have come, gives those who wait what they wait for. */
static void *serve_after_signals(void *near) {
    int start = alarms;
    while (alarms < start + 3)
        usleep(1000);
    if (served >= 0)
        return (void *)(size_t)connection_to(served);
    put(*(int *)near, "at last");
    return NULL;
}

static pthread_t server(int *near) {
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGALRM);
    pthread_t thread;
    MUST(pthread_sigmask(SIG_BLOCK, &signals, &before));
    pthread_create(&thread, NULL, serve_after_signals, near);
    MUST(pthread_sigmask(SIG_SETMASK, &before, NULL));
    return thread;
}

void restarted_calls(void) {
    struct pair pair = connected();
    int listening = listener();
    char buffer[8];
    interrupt(SA_RESTART);
    served = -1;
    pthread_t thread = server(&pair.far);
    HEAR(read(pair.near, buffer, sizeof buffer));
    pthread_join(thread, NULL);
    thread = server(&pair.far);
    HEAR(recv(pair.near, buffer, 7, MSG_WAITALL));
    pthread_join(thread, NULL);
    served = listening;
    thread = server(&pair.far);
    int far = accept(listening, NULL, NULL);
    say("accepted: %d", far >= 0);
    void *near;
    pthread_join(thread, &near);
    no_more();
    close((int)(size_t)near);
    close(far);
    close(listening);
    close_both(pair);
}

void interrupted_waits(void) {
    struct pair pair = connected();
    int set = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, pair.far, &event));
    struct pollfd entry = {pair.far, POLLIN, 0};
    fd_set reading;
    /* These are never restarted (signal(7)). */
    int flags[] = {0, SA_RESTART};
    for (int i = 0; i < 2; i++) {
        interrupt(flags[i]);
        TELL(poll(&entry, 1, PATIENCE));
        TELL(epoll_wait(set, &event, 1, PATIENCE));
        TELL(epoll_pwait(set, &event, 1, PATIENCE, NULL));
        FD_ZERO(&reading);
        FD_SET(pair.far, &reading);
        TELL(select(pair.far + 1, &reading, NULL, NULL, NULL));
        no_more();
    }
    /* A mask for the wait alone. */
    sigset_t masked;
    sigemptyset(&masked);
    sigaddset(&masked, SIGALRM);
    interrupt(0);
    TELL(epoll_pwait(set, &event, 1, 50, &masked));
    no_more();
    /* A call that restarts, but has a time to end, does not restart. */
    struct timeval long_time = {.tv_sec = PATIENCE / 1000};
    MUST(setsockopt(pair.far, SOL_SOCKET, SO_RCVTIMEO, &long_time, sizeof long_time));
    interrupt(SA_RESTART);
    char buffer[8];
    TELL(recv(pair.far, buffer, sizeof buffer, 0));
    no_more();
    close_both(pair);
    close(set);
}
