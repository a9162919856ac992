/* The command line, and what all cases use. */
#include "probe.h"

#include <stdarg.h>
#include <sys/syscall.h>

#include "cases.h"

#define DECLARE(name) void name(void);
CASES(DECLARE)

#define ENTRY(name) {#name, name},
static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {CASES(ENTRY)};

/* What a case executes, and what is asked of a server that is about to die. */
int execute_echo(void);
int execute_accept(int descriptor);
int block(const char *call);

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    alarm(LIMIT);
    const char *word = argc > 1 ? argv[1] : "--list";
    size_t count = sizeof cases / sizeof *cases;
    if (!strcmp(word, "--list")) {
        for (size_t i = 0; i < count; i++)
            say("%s", cases[i].name);
        return 0;
    }
    if (!strcmp(word, "--echo"))
        return execute_echo();
    if (!strcmp(word, "--accept") && argc > 2)
        return execute_accept(atoi(argv[2]));
    if (!strcmp(word, "--block") && argc > 2)
        return block(argv[2]);
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(word, cases[i].name)) {
            cases[i].run();
            say("done");
            return 0;
        }
    }
    fprintf(stderr, "no such case: %s\n", word);
    return 2;
}

void say(const char *format, ...) {
    /* One write for a line, whichever process says it. */
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    if (write(1, line, length + 1) < 0)
        _exit(3);
}

void told(const char *call, long result) {
    int error = errno;
    if (result < 0)
        say("%s: %s", call, name_of(error));
    else
        say("%s: %ld", call, result);
}

void heard(const char *call, long result, const char *buffer) {
    if (result > 0)
        say("%s: %ld \"%.*s\"", call, result, (int)result, buffer);
    else
        told(call, result);
}

void saw(const char *what, unsigned events) {
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {POLLIN, " IN"},       {POLLPRI, " PRI"}, {POLLOUT, " OUT"},   {POLLERR, " ERR"},
        {POLLHUP, " HUP"},     {POLLNVAL, " NVAL"}, {POLLRDHUP, " RDHUP"},
    };
    char text[64] = "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (events & names[i].bit)
            strcat(text, names[i].name);
    say("%s:%s", what, *text ? text : " nothing");
}

const char *name_of(int error) {
    const char *name = strerrorname_np(error);
    return name ? name : "an error without a name";
}

long must(const char *call, long result) {
    if (result < 0) {
        say("%s failed: %s", call, name_of(errno));
        exit(1);
    }
    return result;
}

/* With PROBE_KERNEL=near or far that end is on the kernel's sockets, whatever stands between this program and the C
 * library: its calls do not go through there, nor through the C library's syscall(). */
static bool is_kernels(const char *end) {
    const char *wanted = getenv("PROBE_KERNEL");
    return wanted && !strcmp(wanted, end);
}

static int call_kernel(long number, long one, long two, long three) {
    long result;
#if defined(__x86_64__)
    __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(one), "S"(two), "d"(three) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = one, x1 __asm__("x1") = two, x2 __asm__("x2") = three;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    result = x0;
#endif
    if (result < 0) {
        errno = -result;
        return -1;
    }
    return result;
}

int listener(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (is_kernels("far")) {
        int descriptor = MUST(call_kernel(SYS_socket, AF_INET, SOCK_STREAM, 0));
        MUST(call_kernel(SYS_bind, descriptor, (long)&address, sizeof address));
        MUST(call_kernel(SYS_listen, descriptor, 64, 0));
        return descriptor;
    }
    int descriptor = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(descriptor, (struct sockaddr *)&address, sizeof address));
    MUST(listen(descriptor, 64));
    return descriptor;
}

struct sockaddr_in address_of(int descriptor) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    MUST(getsockname(descriptor, (struct sockaddr *)&address, &length));
    return address;
}

int connection_to(int listener) {
    struct sockaddr_in address = address_of(listener);
    if (is_kernels("near")) {
        int descriptor = MUST(call_kernel(SYS_socket, AF_INET, SOCK_STREAM, 0));
        MUST(call_kernel(SYS_connect, descriptor, (long)&address, sizeof address));
        return descriptor;
    }
    int descriptor = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(connect(descriptor, (struct sockaddr *)&address, sizeof address));
    return descriptor;
}

struct pair connected(void) {
    int listening = listener();
    struct pair pair = {.near = connection_to(listening)};
    pair.far = MUST(accept(listening, NULL, NULL));
    MUST(close(listening));
    return pair;
}

void left(struct sockaddr_in address) {
    int result = 0;
    for (int waited = 0; result == 0 && waited < PATIENCE; waited++) {
        int descriptor = MUST(socket(AF_INET, SOCK_STREAM, 0));
        result = connect(descriptor, (struct sockaddr *)&address, sizeof address);
        if (result < 0)
            break;
        MUST(close(descriptor));
        usleep(1000);
    }
    told("connect", result);
}

void close_both(struct pair pair) {
    MUST(close(pair.near));
    MUST(close(pair.far));
}

void put(int descriptor, const char *text) {
    size_t length = strlen(text);
    if (MUST(write(descriptor, text, length)) != (long)length) {
        say("a short write");
        exit(1);
    }
}

void pattern(char *octets, size_t from, size_t length) {
    for (size_t i = 0; i < length; i++)
        octets[i] = (char)(((from + i) * 2654435761u) >> 13);
}

void put_pattern(int descriptor, size_t from, size_t length) {
    char octets[10007];
    while (length > 0) {
        size_t piece = length < sizeof octets ? length : sizeof octets;
        pattern(octets, from, piece);
        size_t written = MUST(write(descriptor, octets, piece));
        from += written;
        length -= written;
    }
}

size_t get_pattern(int descriptor, size_t from, size_t length) {
    char octets[8191], expected[8191];
    size_t all = 0;
    while (all < length) {
        size_t piece = length - all < sizeof octets ? length - all : sizeof octets;
        size_t came = MUST(read(descriptor, octets, piece));
        if (came == 0)
            break;
        pattern(expected, from + all, came);
        if (memcmp(octets, expected, came)) {
            say("other octets than were sent, near %zu", from + all);
            exit(1);
        }
        all += came;
    }
    return all;
}

int arrived(int descriptor, int octets) {
    int count = -1;
    for (int waited = 0; waited < PATIENCE; waited++) {
        MUST(ioctl(descriptor, FIONREAD, &count));
        if (count >= octets)
            break;
        usleep(1000);
    }
    return count;
}

unsigned settled(int descriptor, unsigned asked, unsigned events) {
    struct pollfd entry = {.fd = descriptor, .events = asked};
    for (int waited = 0; waited < PATIENCE; waited++) {
        MUST(poll(&entry, 1, 0));
        if (((unsigned)entry.revents & events) == events)
            break;
        usleep(1000);
    }
    return entry.revents;
}

size_t fill(int descriptor) {
    static char octets[65536];
    struct pollfd entry = {.fd = descriptor, .events = POLLOUT};
    size_t all = 0;
    /* What is on its way makes room again. */
    do {
        ssize_t taken;
        while ((taken = send(descriptor, octets, sizeof octets, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
            all += taken;
        if (errno != EAGAIN)
            MUST(taken);
    } while (MUST(poll(&entry, 1, 50)) > 0);
    /* A little room is no reason to report that there is some. */
    while (send(descriptor, octets, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        all++;
    return all;
}

size_t drain(int descriptor, size_t octets) {
    static char buffer[65536];
    size_t all = 0;
    while (all < octets) {
        size_t piece = octets - all < sizeof buffer ? octets - all : sizeof buffer;
        ssize_t came = MUST(read(descriptor, buffer, piece));
        if (came == 0)
            break;
        all += came;
    }
    return all;
}

void not_blocking(int descriptor) {
    MUST(fcntl(descriptor, F_SETFL, MUST(fcntl(descriptor, F_GETFL)) | O_NONBLOCK));
}

void ended(const char *who, pid_t child) {
    int status;
    MUST(waitpid(child, &status, 0));
    if (WIFSIGNALED(status))
        say("%s was killed by signal %d", who, WTERMSIG(status));
    else
        say("%s ended with %d", who, WEXITSTATUS(status));
}
