"""A backend that lies over UDP: which lie is the first label of the name that it is asked for. Says where it listens.
Over TCP it is honest, unless it is started as liar.py --no-tcp."""

import random
import socket
import struct
import sys
import threading

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset

RIGHT, FORGED = "192.0.2.7", "203.0.113.66"


def answer(query, address, name=None):
    response = dns.message.make_response(query, recursion_available=True)
    owner = name or query.question[0].name
    response.answer.append(dns.rrset.from_text(owner, 300, "IN", "A", address))
    return response


def wrong_id(query):
    response = answer(query, FORGED)
    response.id = query.id ^ 0x5555
    return response.to_wire()


def wrong_question(query):
    other = dns.message.make_query("other.lie.test", "A", id=query.id)
    return answer(other, FORGED).to_wire()


def no_response(query):
    response = answer(query, FORGED)
    response.flags &= ~dns.flags.QR
    return response.to_wire()


def wrong_case(query):
    query.question[0].name = dns.name.from_text(str(query.question[0].name).swapcase())
    return answer(query, FORGED).to_wire()


def wrong_cookie(query):
    response = answer(query, FORGED)
    response.use_edns(0, payload=1232, options=[dns.edns.GenericOption(10, b"\xee" * 16)])
    return response.to_wire()


def garbage(query):
    return query.id.to_bytes(2, "big") + random.Random(query.id).randbytes(60)


def serve(server):
    while True:
        octets, client = server.recvfrom(4096)
        query = dns.message.from_wire(octets)
        lie = query.question[0].name.labels[0].decode().lower()
        send = lambda octets: server.sendto(octets, client)
        right = answer(query, RIGHT)
        if lie == "silent":
            continue
        if lie == "truncated":
            right.answer.clear()
            right.flags |= dns.flags.TC
        elif lie == "servfail":
            right.answer.clear()
            right.set_rcode(dns.rcode.SERVFAIL)
        elif lie == "extra":
            right.additional.append(dns.rrset.from_text("victim.test.", 300, "IN", "A", FORGED))
            right.answer.append(dns.rrset.from_text("victim.test.", 300, "IN", "A", FORGED))
        elif lie == "port":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.sendto(answer(query, FORGED).to_wire(), client)
        elif lie == "late":
            # The right one comes again, for nobody.
            send(right.to_wire())
        lies = {
            "id": [wrong_id],
            "question": [wrong_question],
            "query": [no_response],
            "garbage": [garbage],
            "cookie": [wrong_cookie],
            "case": [wrong_case],
            "everything": [wrong_id, garbage, wrong_question, no_response, wrong_cookie, wrong_case],
        }
        for forge in lies.get(lie, []):
            send(forge(dns.message.from_wire(octets)))
        send(right.to_wire())


def serve_streams(listener):
    while True:
        stream, _ = listener.accept()
        with stream, stream.makefile("rb") as reader:
            while len(length := reader.read(2)) == 2:
                query = dns.message.from_wire(reader.read(struct.unpack("!H", length)[0]))
                wire = answer(query, RIGHT).to_wire()
                stream.sendall(struct.pack("!H", len(wire)) + wire)


while True:
    listener = socket.create_server(("127.0.0.1", 0))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        server.bind(listener.getsockname())
        break
    except OSError:
        listener.close()
if "--no-tcp" in sys.argv:
    listener.close()
else:
    threading.Thread(target=serve_streams, args=(listener,), daemon=True).start()
threading.Thread(target=serve, args=(server,), daemon=True).start()
print("%s:%d" % server.getsockname(), flush=True)
# Until whoever started it is gone.
sys.stdin.read()
