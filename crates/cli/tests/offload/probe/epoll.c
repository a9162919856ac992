/* epoll, in all its modes. */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "probe.h"

static int control(int set, int operation, int descriptor, unsigned events) {
    struct epoll_event event = {.events = events, .data.u64 = 0x1122334455667700 + descriptor};
    return epoll_ctl(set, operation, descriptor, &event);
}

static int set_of(int descriptor, unsigned events) {
    int set = MUST(epoll_create1(EPOLL_CLOEXEC));
    MUST(control(set, EPOLL_CTL_ADD, descriptor, events));
    return set;
}

/* What the set has for this descriptor within so many milliseconds. */
static void wait_for(const char *what, int set, int descriptor, int milliseconds) {
    struct epoll_event events[4];
    int count = epoll_wait(set, events, 4, milliseconds);
    if (count < 0)
        say("%s: %s", what, name_of(errno));
    else if (count == 1 && events[0].data.u64 == (uint64_t)0x1122334455667700 + descriptor)
        saw(what, events[0].events);
    else
        say("%s: %d events", what, count);
}

/* Nothing more is on its way: what has happened has been seen. */
enum { SOON = 50 };

void epoll_level(void) {
    int listening = listener(), accepting = set_of(listening, EPOLLIN);
    wait_for("nobody", accepting, listening, 0);
    int near = connection_to(listening);
    wait_for("one", accepting, listening, PATIENCE);
    wait_for("still", accepting, listening, PATIENCE);
    int far = MUST(accept(listening, NULL, NULL));
    wait_for("accepted", accepting, listening, 0);
    int set = set_of(far, EPOLLIN | EPOLLRDHUP);
    wait_for("idle", set, far, SOON);
    put(near, "data");
    wait_for("data", set, far, PATIENCE);
    drain(far, 2);
    wait_for("half read", set, far, PATIENCE);
    drain(far, 2);
    wait_for("read", set, far, SOON);
    MUST(control(set, EPOLL_CTL_MOD, far, EPOLLOUT));
    wait_for("writable", set, far, PATIENCE);
    wait_for("still writable", set, far, PATIENCE);
    close(near);
    close(far);
    wait_for("closed", set, far, 0);
    close(set);
    close(accepting);
    close(listening);
}

void epoll_edge(void) {
    struct pair pair = connected();
    int set = set_of(pair.far, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
    wait_for("at first", set, pair.far, PATIENCE);
    wait_for("no news", set, pair.far, SOON);
    put(pair.near, "one");
    wait_for("data", set, pair.far, PATIENCE);
    wait_for("no news", set, pair.far, SOON);
    put(pair.near, "two");
    wait_for("more data", set, pair.far, PATIENCE);
    drain(pair.far, 6);
    wait_for("read", set, pair.far, SOON);
    MUST(control(set, EPOLL_CTL_MOD, pair.far, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET));
    wait_for("armed again", set, pair.far, PATIENCE);
    MUST(shutdown(pair.near, SHUT_WR));
    wait_for("end", set, pair.far, PATIENCE);
    wait_for("no news", set, pair.far, SOON);
    close_both(pair);
    close(set);
    /* A listener: each connection is news. */
    int listening = listener();
    not_blocking(listening);
    set = set_of(listening, EPOLLIN | EPOLLET);
    int one = connection_to(listening);
    wait_for("one", set, listening, PATIENCE);
    wait_for("no news", set, listening, SOON);
    int two = connection_to(listening);
    wait_for("two", set, listening, PATIENCE);
    int count = 0;
    for (int far; (far = accept(listening, NULL, NULL)) >= 0; count++)
        close(far);
    say("accepted %d, then %s", count, name_of(errno));
    close(one);
    close(two);
    close(set);
    close(listening);
}

void epoll_oneshot(void) {
    struct pair pair = connected();
    int set = set_of(pair.far, EPOLLIN | EPOLLONESHOT);
    put(pair.near, "one");
    wait_for("data", set, pair.far, PATIENCE);
    put(pair.near, "two");
    wait_for("disarmed", set, pair.far, SOON);
    MUST(control(set, EPOLL_CTL_MOD, pair.far, EPOLLIN | EPOLLONESHOT));
    wait_for("armed again", set, pair.far, PATIENCE);
    drain(pair.far, 6);
    MUST(control(set, EPOLL_CTL_MOD, pair.far, EPOLLIN | EPOLLONESHOT));
    wait_for("armed, idle", set, pair.far, SOON);
    put(pair.near, "three");
    wait_for("more", set, pair.far, PATIENCE);
    close_both(pair);
    close(set);
}

static int shared_listener;

/* Accepts until a connection says so. Returns how many it accepted. */
static void *accept_exclusively(void *nothing) {
    (void)nothing;
    size_t count = 0;
    int set = set_of(shared_listener, EPOLLIN | EPOLLEXCLUSIVE);
    for (bool ended = false; !ended;) {
        struct epoll_event event;
        MUST(epoll_wait(set, &event, 1, -1));
        int far = accept(shared_listener, NULL, NULL);
        if (far < 0)
            continue;
        char octet = 0;
        if (read(far, &octet, 1) == 1 && octet == 'q')
            ended = true;
        else
            count++;
        put(far, "k");
        close(far);
    }
    close(set);
    return (void *)count;
}

void epoll_exclusive(void) {
    shared_listener = listener();
    not_blocking(shared_listener);
    int set = MUST(epoll_create1(0));
    TELL(control(set, EPOLL_CTL_ADD, shared_listener, EPOLLIN | EPOLLEXCLUSIVE));
    TELL(control(set, EPOLL_CTL_MOD, shared_listener, EPOLLIN));
    close(set);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, accept_exclusively, NULL);
    for (int i = 0; i < 63; i++) {
        int near = connection_to(shared_listener);
        put(near, i < 60 ? "x" : "q");
        drain(near, 1);
        close(near);
    }
    size_t all = 0;
    for (int i = 0; i < 3; i++) {
        void *count;
        pthread_join(threads[i], &count);
        all += (size_t)count;
    }
    say("accepted: %zu", all);
    close(shared_listener);
}

void epoll_control(void) {
    struct pair pair = connected();
    int set = MUST(epoll_create(1));
    TELL(control(set, EPOLL_CTL_MOD, pair.far, EPOLLIN));
    TELL(control(set, EPOLL_CTL_DEL, pair.far, 0));
    TELL(control(set, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    TELL(control(set, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    TELL(control(set, 77, pair.far, EPOLLIN));
    TELL(control(set, EPOLL_CTL_ADD, -1, EPOLLIN));
    TELL(control(set, EPOLL_CTL_ADD, set, EPOLLIN));
    TELL(control(pair.near, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    TELL(epoll_ctl(set, EPOLL_CTL_DEL, pair.far, NULL));
    put(pair.near, "x");
    settled(pair.far, POLLIN, POLLIN);
    wait_for("removed", set, pair.far, 0);
    TELL(control(set, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    wait_for("added when ready", set, pair.far, 0);
    struct epoll_event event;
    TELL(epoll_wait(set, &event, 0, 0));
    TELL(epoll_wait(pair.near, &event, 1, 0));
    TELL(epoll_wait(-1, &event, 1, 0));
    int fresh = MUST(socket(AF_INET, SOCK_STREAM, 0));
    TELL(control(set, EPOLL_CTL_DEL, pair.far, 0));
    TELL(control(set, EPOLL_CTL_ADD, fresh, EPOLLIN));
    wait_for("fresh", set, fresh, 0);
    close(fresh);
    close_both(pair);
    close(set);
}

void epoll_few_at_a_time(void) {
    enum { MANY = 20 };
    struct pair pairs[MANY];
    int set = MUST(epoll_create1(0)), seen[MANY] = {0}, all = 0;
    for (int i = 0; i < MANY; i++) {
        pairs[i] = connected();
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        MUST(epoll_ctl(set, EPOLL_CTL_ADD, pairs[i].far, &event));
        put(pairs[i].near, "x");
        settled(pairs[i].far, POLLIN, POLLIN);
    }
    /* Who is always ready does not keep the others from their turn. */
    for (int turn = 0; turn < MANY; turn++) {
        struct epoll_event events[3];
        int count = MUST(epoll_wait(set, events, 3, 0));
        for (int i = 0; i < count; i++)
            all += !seen[events[i].data.u32]++;
    }
    say("seen: %d", all);
    for (int i = 0; i < MANY; i++)
        close_both(pairs[i]);
    close(set);
}

void epoll_with_others(void) {
    struct pair pair = connected();
    int pipes[2], event = MUST(eventfd(0, 0)), timer = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    MUST(pipe(pipes));
    int set = set_of(pair.far, EPOLLIN);
    MUST(control(set, EPOLL_CTL_ADD, pipes[0], EPOLLIN));
    MUST(control(set, EPOLL_CTL_ADD, event, EPOLLIN));
    MUST(control(set, EPOLL_CTL_ADD, timer, EPOLLIN));
    wait_for("nothing", set, 0, SOON);
    put(pipes[1], "x");
    wait_for("pipe", set, pipes[0], PATIENCE);
    drain(pipes[0], 1);
    uint64_t one = 1;
    MUST(write(event, &one, sizeof one));
    wait_for("event", set, event, PATIENCE);
    MUST(read(event, &one, sizeof one));
    struct itimerspec soon = {.it_value.tv_nsec = 20000000};
    MUST(timerfd_settime(timer, 0, &soon, NULL));
    wait_for("timer", set, timer, PATIENCE);
    MUST(read(timer, &one, sizeof one));
    put(pair.near, "x");
    wait_for("far", set, pair.far, PATIENCE);
    put(pipes[1], "x");
    MUST(write(event, &one, sizeof one));
    struct epoll_event events[8];
    TELL(epoll_wait(set, events, 8, PATIENCE));
    TELL(epoll_wait(set, events, 2, PATIENCE));
    close_both(pair);
    TELL(epoll_wait(set, events, 8, PATIENCE));
    close(set);
}

void epoll_nested(void) {
    struct pair pair = connected();
    int inner = set_of(pair.far, EPOLLIN), outer = set_of(inner, EPOLLIN);
    saw("inner, idle", settled(inner, POLLIN, 0));
    wait_for("outer, idle", outer, inner, SOON);
    put(pair.near, "x");
    saw("inner, data", settled(inner, POLLIN, POLLIN));
    wait_for("outer, data", outer, inner, PATIENCE);
    drain(pair.far, 1);
    saw("inner, read", settled(inner, POLLIN, 0));
    close_both(pair);
    close(inner);
    close(outer);
}

struct waiter {
    int set, descriptor;
};

static void *wait_long(void *argument) {
    struct waiter *waiter = argument;
    wait_for("the waiter", waiter->set, waiter->descriptor, PATIENCE);
    return NULL;
}

void epoll_from_another_thread(void) {
    struct pair pair = connected();
    put(pair.near, "x");
    settled(pair.far, POLLIN, POLLIN);
    struct waiter waiter = {MUST(epoll_create1(0)), pair.far};
    pthread_t thread;
    /* Who waits hears of what was added meanwhile, and changed, and written. */
    pthread_create(&thread, NULL, wait_long, &waiter);
    usleep(20000);
    MUST(control(waiter.set, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    pthread_join(thread, NULL);
    drain(pair.far, 1);
    MUST(control(waiter.set, EPOLL_CTL_MOD, pair.far, 0));
    pthread_create(&thread, NULL, wait_long, &waiter);
    usleep(20000);
    MUST(control(waiter.set, EPOLL_CTL_MOD, pair.far, EPOLLOUT));
    pthread_join(thread, NULL);
    MUST(control(waiter.set, EPOLL_CTL_MOD, pair.far, EPOLLIN));
    pthread_create(&thread, NULL, wait_long, &waiter);
    usleep(20000);
    put(pair.near, "x");
    pthread_join(thread, NULL);
    close_both(pair);
    close(waiter.set);
}

void epoll_writable(void) {
    struct pair pair = connected();
    int set = set_of(pair.near, EPOLLOUT | EPOLLET);
    wait_for("at first", set, pair.near, PATIENCE);
    size_t filled = 0;
    struct epoll_event events[4];
    /* What is on its way makes room a while longer. */
    do
        filled += fill(pair.near);
    while (MUST(epoll_wait(set, events, 4, SOON)) > 0);
    say("full");
    say("drained all: %d", drain(pair.far, filled) == filled);
    wait_for("room again", set, pair.near, PATIENCE);
    close_both(pair);
    close(set);
}

void epoll_of_ends(void) {
    struct pair pair = connected();
    int set = set_of(pair.far, EPOLLIN | EPOLLRDHUP);
    MUST(shutdown(pair.near, SHUT_WR));
    wait_for("end", set, pair.far, PATIENCE);
    MUST(control(set, EPOLL_CTL_MOD, pair.far, 0));
    wait_for("asked for nothing", set, pair.far, SOON);
    MUST(shutdown(pair.far, SHUT_WR));
    settled(pair.far, POLLIN, POLLHUP);
    wait_for("both ended", set, pair.far, PATIENCE);
    close_both(pair);
    pair = connected();
    MUST(control(set, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    struct linger at_once = {.l_onoff = 1};
    MUST(setsockopt(pair.near, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    MUST(close(pair.near));
    wait_for("reset", set, pair.far, PATIENCE);
    close(pair.far);
    close(set);
}

void epoll_of_duplicates(void) {
    struct pair pair = connected();
    int copy = MUST(dup(pair.far)), set = set_of(copy, EPOLLIN);
    TELL(control(set, EPOLL_CTL_ADD, pair.far, EPOLLIN));
    put(pair.near, "x");
    settled(copy, POLLIN, POLLIN);
    struct epoll_event events[4];
    TELL(epoll_wait(set, events, 4, PATIENCE));
    MUST(control(set, EPOLL_CTL_DEL, copy, 0));
    MUST(close(copy));
    wait_for("the other", set, pair.far, PATIENCE);
    close_both(pair);
    wait_for("closed", set, pair.far, 0);
    close(set);
}
