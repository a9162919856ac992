/*
 * MemNet: sockets of a TCP server, reached through shared memory (TCP Servers, section 4.2).
 *
 * Results. A function that returns int, int64_t or ssize_t returns a negative errno if it fails; what else it returns is
 * said where it is declared. Times are in milliseconds: 0 does not wait, -1 waits for ever. ECONNRESET is also what
 * everything comes to when the TCP server is gone.
 *
 * Ownership of registered memory. The server reaches registered memory itself. While a job runs, the octets that it was
 * given belong to it:
 *   - what memnet_async_send() was given is not written until the job is done. If it is, the peer gets a mixture, or gets
 *     it only when it is written no more;
 *   - what memnet_async_recv() was given is neither read nor written until the job is done.
 * A job is done when memnet_job_done() has returned 1, memnet_job_wait() 0, or memnet_wait_any() its index; then the
 * octets are the program's again. memnet_job_result() says what came of it and ends the job; each job is ended once, and
 * only then is memnet_deregister_mem() possible. There are two exceptions: memory of a job that was ended before it was
 * done stays the job's until memnet_deregister_mem() has returned 0, and after a fork, only one of the two processes
 * uses a piece of registered memory.
 *
 * Threads. Any thread may use any object, but a job and a queue are used by one thread at a time.
 *
 * Objects are closed by the function that is named after them; a NULL does nothing. A socket's jobs keep the connection
 * open until they are ended.
 */
#ifndef MEMNET_H
#define MEMNET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct memnet memnet_t;
typedef struct memnet_mem memnet_mem_t;
typedef struct memnet_file memnet_file_t;
typedef struct memnet_object memnet_object_t;
typedef struct memnet_listener memnet_listener_t;
typedef struct memnet_socket memnet_socket_t;
typedef struct memnet_queue memnet_queue_t;

/* A job lies where the program puts it, and is not copied or moved while it runs. */
typedef struct memnet_job {
    uint64_t opaque[32];
} memnet_job_t;

/* Options of a listener and its connections, or of a connection that is opened: a sum of these. */
enum {
    MEMNET_REUSE_PORT = 1,  /* several listeners share the address (SO_REUSEPORT) */
    MEMNET_ONLY_V6 = 2,     /* no clients by IPv4 (IPV6_V6ONLY) */
    MEMNET_KEEP_ALIVE = 4,  /* a silent peer is asked whether it is there (SO_KEEPALIVE) */
    MEMNET_DELAY = 8        /* small segments may wait: without it, TCP_NODELAY is set */
};

/* The process's way to the TCP server whose control socket is at `path`; `name` is for people who look at the server. */
int memnet_attach(const char *path, const char *name, memnet_t **attachment);
void memnet_detach(memnet_t *attachment);
/* 1 if the server is there, otherwise 0. */
int memnet_is_alive(memnet_t *attachment);
/* fork(2), after which the child has the sockets, too. It opens queues of its own. */
pid_t memnet_fork(memnet_t *attachment);

/* Memory that is sent from and received into, zeroed. -ENOMEM beyond what the server allows. */
int memnet_register_mem(memnet_t *attachment, size_t length, memnet_mem_t **mem);
void *memnet_mem_data(memnet_mem_t *mem);
size_t memnet_mem_length(memnet_mem_t *mem);
/* -EBUSY if jobs of it were not ended: it stays registered. */
int memnet_deregister_mem(memnet_mem_t *mem);

/* A file to send from. The descriptor can be closed afterwards. */
int memnet_open_file(memnet_t *attachment, int descriptor, memnet_file_t **file);
void memnet_close_file(memnet_file_t *file);

/* What is sent to many is published once, under a key of at most 1024 octets and in place of what was there, and then sent
 * from the server's memory. These return when it has been copied. -EFBIG: too long for an object; -EDQUOT: too much for one
 * user; -ENOMEM: no room at the moment; -EOPNOTSUPP: the server keeps nothing. The server may forget it when it needs room. */
int memnet_publish(memnet_t *attachment, const void *key, size_t key_length, const void *data, size_t length);
int memnet_publish_mem(memnet_t *attachment, const void *key, size_t key_length, memnet_mem_t *mem, size_t offset,
                       size_t length);
int memnet_publish_file(memnet_t *attachment, const void *key, size_t key_length, memnet_file_t *file, uint64_t offset,
                        uint64_t length);
/* What programs of the same user have published under the key, as it is now. -ENOENT: nothing. */
int memnet_object(memnet_t *attachment, const void *key, size_t key_length, memnet_object_t **object);
uint64_t memnet_object_length(memnet_object_t *object);
/* Not before the jobs that send it are done: those that have not begun cost their connections. */
void memnet_close_object(memnet_object_t *object);
/* 1 if something was published under the key, otherwise 0; now nothing is. Objects stay what they are. */
int memnet_purge(memnet_t *attachment, const void *key, size_t key_length);

int memnet_listen(memnet_t *attachment, const struct sockaddr *address, socklen_t length, unsigned options,
                  memnet_listener_t **listener);
int memnet_listener_address(memnet_listener_t *listener, struct sockaddr_storage *address);
/* The next connection. -EAGAIN if it does not wait and there is none, -ETIMEDOUT if there was none. */
int memnet_accept(memnet_listener_t *listener, int milliseconds, memnet_socket_t **socket);
void memnet_close_listener(memnet_listener_t *listener);

int memnet_connect(memnet_t *attachment, const struct sockaddr *address, socklen_t length, unsigned options,
                   int milliseconds, memnet_socket_t **socket);
int memnet_local_address(memnet_socket_t *socket, struct sockaddr_storage *address);
int memnet_peer_address(memnet_socket_t *socket, struct sockaddr_storage *address);
/* `how` as in shutdown(2). */
int memnet_shutdown(memnet_socket_t *socket, int how);
/* Resets the connection: its jobs end with -ECONNABORTED. */
void memnet_abort(memnet_socket_t *socket);
/* What is queued is still sent. */
void memnet_close(memnet_socket_t *socket);

/* Returns when the octets are the server's, whose copy they are from then on: `data` can be used again. The number of
 * octets, fewer only if something went wrong behind them. Without waiting: what there is room for, or -EAGAIN. With a server
 * that only receives, they are the kernel's. */
ssize_t memnet_sync_send(memnet_socket_t *socket, const void *data, size_t length, int milliseconds);
/* The number of octets that came, 0 at the end of the stream; -EAGAIN without waiting. -EALREADY while a job receives. */
ssize_t memnet_sync_recv(memnet_socket_t *socket, void *data, size_t length, int milliseconds);

/* These fill `job` and return at once. -EAGAIN: as many jobs run on the socket as there can be (16 that send, one that
 * receives). -EINVAL: beyond the memory's end. -EOPNOTSUPP: a send, and the server only receives. */
int memnet_async_send(memnet_socket_t *socket, memnet_mem_t *mem, size_t offset, size_t length, memnet_job_t *job);
int memnet_async_recv(memnet_socket_t *socket, memnet_mem_t *mem, size_t offset, size_t length, memnet_job_t *job);
int memnet_send_file(memnet_socket_t *socket, memnet_file_t *file, uint64_t offset, uint64_t length, memnet_job_t *job);
int memnet_send_object(memnet_socket_t *socket, memnet_object_t *object, uint64_t offset, uint64_t length,
                       memnet_job_t *job);

/* 1 if it is done, otherwise 0. */
int memnet_job_done(memnet_job_t *job);
/* 0 when it is done; -ETIMEDOUT or -EINTR if it is not. */
int memnet_job_wait(memnet_job_t *job, int milliseconds);
/* The index of one that is done; -ETIMEDOUT or -EINTR if none is. */
int memnet_wait_any(memnet_job_t *const *jobs, size_t count, int milliseconds);
/* Has a job that receives end soon, with -ECANCELED unless something has come. -EINVAL: a job that sends. */
int memnet_job_cancel(memnet_job_t *job);
/* Ends the job: how many octets it has sent or received (0 at the end of the stream), or what it failed with. One that is
 * not done is given up: -EINPROGRESS. A send then goes on, a receive is cancelled. */
int64_t memnet_job_result(memnet_job_t *job);

/* Event queues: a thread learns of what happens on any number of sockets and listeners, which are told apart by numbers.
 * What is so when it subscribes has to be looked at; what happens later is told until it has been dealt with up to
 * -EAGAIN. */
int memnet_queue_open(memnet_t *attachment, memnet_queue_t **queue);
void memnet_queue_close(memnet_queue_t *queue);
uint32_t memnet_socket_number(memnet_socket_t *socket);
void memnet_queue_subscribe(memnet_queue_t *queue, memnet_socket_t *socket);
/* Of several queues that subscribe to a listener, one that waits is told of a connection. A listener has a number for each
 * of the server's engines: the first `count` are written to `numbers`, and how many there are is returned. */
int memnet_queue_subscribe_listener(memnet_queue_t *queue, memnet_listener_t *listener, uint32_t *numbers, size_t count);
/* Tells of room, and of jobs that send and are done, while `waits` is not 0; it costs the server something. After -EAGAIN
 * for want of room or of jobs it is on. */
void memnet_socket_waits(memnet_socket_t *socket, int waits);
/* With a server that only receives, the kernel's socket, which is to be polled for room: queues are not told of it. It is
 * good for nothing else, and as long as the socket. -EOPNOTSUPP: the server sends, and tells of room. */
int memnet_socket_descriptor(memnet_socket_t *socket);
/* The numbers of up to `count` sockets and listeners on which something has happened; how many they are, 0 when the time is
 * over. What does not fit is told the next time. */
int memnet_queue_wait(memnet_queue_t *queue, uint32_t *numbers, size_t count, int milliseconds);
/* For the event loops of others: a descriptor that is readable when the queue was rung. Before such a loop sleeps it calls
 * memnet_queue_sleep(), and sleeps only if that returns 1; then it calls memnet_queue_wait() with 0 milliseconds. */
int memnet_queue_descriptor(memnet_queue_t *queue);
int memnet_queue_sleep(memnet_queue_t *queue);

#ifdef __cplusplus
}
#endif

#endif
