"""Those that are compared. Each is private to the run: its own directory, its own settings, loopback only.

A peer has `name`, `version`, the ports `smtp` and `pop3` (None: it has no such server), `sendmail` (a command),
start(), stop(), use(remote=N) for the sessions that it may have to one other host, program(pid) for processes.py, and
queued(). Mail for bench.example is delivered to people's Maildirs; all other mail goes to SINK.
"""
DOMAIN = "bench.example"
SINK = 2500                             # port
LOCAL, REMOTE = 20, 20                  # deliveries at once, for every peer
INCOMING = 200                          # SMTP sessions at once, for every peer


def write(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
