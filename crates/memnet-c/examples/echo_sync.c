/* An echo server (RFC 862) that waits: a thread for each connection.
 *
 *   echo_sync /run/afpa/tcp-server.sock 7007
 */
#include <pthread.h>

#include "common.h"

static void *echo(void *argument) {
    memnet_socket_t *socket = argument;
    char octets[16 * 1024];
    ssize_t count;
    while ((count = memnet_sync_recv(socket, octets, sizeof octets, -1)) > 0)
        if (memnet_sync_send(socket, octets, (size_t)count, -1) != count)
            break;
    memnet_close(socket);
    return NULL;
}

int main(int count, char **arguments) {
    memnet_t *attachment;
    if (count != 3) {
        fprintf(stderr, "usage: %s SOCKET PORT\n", arguments[0]);
        return 2;
    }
    must(memnet_attach(arguments[1], "echo_sync", &attachment), "attach");
    memnet_listener_t *listener = listen_on(attachment, arguments[2]);
    for (;;) {
        memnet_socket_t *socket;
        pthread_t thread;
        must(memnet_accept(listener, -1, &socket), "accept");
        if (pthread_create(&thread, NULL, echo, socket) == 0)
            pthread_detach(thread);
        else
            memnet_close(socket);
    }
}
