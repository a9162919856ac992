/* Connections that are inherited. */
#include <spawn.h>

#include "probe.h"

extern char **environ;

/* Copies what comes to where it came from, until the end. */
static void echo(int in, int out) {
    char buffer[4096];
    for (ssize_t came; (came = read(in, buffer, sizeof buffer)) > 0;)
        for (ssize_t done = 0, written; done < came; done += written)
            if ((written = write(out, buffer + done, came - done)) < 0)
                return;
}

int execute_echo(void) {
    echo(0, 1);
    return 5;
}

int execute_accept(int descriptor) {
    int far = MUST(accept(descriptor, NULL, NULL));
    echo(far, far);
    return 6;
}

/* Sends and expects it back, then the end. */
static void converse(const char *who, int near) {
    put_pattern(near, 0, 100000);
    say("%s: %zu back", who, get_pattern(near, 0, 100000));
    MUST(shutdown(near, SHUT_WR));
    char buffer[8];
    say("%s: then %zd", who, read(near, buffer, sizeof buffer));
    MUST(close(near));
}

void forked_listener(void) {
    int listening = listener();
    pid_t child = MUST(fork());
    if (child == 0) {
        int far = accept(listening, NULL, NULL);
        echo(far, far);
        _exit(7);
    }
    converse("the child", connection_to(listening));
    ended("the child", child);
    /* The listener is the parent's as well. */
    int near = connection_to(listening), far = MUST(accept(listening, NULL, NULL));
    put(far, "parent");
    char buffer[8];
    HEAR(recv(near, buffer, 6, MSG_WAITALL));
    close(near);
    close(far);
    close(listening);
}

void forked_connection(void) {
    /* A process for each connection, as inetd and PostgreSQL have it. */
    int listening = listener(), near[5];
    pid_t children[5];
    for (int i = 0; i < 5; i++) {
        near[i] = connection_to(listening);
        int far = MUST(accept(listening, NULL, NULL));
        children[i] = MUST(fork());
        if (children[i] == 0) {
            close(listening);
            for (int other = 0; other <= i; other++)
                close(near[other]);
            echo(far, far);
            _exit(i);
        }
        MUST(close(far));
    }
    for (int i = 4; i >= 0; i--) {
        converse("a child", near[i]);
        ended("a child", children[i]);
    }
    /* Both have it: it ends when both have closed it. */
    struct pair pair = connected();
    int go[2];
    MUST(pipe(go));
    pid_t child = MUST(fork());
    char buffer[8];
    if (child == 0) {
        close(pair.near);
        put(pair.far, "child ");
        _exit(read(go[0], buffer, 1) == 1 ? 8 : 9);
    }
    HEAR(recv(pair.near, buffer, 6, MSG_WAITALL));
    put(pair.far, "parent");
    HEAR(recv(pair.near, buffer, 6, MSG_WAITALL));
    MUST(close(pair.far));
    TELL(recv(pair.near, buffer, 1, MSG_DONTWAIT));
    put(go[1], "x");
    ended("the child", child);
    HEAR(read(pair.near, buffer, 1));
    close(pair.near);
    close(listening);
}

void forked_workers(void) {
    int listening = listener();
    pid_t workers[3];
    for (int i = 0; i < 3; i++) {
        if ((workers[i] = MUST(fork())) == 0) {
            for (int far; (far = accept(listening, NULL, NULL)) >= 0; close(far)) {
                char octet = 0;
                if (read(far, &octet, 1) == 1 && octet == 'q')
                    _exit(write(far, "q", 1) == 1 ? 3 : 4);
                echo(far, far);
            }
            _exit(1);
        }
    }
    size_t served = 0;
    for (int i = 0; i < 30; i++) {
        int near = connection_to(listening);
        put(near, "x");
        put_pattern(near, i, 3000);
        served += get_pattern(near, i, 3000) == 3000;
        close(near);
    }
    say("served: %zu", served);
    for (int i = 0; i < 3; i++) {
        int near = connection_to(listening);
        put(near, "q");
        drain(near, 1);
        close(near);
    }
    for (int i = 0; i < 3; i++)
        ended("a worker", workers[i]);
    close(listening);
}

void killed_child(void) {
    int listening = listener();
    pid_t child = MUST(fork());
    char buffer[8];
    if (child == 0) {
        int far = accept(listening, NULL, NULL);
        put(far, "ready");
        for (;;)
            pause();
    }
    int near = connection_to(listening);
    HEAR(recv(near, buffer, 5, MSG_WAITALL));
    MUST(kill(child, SIGKILL));
    ended("the child", child);
    HEAR(read(near, buffer, sizeof buffer));
    close(near);
    /* The listener outlives it. */
    near = connection_to(listening);
    int far = MUST(accept(listening, NULL, NULL));
    put(far, "alive");
    HEAR(recv(near, buffer, 5, MSG_WAITALL));
    close(near);
    close(far);
    close(listening);
}

static void execute(const char *word, const char *argument) {
    execl("/proc/self/exe", "probe", word, argument, (char *)NULL);
    _exit(9);
}

void executed_echo(void) {
    struct pair pair = connected();
    pid_t child = MUST(fork());
    if (child == 0) {
        close(pair.near);
        MUST(dup2(pair.far, 0));
        MUST(dup2(pair.far, 1));
        MUST(close(pair.far));
        execute("--echo", NULL);
    }
    MUST(close(pair.far));
    converse("the program", pair.near);
    ended("the program", child);
}

void executed_listener(void) {
    /* As a manager of services hands it over: as number 3. */
    int listening = listener();
    int near = connection_to(listening);
    pid_t child = MUST(fork());
    if (child == 0) {
        close(near);
        if (listening != 3) {
            MUST(dup2(listening, 3));
            MUST(close(listening));
        } else {
            MUST(fcntl(3, F_SETFD, 0));
        }
        execute("--accept", "3");
    }
    MUST(close(listening));
    converse("the program", near);
    ended("the program", child);
}

void closed_on_exec(void) {
    struct pair pair = connected();
    MUST(fcntl(pair.far, F_SETFD, FD_CLOEXEC));
    MUST(fcntl(pair.near, F_SETFD, FD_CLOEXEC));
    int in[2], out[2];
    MUST(pipe(in));
    MUST(pipe(out));
    pid_t child = MUST(fork());
    if (child == 0) {
        MUST(dup2(in[0], 0));
        MUST(dup2(out[1], 1));
        close(in[1]);
        close(out[0]);
        execute("--echo", NULL);
    }
    char buffer[8];
    /* The program runs, and has not got it. */
    put(in[1], "runs");
    drain(out[0], 4);
    MUST(close(pair.far));
    HEAR(read(pair.near, buffer, sizeof buffer));
    MUST(close(in[1]));
    ended("the program", child);
    close(pair.near);
}

void spawned_program(void) {
    struct pair pair = connected();
    char buffer[8], *arguments[] = {"true", NULL};
    pid_t child;
    TELL(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ));
    ended("the program", child);
    TELL(system("exit 3") >> 8);
    put(pair.near, "still");
    HEAR(recv(pair.far, buffer, 5, MSG_WAITALL));
    close_both(pair);
    /* A connection as a program's standard input and output, by a list of actions. */
    pair = connected();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pair.far, 0);
    posix_spawn_file_actions_adddup2(&actions, pair.far, 1);
    posix_spawn_file_actions_addclose(&actions, pair.near);
    posix_spawn_file_actions_addclose(&actions, pair.far);
    char *words[] = {"probe", "--echo", NULL};
    TELL(posix_spawn(&child, "/proc/self/exe", &actions, NULL, words, environ));
    MUST(close(pair.far));
    converse("the program", pair.near);
    ended("the program", child);
}

void daemonised(void) {
    /* Listens, then becomes a daemon; the first process is gone when it serves. */
    int listening = listener(), done[2];
    MUST(pipe(done));
    pid_t child = MUST(fork());
    if (child == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        /* Nobody else ends it. */
        alarm(LIMIT);
        int far = accept(listening, NULL, NULL);
        echo(far, far);
        close(far);
        put(done[1], "x");
        _exit(0);
    }
    ended("the first", child);
    converse("the daemon", connection_to(listening));
    drain(done[0], 1);
    close(listening);
}
