/* A connection is a descriptor among others. */
#include <sys/resource.h>

#include "probe.h"

void duplicates(void) {
    struct pair pair = connected();
    char buffer[16];
    int one = MUST(dup(pair.far)), two = MUST(fcntl(pair.far, F_DUPFD, 100));
    int three = MUST(fcntl(pair.far, F_DUPFD_CLOEXEC, 200));
    say("numbers: %d %d", two, three);
    say("closed on exec: %d %d %d", fcntl(one, F_GETFD), fcntl(two, F_GETFD), fcntl(three, F_GETFD));
    MUST(close(pair.far));
    put(pair.near, "abcdef");
    arrived(two, 6);
    HEAR(read(one, buffer, 2));
    HEAR(read(two, buffer, 2));
    HEAR(read(three, buffer, 2));
    /* What they share is the connection's, not the descriptor's. */
    not_blocking(one);
    TELL(read(two, buffer, 2));
    say("shared: %d", !!(fcntl(three, F_GETFL) & O_NONBLOCK));
    MUST(close(one));
    MUST(close(three));
    put(two, "open");
    HEAR(recv(pair.near, buffer, 4, MSG_WAITALL));
    MUST(close(two));
    HEAR(read(pair.near, buffer, sizeof buffer));
    close(pair.near);
    int listening = listener(), copy = MUST(dup(listening));
    MUST(close(listening));
    int near = connection_to(copy), far = MUST(accept(copy, NULL, NULL));
    put(far, "through a copy");
    HEAR(recv(near, buffer, 14, MSG_WAITALL));
    close(near);
    close(far);
    close(copy);
}

void duplicates_over_others(void) {
    struct pair one = connected(), two = connected();
    char buffer[16];
    /* Who is overwritten is closed. */
    say("same: %d", dup2(one.far, two.far) == two.far);
    HEAR(read(two.near, buffer, sizeof buffer));
    put(two.far, "now one");
    HEAR(recv(one.near, buffer, 7, MSG_WAITALL));
    say("itself: %d", dup2(one.far, one.far) == one.far);
    TELL(dup3(one.far, one.far, O_CLOEXEC));
    TELL(dup3(one.far, 250, O_CLOEXEC));
    TELL(fcntl(250, F_GETFD));
    TELL(dup2(-1, 250));
    int file = MUST(open("/dev/null", O_RDONLY));
    MUST(close(one.far));
    MUST(close(250));
    /* A file in the place of the last descriptor of a connection, and a connection in the place of a file. */
    MUST(dup2(file, two.far));
    HEAR(read(one.near, buffer, sizeof buffer));
    TELL(read(two.far, buffer, sizeof buffer));
    struct pair three = connected();
    MUST(dup2(three.far, file));
    put(file, "not a file");
    HEAR(recv(three.near, buffer, 10, MSG_WAITALL));
    close(one.near);
    close(two.near);
    close(two.far);
    close(file);
    close_both(three);
}

void status_flags(void) {
    struct pair pair = connected();
    char buffer[8];
    int on = 1, off = 0;
    say("flags: %x", (unsigned)fcntl(pair.near, F_GETFL));
    TELL(fcntl(pair.near, F_SETFL, O_NONBLOCK));
    say("flags: %x", (unsigned)fcntl(pair.near, F_GETFL));
    TELL(read(pair.near, buffer, 1));
    TELL(ioctl(pair.near, FIONBIO, &off));
    say("flags: %x", (unsigned)fcntl(pair.near, F_GETFL));
    TELL(ioctl(pair.far, FIONBIO, &on));
    say("flags: %x", (unsigned)fcntl(pair.far, F_GETFL));
    TELL(recv(pair.far, buffer, 1, 0));
    TELL(fcntl(pair.near, F_SETFD, FD_CLOEXEC));
    TELL(fcntl(pair.near, F_GETFD));
    TELL(ioctl(pair.near, FIONCLEX));
    TELL(fcntl(pair.near, F_GETFD));
    int listening = listener();
    not_blocking(listening);
    TELL(accept(listening, NULL, NULL));
    TELL(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
    close(listening);
    close_both(pair);
}

void octets_to_read(void) {
    struct pair pair = connected();
    char buffer[64];
    int count = -1;
    TELL(ioctl(pair.far, FIONREAD, &count));
    say("count: %d", count);
    put(pair.near, "0123456789");
    say("count: %d", arrived(pair.far, 10));
    HEAR(read(pair.far, buffer, 4));
    TELL(ioctl(pair.far, FIONREAD, &count));
    say("count: %d", count);
    int listening = listener();
    TELL(ioctl(listening, FIONREAD, &count));
    close(listening);
    close_both(pair);
}

void lowest_numbers(void) {
    /* Programs count on it: the lowest free number is taken. */
    int listening = listener(), near = connection_to(listening);
    int hole = MUST(dup(0)), above = MUST(dup(0));
    MUST(close(hole));
    int far = MUST(accept(listening, NULL, NULL));
    say("accepted into the hole: %d", far == hole);
    int next = MUST(dup(0));
    say("behind: %d", next == above + 1);
    MUST(close(far));
    int file = MUST(open("/dev/null", O_RDONLY));
    say("opened into the hole: %d", file == hole);
    MUST(close(file));
    int fresh = MUST(socket(AF_INET, SOCK_STREAM, 0));
    say("made in the hole: %d", fresh == hole);
    close(fresh);
    close(above);
    close(next);
    close(near);
    close(listening);
}

void file_status(void) {
    struct pair pair = connected();
    struct stat status;
    TELL(fstat(pair.near, &status));
    say("a socket: %d", S_ISSOCK(status.st_mode));
    TELL(fstat(pair.far, &status));
    say("a socket: %d", S_ISSOCK(status.st_mode));
    TELL(lseek(pair.far, 0, SEEK_CUR));
    TELL(isatty(pair.far));
    say("%s", name_of(errno));
    char buffer[8];
    TELL(pread(pair.far, buffer, 1, 0));
    TELL(fsync(pair.far));
    TELL(ftruncate(pair.far, 0));
    close_both(pair);
}

void closed_descriptors(void) {
    struct pair pair = connected();
    char buffer[8];
    int far = pair.far;
    MUST(close(far));
    TELL(close(far));
    TELL(read(far, buffer, 1));
    TELL(send(far, "x", 1, 0));
    TELL(fcntl(far, F_GETFL));
    TELL(dup(far));
    TELL(shutdown(far, SHUT_WR));
    TELL(accept(far, NULL, NULL));
    TELL(getpeername(far, NULL, NULL));
    /* The number is another's now. */
    int file = MUST(open("/dev/zero", O_RDONLY));
    MUST(dup2(file, far));
    TELL(read(far, buffer, 8));
    TELL(send(far, "x", 1, 0));
    close(far);
    close(file);
    close(pair.near);
    struct pair another = connected();
    MUST(close_range(another.near < another.far ? another.near : another.far, ~0u, 0));
    TELL(read(another.far, buffer, 1));
}

void limit_of_descriptors(void) {
    int listening = listener();
    int near[3];
    for (int i = 0; i < 3; i++)
        near[i] = connection_to(listening);
    struct rlimit before, limit;
    MUST(getrlimit(RLIMIT_NOFILE, &before));
    int next = MUST(dup(0));
    MUST(close(next));
    limit = (struct rlimit){.rlim_cur = next, .rlim_max = before.rlim_max};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    TELL(accept(listening, NULL, NULL));
    TELL(socket(AF_INET, SOCK_STREAM, 0));
    TELL(dup(listening));
    limit.rlim_cur = next + 1;
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    int far = MUST(accept(listening, NULL, NULL));
    say("the last number: %d", far == next);
    TELL(accept(listening, NULL, NULL));
    MUST(setrlimit(RLIMIT_NOFILE, &before));
    /* None was lost by trying. */
    int second = MUST(accept(listening, NULL, NULL)), third = MUST(accept(listening, NULL, NULL));
    char buffer[8];
    int accepted[] = {far, second, third};
    /* In whatever order they were accepted. */
    for (int i = 0; i < 3; i++)
        put(near[i], "served");
    for (int i = 0; i < 3; i++) {
        HEAR(recv(accepted[i], buffer, 6, MSG_WAITALL));
        close(near[i]);
        close(accepted[i]);
    }
    close(listening);
}

/* Sends or receives a descriptor over a Unix socket. */
static int pass(int over, int descriptor) {
    char octet = 'd', control[CMSG_SPACE(sizeof descriptor)] = {0};
    struct iovec vector = {&octet, 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
    };
    if (descriptor < 0) {
        MUST(recvmsg(over, &message, 0));
        memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
        return descriptor;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof descriptor), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    return MUST(sendmsg(over, &message, 0));
}

void passed_descriptor(void) {
    /* A child of before the connection serves it, as a pool of workers does. */
    int unix_pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair));
    pid_t child = MUST(fork());
    if (child == 0) {
        int passed = pass(unix_pair[1], -1);
        char buffer[16];
        ssize_t came = read(passed, buffer, sizeof buffer);
        _exit(came == 8 && write(passed, buffer, came) == came ? 7 : 1);
    }
    struct pair pair = connected();
    pass(unix_pair[0], pair.far);
    MUST(close(pair.far));
    put(pair.near, "pass me!");
    char buffer[16];
    HEAR(recv(pair.near, buffer, 8, MSG_WAITALL));
    ended("the worker", child);
    HEAR(read(pair.near, buffer, sizeof buffer));
    close(pair.near);
}
