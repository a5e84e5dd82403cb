"""The name that a client's host gives for a connection (RFC 1413). Worth what that host is worth."""
import time

import _socket                      # the `socket` module costs 6 ms at start

PORT = 113
LONGEST = 998                       # bytes of a name
ANSWER = 4096                       # bytes of an answer: no line without end


def ask(local, remote, timeout):
    """The user id, b"" in an answer without one; None if nobody answers.

    local, remote: (IP address, port) of the connection. timeout: seconds in all. Blanks and
    CR are taken out; what follows the third colon is the name, further colons included.
    """
    family = _socket.AF_INET6 if ":" in remote[0] else _socket.AF_INET
    end = time.monotonic() + timeout
    sock = _socket.socket(family, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.settimeout(timeout)
        sock.bind((local[0], 0))
        sock.connect((remote[0], PORT))
        sock.sendall(b"%d , %d\r\n" % (remote[1], local[1]))
        answer = b""
        while b"\n" not in answer and len(answer) < ANSWER:
            sock.settimeout(max(0, end - time.monotonic()))
            data = sock.recv(1024)
            if not data:
                return None
            answer += data
    except OSError:
        return None
    finally:
        sock.close()
    return name(answer)


def name(answer):
    """The user id of an answer line, without NUL: it goes into an environment."""
    line = answer.partition(b"\n")[0].translate(None, b" \t\r")
    return b":".join(line.split(b":")[3:]).partition(b"\0")[0][:LONGEST]
