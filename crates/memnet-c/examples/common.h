/* What the examples have in common: attaching, listening, and saying where. */
#ifndef COMMON_H
#define COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memnet.h"

/* Ends the program if `result` is an error. */
static inline int must(int result, const char *what) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
    return result;
}

/* Listens on 127.0.0.1 and prints the port. */
static inline memnet_listener_t *listen_on(memnet_t *attachment, const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    struct sockaddr_storage bound;
    memnet_listener_t *listener;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(memnet_listen(attachment, (struct sockaddr *)&address, sizeof address, 0, &listener), "listen");
    must(memnet_listener_address(listener, &bound), "address");
    printf("port %d\n", ntohs(((struct sockaddr_in *)&bound)->sin_port));
    fflush(stdout);
    return listener;
}

#endif
