/* An echo server (RFC 862) of one thread: each connection has a part of the registered memory and a job, which receives
 * into it and then sends from it.
 *
 *   echo_async /run/afpa/tcp-server.sock 7007
 */
#include "common.h"

enum { CONNECTIONS = 64, BUFFER = 64 * 1024, TOLD = 64 };

struct connection {
    memnet_socket_t *socket;
    uint32_t number;
    int sends;
    memnet_job_t job;
};

static struct connection connections[CONNECTIONS];
static memnet_mem_t *memory;

static size_t place(struct connection *connection) {
    return (size_t)(connection - connections) * BUFFER;
}

/* Goes on as far as it can without waiting. Returns whether the connection goes on. */
static int advance(struct connection *connection) {
    while (memnet_job_done(&connection->job)) {
        int64_t octets = memnet_job_result(&connection->job);
        if (octets <= 0)
            return 0;
        connection->sends = !connection->sends;
        int begun = connection->sends
            ? memnet_async_send(connection->socket, memory, place(connection), (size_t)octets, &connection->job)
            : memnet_async_recv(connection->socket, memory, place(connection), BUFFER, &connection->job);
        if (begun < 0)
            return 0;
    }
    return 1;
}

static void finish(struct connection *connection) {
    memnet_close(connection->socket);
    connection->socket = NULL;
}

static void accept_all(memnet_listener_t *listener, memnet_queue_t *queue) {
    memnet_socket_t *socket;
    while (memnet_accept(listener, 0, &socket) == 0) {
        struct connection *connection = connections;
        while (connection < connections + CONNECTIONS && connection->socket)
            connection++;
        if (connection == connections + CONNECTIONS) {
            memnet_close(socket);
            continue;
        }
        connection->socket = socket;
        connection->number = memnet_socket_number(socket);
        connection->sends = 0;
        memnet_queue_subscribe(queue, socket);
        /* The queue is told when a send is done, too. */
        memnet_socket_waits(socket, 1);
        if (memnet_async_recv(socket, memory, place(connection), BUFFER, &connection->job) < 0 || !advance(connection))
            finish(connection);
    }
}

int main(int count, char **arguments) {
    memnet_t *attachment;
    memnet_queue_t *queue;
    if (count != 3) {
        fprintf(stderr, "usage: %s SOCKET PORT\n", arguments[0]);
        return 2;
    }
    must(memnet_attach(arguments[1], "echo_async", &attachment), "attach");
    must(memnet_register_mem(attachment, (size_t)CONNECTIONS * BUFFER, &memory), "register");
    must(memnet_queue_open(attachment, &queue), "queue");
    memnet_listener_t *listener = listen_on(attachment, arguments[2]);
    memnet_queue_subscribe_listener(queue, listener, NULL, 0);
    /* Who came before is not told of. */
    accept_all(listener, queue);
    for (;;) {
        uint32_t told[TOLD];
        int numbers = must(memnet_queue_wait(queue, told, TOLD, -1), "wait");
        for (int at = 0; at < numbers; at++)
            for (struct connection *connection = connections; connection < connections + CONNECTIONS; connection++)
                if (connection->socket && connection->number == told[at] && !advance(connection))
                    finish(connection);
        accept_all(listener, queue);
    }
}
