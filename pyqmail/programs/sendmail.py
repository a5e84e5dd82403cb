"""sendmail: sendmail's command line over qmail.

    sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]

Sends the message on descriptor 0 to the addresses given as arguments, as qmail-inject does it.

    -t        also to the recipients in the header, taking Bcc out
    -fsender  envelope sender, and the address in From unless there is such a field
    -Fname    personal name in From; without effect beside -f
    -bp       show the queue: qmail-qread. Also when called as mailq
    -bs       speak SMTP on descriptors 0 and 1: qmail-smtpd, which may relay
    -bm       (usual) send a message
    -B -e -i -m -o -p -v -x -E -J are accepted and do nothing

Called as newaliases it refuses. Exit codes: 100 bad usage, 111 a program that cannot be run, otherwise those
of the program that does the work.

qmail-inject, qmail-smtpd and qmail-qread do it in this process, unless another program stands in
their place in bin/: that one is executed.
**Security**: runs as the user who calls it.
Source: sendmail(8) of notqmail, as recorded.
"""
import os
import sys

from ..base import child, errors, home
from ..base.options import BadOption, Options

USAGE = "sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]"
# What -f replaces: nothing but the sender given may show in From.
FROM_VARIABLES = (b"QMAILNAME", b"MAILNAME", b"NAME", b"QMAILHOST", b"MAILHOST")
LOCAL_CONNECTION = {
    b"RELAYCLIENT": b"", b"DATABYTES": b"0", b"PROTO": b"TCP",
    b"TCPLOCALIP": b"127.0.0.1", b"TCPLOCALHOST": b"localhost",
    b"TCPREMOTEIP": b"127.0.0.1", b"TCPREMOTEHOST": b"localhost", b"TCPREMOTEINFO": b"sendmail-bs",
}


class Usage(Exception):
    """The command line is not understood."""


def main(argv):
    name = os.path.basename(sys.argv[0])
    try:
        os.chdir(home.HOME)
    except OSError:
        errors.say("sendmail: fatal: unable to switch to qmail home directory")
        return errors.TEMPORARY
    environ = child.environment()
    try:
        mode, words = understand(argv, environ)
    except BadOption as why:
        errors.say(name, ": ", why.line)
        return usage()
    except Usage:
        return usage()
    if mode == b"p" or mode == b"m" and name == "mailq":
        return show_queue(environ)
    if mode == b"s":
        return speak_smtp(environ)
    if name == "newaliases":
        errors.say("sendmail: fatal: please use fastforward/newaliases instead")
        return errors.PERMANENT
    if home.ours("qmail-inject"):
        from ..inject.injection import inject   # not for -bs and -bp
        return inject(words, environ)
    return execute("qmail-inject", words, environ)


def usage():
    errors.say(USAGE)
    return errors.PERMANENT


def understand(argv, environ):
    """(mode: b"m" send, b"p" show the queue or b"s" SMTP; qmail-inject's arguments for sending), with the
    variables in environ changed as qmail-inject needs them. Raises Usage and BadOption."""
    options = Options(argv, b"vimte:f:p:o:B:F:EJxb:")
    strategy, sender = b"-a", None
    for letter, value in options:
        if letter == b"t":
            strategy = b"-H"
        elif letter == b"f":
            sender = value
        elif letter == b"F":
            environ[b"MAILNAME"] = value
        elif letter in b"EJ":
            options.skip_word()
        elif letter == b"b":
            if value[:1] not in (b"m", b"p", b"s"):
                raise Usage
            if value[:1] != b"m":
                return value[:1], []
    words = [strategy]
    if sender is not None:
        words += [b"-f", sender]
        become_sender(environ, sender)
    return b"m", [*words, b"--", *options.rest]


def become_sender(environ, sender):
    """The From field that qmail-inject makes is to show this address, without a name."""
    for variable in FROM_VARIABLES:
        environ.pop(variable, None)
    box, at, host = sender.rpartition(b"@")
    environ[b"QMAILUSER"] = box if at else sender
    if at:
        environ[b"QMAILHOST"] = host


def speak_smtp(environ):
    if b"PROTO" not in environ:
        environ.update(LOCAL_CONNECTION)
    if home.ours("qmail-smtpd"):
        from .qmail_smtpd import main as smtpd      # -bs only
        put_environment(environ)
        return smtpd([])
    return execute("qmail-smtpd", [], environ)


def show_queue(environ):
    if home.ours("qmail-qread"):
        from .qmail_qread import main as qread      # -bp and mailq only
        return qread([])
    return execute("qmail-qread", [], environ)


def put_environment(environ):
    """Make these the variables of this process, for a program that goes on in it."""
    for variable in set(os.environb) - set(environ):
        del os.environb[variable]
    os.environb.update(environ)


def execute(name, words, environ):
    """Become bin/NAME, from the home directory; returns only if that fails."""
    try:
        child.execute([b"bin/" + name.encode(), *words], environ)
    except OSError:
        errors.say("sendmail: fatal: unable to run ", name)
        return errors.TEMPORARY
