/* A web server as it is written first: a thread for each connection, which waits for what it asks for.
 *
 *   http_sync /run/afpa/tcp-server.sock 8080 DIRECTORY
 */
#include <pthread.h>

#include "site.h"

static void *serve(void *argument) {
    memnet_socket_t *socket = argument;
    char input[LONGEST];
    size_t received = 0;
    struct answer found = {.stays = 1};
    while (found.stays) {
        size_t length = answer(input, received, &found);
        if (length == 0) {
            ssize_t count = memnet_sync_recv(socket, input + received, sizeof input - received, -1);
            if (count <= 0)
                break;
            received += (size_t)count;
            continue;
        }
        for (int at = 0; at < 2; at++) {
            struct part part = found.parts[at];
            if (memnet_sync_send(socket, site.octets + part.start, part.length, -1) != (ssize_t)part.length)
                found.stays = 0;
        }
        memmove(input, input + length, received - length);
        received -= length;
    }
    memnet_close(socket);
    return NULL;
}

int main(int count, char **arguments) {
    memnet_t *attachment;
    if (count != 4) {
        fprintf(stderr, "usage: %s SOCKET PORT DIRECTORY\n", arguments[0]);
        return 2;
    }
    load(arguments[3]);
    must(memnet_attach(arguments[1], "http_sync", &attachment), "attach");
    memnet_listener_t *listener = listen_on(attachment, arguments[2]);
    for (;;) {
        memnet_socket_t *socket;
        pthread_t thread;
        must(memnet_accept(listener, -1, &socket), "accept");
        if (pthread_create(&thread, NULL, serve, socket) == 0)
            pthread_detach(thread);
        else
            memnet_close(socket);
    }
}
