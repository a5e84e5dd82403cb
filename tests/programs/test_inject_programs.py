"""qmail-inject and sendmail as processes: descriptors, exit codes, what reaches qmail-queue."""
import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = {"QMAILDEFAULTHOST": "dh.example", "QMAILDEFAULTDOMAIN": "dd.example", "QMAILPLUSDOMAIN": "pd.example",
         "QMAILIDHOST": "id.example", "USER": "joe"}
STAMPS = b"Date: d\nMessage-ID: m\n"


@pytest.fixture
def run(tmp_path):
    queue = tmp_path / "queue"
    queue.write_text("#!/bin/sh\nexec 3<&1\ncat > $OUT/message\ncat <&3 > $OUT/envelope\nexit ${CODE-0}\n")
    queue.chmod(0o755)

    def run(program, *argv, stdin=b"", **environ):
        environ = {"PATH": "/usr/bin:/bin", "QMAILQUEUE": str(queue), "OUT": str(tmp_path), **NAMES, **environ}
        words = [os.path.join(ROOT, "bin", program), *argv]
        return subprocess.run(words, input=stdin, env=environ, capture_output=True)

    run.queued = lambda: tuple((tmp_path / name).read_bytes() for name in ("envelope", "message"))
    return run


def test_a_message_is_queued(run):
    done = run("qmail-inject", stdin=STAMPS + b"To: a, b@c\nBcc: d\n\nbody")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert run.queued() == (b"Fjoe@dh.example\0Tb@c.dd.example\0Ta@dh.example\0Td@dh.example\0\0",
                            b"From: joe@dh.example\n" + STAMPS + b"To: a@dh.example, b@c.dd.example\n\nbody\n")


def test_a_message_is_shown(run):
    done = run("qmail-inject", "-n", "-f", "a b@c", stdin=STAMPS + b"To: a\n\nbody\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (b'Return-Path: <"a b"@c.dd.example>\nFrom: joe@dh.example\n' + STAMPS
                           + b"To: a@dh.example\n\nbody\n")


@pytest.mark.parametrize("argv, environ, status, complaint", [
    (["-z"], {}, 100, b"qmail-inject: illegal option -- z\n"),
    (["-f"], {}, 100, b"qmail-inject: option requires an argument -- f\n"),
    (["-f", "a@("], {}, 100, b"qmail-inject: fatal: unable to parse this line:\na@("),
    (["a@("], {}, 100, b"qmail-inject: fatal: unable to parse address: a@(\n"),
    ([], {"QMAILDEFAULTDOMAIN": "("}, 100, b"qmail-inject: fatal: unable to parse this line:\n.("),
    ([], {"QMAILMFTFILE": "/"}, 111, b"qmail-inject: fatal: read error\n"),
    ([], {"QMAILQUEUE": ""}, 111, b"qmail-inject: fatal: unable to exec qq (#4.3.0)\n"),
    ([], {"CODE": "31"}, 100, b"qmail-inject: fatal: mail server permanently rejected message (#5.3.0)\n"),
    ([], {"CODE": "53"}, 111, b"qmail-inject: fatal: qq write error or disk full (#4.3.0)\n"),
])
def test_complaints(run, argv, environ, status, complaint):
    done = run("qmail-inject", *argv, stdin=b"To: a\n\n", **environ)
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", complaint)


def test_a_long_body_passes_in_pieces(run):
    body = b"0123456789abcde\n" * 65536 * 4
    assert run("qmail-inject", stdin=STAMPS + b"To: a\n\n" + body).returncode == 0
    assert run.queued()[1] == b"From: joe@dh.example\n" + STAMPS + b"To: a@dh.example\n\n" + body


@pytest.mark.parametrize("argv, envelope", [
    (["a", "b@c"], b"Fjoe@dh.example\0Ta@dh.example\0Tb@c.dd.example\0\0"),
    (["-t", "a"], b"Fjoe@dh.example\0Ta@dh.example\0Th@dh.example\0\0"),
    (["-ti", "-oi", "-f", "x@y"], b"Fx@y.dd.example\0Th@dh.example\0\0"),
    (["-f", "", "--", "-x"], b"F\0T-x@dh.example\0\0"),
])
def test_sendmail(run, argv, envelope):
    assert run("sendmail", *argv, stdin=b"To: h\n\n").returncode == 0
    assert run.queued()[0] == envelope


def test_sendmail_sender_shows_in_from_without_names(run):
    done = run("sendmail", "-F", "Joe", "-fx@y", "a", stdin=STAMPS + b"To: h\n\n", MAILHOST="m", NAME="N")
    assert done.returncode == 0
    assert run.queued()[1].startswith(b"From: x@y.dd.example\n")


@pytest.mark.parametrize("argv, first", [(["-bd"], b""), (["-q"], b"sendmail: illegal option -- q\n"),
                                         (["-b"], b"sendmail: option requires an argument -- b\n")])
def test_sendmail_usage(run, argv, first):
    done = run("sendmail", *argv)
    assert done.returncode == 100
    usage = b"sendmail: usage: sendmail [ -t ] [ -fsender ] [ -Fname ] [ -bp ] [ -bs ] [ arg ... ]\n"
    assert done.stderr == first + usage
