/* What is written at one end is read at the other. */
#include <sys/sendfile.h>

#include "probe.h"

void peek(void) {
    struct pair pair = connected();
    char buffer[64];
    put(pair.near, "hello, world");
    arrived(pair.far, 12);
    HEAR(recv(pair.far, buffer, 5, MSG_PEEK));
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT));
    HEAR(recv(pair.far, buffer, 7, 0));
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_PEEK));
    HEAR(recv(pair.far, buffer, sizeof buffer, 0));
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT));
    close_both(pair);
}

void dont_wait(void) {
    struct pair pair = connected();
    char buffer[64];
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_DONTWAIT));
    size_t filled = fill(pair.near);
    say("filled: %d", filled > 0);
    filled += UNTIL_FULL(send(pair.near, "x", 1, MSG_DONTWAIT));
    not_blocking(pair.near);
    filled += UNTIL_FULL(write(pair.near, "x", 1));
    say("drained all: %d", drain(pair.far, filled) == filled);
    saw("then", settled(pair.near, POLLOUT, POLLOUT));
    TELL(write(pair.near, "xyz", 3));
    settled(pair.far, POLLIN, POLLIN);
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_DONTWAIT));
    close_both(pair);
}

static void *write_in_pieces(void *descriptor) {
    for (int piece = 0; piece < 5; piece++) {
        usleep(5000);
        put(*(int *)descriptor, "pieces");
    }
    shutdown(*(int *)descriptor, SHUT_WR);
    return NULL;
}

void wait_all(void) {
    struct pair pair = connected();
    char buffer[64];
    pthread_t writer;
    pthread_create(&writer, NULL, write_in_pieces, &pair.near);
    HEAR(recv(pair.far, buffer, 22, MSG_WAITALL));
    HEAR(recv(pair.far, buffer, 22, MSG_WAITALL));
    HEAR(recv(pair.far, buffer, 22, MSG_WAITALL));
    pthread_join(writer, NULL);
    close_both(pair);
}

void more(void) {
    struct pair pair = connected();
    char buffer[64];
    TELL(send(pair.near, "one ", 4, MSG_MORE));
    TELL(send(pair.near, "two ", 4, MSG_MORE));
    TELL(send(pair.near, "three", 5, 0));
    arrived(pair.far, 13);
    HEAR(recv(pair.far, buffer, sizeof buffer, 0));
    int on = 1, off = 0;
    TELL(setsockopt(pair.near, IPPROTO_TCP, TCP_CORK, &on, sizeof on));
    put(pair.near, "corked ");
    put(pair.near, "and not");
    TELL(setsockopt(pair.near, IPPROTO_TCP, TCP_CORK, &off, sizeof off));
    arrived(pair.far, 14);
    HEAR(recv(pair.far, buffer, sizeof buffer, 0));
    /* What waits for more goes out at the end. */
    TELL(send(pair.near, "last", 4, MSG_MORE));
    shutdown(pair.near, SHUT_WR);
    HEAR(recv(pair.far, buffer, sizeof buffer, MSG_WAITALL));
    close_both(pair);
}

void vectors(void) {
    struct pair pair = connected();
    char one[4], two[8], buffer[64];
    struct iovec out[] = {{"ab", 2}, {"", 0}, {"cdefg", 5}, {NULL, 0}, {"hij", 3}};
    struct iovec in[] = {{one, sizeof one}, {NULL, 0}, {two, sizeof two}};
    TELL(writev(pair.near, out, 5));
    arrived(pair.far, 10);
    TELL(readv(pair.far, in, 3));
    say("%.4s and %.6s", one, two);
    TELL(writev(pair.near, out, 0));
    /* Counts that the compiler must not see, lest it warns. */
    volatile int negative = -1, beyond = 1025;
    TELL(writev(pair.near, out, negative));
    TELL(readv(pair.far, in, negative));
    struct iovec many[1024];
    for (int i = 0; i < 1024; i++)
        many[i] = (struct iovec){"0123456789" + i % 10, 1};
    TELL(writev(pair.near, many, 1024));
    HEAR(recv(pair.far, buffer, 20, MSG_WAITALL));
    say("the rest: %zu", drain(pair.far, 1004));
    TELL(writev(pair.near, many, beyond));
    close_both(pair);
}

void messages(void) {
    struct pair pair = connected();
    char one[6], two[64], control[64];
    struct sockaddr_in from;
    struct iovec out[] = {{"mess", 4}, {"age", 3}}, in[] = {{one, sizeof one}, {two, sizeof two}};
    struct msghdr sent = {.msg_iov = out, .msg_iovlen = 2};
    TELL(sendmsg(pair.near, &sent, 0));
    arrived(pair.far, 7);
    struct msghdr came = {
        .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = in, .msg_iovlen = 2,
        .msg_control = control, .msg_controllen = sizeof control, .msg_flags = -1,
    };
    TELL(recvmsg(pair.far, &came, MSG_PEEK));
    TELL(recvmsg(pair.far, &came, 0));
    say("%.6s%.1s, flags %x, control %zu, name %u", one, two, came.msg_flags, (size_t)came.msg_controllen, came.msg_namelen);
    TELL(recvmsg(pair.far, &came, MSG_DONTWAIT));
    /* A connection's send ignores a destination. */
    struct sockaddr_in to = address_of(pair.near);
    TELL(sendto(pair.near, "to", 2, 0, (struct sockaddr *)&to, sizeof to));
    socklen_t length = sizeof from;
    char buffer[8];
    HEAR(recvfrom(pair.far, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length));
    say("length of the name: %u", length);
    struct msghdr empty = {0};
    TELL(sendmsg(pair.near, &empty, 0));
    close_both(pair);
}

void many_messages(void) {
    struct pair pair = connected();
    struct iovec out[] = {{"first ", 6}, {"second ", 7}, {"third", 5}};
    struct mmsghdr sent[3] = {0};
    for (int i = 0; i < 3; i++)
        sent[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    TELL(sendmmsg(pair.near, sent, 3, 0));
    say("lengths: %u %u %u", sent[0].msg_len, sent[1].msg_len, sent[2].msg_len);
    arrived(pair.far, 18);
    char text[2][9];
    struct iovec in[] = {{text[0], 9}, {text[1], 9}};
    struct mmsghdr came[2] = {0};
    for (int i = 0; i < 2; i++)
        came[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    TELL(recvmmsg(pair.far, came, 2, MSG_DONTWAIT, NULL));
    say("%.9s%.9s: %u %u", text[0], text[1], came[0].msg_len, came[1].msg_len);
    close_both(pair);
}

static void *read_300000(void *descriptor) {
    return (void *)get_pattern(*(int *)descriptor, 0, 300000);
}

void send_file(void) {
    struct pair pair = connected();
    FILE *file = tmpfile();
    int source = fileno(file);
    put_pattern(source, 0, 300000);
    pthread_t reader;
    pthread_create(&reader, NULL, read_300000, &pair.far);
    off_t offset = 0;
    while (offset < 200000)
        MUST(sendfile(pair.near, source, &offset, 200000 - offset));
    say("offset: %ld, position: %ld", (long)offset, (long)lseek(source, 0, SEEK_CUR));
    lseek(source, 200000, SEEK_SET);
    /* More than there is: what there is. */
    size_t rest = 0;
    for (ssize_t sent; (sent = MUST(sendfile(pair.near, source, NULL, 1000000))) > 0;)
        rest += sent;
    say("the rest: %zu, position: %ld", rest, (long)lseek(source, 0, SEEK_CUR));
    void *came;
    pthread_join(reader, &came);
    say("came: %zu", (size_t)came);
    TELL(sendfile(pair.near, source, &offset, 0));
    int pipes[2];
    MUST(pipe(pipes));
    TELL(sendfile(pair.near, pipes[0], NULL, 10));
    fill(pair.near);
    not_blocking(pair.near);
    UNTIL_FULL(sendfile(pair.near, source, (offset = 0, &offset), 1000));
    say("offset: %ld", (long)offset);
    close_both(pair);
}

void splices(void) {
    struct pair in = connected(), out = connected();
    int pipes[2];
    char buffer[32];
    MUST(pipe(pipes));
    not_blocking(in.far);
    TELL(splice(in.far, NULL, pipes[1], NULL, 100, 0));
    put(in.near, "through a pipe, by the kernel");
    arrived(in.far, 29);
    TELL(splice(in.far, NULL, pipes[1], NULL, 15, 0));
    TELL(splice(in.far, NULL, pipes[1], NULL, 100, 0));
    TELL(splice(pipes[0], NULL, out.near, NULL, 20, SPLICE_F_MORE));
    TELL(splice(pipes[0], NULL, out.near, NULL, 100, 0));
    HEAR(recv(out.far, buffer, 29, MSG_WAITALL));
    MUST(shutdown(in.near, SHUT_WR));
    settled(in.far, POLLIN, POLLIN);
    TELL(splice(in.far, NULL, pipes[1], NULL, 100, 0));
    TELL(splice(in.far, NULL, out.near, NULL, 100, 0));
    close_both(in);
    close_both(out);
}

enum { LARGE = 8 << 20 };

static void *write_large(void *descriptor) {
    put_pattern(*(int *)descriptor, 0, LARGE);
    shutdown(*(int *)descriptor, SHUT_WR);
    return NULL;
}

static void *read_large(void *descriptor) {
    return (void *)get_pattern(*(int *)descriptor, 0, LARGE + 1);
}

void large_both_ways(void) {
    struct pair pair = connected();
    pthread_t threads[4];
    pthread_create(&threads[0], NULL, write_large, &pair.near);
    pthread_create(&threads[1], NULL, write_large, &pair.far);
    pthread_create(&threads[2], NULL, read_large, &pair.near);
    pthread_create(&threads[3], NULL, read_large, &pair.far);
    void *came[4];
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], &came[i]);
    say("came: %zu and %zu", (size_t)came[2], (size_t)came[3]);
    close_both(pair);
}

void small_pieces(void) {
    struct pair pair = connected();
    /* There and back, a thousand times, with pieces of every length. */
    size_t at = 0, came = 0;
    for (size_t length = 1; length <= 1000; length++) {
        put_pattern(pair.near, at, length);
        came += get_pattern(pair.far, at, length);
        put_pattern(pair.far, at, length);
        came += get_pattern(pair.near, at, length);
        at += length;
    }
    say("came: %zu", came);
    /* Many that nobody reads meanwhile. */
    for (size_t i = 0; i < 5000; i++)
        put_pattern(pair.near, i * 3, 3);
    say("then: %zu", get_pattern(pair.far, 0, 15000));
    close_both(pair);
}

void zero_lengths(void) {
    struct pair pair = connected();
    char buffer[8];
    TELL(send(pair.near, "", 0, 0));
    TELL(write(pair.near, "", 0));
    put(pair.near, "some");
    arrived(pair.far, 4);
    TELL(read(pair.far, buffer, 0));
    TELL(recv(pair.far, buffer, 0, 0));
    HEAR(read(pair.far, buffer, sizeof buffer));
    close_both(pair);
}

void standard_streams(void) {
    struct pair pair = connected();
    FILE *near = fdopen(dup(pair.near), "w"), *far = fdopen(pair.far, "r");
    fprintf(near, "a line of %d words\nanother\n", 5);
    fclose(near);
    shutdown(pair.near, SHUT_WR);
    char line[64];
    while (fgets(line, sizeof line, far))
        say("line: %.*s", (int)strcspn(line, "\n"), line);
    say("end: %d", feof(far));
    fclose(far);
    close(pair.near);
}

void lengths_at_run_time(void) {
    /* Compiled with _FORTIFY_SOURCE, these are other functions of the C library. */
    struct pair pair = connected();
    char buffer[16];
    volatile size_t some = 4;
    struct pollfd entry = {pair.far, POLLIN, 0};
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    put(pair.near, "one two and three");
    arrived(pair.far, 17);
    TELL(poll(&entry, some / 4, PATIENCE));
    TELL(ppoll(&entry, some / 4, NULL, NULL));
    HEAR(read(pair.far, buffer, some));
    HEAR(recv(pair.far, buffer, some, 0));
    HEAR(recvfrom(pair.far, buffer, some, 0, (struct sockaddr *)&from, &length));
    HEAR(recv(pair.far, buffer, some * 3, MSG_DONTWAIT));
    close_both(pair);
}
