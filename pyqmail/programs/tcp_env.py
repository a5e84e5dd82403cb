"""tcp-env: set up TCP-related environment variables for a program that inetd runs.

    tcp-env [-rR] [-t SECONDS] PROGRAM [ARGUMENT …]

Descriptor 0 is a TCP connection. Sets PROTO to TCP; TCPLOCALIP, TCPLOCALPORT, TCPREMOTEIP,
TCPREMOTEPORT; TCPLOCALHOST and TCPREMOTEHOST to the names of the addresses in the DNS, in lower
case ("softdnserror" if that cannot be known now, unset if there is none); TCPREMOTEINFO to what
the client's ident server says, unless -R. Then executes PROGRAM, looked up along PATH. If PROTO is
TCP already nothing is changed. -t: seconds to wait for the ident server, 30 without it.
Exit code: 111 if descriptor 0 is no TCP connection or PROGRAM cannot be executed.

**Security**: runs as whoever inetd says; what strangers control, names and ident answers, reaches
the environment bounded and without NUL.
Source: tcp-env(1), tcp-environ(5).
"""
import os

import _socket                      # the `socket` module costs 6 ms at start

from ..base import child, errors, ident, number, options

TIMEOUT = 30                        # s
SOFT = b"softdnserror"


def main(argv):
    wanted = options.Options(argv, b"rRt:")
    ask_ident, timeout = read(wanted)
    if not wanted.rest:
        return errors.TEMPORARY
    environ = child.environment()
    try:
        if environ.get(b"PROTO") != b"TCP":
            connection(environ, timeout if ask_ident else None)
        child.execute(wanted.rest, environ)
    except OSError:
        return errors.TEMPORARY


def read(wanted):
    """(ask the ident server, its timeout); an unknown option is skipped without a word."""
    ask_ident, timeout = True, TIMEOUT
    while True:
        try:
            for letter, value in wanted:
                if letter == b"t":
                    timeout = number.leading(value)[0] or 0
                else:
                    ask_ident = letter == b"r"
            return ask_ident, timeout
        except options.BadOption:
            pass


def connection(environ, timeout):
    """Put the variables of the connection on descriptor 0 into environ. timeout: None asks no ident
    server. Raises OSError."""
    sock = _socket.socket(fileno=os.dup(0))
    try:
        local, remote = sock.getsockname(), sock.getpeername()
        if sock.family not in (_socket.AF_INET, _socket.AF_INET6):
            raise OSError
    finally:
        sock.close()
    environ[b"PROTO"] = b"TCP"
    for end, (ip, port, *_) in ((b"LOCAL", local), (b"REMOTE", remote)):
        ip = ip.removeprefix("::ffff:") if "." in ip else ip
        environ[b"TCP%sIP" % end], environ[b"TCP%sPORT" % end] = ip.encode(), b"%d" % port
        put(environ, b"TCP%sHOST" % end, host(ip))
    put(environ, b"TCPREMOTEINFO", None if timeout is None else ident.ask(local[:2], remote[:2], timeout))


def put(environ, variable, value):
    """Set a variable; None takes it away."""
    if value is None:
        environ.pop(variable, None)
    else:
        environ[variable] = value


def host(ip):
    """The name of an IP address in lower case; SOFT if it cannot be known now, None if it has none."""
    from ..base import dns          # 100 ms with its library: not where PROTO is set already
    try:
        names = dns.Resolver().lookup(reverse(ip), "PTR")
    except dns.NotFound:
        return None
    except errors.Temporary:
        return SOFT
    return names[0].lower() if names else None


def reverse(ip):
    """The DNS name under which the names of an address stand (RFC 1035 3.5, RFC 3596 2.5)."""
    if ":" not in ip:
        return b".".join(reversed(ip.encode().split(b"."))) + b".in-addr.arpa"
    digits = _socket.inet_pton(_socket.AF_INET6, ip.partition("%")[0]).hex()
    return ".".join(reversed(digits)).encode() + b".ip6.arpa"
