"""Relaying for strangers: without control/rcpthosts qmail takes mail for every domain. Ours takes none."""
import pytest

NO = b"553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"


def ask(connection, *recipients):
    connection.says(b"220 mx.example ESMTP\r\n")
    connection.hears(b"MAIL FROM:<a@b.test>\r\n" + b"".join(b"RCPT TO:<%b>\r\n" % name for name in recipients))


def test_no_rcpthosts_means_no_domain(smtpd):
    connection = smtpd({"rcpthosts": None})
    ask(connection, b"x@far.test", b"x@local.test", b"postmaster")
    connection.says(b"250 ok\r\n", NO, NO, b"250 ok\r\n")
    assert b"no control/rcpthosts" in connection.log()


def test_relayclient_may_relay_without_rcpthosts(smtpd):
    connection = smtpd({"rcpthosts": None}, RELAYCLIENT="")
    ask(connection, b"x@far.test")
    connection.says(b"250 ok\r\n", b"250 ok\r\n")


@pytest.mark.parametrize("recipient", [
    b"x@far.test", b"x@local.test@far.test", b"x@notlocal.test", b"x@local.test.", b"x@sub.local.test",
    b"x@local.test ",
    b'"x@local.test"@far.test', b"@local.test:x@far.test", b"x@[192.0.2.1]", b"x@far.test\\@local.test@far.test",
    b"x@", b"x@local.tes"])
def test_other_domains_are_refused(smtpd, recipient):
    connection = smtpd()
    ask(connection, recipient)
    connection.says(b"250 ok\r\n", NO)


def test_quoted_at_is_our_own_business(smtpd):
    """x%far.test@local.test and "x@far.test"@local.test are addresses at local.test, however they look."""
    connection = smtpd()
    ask(connection, b"x%far.test@local.test", b'"x@far.test"@local.test')
    connection.says(b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n")
