"""Text that comes before our reply to DATA: RFC 2920 3.1 forbids it, and where DATA is refused the text
would be taken for commands. Whoever does this over the network (a program tricked into speaking
SMTP, say) is sent away.
"""
ENVELOPE = b"MAIL FROM:<s@far.test>\r\nRCPT TO:<r@local.test>\r\n"


def test_text_before_354_is_refused(smtpd):
    connection = smtpd()
    connection.hears(ENVELOPE + b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    connection.says(b"220 mx.example ESMTP\r\n", b"250 ok\r\n", b"250 ok\r\n",
                    b"503 message text before my reply to DATA (#5.5.0)\r\n")
    connection.says(b"")
    assert connection.queued == []


def test_commands_after_the_end_are_allowed(smtpd):
    connection = smtpd()
    connection.opened()
    connection.hears(b"one\r\n.\r\n" + ENVELOPE + b"DATA\r\n")
    heard = b""
    while not heard.endswith(b"354 go ahead\r\n"):
        heard += connection.ours.recv(4096)
    connection.hears(b"two\r\n.\r\nQUIT\r\n")
    while not heard.endswith(b"221 mx.example\r\n"):
        heard += connection.ours.recv(4096)
    assert sorted(message[-4:] for message, _ in connection.queued) == [b"one\n", b"two\n"]
