"""The header fields that mean something to qmail-inject; all others pass as they are.

    field              its addresses are           passed on
    To Cc              recipients; for replies     yes
    Apparently-To      recipients                  yes
    Bcc                recipients                  no
    Resent-To -Cc      recipients if resent        yes
    Resent-Bcc         recipients if resent        no
    Return-Path        the envelope sender         no
    SENDERS            completed                   yes
    Content-Length     -                           no

Source: qmail-header(5).
"""
TO_AND_CC = frozenset((b"to", b"cc"))
RECIPIENTS = TO_AND_CC | {b"bcc", b"apparently-to"}
RESENT_RECIPIENTS = frozenset((b"resent-to", b"resent-cc", b"resent-bcc"))
RETURN_PATH = b"return-path"
SENDERS = frozenset((b"sender", b"from", b"reply-to", b"return-receipt-to", b"errors-to",
                     b"resent-sender", b"resent-from", b"resent-reply-to"))
NOT_PASSED_ON = frozenset((b"bcc", b"resent-bcc", RETURN_PATH, b"content-length"))

# A message with one of these is resent: stamps and recipients are those of the Resent- fields.
RESENT = RESENT_RECIPIENTS | {b"resent-sender", b"resent-from", b"resent-reply-to", b"resent-date",
                              b"resent-message-id"}
# What is made if it is not there, if resent with Resent- in front of it; one of To and Cc will do.
STAMPS = frozenset((b"date", b"message-id", b"from", b"to", b"cc"))
MAIL_FOLLOWUP_TO = b"mail-followup-to"
NOTICED = STAMPS | RESENT | {MAIL_FOLLOWUP_TO}
