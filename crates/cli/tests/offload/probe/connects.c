/* Connecting, listening, and whom the addresses belong to. */
#include <sys/epoll.h>

#include "probe.h"

static int fresh_socket(void) {
    return MUST(socket(AF_INET, SOCK_STREAM, 0));
}

static void socket_error(int descriptor) {
    int error = -1;
    socklen_t length = sizeof error;
    MUST(getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length));
    say("SO_ERROR: %s", error ? name_of(error) : "none");
}

/* Where nobody listens, nor can anybody: the address is taken. */
static struct sockaddr_in nobody(void) {
    int bound = fresh_socket();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(bound, (struct sockaddr *)&address, sizeof address));
    return address_of(bound);
}

/* Says that these two are one connection. */
static void same_connection(int near, int far) {
    char buffer[8];
    put(near, "there");
    arrived(far, 5);
    HEAR(recv(far, buffer, 5, MSG_WAITALL));
    put(far, "back");
    arrived(near, 4);
    HEAR(recv(near, buffer, 4, MSG_WAITALL));
}

void connect_not_blocking(void) {
    int listening = listener(), near = fresh_socket();
    struct sockaddr_in address = address_of(listening);
    not_blocking(near);
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    saw("near", settled(near, POLLIN | POLLOUT, POLLOUT));
    socket_error(near);
    not_blocking(listening);
    settled(listening, POLLIN, POLLIN);
    int far = MUST(accept(listening, NULL, NULL));
    same_connection(near, far);
    close(near);
    close(far);
    /* By epoll, registered before. */
    near = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    int set = MUST(epoll_create1(0));
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    struct epoll_event event = {.events = EPOLLOUT | EPOLLIN | EPOLLET};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, near, &event));
    TELL(epoll_wait(set, &event, 1, PATIENCE));
    saw("near", event.events);
    socket_error(near);
    close(near);
    close(set);
    close(listening);
}

void connect_refused(void) {
    struct sockaddr_in address = nobody();
    int near = fresh_socket();
    char buffer[8];
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    socket_error(near);
    TELL(recv(near, buffer, 1, MSG_DONTWAIT));
    TELL(send(near, "x", 1, MSG_NOSIGNAL));
    close(near);
}

void connect_refused_not_blocking(void) {
    struct sockaddr_in address = nobody();
    int near = fresh_socket();
    not_blocking(near);
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    saw("near", settled(near, POLLIN | POLLOUT, POLLERR));
    socket_error(near);
    socket_error(near);
    close(near);
    near = fresh_socket();
    not_blocking(near);
    int set = MUST(epoll_create1(0));
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    struct epoll_event event = {.events = EPOLLOUT};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, near, &event));
    TELL(epoll_wait(set, &event, 1, PATIENCE));
    saw("near", event.events);
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    close(near);
    close(set);
}

void connect_after_refusal(void) {
    struct sockaddr_in address = nobody();
    int listening = listener(), near = fresh_socket();
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    /* The same socket may try elsewhere. */
    address = address_of(listening);
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    int far = MUST(accept(listening, NULL, NULL));
    same_connection(near, far);
    close(near);
    close(far);
    close(listening);
}

void connect_to_self(void) {
    int self = fresh_socket();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(self, (struct sockaddr *)&address, sizeof address));
    address = address_of(self);
    /* Both ends are one: a simultaneous open (RFC 9293 section 3.5). */
    TELL(connect(self, (struct sockaddr *)&address, sizeof address));
    char buffer[8];
    put(self, "myself");
    HEAR(recv(self, buffer, 6, MSG_WAITALL));
    MUST(shutdown(self, SHUT_WR));
    HEAR(read(self, buffer, sizeof buffer));
    close(self);
}

void connect_to_any(void) {
    int listening = fresh_socket(), near = fresh_socket();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    MUST(bind(listening, (struct sockaddr *)&address, sizeof address));
    MUST(listen(listening, 5));
    address.sin_port = address_of(listening).sin_port;
    say("listening on %08x", ntohl(address_of(listening).sin_addr.s_addr));
    /* That is this machine. */
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    int far = MUST(accept(listening, NULL, NULL));
    say("%08x and %08x", ntohl(address_of(near).sin_addr.s_addr), ntohl(address_of(far).sin_addr.s_addr));
    same_connection(near, far);
    close(near);
    close(far);
    close(listening);
}

void connect_bound(void) {
    int listening = listener(), near = fresh_socket();
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    MUST(bind(near, (struct sockaddr *)&own, sizeof own));
    own = address_of(near);
    struct sockaddr_in address = address_of(listening), from;
    socklen_t length = sizeof from;
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    int far = MUST(accept(listening, (struct sockaddr *)&from, &length));
    say("from %08x, the port: %d", ntohl(from.sin_addr.s_addr), from.sin_port == own.sin_port);
    same_connection(near, far);
    close(near);
    close(far);
    close(listening);
}

void connect_twice(void) {
    int listening = listener(), near = connection_to(listening);
    struct sockaddr_in address = address_of(listening);
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    TELL(listen(near, 5));
    TELL(connect(fresh_socket(), (struct sockaddr *)&address, 3));
    address.sin_family = 99;
    TELL(connect(fresh_socket(), (struct sockaddr *)&address, sizeof address));
    TELL(bind(near, (struct sockaddr *)&address, sizeof address));
    TELL(accept(near, NULL, NULL));
    TELL(accept(fresh_socket(), NULL, NULL));
    close(near);
    close(listening);
}

void listen_again(void) {
    int listening = listener();
    TELL(listen(listening, 1));
    TELL(listen(listening, 100));
    int near = connection_to(listening), far = MUST(accept(listening, NULL, NULL));
    same_connection(near, far);
    close(near);
    /* Whose end comes first has to wait for its address: it is not the listener's. */
    settled(far, POLLIN | POLLRDHUP, POLLRDHUP);
    close(far);
    /* The address is free again once it was closed. */
    struct sockaddr_in address = address_of(listening);
    MUST(close(listening));
    int again = fresh_socket(), on = 1;
    MUST(setsockopt(again, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    TELL(bind(again, (struct sockaddr *)&address, sizeof address));
    TELL(listen(again, 5));
    near = connection_to(again);
    far = MUST(accept(again, NULL, NULL));
    same_connection(near, far);
    close(near);
    close(far);
    close(again);
}

void listen_unbound(void) {
    int listening = fresh_socket();
    TELL(listen(listening, 5));
    say("a port: %d", address_of(listening).sin_port != 0);
    int near = connection_to(listening), far = MUST(accept(listening, NULL, NULL));
    same_connection(near, far);
    close(near);
    close(far);
    close(listening);
}

void addresses_in_use(void) {
    int listening = listener(), other = fresh_socket(), on = 1;
    struct sockaddr_in address = address_of(listening);
    TELL(bind(other, (struct sockaddr *)&address, sizeof address));
    MUST(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    TELL(bind(other, (struct sockaddr *)&address, sizeof address));
    /* Two that both agree. */
    int one = fresh_socket(), two = fresh_socket();
    MUST(setsockopt(one, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
    MUST(setsockopt(two, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
    address.sin_port = 0;
    TELL(bind(one, (struct sockaddr *)&address, sizeof address));
    address = address_of(one);
    TELL(bind(two, (struct sockaddr *)&address, sizeof address));
    TELL(listen(one, 64));
    TELL(listen(two, 64));
    int accepted = 0;
    struct pollfd entries[] = {{one, POLLIN, 0}, {two, POLLIN, 0}};
    for (int i = 0; i < 20; i++) {
        int near = connection_to(one);
        MUST(poll(entries, 2, PATIENCE));
        int far = MUST(accept(entries[0].revents ? one : two, NULL, NULL));
        accepted++;
        close(near);
        close(far);
    }
    say("accepted: %d", accepted);
    close(one);
    close(two);
    close(other);
    close(listening);
}

void both_families(void) {
    int listening = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT}, from;
    if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address) < 0) {
        say("there is no IPv6");
        return;
    }
    MUST(listen(listening, 5));
    socklen_t length = sizeof address;
    MUST(getsockname(listening, (struct sockaddr *)&address, &length));
    struct sockaddr_in four = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = address.sin6_port,
    };
    int near = fresh_socket();
    TELL(connect(near, (struct sockaddr *)&four, sizeof four));
    length = sizeof from;
    int far = MUST(accept(listening, (struct sockaddr *)&from, &length));
    say("family %d, mapped: %d, length %u", from.sin6_family, IN6_IS_ADDR_V4MAPPED(&from.sin6_addr), length);
    same_connection(near, far);
    close(near);
    close(far);
    near = MUST(socket(AF_INET6, SOCK_STREAM, 0));
    address.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    TELL(connect(near, (struct sockaddr *)&address, sizeof address));
    length = sizeof from;
    far = MUST(accept(listening, (struct sockaddr *)&from, &length));
    say("family %d, loopback: %d, length %u", from.sin6_family, IN6_IS_ADDR_LOOPBACK(&from.sin6_addr), length);
    same_connection(near, far);
    close(near);
    close(far);
    close(listening);
}
