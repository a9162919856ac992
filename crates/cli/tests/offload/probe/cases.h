/* Every case, each a function of this name. */
#define CASES(X)                                                                                             \
    X(peek) X(dont_wait) X(wait_all) X(more) X(vectors) X(messages) X(many_messages) X(send_file) X(splices) \
    X(large_both_ways) X(small_pieces) X(zero_lengths) X(lengths_at_run_time) X(standard_streams)            \
    X(shutdown_of_writing) X(shutdown_of_reading) X(shutdown_both_ways) X(shutdown_unconnected)              \
    X(broken_pipe) X(end_with_unread_data) X(linger_zero_resets) X(end_before_accept)                        \
    X(end_of_listener) X(data_before_end)                                                                    \
    X(socket_options) X(inherited_options) X(bad_options) X(buffer_sizes) X(information) X(timeouts)         \
    X(names) X(names_of_accepted) X(not_sockets) X(other_sockets)                                            \
    X(duplicates) X(duplicates_over_others) X(status_flags) X(octets_to_read) X(lowest_numbers)              \
    X(file_status) X(closed_descriptors) X(limit_of_descriptors) X(passed_descriptor)                        \
    X(polls) X(polls_of_ends) X(polls_with_others) X(selects) X(poll_with_mask) X(select_with_mask)          \
    X(epoll_level) X(epoll_edge) X(epoll_oneshot) X(epoll_exclusive) X(epoll_control) X(epoll_few_at_a_time) \
    X(epoll_with_others) X(epoll_nested) X(epoll_from_another_thread) X(epoll_writable) X(epoll_of_ends)     \
    X(epoll_of_duplicates)                                                                                   \
    X(forked_listener) X(forked_connection) X(forked_workers) X(killed_child) X(executed_echo)               \
    X(executed_listener) X(closed_on_exec) X(spawned_program) X(daemonised)                                      \
    X(interrupted_calls) X(restarted_calls) X(interrupted_waits)                                             \
    X(duplex_threads) X(accepting_threads) X(many_threads) X(shutdown_wakes_reader)                          \
    X(shutdown_wakes_acceptor) X(forking_threads)                                                            \
    X(connect_not_blocking) X(connect_refused) X(connect_refused_not_blocking) X(connect_after_refusal)      \
    X(connect_to_self) X(connect_to_any) X(connect_bound) X(connect_twice) X(listen_again)                   \
    X(listen_unbound) X(addresses_in_use) X(both_families)
