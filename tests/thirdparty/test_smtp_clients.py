"""Mail in over the network: clients of Debian, and ucspi-tcp in front of the programs that serve one connection."""
import grp
import os
import pathlib
import pwd
import smtplib
import subprocess

import pytest

from tests.conftest import ROOT
from tests.peers.nameserver import NameServer
from tests.peers.ports import free_port
from tests.thirdparty.conftest import HOME, tool

pytestmark = [pytest.mark.root, pytest.mark.system]
LETTER = b"From: me@a.example\nSubject: letter\n\nline\n.\n..dots\n"
WIRE = LETTER.replace(b"\n", b"\r\n")


def body(message):
    return message.partition(b"\n\n")[2]


@pytest.fixture(scope="session")
def modules():
    """nullmailer's protocol modules, out of the package: installed, it would replace the machine's MTA."""
    place = pathlib.Path(ROOT, ".debian/nullmailer/usr/lib/nullmailer")
    assert place.is_dir(), "no nullmailer: tests/run unpacks it"
    return place


@pytest.fixture
def nullmailer(modules, tmp_path):
    """nullmailer("smtp" or "qmqp", port, recipient …): send LETTER; the CompletedProcess."""
    def send(module, port, *recipients):
        queued = tmp_path / "queued"
        queued.write_bytes(b"me@a.example\n%b\n\n%b" % ("\n".join(recipients).encode(), LETTER))
        return subprocess.run(["sh", "-c", 'exec "$@" 3<"$0" </dev/null', str(queued), str(modules / module),
                               "--host=127.0.0.1", f"--port={port}"], env={"HELOHOST": "client.test"},
                              capture_output=True, timeout=60)
    return send


def test_msmtp(host, people):
    sender, reader = people(), people()
    done = host.run(tool("msmtp"), "--host=127.0.0.1", f"--port={host.system.smtp}", "--from=me@a.example",
                    f"{reader.name}@localhost", user=sender, input=LETTER)
    assert done.returncode == 0, done
    [message] = host.wait(reader.messages)
    assert message.startswith(b"Return-Path: <me@a.example>\n") and body(message) == body(LETTER)


def test_msmtp_is_told_of_a_refusal(host, person):
    host.control("badmailfrom", "me@a.example")
    host.reload()
    done = host.run(tool("msmtp"), "--host=127.0.0.1", f"--port={host.system.smtp}", "--from=me@a.example",
                    f"{person.name}@localhost", user=person, input=LETTER)
    assert done.returncode == os.EX_DATAERR
    assert b"553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)" in done.stderr


def test_nullmailer_smtp(host, people, nullmailer):
    one, two = people(), people()
    done = nullmailer("smtp", host.system.smtp, f"{one.name}@localhost", f"{two.name}@localhost")
    assert done.returncode == 0, done
    for reader in (one, two):
        [message] = host.wait(reader.messages)
        assert body(message) == body(LETTER)


def test_nullmailer_is_told_of_a_refusal(host, nullmailer):
    port = free_port()
    with host.served(port, f"{HOME}/bin/qmail-smtpd", options=qmaild()):
        done = nullmailer("smtp", port, "x@far.example")
    assert done.returncode
    assert b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)" in done.stderr


def test_nullmailer_qmqp(host, people, nullmailer):
    """A QMQP client that is not qmail's, against qmail-qmqpd behind tcpserver."""
    one, two, port = people(), people(), free_port()
    with host.served(port, f"{HOME}/bin/qmail-qmqpd", options=qmaild()) as log:
        done = nullmailer("qmqp", port, f"{one.name}@localhost", f"{two.name}@localhost")
        assert done.returncode == 0, (done, log())
    for reader in (one, two):
        [message] = host.wait(reader.messages)
        assert message.startswith(b"Return-Path: <me@a.example>\n") and body(message) == body(LETTER)
        assert b" with QMQP; " in message


# ---------------------------------------------------------------- tcpserver, rblsmtpd

def qmaild():
    """tcpserver's options that make it qmaild."""
    return ["-u", str(pwd.getpwnam("qmaild").pw_uid), "-g", str(grp.getgrnam("nofiles").gr_gid)]


def someone():
    """A loopback address whose fixed ports are nobody's."""
    return "127." + ".".join(str(number % 250 + 2) for number in os.urandom(3))


def connect(port, source="127.0.0.1"):
    return smtplib.SMTP("127.0.0.1", port, local_hostname="client.test", timeout=30, source_address=(source, 0))


def test_tcpserver(host, people):
    """One connection a process, uid qmaild; the environment and the exit codes are tcpserver's."""
    one, port = people(), free_port()
    with host.served(port, f"{HOME}/bin/qmail-smtpd", options=qmaild()) as log, connect(port) as smtp:
        smtp.sendmail("s@a.example", f"{one.name}@localhost", WIRE)
        [message] = host.wait(one.messages)
        smtp.quit()
        host.wait(lambda: b"tcpserver: end " in log())
    assert b"\nReceived: from unknown (HELO client.test) (127.0.0.1)\n  by localhost with SMTP; " in message
    assert b" status 0\n" in log()


def test_tcpsvd(host, people):
    """Another super-server with the same interface."""
    one, port = people(), free_port()

    def listens():
        try:
            return connect(port).quit()
        except OSError:
            return None
    words = [tool("tcpsvd", "ipsvd"), "-h", "-u", "qmaild:nofiles", "-l", "localhost", "-c", "5", "127.0.0.1",
             str(port), f"{HOME}/bin/qmail-smtpd"]
    with host.daemon(*words, ready=listens, stderr=subprocess.DEVNULL), connect(port) as smtp:
        smtp.sendmail("s@a.example", f"{one.name}@localhost", WIRE)
        [message] = host.wait(one.messages)
    assert b" (HELO client.test) (127.0.0.1)\n" in message and body(message) == body(LETTER)


@pytest.fixture
def rules(host):
    """rules(text, compiler): tcpserver's options for them."""
    def make(text, compiler=f"{HOME}/bin/tcprules"):
        done = host.run(compiler, f"{host.place}/rules.cdb", f"{host.place}/rules.tmp", input=text.encode())
        assert done.returncode == 0, done
        os.chmod(f"{host.place}/rules.cdb", 0o644)
        return ["-x", f"{host.place}/rules.cdb"]
    return make


@pytest.mark.parametrize("compiler", ["/usr/bin/tcprules", f"{HOME}/bin/tcprules"])
def test_tcprules_of_both_kinds(host, people, rules, compiler):
    """Rules compiled by Debian's tcprules and by ours say the same to tcpserver: a limit, a refusal, RELAYCLIENT."""
    one, port = people(), free_port()
    options = rules('127.0.0.2:allow,DATABYTES="20"\n127.0.0.3:deny\n'
                    '127.0.0.4:allow,RELAYCLIENT="@localhost"\n:allow\n', compiler)
    with host.served(port, f"{HOME}/bin/qmail-smtpd", options=[*options, *qmaild()]):
        with connect(port, "127.0.0.2") as smtp, pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail("s@a.example", f"{one.name}@localhost", WIRE)
        assert refused.value.smtp_code == 552
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            connect(port, "127.0.0.3")
        with connect(port, "127.0.0.4") as smtp:
            smtp.sendmail("s@a.example", one.name, WIRE)
        with connect(port) as smtp, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
            smtp.sendmail("s@a.example", "x@far.example", WIRE)
        assert refused.value.recipients["x@far.example"][0] == 553
        host.wait(one.messages)


@pytest.mark.parametrize("options, code", [(["-B"], 451), (["-b"], 553), (["-c"], 451)])
def test_rblsmtpd(host, people, rules, options, code):
    """In front of qmail-smtpd: whom it lists never gets past it, everybody else never notices it."""
    one, port = people(), free_port()
    listed = rules('127.0.0.2:allow,RBLSMTPD="go away"\n127.0.0.3:allow,RBLSMTPD="-never"\n:allow,RBLSMTPD=""\n')
    with host.served(port, tool("rblsmtpd", "ucspi-tcp"), *options, f"{HOME}/bin/qmail-smtpd",
                     options=[*listed, *qmaild()]) as log:
        for source, expected in (("127.0.0.2", (451, b"go away")), ("127.0.0.3", (553, b"never"))):
            with connect(port, source) as smtp:
                smtp.ehlo_or_helo_if_needed()
                smtp.mail("s@a.example")
                assert smtp.rcpt(f"{one.name}@localhost") == expected
        with connect(port) as smtp:
            smtp.sendmail("s@a.example", f"{one.name}@localhost", WIRE)
        [message] = host.wait(one.messages)
        assert log().count(b"rblsmtpd: ") == 2 and body(message) == body(LETTER)


def test_rblsmtpd_asks(host, people):
    """A list in the DNS; the server of names is found by DNSCACHEIP, at its port 53."""
    one, port, address = people(), free_port(), someone()
    zone = {("2.0.0.127.rbl.example", "TXT"): ['"listed, sorry"'], ("2.0.0.127.rbl.example", "A"): ["127.0.0.2"]}
    with NameServer(zone, address=(address, 53)) as server, \
            host.served(port, tool("rblsmtpd", "ucspi-tcp"), "-b", "-r", "rbl.example", f"{HOME}/bin/qmail-smtpd",
                        options=qmaild(), env={"DNSCACHEIP": address}):
        with connect(port, "127.0.0.2") as smtp:
            smtp.ehlo_or_helo_if_needed()
            smtp.mail("s@a.example")
            assert smtp.rcpt(f"{one.name}@localhost") == (553, b"listed, sorry")
        with connect(port, "127.0.0.1") as smtp:
            smtp.sendmail("s@a.example", f"{one.name}@localhost", WIRE)
        host.wait(one.messages)
    assert {name for name, _, _ in server.questions} == {"1.0.0.127.rbl.example", "2.0.0.127.rbl.example"}


def test_recordio(host, people):
    one, port = people(), free_port()
    with host.served(port, tool("recordio", "ucspi-tcp"), f"{HOME}/bin/qmail-smtpd",
                     options=qmaild()) as log, connect(port) as smtp:
        smtp.sendmail("s@a.example", f"{one.name}@localhost", WIRE)
        host.wait(one.messages)
        smtp.quit()
        host.wait(lambda: b" > 221 localhost" in log() or b" > 221 " in log())
    assert b" > 220 " in log() and f" < RCPT TO:<{one.name}@localhost>".encode().lower() in log().lower()


# ---------------------------------------------------------------- mailfront: another's SMTP and QMQP, our queue

@pytest.mark.parametrize("front, module", [("smtpfront-qmail", "smtp"), ("qmqpfront-qmail", "qmqp")])
def test_mailfront(host, people, nullmailer, front, module):
    one, port = people(), free_port()
    with host.served(port, tool(front, "mailfront"), options=qmaild(), env={"RELAYCLIENT": ""}) as log:
        me = host.read(f"{host.home}/control/me").decode().strip()         # mailfront wants a dot in it
        done = nullmailer(module, port, f"{one.name}@{me}")
        assert done.returncode == 0, (done, log())
    [message] = host.wait(one.messages)
    assert message.startswith(b"Return-Path: <me@a.example>\n") and body(message) == body(LETTER)
    assert b"\nReceived: (qmail " in message and b" invoked from network); " in message


def test_qmqpc_with_another_server(host, people):
    """Our QMQP client hands over to mailfront's server, in front of a queue that is ours again."""
    sender, one = people(), people()
    address = someone()
    host.control("qmqpservers", address)
    with host.served(628, tool("qmqpfront-qmail", "mailfront"), address=address, options=qmaild(),
                     env={"RELAYCLIENT": ""}) as log:
        done = host.run("/usr/sbin/sendmail", "-f", "me@a.example", one.name, user=sender, input=LETTER,
                        env={"QMAILQUEUE": f"{HOME}/bin/qmail-qmqpc"})
        assert (done.returncode, done.stderr) == (0, b""), log()
        [message] = host.wait(one.messages)
    assert message.startswith(b"Return-Path: <me@a.example>\n") and body(message) == body(LETTER)
    assert b"  with QMQP via TCP; " in message and b" invoked from network); " in message
