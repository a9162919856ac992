/* How connections end. */
#include "probe.h"

void shutdown_of_writing(void) {
    struct pair pair = connected();
    char buffer[64];
    put(pair.near, "request");
    TELL(shutdown(pair.near, SHUT_WR));
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_WAITALL));
    HEAR(read(pair.far, buffer, sizeof buffer));
    HEAR(read(pair.far, buffer, sizeof buffer));
    TELL(send(pair.near, "x", 1, MSG_NOSIGNAL));
    /* The other way is still open. */
    put(pair.far, "response");
    arrived(pair.near, 8);
    HEAR(read(pair.near, buffer, sizeof buffer));
    TELL(shutdown(pair.near, SHUT_WR));
    MUST(close(pair.far));
    HEAR(read(pair.near, buffer, sizeof buffer));
    MUST(close(pair.near));
}

void shutdown_of_reading(void) {
    struct pair pair = connected();
    char buffer[64];
    TELL(shutdown(pair.far, SHUT_RD));
    HEAR(read(pair.far, buffer, sizeof buffer));
    saw("far", settled(pair.far, POLLIN | POLLOUT | POLLRDHUP, POLLIN));
    TELL(write(pair.far, "answer", 6));
    arrived(pair.near, 6);
    HEAR(read(pair.near, buffer, sizeof buffer));
    close_both(pair);
}

void shutdown_both_ways(void) {
    struct pair pair = connected();
    char buffer[64];
    put(pair.far, "before");
    arrived(pair.near, 6);
    TELL(shutdown(pair.far, SHUT_RDWR));
    HEAR(read(pair.far, buffer, sizeof buffer));
    TELL(send(pair.far, "x", 1, MSG_NOSIGNAL));
    HEAR(read(pair.near, buffer, sizeof buffer));
    HEAR(read(pair.near, buffer, sizeof buffer));
    TELL(shutdown(pair.near, 7));
    close_both(pair);
}

void shutdown_unconnected(void) {
    int descriptor = MUST(socket(AF_INET, SOCK_STREAM, 0));
    char buffer[8];
    TELL(shutdown(descriptor, SHUT_WR));
    TELL(recv(descriptor, buffer, sizeof buffer, 0));
    TELL(send(descriptor, "x", 1, MSG_NOSIGNAL));
    int listening = listener();
    TELL(recv(listening, buffer, sizeof buffer, 0));
    TELL(send(listening, "x", 1, MSG_NOSIGNAL));
    close(descriptor);
    close(listening);
}

static volatile sig_atomic_t pipes_broken;

static void on_pipe(int signal) {
    (void)signal;
    pipes_broken++;
}

void broken_pipe(void) {
    struct pair pair = connected();
    signal(SIGPIPE, on_pipe);
    MUST(shutdown(pair.near, SHUT_WR));
    TELL(write(pair.near, "x", 1));
    say("signals: %d", (int)pipes_broken);
    TELL(send(pair.near, "x", 1, MSG_NOSIGNAL));
    say("signals: %d", (int)pipes_broken);
    struct iovec out = {"x", 1};
    TELL(writev(pair.near, &out, 1));
    say("signals: %d", (int)pipes_broken);
    signal(SIGPIPE, SIG_IGN);
    TELL(write(pair.near, "x", 1));
    close_both(pair);
    /* The peer is gone: what is sent into the void fails the second time at the latest. */
    pair = connected();
    MUST(close(pair.far));
    settled(pair.near, POLLIN | POLLRDHUP, POLLRDHUP);
    TELL(write(pair.near, "x", 1));
    saw("reset", settled(pair.near, POLLIN | POLLOUT, POLLHUP));
    TELL(write(pair.near, "x", 1));
    MUST(close(pair.near));
}

void end_with_unread_data(void) {
    struct pair pair = connected();
    char buffer[8];
    put(pair.near, "nobody reads this");
    arrived(pair.far, 17);
    MUST(close(pair.far));
    saw("near", settled(pair.near, POLLIN | POLLOUT | POLLRDHUP, POLLHUP));
    TELL(read(pair.near, buffer, sizeof buffer));
    TELL(read(pair.near, buffer, sizeof buffer));
    MUST(close(pair.near));
}

void linger_zero_resets(void) {
    struct pair pair = connected();
    char buffer[8];
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    TELL(setsockopt(pair.far, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    MUST(close(pair.far));
    saw("near", settled(pair.near, POLLIN | POLLOUT | POLLRDHUP, POLLHUP));
    int error;
    socklen_t length = sizeof error;
    MUST(getsockopt(pair.near, SOL_SOCKET, SO_ERROR, &error, &length));
    say("SO_ERROR: %s", name_of(error));
    /* Whoever asks takes the error away. */
    TELL(read(pair.near, buffer, sizeof buffer));
    TELL(send(pair.near, "x", 1, MSG_NOSIGNAL));
    MUST(close(pair.near));

    pair = connected();
    MUST(setsockopt(pair.far, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    MUST(close(pair.far));
    settled(pair.near, POLLIN, POLLHUP);
    TELL(read(pair.near, buffer, sizeof buffer));
    TELL(read(pair.near, buffer, sizeof buffer));
    MUST(close(pair.near));
}

void end_before_accept(void) {
    int listening = listener();
    char buffer[64];
    int near = connection_to(listening);
    put(near, "in passing");
    MUST(close(near));
    int far = MUST(accept(listening, NULL, NULL));
    HEAR(recv(far, buffer, sizeof buffer, MSG_WAITALL));
    HEAR(read(far, buffer, sizeof buffer));
    MUST(close(far));
    MUST(close(listening));
}

void end_of_listener(void) {
    int listening = listener();
    struct sockaddr_in address = address_of(listening), from;
    socklen_t length = sizeof from;
    char buffer[64];
    int one = connection_to(listening), other = connection_to(listening);
    int far = MUST(accept(listening, (struct sockaddr *)&from, &length));
    MUST(close(listening));
    /* One of them was accepted, the other never is. */
    bool is_one = from.sin_port == address_of(one).sin_port;
    int kept = is_one ? one : other, lost = is_one ? other : one;
    settled(lost, POLLIN, POLLHUP);
    TELL(read(lost, buffer, sizeof buffer));
    put(far, "still");
    arrived(kept, 5);
    HEAR(read(kept, buffer, sizeof buffer));
    left(address);
    close(lost);
    close(kept);
    close(far);
}

void data_before_end(void) {
    /* Nothing of what was written is lost when the writer ends at once, and closes before it is read. */
    struct pair pair = connected();
    size_t filled = fill(pair.near);
    MUST(close(pair.near));
    say("all came: %d", drain(pair.far, filled + 1) == filled);
    MUST(close(pair.far));
}
