/* Waits for what never comes, and says what came instead. */
#include <sys/epoll.h>

#include "probe.h"

int block(const char *call);

/* Nobody reads it: it waits, however much room there was that nobody knew of. */
static void send_without_end(int descriptor) {
    static char octets[65536];
    ssize_t sent;
    do
        sent = send(descriptor, octets, sizeof octets, MSG_NOSIGNAL);
    while (sent > 0);
    told("send", sent);
}

int block(const char *call) {
    int listening = listener(), set = MUST(epoll_create1(0));
    struct pair pair = connected();
    char buffer[8];
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd entry = {pair.far, POLLIN, 0};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, pair.far, &event));
    if (!strcmp(call, "send"))
        fill(pair.near);
    say("blocked");
    if (!strcmp(call, "accept"))
        TELL(accept(listening, NULL, NULL));
    else if (!strcmp(call, "send"))
        send_without_end(pair.near);
    else if (!strcmp(call, "recv"))
        TELL(recv(pair.far, buffer, sizeof buffer, 0));
    else if (!strcmp(call, "poll"))
        TELL(poll(&entry, 1, -1));
    else
        TELL(epoll_wait(set, &event, 1, -1));
    if (!strcmp(call, "epoll") || !strcmp(call, "poll"))
        TELL(recv(pair.far, buffer, sizeof buffer, MSG_DONTWAIT));
    return 0;
}
