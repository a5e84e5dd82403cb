"""syslog's datagrams (RFC 3164 as the local /dev/log takes it) without the `syslog` module's C state.

<facility * 8 + priority>Mmm dd hh:mm:ss TAG: TEXT in local time.
"""
import os
import time

import _socket                      # the `socket` module costs 6 ms at start

PATH = "/dev/log"
ALERT, WARNING, INFO = 1, 4, 6
USER, MAIL = 1, 2
FACILITIES = 128


class Syslog:
    """A connection to the system's log, made again when the daemon behind it changed."""

    def __init__(self, tag, facility=MAIL, path=PATH):
        self._tag, self._path = tag, path
        self._facility = facility if facility < FACILITIES else USER
        self._socket, self._end = None, b""
        self.lost = 0               # lines that nobody took since the last one that was taken

    def send(self, priority, text):
        """One line. If nobody takes it, it is counted; the next that is taken is preceded by that count."""
        if self.lost and self._transmit(self._record(WARNING, b"warning: %d log lines lost" % self.lost)):
            self.lost = 0
        if self.lost or not self._transmit(self._record(priority, text)):
            self.lost += 1

    def _record(self, priority, text):
        stamp = os.fsencode(time.strftime("%b %e %H:%M:%S"))
        return b"<%d>%s %s: %s" % (self._facility << 3 | priority, stamp, self._tag, text)

    def _transmit(self, record):
        for _ in range(2):          # a daemon that was started again has a new socket
            try:
                if self._socket is None:
                    self._connect()
                self._socket.sendall(record + self._end)
                return True
            except OSError:
                if self._socket is not None:
                    self._socket.close()
                self._socket = None
        return False

    def _connect(self):
        for kind, end in ((_socket.SOCK_DGRAM, b""), (_socket.SOCK_STREAM, b"\0")):
            sock = _socket.socket(_socket.AF_UNIX, kind | _socket.SOCK_CLOEXEC)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                if end:
                    raise
                continue
            self._socket, self._end = sock, end
            return
