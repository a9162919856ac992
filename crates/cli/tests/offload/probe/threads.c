/* Several threads on one socket, and on many. */
#include "probe.h"

static void *write_million(void *descriptor) {
    put_pattern(*(int *)descriptor, 0, 1000000);
    return NULL;
}

static void *echo_million(void *descriptor) {
    char buffer[5003];
    for (size_t all = 0; all < 1000000;) {
        size_t came = MUST(read(*(int *)descriptor, buffer, sizeof buffer));
        if (came == 0)
            break;
        for (size_t done = 0; done < came;)
            done += MUST(write(*(int *)descriptor, buffer + done, came - done));
        all += came;
    }
    return NULL;
}

void duplex_threads(void) {
    /* One reads while another writes, at both ends. */
    struct pair pair = connected();
    pthread_t writer, echoing;
    pthread_create(&echoing, NULL, echo_million, &pair.far);
    pthread_create(&writer, NULL, write_million, &pair.near);
    say("came back: %zu", get_pattern(pair.near, 0, 1000000));
    pthread_join(writer, NULL);
    pthread_join(echoing, NULL);
    close_both(pair);
}

static void *accept_until_told(void *listening) {
    size_t count = 0;
    for (;; count++) {
        int far = MUST(accept(*(int *)listening, NULL, NULL));
        char octet = 0;
        MUST(read(far, &octet, 1));
        put(far, "k");
        MUST(close(far));
        if (octet == 'q')
            return (void *)count;
    }
}

void accepting_threads(void) {
    int listening = listener();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, accept_until_told, &listening);
    for (int i = 0; i < 104; i++) {
        int near = connection_to(listening);
        put(near, i < 100 ? "x" : "q");
        drain(near, 1);
        close(near);
    }
    size_t all = 0;
    for (int i = 0; i < 4; i++) {
        void *count;
        pthread_join(threads[i], &count);
        all += (size_t)count;
    }
    say("accepted: %zu", all);
    close(listening);
}

static void *converse(void *listening) {
    size_t came = 0;
    for (int i = 0; i < 10; i++) {
        int near = connection_to(*(int *)listening);
        put(near, "x");
        came += drain(near, 1);
        close(near);
    }
    return (void *)came;
}

void many_threads(void) {
    int listening = listener();
    pthread_t acceptors[2], clients[16];
    for (int i = 0; i < 2; i++)
        pthread_create(&acceptors[i], NULL, accept_until_told, &listening);
    for (int i = 0; i < 16; i++)
        pthread_create(&clients[i], NULL, converse, &listening);
    size_t came = 0;
    for (int i = 0; i < 16; i++) {
        void *count;
        pthread_join(clients[i], &count);
        came += (size_t)count;
    }
    say("answers: %zu", came);
    for (int i = 0; i < 2; i++) {
        int near = connection_to(listening);
        put(near, "q");
        drain(near, 1);
        close(near);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(acceptors[i], NULL);
    close(listening);
}

static void *read_one(void *descriptor) {
    char buffer[8];
    TELL(read(*(int *)descriptor, buffer, sizeof buffer));
    return NULL;
}

static void *accept_one(void *listening) {
    TELL(accept(*(int *)listening, NULL, NULL));
    return NULL;
}

void shutdown_wakes_reader(void) {
    struct pair pair = connected();
    pthread_t reader;
    pthread_create(&reader, NULL, read_one, &pair.near);
    usleep(20000);
    MUST(shutdown(pair.near, SHUT_RDWR));
    pthread_join(reader, NULL);
    close_both(pair);
}

void shutdown_wakes_acceptor(void) {
    int listening = listener();
    struct sockaddr_in address = address_of(listening);
    pthread_t acceptor;
    pthread_create(&acceptor, NULL, accept_one, &listening);
    usleep(20000);
    MUST(shutdown(listening, SHUT_RD));
    pthread_join(acceptor, NULL);
    left(address);
    TELL(accept(listening, NULL, NULL));
    close(listening);
}

static void *fork_often(void *nothing) {
    (void)nothing;
    size_t ended_well = 0;
    for (int i = 0; i < 20; i++) {
        pid_t child = MUST(fork());
        if (child == 0)
            _exit(0);
        int status;
        MUST(waitpid(child, &status, 0));
        ended_well += status == 0;
    }
    return (void *)ended_well;
}

void forking_threads(void) {
    /* A process forks while its other threads are in the middle of calls. */
    struct pair pair = connected();
    pthread_t writer, echoing, forking;
    pthread_create(&echoing, NULL, echo_million, &pair.far);
    pthread_create(&writer, NULL, write_million, &pair.near);
    pthread_create(&forking, NULL, fork_often, NULL);
    say("came back: %zu", get_pattern(pair.near, 0, 1000000));
    pthread_join(writer, NULL);
    pthread_join(echoing, NULL);
    void *well;
    pthread_join(forking, &well);
    say("forked: %zu", (size_t)well);
    char buffer[8];
    /* No child has kept it open. */
    MUST(close(pair.far));
    TELL(read(pair.near, buffer, sizeof buffer));
    close(pair.near);
}
