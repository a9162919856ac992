/* Options, names and what is no connection at all. */
#include <netinet/ip.h>
#include <sys/time.h>
#include <sys/un.h>

#include "probe.h"

/* An option as a number. */
static void option(const char *what, int descriptor, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    if (getsockopt(descriptor, level, name, &value, &length) < 0)
        say("%s: %s", what, name_of(errno));
    else
        say("%s: %d of length %u", what, value, length);
}
#define OPTION(descriptor, level, name) option(#descriptor " " #name, descriptor, level, name)

static void set(const char *what, int descriptor, int level, int name, int value) {
    told(what, setsockopt(descriptor, level, name, &value, sizeof value));
}
#define SET(descriptor, level, name, value) set(#descriptor " " #name " = " #value, descriptor, level, name, value)

void socket_options(void) {
    int fresh = MUST(socket(AF_INET, SOCK_STREAM, 0)), listening = listener();
    struct pair pair = connected();
    OPTION(fresh, SOL_SOCKET, SO_ACCEPTCONN);
    OPTION(listening, SOL_SOCKET, SO_ACCEPTCONN);
    OPTION(pair.near, SOL_SOCKET, SO_ACCEPTCONN);
    int descriptors[] = {listening, pair.near, pair.far};
    for (int i = 0; i < 3; i++) {
        int each = descriptors[i];
        OPTION(each, SOL_SOCKET, SO_TYPE);
        OPTION(each, SOL_SOCKET, SO_DOMAIN);
        OPTION(each, SOL_SOCKET, SO_PROTOCOL);
        OPTION(each, SOL_SOCKET, SO_ERROR);
        OPTION(each, IPPROTO_TCP, TCP_NODELAY);
        SET(each, IPPROTO_TCP, TCP_NODELAY, 1);
        OPTION(each, IPPROTO_TCP, TCP_NODELAY);
        SET(each, SOL_SOCKET, SO_KEEPALIVE, 1);
        OPTION(each, SOL_SOCKET, SO_KEEPALIVE);
        SET(each, IPPROTO_TCP, TCP_KEEPIDLE, 77);
        OPTION(each, IPPROTO_TCP, TCP_KEEPIDLE);
        SET(each, IPPROTO_TCP, TCP_KEEPINTVL, 7);
        OPTION(each, IPPROTO_TCP, TCP_KEEPINTVL);
        SET(each, IPPROTO_TCP, TCP_KEEPCNT, 3);
        OPTION(each, IPPROTO_TCP, TCP_KEEPCNT);
        SET(each, IPPROTO_TCP, TCP_CORK, 1);
        OPTION(each, IPPROTO_TCP, TCP_CORK);
        SET(each, IPPROTO_TCP, TCP_CORK, 0);
        SET(each, SOL_SOCKET, SO_REUSEADDR, 1);
        OPTION(each, SOL_SOCKET, SO_REUSEADDR);
        SET(each, IPPROTO_IP, IP_TOS, IPTOS_LOWDELAY);
        OPTION(each, IPPROTO_IP, IP_TOS);
    }
    struct linger linger = {.l_onoff = 1, .l_linger = 5};
    socklen_t length = sizeof linger;
    TELL(setsockopt(pair.near, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    linger = (struct linger){0};
    TELL(getsockopt(pair.near, SOL_SOCKET, SO_LINGER, &linger, &length));
    say("linger: %d %d", linger.l_onoff, linger.l_linger);
    close(fresh);
    close(listening);
    close_both(pair);
}

void inherited_options(void) {
    int listening = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    SET(listening, IPPROTO_TCP, TCP_NODELAY, 1);
    SET(listening, SOL_SOCKET, SO_KEEPALIVE, 1);
    SET(listening, IPPROTO_TCP, TCP_KEEPIDLE, 88);
    SET(listening, IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
    MUST(listen(listening, 5));
    int near = connection_to(listening);
    settled(listening, POLLIN, POLLIN);
    int far = MUST(accept(listening, NULL, NULL));
    OPTION(far, IPPROTO_TCP, TCP_NODELAY);
    OPTION(far, SOL_SOCKET, SO_KEEPALIVE);
    OPTION(far, IPPROTO_TCP, TCP_KEEPIDLE);
    /* Flags of descriptors are not inherited. */
    say("not blocking: %d, closed on exec: %d", !!(fcntl(far, F_GETFL) & O_NONBLOCK), fcntl(far, F_GETFD));
    close(listening);
    close(near);
    close(far);
}

void bad_options(void) {
    struct pair pair = connected();
    int value = 1;
    socklen_t length = sizeof value;
    TELL(setsockopt(pair.near, SOL_SOCKET, 12345, &value, sizeof value));
    TELL(getsockopt(pair.near, SOL_SOCKET, 12345, &value, &length));
    TELL(setsockopt(pair.near, IPPROTO_TCP, 12345, &value, sizeof value));
    TELL(getsockopt(pair.near, 77, 1, &value, &length));
    TELL(setsockopt(pair.near, SOL_SOCKET, SO_KEEPALIVE, &value, 1));
    TELL(setsockopt(pair.near, SOL_SOCKET, SO_KEEPALIVE, NULL, sizeof value));
    length = 1;
    TELL(getsockopt(pair.near, SOL_SOCKET, SO_TYPE, &value, &length));
    say("length: %u", length);
    TELL(setsockopt(pair.near, SOL_SOCKET, SO_ERROR, &value, sizeof value));
    TELL(setsockopt(-1, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
    close_both(pair);
}

static int number(int descriptor, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    MUST(getsockopt(descriptor, SOL_SOCKET, name, &value, &length));
    return value;
}

void buffer_sizes(void) {
    struct pair pair = connected();
    SET(pair.near, SOL_SOCKET, SO_SNDBUF, 20000);
    SET(pair.near, SOL_SOCKET, SO_RCVBUF, 30000);
    /* The kernel answers with more than was asked for. */
    say("enough: %d %d", number(pair.near, SO_SNDBUF) >= 20000, number(pair.near, SO_RCVBUF) >= 30000);
    OPTION(pair.far, SOL_SOCKET, SO_RCVLOWAT);
    size_t filled = fill(pair.near);
    say("drained all: %d", drain(pair.far, filled) == filled);
    close_both(pair);
}

void information(void) {
    struct pair pair = connected();
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    TELL(getsockopt(pair.near, IPPROTO_TCP, TCP_INFO, &info, &length));
    say("established: %d", info.tcpi_state == TCP_ESTABLISHED);
    char name[32] = "";
    length = sizeof name;
    TELL(getsockopt(pair.near, IPPROTO_TCP, TCP_CONGESTION, name, &length));
    say("a congestion control: %d", *name != 0);
    int segment = 0;
    length = sizeof segment;
    TELL(getsockopt(pair.near, IPPROTO_TCP, TCP_MAXSEG, &segment, &length));
    say("a segment size: %d", segment > 0);
    close_both(pair);
}

void timeouts(void) {
    struct pair pair = connected();
    int listening = listener();
    char buffer[8];
    struct timeval soon = {.tv_usec = 40000}, read_back = {0};
    socklen_t length = sizeof read_back;
    TELL(setsockopt(pair.near, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
    TELL(setsockopt(pair.near, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon));
    TELL(setsockopt(listening, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
    TELL(getsockopt(pair.near, SOL_SOCKET, SO_RCVTIMEO, &read_back, &length));
    say("not less: %d", read_back.tv_sec == 0 && read_back.tv_usec >= 40000);
    TELL(recv(pair.near, buffer, sizeof buffer, 0));
    TELL(read(pair.near, buffer, sizeof buffer));
    TELL(accept(listening, NULL, NULL));
    fill(pair.near);
    UNTIL_FULL(send(pair.near, "x", 1, 0));
    UNTIL_FULL(write(pair.near, "x", 1));
    put(pair.far, "data");
    arrived(pair.near, 4);
    HEAR(read(pair.near, buffer, sizeof buffer));
    /* Part of what was asked for came in time. */
    put(pair.far, "da");
    arrived(pair.near, 2);
    HEAR(recv(pair.near, buffer, 4, MSG_WAITALL));
    close(listening);
    close_both(pair);
}

static void name(const char *what, int (*call)(int, struct sockaddr *, socklen_t *), int descriptor, int port) {
    struct sockaddr_in address = {0};
    socklen_t length = sizeof address;
    if (call(descriptor, (struct sockaddr *)&address, &length) < 0)
        say("%s: %s", what, name_of(errno));
    else
        say("%s: family %d, length %u, %08x, the port: %d", what, address.sin_family, length,
            ntohl(address.sin_addr.s_addr), ntohs(address.sin_port) == port);
}

void names(void) {
    int fresh = MUST(socket(AF_INET, SOCK_STREAM, 0)), listening = listener();
    int near = connection_to(listening), far = MUST(accept(listening, NULL, NULL));
    int served = ntohs(address_of(listening).sin_port), own = ntohs(address_of(near).sin_port);
    name("fresh, sockname", getsockname, fresh, 0);
    name("fresh, peername", getpeername, fresh, 0);
    name("listening, sockname", getsockname, listening, served);
    name("listening, peername", getpeername, listening, 0);
    name("near, sockname", getsockname, near, own);
    name("near, peername", getpeername, near, served);
    name("far, sockname", getsockname, far, served);
    name("far, peername", getpeername, far, own);
    /* A buffer that is too short gets the start, and the length that there is. */
    struct sockaddr_in address;
    memset(&address, 0x55, sizeof address);
    socklen_t length = 4;
    TELL(getpeername(near, (struct sockaddr *)&address, &length));
    say("length %u, untouched: %d", length, address.sin_addr.s_addr == 0x55555555);
    MUST(close(near));
    settled(far, POLLRDHUP, POLLRDHUP);
    name("far, peername after the end", getpeername, far, own);
    close(fresh);
    close(listening);
    close(far);
}

void names_of_accepted(void) {
    int listening = listener();
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int near = connection_to(listening);
    int far = MUST(accept(listening, (struct sockaddr *)&address, &length));
    say("length %u, same: %d", length, address.sin_port == address_of(near).sin_port);
    int second = connection_to(listening);
    length = 3;
    memset(&address, 0x55, sizeof address);
    int other = MUST(accept4(listening, (struct sockaddr *)&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    say("length %u, untouched: %d", length, address.sin_addr.s_addr == 0x55555555);
    say("not blocking: %d, closed on exec: %d", !!(fcntl(other, F_GETFL) & O_NONBLOCK), fcntl(other, F_GETFD));
    TELL(accept4(listening, NULL, NULL, 1));
    close(near);
    close(far);
    close(second);
    close(other);
    close(listening);
}

void not_sockets(void) {
    int pipes[2], value = 1;
    socklen_t length = sizeof value;
    char buffer[8];
    MUST(pipe(pipes));
    TELL(send(pipes[1], "x", 1, 0));
    TELL(recv(pipes[0], buffer, 1, 0));
    TELL(listen(pipes[0], 1));
    TELL(accept(pipes[0], NULL, NULL));
    TELL(getsockopt(pipes[0], SOL_SOCKET, SO_TYPE, &value, &length));
    TELL(shutdown(pipes[0], SHUT_RD));
    struct sockaddr_in address = address_of(listener());
    TELL(connect(pipes[0], (struct sockaddr *)&address, sizeof address));
    put(pipes[1], "piped");
    HEAR(read(pipes[0], buffer, sizeof buffer));
}

void other_sockets(void) {
    char buffer[16];
    int pair[2];
    TELL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    put(pair[0], "unix");
    HEAR(recv(pair[1], buffer, sizeof buffer, 0));
    /* A listener and a connection by a name in the abstract. */
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(sa_family_t) + 1 + sprintf(name.sun_path + 1, "probe-%d", (int)getpid());
    int listening = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), near = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    TELL(bind(listening, (struct sockaddr *)&name, length));
    TELL(listen(listening, 5));
    TELL(connect(near, (struct sockaddr *)&name, length));
    int far = MUST(accept(listening, NULL, NULL));
    put(near, "named");
    HEAR(read(far, buffer, sizeof buffer));
    int one = MUST(socket(AF_INET, SOCK_DGRAM, 0)), two = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(bind(one, (struct sockaddr *)&address, sizeof address));
    address = address_of(one);
    TELL(sendto(two, "datagram", 8, 0, (struct sockaddr *)&address, sizeof address));
    HEAR(recv(one, buffer, sizeof buffer, 0));
    TELL(connect(two, (struct sockaddr *)&address, sizeof address));
    TELL(send(two, "again", 5, 0));
    HEAR(recv(one, buffer, sizeof buffer, 0));
    TELL(listen(one, 5));
}
