"""The flags of an account: the fourth field of its vpasswd line, a sum."""

NO_PASSWD_CHNG, NO_POP, NO_WEBMAIL, NO_IMAP, BOUNCE_MAIL, NO_RELAY, NO_DIALUP = 1, 2, 4, 8, 16, 32, 64
V_USER0, V_USER1, V_USER2, V_USER3, NO_SMTP, QA_ADMIN, V_OVERRIDE = 128, 256, 512, 1024, 2048, 4096, 8192
NO_SPAMASSASSIN, DELETE_SPAM, SA_ADMIN, SA_EXPERT, NO_MAILDROP = 16384, 32768, 65536, 131072, 262144

# What vuserinfo says, in its order.
TEXTS = (
    (NO_PASSWD_CHNG, b"password can not be changed by user"),
    (NO_POP, b"pop access closed"),
    (NO_WEBMAIL, b"webmail access closed"),
    (NO_IMAP, b"imap access closed"),
    (NO_SMTP, b"smtp access is closed"),
    (NO_RELAY, b"user not allowed to relay mail"),
    (NO_SPAMASSASSIN, b"spamassassin processing disabled"),
    (DELETE_SPAM, b"delete spam"),
    (NO_MAILDROP, b"maildrop processing disabled"),
    (NO_DIALUP, b"no dialup flag has been set"),
    (BOUNCE_MAIL, b"mail will be bounced back to sender"),
    (QA_ADMIN, b"has qmailadmin administrator access"),
    (SA_ADMIN, b"has system administrator access"),
    (SA_EXPERT, b"has expert access"),
    (V_USER0, b"user flag 0 is set"),
    (V_USER1, b"user flag 1 is set"),
    (V_USER2, b"user flag 2 is set"),
    (V_USER3, b"user flag 3 is set"),
    (V_OVERRIDE, b"user is not subject to domain limits"),
)
# vmoduser's option letters.
LETTERS = {
    b"d": NO_PASSWD_CHNG, b"p": NO_POP, b"s": NO_SMTP, b"w": NO_WEBMAIL, b"i": NO_IMAP, b"b": BOUNCE_MAIL,
    b"o": V_OVERRIDE, b"r": NO_RELAY, b"a": QA_ADMIN, b"S": SA_ADMIN, b"E": SA_EXPERT, b"f": NO_SPAMASSASSIN,
    b"F": DELETE_SPAM, b"m": NO_MAILDROP, b"u": NO_DIALUP, b"0": V_USER0, b"1": V_USER1, b"2": V_USER2, b"3": V_USER3,
}
ROOT_ONLY = b"SE"
