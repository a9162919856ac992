/* A web server of one thread and one queue. What it sends lies in registered memory, and the TCP server sends it from
 * there: an answer is two jobs.
 *
 *   http_async /run/afpa/tcp-server.sock 8080 DIRECTORY
 */
#include "site.h"

enum { TOLD = 256, JOBS = 16 };

struct connection {
    memnet_socket_t *socket;
    size_t received;
    /* The jobs that run are those from `ended` on, of which there are `begun - ended`. */
    unsigned begun, ended;
    /* What of an answer has not been begun. */
    struct answer rest;
    int next;
    char input[LONGEST];
    memnet_job_t jobs[JOBS];
};

/* By their numbers. */
static struct connection *connections[1 << 16];
static memnet_mem_t *memory;

/* Ends the jobs that are done, in their order. Returns whether none has failed. */
static int end_jobs(struct connection *connection) {
    while (connection->ended != connection->begun) {
        memnet_job_t *job = &connection->jobs[connection->ended % JOBS];
        if (!memnet_job_done(job))
            return 1;
        connection->ended++;
        if (memnet_job_result(job) < 0)
            return 0;
    }
    return 1;
}

/* Begins what is left of an answer. Returns 1 when it is begun, 0 if there is no room, -1 if the connection is over. */
static int begin(struct connection *connection) {
    for (; connection->next < 2; connection->next++) {
        struct part part = connection->rest.parts[connection->next];
        if (part.length == 0)
            continue;
        if (connection->begun - connection->ended == JOBS) {
            memnet_socket_waits(connection->socket, 1);
            if (!end_jobs(connection))
                return -1;
            if (connection->begun - connection->ended == JOBS)
                return 0;
        }
        memnet_job_t *job = &connection->jobs[connection->begun % JOBS];
        int begun = memnet_async_send(connection->socket, memory, part.start, part.length, job);
        if (begun < 0)
            return begun == -EAGAIN ? 0 : -1;
        connection->begun++;
    }
    memnet_socket_waits(connection->socket, 0);
    return 1;
}

/* Does what can be done now. Returns whether the connection goes on. */
static int go_on(struct connection *connection) {
    if (!end_jobs(connection))
        return 0;
    for (;;) {
        int begun = begin(connection);
        if (begun <= 0)
            return begun == 0;
        if (!connection->rest.stays)
            return 0;
        size_t length = answer(connection->input, connection->received, &connection->rest);
        if (length > 0) {
            connection->next = 0;
            connection->received -= length;
            memmove(connection->input, connection->input + length, connection->received);
            continue;
        }
        ssize_t count = memnet_sync_recv(connection->socket, connection->input + connection->received,
                                         LONGEST - connection->received, 0);
        if (count == -EAGAIN)
            return 1;
        if (count <= 0)
            return 0;
        connection->received += (size_t)count;
    }
}

/* What has begun still goes out: jobs that are given up go on. */
static void finish(uint32_t number) {
    struct connection *connection = connections[number];
    while (connection->ended != connection->begun)
        memnet_job_result(&connection->jobs[connection->ended++ % JOBS]);
    memnet_close(connection->socket);
    connections[number] = NULL;
    free(connection);
}

static void accept_all(memnet_listener_t *listener, memnet_queue_t *queue) {
    memnet_socket_t *socket;
    while (memnet_accept(listener, 0, &socket) == 0) {
        uint32_t number = memnet_socket_number(socket);
        struct connection *connection = calloc(1, sizeof *connection);
        connection->socket = socket;
        connection->next = 2;
        connection->rest.stays = 1;
        connections[number] = connection;
        memnet_queue_subscribe(queue, socket);
        if (!go_on(connection))
            finish(number);
    }
}

int main(int count, char **arguments) {
    memnet_t *attachment;
    memnet_queue_t *queue;
    if (count != 4) {
        fprintf(stderr, "usage: %s SOCKET PORT DIRECTORY\n", arguments[0]);
        return 2;
    }
    load(arguments[3]);
    must(memnet_attach(arguments[1], "http_async", &attachment), "attach");
    must(memnet_register_mem(attachment, site.length, &memory), "register");
    memcpy(memnet_mem_data(memory), site.octets, site.length);
    must(memnet_queue_open(attachment, &queue), "queue");
    memnet_listener_t *listener = listen_on(attachment, arguments[2]);
    memnet_queue_subscribe_listener(queue, listener, NULL, 0);
    /* Who came before is not told of. */
    accept_all(listener, queue);
    for (;;) {
        uint32_t told[TOLD];
        int numbers = must(memnet_queue_wait(queue, told, TOLD, -1), "wait");
        for (int at = 0; at < numbers; at++) {
            if (!connections[told[at]])
                accept_all(listener, queue);
            else if (!go_on(connections[told[at]]))
                finish(told[at]);
        }
    }
}
