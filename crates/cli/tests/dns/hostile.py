"""A client that does not keep to the rules: hostile.py HOST PORT CASE. Fails if the server does not cope."""

import socket
import struct
import sys
import time

import dns.message
import dns.rcode

SERVER = (sys.argv[1], int(sys.argv[2]))
NAME = "ns.example.test"


def good(number):
    return dns.message.make_query(NAME, "A", id=number)


def udp():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(SERVER)
    client.settimeout(10)
    return client


def tcp():
    client = socket.create_connection(SERVER)
    client.settimeout(10)
    return client


def frame(octets):
    return struct.pack("!H", len(octets)) + octets


def receive(stream):
    length = read(stream, 2)
    return read(stream, struct.unpack("!H", length)[0]) if length else None


def read(stream, length):
    octets = b""
    while len(octets) < length:
        more = stream.recv(length - len(octets))
        if not more:
            assert not octets, "cut off in the middle"
            return None
        octets += more
    return octets


def is_closed(stream):
    """Waits for the end of the stream; whatever comes before it is read."""
    try:
        while stream.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def malformed():
    """What is sent, and the response code of the answer, or none."""
    wire = good(7).to_wire()
    header, question = wire[:12], wire[12:]

    def with_counts(*counts):
        return header[:4] + struct.pack("!4H", *counts)

    def with_flags(flags):
        return header[:2] + struct.pack("!H", flags) + header[4:]

    opt = dns.message.make_query(NAME, "A", id=7, use_edns=0, payload=1232).to_wire()[len(wire):]
    yield "nothing", b"", None
    yield "one octet", b"\0", None
    yield "eleven octets", wire[:11], None
    yield "a response", with_flags(0x8000) + question, None
    yield "a response with garbage", with_flags(0x8180) + b"\xff" * 40, None
    yield "a header alone", header, "FORMERR"
    yield "no question", with_counts(0, 0, 0, 0), "FORMERR"
    yield "two questions", with_counts(2, 0, 0, 0) + question * 2, "FORMERR"
    yield "65535 questions", with_counts(65535, 0, 0, 0) + question, "FORMERR"
    yield "a cut question", wire[:-3], "FORMERR"
    yield "a cut name", wire[:15], "FORMERR"
    yield "a pointer to itself", header + b"\xc0\x0c\0\1\0\1", "FORMERR"
    yield "a pointer ahead", header + b"\xc0\x20\0\1\0\1", "FORMERR"
    yield "an old label", header + b"\x41\x01\0\0\1\0\1", "FORMERR"
    yield "a long name", header + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", "FORMERR"
    yield "an answer in a query", with_counts(1, 1, 0, 0) + question + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\1\2\3\4", "FORMERR"
    yield "two OPT records", with_counts(1, 0, 0, 2) + question + opt * 2, "FORMERR"
    yield "an OPT record in the wrong place", with_counts(1, 0, 1, 0) + question + opt, "FORMERR"
    yield "an option beyond its record", with_counts(1, 0, 0, 1) + question + opt[:-2] + b"\0\4\0\3\0\9", "FORMERR"
    yield "a later EDNS", with_counts(1, 0, 0, 1) + question + opt[:6] + b"\1" + opt[7:], "BADVERS"
    for opcode in (1, 2, 3, 4, 5, 6, 15):
        yield f"opcode {opcode}", with_flags(opcode << 11) + question, "NOTIMP"
    yield "class ANY", header + question[:-2] + b"\0\xff", None
    yield "type OPT", header + question[:-4] + b"\0\x29\0\1", None
    yield "octets behind", wire + b"\0" * 20, None


def rcode(octets):
    if octets[2] & 0x78:
        # Of an opcode that dnspython does not know.
        return dns.rcode.to_text(dns.rcode.from_flags(octets[3], 0))
    return dns.rcode.to_text(dns.message.from_wire(octets).rcode())


def expect(case, expected, answers):
    assert expected is None or answers == [expected], f"{case}: {answers}, and not {expected}"


def malformed_datagrams():
    client = udp()
    for number, (case, octets, expected) in enumerate(malformed()):
        client.send(octets)
        # What comes before the answer to this is the answer to that.
        client.send(good(1000 + number).to_wire())
        answers = []
        while (answer := client.recv(65536))[:2] != struct.pack("!H", 1000 + number):
            answers.append(rcode(answer))
        assert rcode(answer) == "NOERROR"
        if octets[2:3] >= b"\x80" or len(octets) < 12:
            assert not answers, f"{case}: {answers}"
        expect(case, expected, answers)


def malformed_streams():
    for case, octets, expected in malformed():
        with tcp() as client:
            client.sendall(frame(octets) + frame(good(1000).to_wire()))
            answers = []
            while (answer := receive(client)) is not None and answer[:2] != struct.pack("!H", 1000):
                answers.append(rcode(answer))
            expect(case, expected, answers)
            if len(octets) < 12:
                assert answer is None and not answers, case
    with tcp() as client:
        client.sendall(b"\0\0")
        assert is_closed(client)
    with tcp() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert is_closed(client)


def slow_stream():
    message = frame(good(1).to_wire())
    with tcp() as client:
        client.sendall(message)
        assert rcode(receive(client)) == "NOERROR"
        sent = 0
        try:
            # Each octet comes in time; all of them would not.
            for octet in message:
                client.sendall(bytes([octet]))
                sent += 1
                client.settimeout(0.1)
                try:
                    if not client.recv(1):
                        break
                except TimeoutError:
                    pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < len(message), "it was never cut off"


def idle_stream():
    with tcp() as silent, tcp() as asked:
        asked.sendall(frame(good(1).to_wire()))
        assert rcode(receive(asked)) == "NOERROR"
        assert is_closed(silent) and is_closed(asked)


def half_open_streams():
    message = frame(good(1).to_wire())
    streams = [tcp() for _ in range(500)]
    for number, stream in enumerate(streams):
        stream.sendall(message[: number % len(message)])
    client = udp()
    for number in range(200):
        client.send(good(number).to_wire())
        assert rcode(client.recv(65536)) == "NOERROR"
    with tcp() as late:
        late.sendall(message)
        assert rcode(receive(late)) == "NOERROR"
    for stream in streams:
        assert is_closed(stream)
        stream.close()


def unread_answers():
    greedy = tcp()
    greedy.settimeout(1)
    questions = frame(dns.message.make_query("example.test", "SOA").to_wire()) * 1000
    try:
        for _ in range(200):
            greedy.sendall(questions)
    except (TimeoutError, BrokenPipeError, ConnectionResetError):
        pass
    client = udp()
    for number in range(50):
        client.send(good(number).to_wire())
        assert rcode(client.recv(65536)) == "NOERROR"
    greedy.close()


globals()[sys.argv[3]]()
