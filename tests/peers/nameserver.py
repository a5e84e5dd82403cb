"""A name server on a port of its own: a zone in a dict, over UDP and TCP, as a context manager."""
import contextlib
import select
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

UDP_MAX = 512


class NameServer:
    """zone: {(name, type): [text, …] or the name of an rcode}. edns: False answers FORMERR to EDNS, as very
    old servers do. `questions` keeps (name, type, over TCP). address: for clients that know no port but 53."""

    def __init__(self, zone, edns=True, address=("127.0.0.1", 0)):
        self.zone, self.edns, self.questions, self.address = zone, edns, [], address

    def __enter__(self):
        self.tcp = socket.create_server(self.address)
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((self.address[0], self.port))
        self.ended, self.end = socket.socketpair()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.close()
        self.thread.join()
        for sock in (self.tcp, self.udp, self.ended):
            sock.close()

    def run(self):
        while True:
            ready = select.select([self.udp, self.tcp, self.ended], [], [])[0]
            if self.ended in ready:
                return
            with contextlib.suppress(OSError):
                if self.udp in ready:
                    query, client = self.udp.recvfrom(65535)
                    self.udp.sendto(self.answer(query, False), client)
                if self.tcp in ready:
                    connection, _ = self.tcp.accept()
                    with connection:
                        query = connection.recv(65535)[2:]
                        answer = self.answer(query, True)
                        connection.sendall(struct.pack(">H", len(answer)) + answer)

    def answer(self, query, over_tcp):
        query = dns.message.from_wire(query)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), question.rdtype.name
        self.questions.append((name, kind, over_tcp))
        reply = dns.message.make_response(query)
        if query.edns >= 0 and not self.edns:
            reply.use_edns(False)
            reply.set_rcode(dns.rcode.FORMERR)
            return reply.to_wire()
        while (name, "CNAME") in self.zone and kind != "CNAME":
            target = self.zone[name, "CNAME"][0]
            reply.answer.append(dns.rrset.from_text(name + ".", 60, "IN", "CNAME", target + "."))
            name = target
        found = self.zone.get((name, kind), [])
        if isinstance(found, str):
            reply.set_rcode(dns.rcode.from_text(found))
        elif found:
            reply.answer.append(dns.rrset.from_text(name + ".", 60, "IN", kind, *found))
        elif not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        wire = reply.to_wire(max_size=65535)
        if len(wire) > UDP_MAX and not over_tcp:
            short = dns.message.make_response(query)
            short.flags |= dns.flags.TC
            return short.to_wire()
        return wire
