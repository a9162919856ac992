/* poll and select. */
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>

#include "probe.h"

void polls(void) {
    int listening = listener();
    saw("listening, nobody", settled(listening, POLLIN | POLLOUT, 0));
    int near = connection_to(listening);
    saw("listening, one", settled(listening, POLLIN | POLLOUT, POLLIN));
    int far = MUST(accept(listening, NULL, NULL));
    saw("listening, accepted", settled(listening, POLLIN | POLLOUT, 0));
    saw("far, idle", settled(far, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0));
    put(near, "data");
    saw("far, data", settled(far, POLLIN | POLLOUT, POLLIN));
    saw("far, asked for nothing", settled(far, 0, 0));
    drain(far, 4);
    saw("far, read", settled(far, POLLIN | POLLOUT, 0));
    struct pollfd entries[4] = {{-1, POLLIN, 9}, {far, POLLIN, 0}, {near, POLLOUT, 0}, {999, POLLIN, 0}};
    TELL(poll(entries, 4, -1));
    saw("negative", entries[0].revents);
    saw("far", entries[1].revents);
    saw("near", entries[2].revents);
    saw("not open", entries[3].revents);
    struct pollfd idle = {far, POLLIN, 0};
    TELL(poll(&idle, 1, 30));
    TELL(poll(NULL, 0, 1));
    close(near);
    close(far);
    close(listening);
}

void polls_of_ends(void) {
    unsigned all = POLLIN | POLLOUT | POLLRDHUP;
    struct pair pair = connected();
    MUST(shutdown(pair.near, SHUT_WR));
    saw("far, peer wrote its last", settled(pair.far, all, POLLRDHUP));
    saw("far, asked for less", settled(pair.far, POLLIN, POLLIN));
    MUST(shutdown(pair.far, SHUT_WR));
    saw("near, both ended", settled(pair.near, all, POLLHUP));
    saw("far, both ended", settled(pair.far, all, POLLHUP));
    close_both(pair);
    pair = connected();
    put(pair.near, "data and the end");
    MUST(close(pair.near));
    arrived(pair.far, 16);
    saw("far, data and end", settled(pair.far, all, POLLRDHUP));
    drain(pair.far, 16);
    saw("far, end", settled(pair.far, all, POLLRDHUP));
    close(pair.far);
    int fresh = MUST(socket(AF_INET, SOCK_STREAM, 0));
    saw("fresh", settled(fresh, all, 0));
    close(fresh);
}

static void *put_soon(void *descriptor) {
    usleep(20000);
    put(*(int *)descriptor, "soon");
    return NULL;
}

void polls_with_others(void) {
    struct pair pair = connected();
    int pipes[2], event = MUST(eventfd(0, EFD_NONBLOCK)), timer = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    MUST(pipe(pipes));
    struct pollfd entries[] = {{pipes[0], POLLIN, 0}, {pair.far, POLLIN, 0}, {event, POLLIN, 0}, {timer, POLLIN, 0}};
    TELL(poll(entries, 4, 0));
    /* Each of them ends the wait. */
    int *writers[] = {&pipes[1], &pair.near};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, put_soon, writers[i]);
        TELL(poll(entries, 4, PATIENCE));
        saw("pipe", entries[0].revents);
        saw("far", entries[1].revents);
        pthread_join(thread, NULL);
        drain(entries[i].fd, 4);
    }
    uint64_t one = 1;
    MUST(write(event, &one, sizeof one));
    TELL(poll(entries, 4, PATIENCE));
    saw("event", entries[2].revents);
    MUST(read(event, &one, sizeof one));
    struct itimerspec soon = {.it_value.tv_nsec = 10000000};
    MUST(timerfd_settime(timer, 0, &soon, NULL));
    TELL(poll(entries, 4, PATIENCE));
    saw("timer", entries[3].revents);
    put(pipes[1], "x");
    put(pair.near, "x");
    settled(pair.far, POLLIN, POLLIN);
    TELL(poll(entries, 4, PATIENCE));
    close_both(pair);
}

void selects(void) {
    struct pair pair = connected();
    int listening = listener();
    fd_set reading, writing, failing;
    int top = (pair.near > listening ? pair.near : listening) + 1;
    top = pair.far >= top ? pair.far + 1 : top;
    struct timeval none = {0}, soon = {.tv_usec = 30000};
    FD_ZERO(&reading);
    FD_SET(pair.far, &reading);
    FD_SET(listening, &reading);
    FD_ZERO(&writing);
    FD_SET(pair.near, &writing);
    FD_ZERO(&failing);
    FD_SET(pair.near, &failing);
    TELL(select(top, &reading, &writing, &failing, &none));
    say("set: %d %d %d %d", FD_ISSET(pair.far, &reading), FD_ISSET(listening, &reading), FD_ISSET(pair.near, &writing),
        FD_ISSET(pair.near, &failing));
    FD_ZERO(&reading);
    FD_SET(pair.far, &reading);
    TELL(select(top, &reading, NULL, NULL, &soon));
    pthread_t thread;
    pthread_create(&thread, NULL, put_soon, &pair.near);
    FD_SET(pair.far, &reading);
    FD_SET(listening, &reading);
    TELL(select(top, &reading, NULL, NULL, NULL));
    say("set: %d %d", FD_ISSET(pair.far, &reading), FD_ISSET(listening, &reading));
    pthread_join(thread, NULL);
    int near = connection_to(listening);
    FD_ZERO(&reading);
    FD_SET(listening, &reading);
    TELL(select(top, &reading, NULL, NULL, NULL));
    MUST(close(pair.near));
    drain(pair.far, 5);
    FD_ZERO(&reading);
    FD_SET(pair.far, &reading);
    TELL(select(top, &reading, NULL, NULL, NULL));
    FD_ZERO(&reading);
    FD_SET(900, &reading);
    TELL(select(901, &reading, NULL, NULL, &none));
    TELL(select(-1, NULL, NULL, NULL, &none));
    close(near);
    close(listening);
    close(pair.far);
}

static volatile sig_atomic_t signals;

static void on_signal(int signal) {
    (void)signal;
    signals++;
}

/* Blocks a signal, which then is pending. Returns the mask without it. */
static sigset_t pending_signal(void) {
    sigset_t blocked, before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    signal(SIGUSR1, on_signal);
    MUST(sigprocmask(SIG_BLOCK, &blocked, &before));
    raise(SIGUSR1);
    return before;
}

void poll_with_mask(void) {
    struct pair pair = connected();
    sigset_t open = pending_signal();
    struct pollfd entry = {pair.far, POLLIN, 0};
    struct timespec soon = {.tv_nsec = 30000000}, long_time = {.tv_sec = PATIENCE / 1000};
    TELL(ppoll(&entry, 1, &soon, NULL));
    say("signals: %d", (int)signals);
    TELL(ppoll(&entry, 1, &long_time, &open));
    say("signals: %d", (int)signals);
    put(pair.near, "x");
    TELL(ppoll(&entry, 1, NULL, &open));
    close_both(pair);
}

void select_with_mask(void) {
    struct pair pair = connected();
    sigset_t open = pending_signal();
    fd_set reading;
    FD_ZERO(&reading);
    FD_SET(pair.far, &reading);
    struct timespec long_time = {.tv_sec = PATIENCE / 1000};
    TELL(pselect(pair.far + 1, &reading, NULL, NULL, &long_time, &open));
    say("signals: %d", (int)signals);
    put(pair.near, "x");
    FD_ZERO(&reading);
    FD_SET(pair.far, &reading);
    TELL(pselect(pair.far + 1, &reading, NULL, NULL, &long_time, NULL));
    close_both(pair);
}
