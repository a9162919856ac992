/* Everything that the header declares, with one connection of the program to itself. */
#undef NDEBUG
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

static memnet_t *attachment;

static void memory_is_bounded(void) {
    memnet_mem_t *mem = NULL;
    assert(memnet_register_mem(attachment, (size_t)1 << 33, &mem) == -ENOMEM);
    assert(memnet_register_mem(attachment, 0, &mem) == -EINVAL && !mem);
    assert(memnet_deregister_mem(NULL) == 0);
}

static void jobs_send_and_receive(memnet_socket_t *client, memnet_socket_t *server) {
    memnet_mem_t *mem;
    memnet_job_t sends, receives, other;
    assert(memnet_register_mem(attachment, 8192, &mem) == 0 && memnet_mem_length(mem) == 8192);
    char *octets = memnet_mem_data(mem);
    assert(memnet_async_recv(server, mem, 4096, 4097, &receives) == -EINVAL);
    assert(memnet_async_recv(server, mem, 4096, 4096, &receives) == 0);
    assert(memnet_async_recv(server, mem, 0, 1, &other) == -EALREADY);
    assert(memnet_job_done(&receives) == 0 && memnet_job_wait(&receives, 0) == -ETIMEDOUT);
    memcpy(octets, "hello", 5);
    assert(memnet_async_send(client, mem, 0, 5, &sends) == 0);
    memnet_job_t *both[] = {&sends, &receives};
    assert(memnet_wait_any(both, 2, -1) >= 0);
    assert(memnet_job_wait(&sends, -1) == 0 && memnet_job_wait(&receives, -1) == 0);
    assert(memnet_deregister_mem(mem) == -EBUSY);
    assert(memnet_job_result(&sends) == 5 && memnet_job_result(&receives) == 5);
    assert(memnet_job_result(&sends) == -EINVAL);
    assert(memcmp(octets + 4096, "hello", 5) == 0);
    assert(memnet_async_recv(server, mem, 0, 10, &receives) == 0);
    assert(memnet_job_cancel(&receives) == 0 && memnet_job_wait(&receives, -1) == 0);
    assert(memnet_job_result(&receives) == -ECANCELED);
    assert(memnet_deregister_mem(mem) == 0);
}

static void a_file_is_sent(memnet_socket_t *client, memnet_socket_t *server) {
    char name[] = "/tmp/memnet-test-XXXXXX", octets[16];
    int descriptor = mkstemp(name);
    memnet_file_t *file;
    memnet_job_t sends;
    assert(write(descriptor, "a file's octets", 15) == 15);
    assert(memnet_open_file(attachment, descriptor, &file) == 0);
    close(descriptor);
    unlink(name);
    assert(memnet_send_file(client, file, 2, 4, &sends) == 0);
    assert(memnet_sync_recv(server, octets, sizeof octets, -1) == 4 && memcmp(octets, "file", 4) == 0);
    assert(memnet_job_wait(&sends, -1) == 0 && memnet_job_result(&sends) == 4);
    memnet_close_file(file);
}

static void objects_are_published_and_sent(memnet_socket_t *client, memnet_socket_t *server) {
    char name[] = "/tmp/memnet-test-XXXXXX", octets[64];
    int descriptor = mkstemp(name);
    memnet_file_t *file;
    memnet_mem_t *mem;
    memnet_object_t *objects[3], *none;
    memnet_job_t sends[3];
    assert(write(descriptor, "of a file", 9) == 9);
    assert(memnet_open_file(attachment, descriptor, &file) == 0);
    close(descriptor);
    unlink(name);
    assert(memnet_register_mem(attachment, 4096, &mem) == 0);
    memcpy(memnet_mem_data(mem), "of memory", 9);
    assert(memnet_object(attachment, "a", 1, &none) == -ENOENT);
    assert(memnet_publish(attachment, "a", 1, "octets", 6) == 0);
    assert(memnet_publish(attachment, "a", 1, NULL, 0) == -EINVAL);
    assert(memnet_publish_mem(attachment, "b", 1, mem, 4090, 9) == -EINVAL);
    assert(memnet_publish_mem(attachment, "b", 1, mem, 0, 9) == 0);
    assert(memnet_publish_file(attachment, "c", 1, file, 0, 9) == 0);
    for (int at = 0; at < 3; at++) {
        assert(memnet_object(attachment, &"abc"[at], 1, &objects[at]) == 0);
        assert(memnet_send_object(client, objects[at], 0, memnet_object_length(objects[at]), &sends[at]) == 0);
    }
    for (int at = 0; at < 3; at++) {
        assert(memnet_job_wait(&sends[at], -1) == 0);
        assert(memnet_job_result(&sends[at]) == (int64_t)memnet_object_length(objects[at]));
        memnet_close_object(objects[at]);
        assert(memnet_purge(attachment, &"abc"[at], 1) == 1 && memnet_purge(attachment, &"abc"[at], 1) == 0);
    }
    for (size_t got = 0; got < 24;) {
        ssize_t more = memnet_sync_recv(server, octets + got, sizeof octets - got, -1);
        assert(more > 0);
        got += more;
    }
    assert(memcmp(octets, "octetsof memoryof a file", 24) == 0);
    memnet_close_file(file);
    assert(memnet_deregister_mem(mem) == 0);
}

static void a_queue_tells(memnet_listener_t *listener, memnet_socket_t *client, memnet_socket_t *server) {
    memnet_queue_t *queue;
    uint32_t numbers[8];
    char octet;
    assert(memnet_queue_open(attachment, &queue) == 0);
    assert(memnet_queue_subscribe_listener(queue, listener, numbers, 8) == 1);
    memnet_queue_subscribe(queue, server);
    memnet_socket_waits(server, 1);
    memnet_socket_waits(server, 0);
    assert(memnet_socket_descriptor(server) == -EOPNOTSUPP);
    assert(memnet_queue_wait(queue, numbers, 8, 0) >= 0);
    struct pollfd rung = {.fd = memnet_queue_descriptor(queue), .events = POLLIN};
    int may_sleep = memnet_queue_sleep(queue);
    assert(memnet_sync_send(client, "x", 1, -1) == 1);
    if (may_sleep)
        assert(poll(&rung, 1, 20000) == 1);
    assert(memnet_queue_wait(queue, numbers, 8, -1) == 1 && numbers[0] == memnet_socket_number(server));
    assert(memnet_sync_recv(server, &octet, 1, 0) == 1 && octet == 'x');
    assert(memnet_sync_recv(server, &octet, 1, 0) == -EAGAIN);
    assert(memnet_sync_recv(server, &octet, 1, 1) == -ETIMEDOUT);
    memnet_queue_close(queue);
}

static void a_child_goes_on(memnet_socket_t *client, memnet_socket_t *server) {
    int status;
    char octets[8];
    pid_t child = memnet_fork(attachment);
    assert(child >= 0);
    if (child == 0) {
        /* It waits, too, which takes a queue of its own. */
        if (memnet_sync_recv(server, octets, sizeof octets, -1) != 6 || memnet_sync_send(server, "child", 5, -1) != 5)
            _exit(1);
        memnet_close(server);
        memnet_close(client);
        _exit(0);
    }
    assert(memnet_sync_send(client, "parent", 6, -1) == 6);
    assert(memnet_sync_recv(client, octets, sizeof octets, -1) == 5 && memcmp(octets, "child", 5) == 0);
    assert(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* Closed by one of the two, it is still the other's. */
    assert(memnet_sync_send(server, "still", 5, -1) == 5);
    assert(memnet_sync_recv(client, octets, sizeof octets, -1) == 5);
}

static memnet_socket_t *connect_to(memnet_listener_t *listener, memnet_socket_t **server) {
    struct sockaddr_storage to;
    memnet_socket_t *client;
    assert(memnet_listener_address(listener, &to) == 0);
    assert(memnet_accept(listener, 0, server) == -EAGAIN);
    must(memnet_connect(attachment, (struct sockaddr *)&to, sizeof(struct sockaddr_in), 0, 20000, &client), "connect");
    assert(memnet_accept(listener, 20000, server) == 0);
    return client;
}

int main(int count, char **arguments) {
    struct sockaddr_storage one, other;
    memnet_socket_t *client, *server;
    memnet_job_t receives;
    memnet_mem_t *mem;
    char octet;
    assert(count == 2);
    assert(memnet_attach("/nowhere", "test", &attachment) == -ENOENT);
    assert(memnet_attach(arguments[1], "test", &attachment) == 0 && memnet_is_alive(attachment) == 1);
    memory_is_bounded();
    memnet_listener_t *listener = listen_on(attachment, "0");
    client = connect_to(listener, &server);
    assert(memnet_local_address(client, &one) == 0 && memnet_peer_address(server, &other) == 0);
    assert(((struct sockaddr_in *)&one)->sin_port == ((struct sockaddr_in *)&other)->sin_port);
    jobs_send_and_receive(client, server);
    a_file_is_sent(client, server);
    objects_are_published_and_sent(client, server);
    a_queue_tells(listener, client, server);
    a_child_goes_on(client, server);
    assert(memnet_shutdown(client, 7) == -EINVAL && memnet_shutdown(client, SHUT_WR) == 0);
    assert(memnet_sync_recv(server, &octet, 1, -1) == 0);
    assert(memnet_sync_send(client, "x", 1, -1) == -EPIPE);
    memnet_close(client);
    memnet_close(server);
    client = connect_to(listener, &server);
    assert(memnet_register_mem(attachment, 4096, &mem) == 0);
    assert(memnet_async_recv(server, mem, 0, 4096, &receives) == 0);
    memnet_abort(server);
    assert(memnet_job_wait(&receives, -1) == 0 && memnet_job_result(&receives) == -ECONNABORTED);
    assert(memnet_sync_recv(client, &octet, 1, -1) == -ECONNRESET);
    memnet_close(client);
    memnet_close(server);
    assert(memnet_deregister_mem(mem) == 0);
    memnet_close_listener(listener);
    memnet_detach(attachment);
    puts("everything holds");
    return 0;
}
