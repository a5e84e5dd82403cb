"""The control files: one table, from which qmail-showctl and the manual are made.

kind: LINE (first line), NUMBER, LINES (a list), CDB (made by a program from another file).
default: what holds without the file; ME: control/me, else the file's own name.
before, after: the words around a value in qmail-showctl's report; absent: its words for a list that
is not there. own: a file that qmail does not have; qmail-showctl mentions it only if it exists.
Source: qmail-control(5), qmail-showctl(8), the manual pages of the programs.
"""
LINE, NUMBER, LINES, CDB = "line", "number", "lines", "cdb"
ME = object()


class Control:
    __slots__ = ("name", "kind", "default", "programs", "meaning", "before", "after", "absent", "own")

    def __init__(self, name, kind, default, programs, meaning, *, before="", after="", absent="", own=False):
        self.name, self.kind, self.default, self.programs, self.meaning = name, kind, default, programs, meaning
        self.before, self.after, self.absent, self.own = before, after, absent, own


# In the order of qmail-showctl's report.
CONTROLS = (
    Control("badmailfrom", LINES, None, "qmail-smtpd", "envelope senders, or @hosts of them, that are refused",
            after=" not accepted in MAIL FROM.", absent="Any MAIL FROM is allowed."),
    Control("bouncefrom", LINE, "MAILER-DAEMON", "qmail-send", "user name in the From line of bounces",
            before="Bounce user name is "),
    Control("bouncehost", LINE, ME, "qmail-send", "host name in the From line of bounces",
            before="Bounce host name is "),
    Control("concurrencylocal", NUMBER, 10, "qmail-send", "local deliveries at once",
            before="Local concurrency is "),
    Control("concurrencyremote", NUMBER, 20, "qmail-send", "remote deliveries at once",
            before="Remote concurrency is "),
    Control("databytes", NUMBER, 0, "qmail-smtpd, qmail-qmtpd", "bytes of the largest message taken, 0: any size",
            before="SMTP DATA limit is ", after=" bytes"),
    Control("defaultdomain", LINE, ME, "qmail-inject", "added to host names without dot",
            before="Default domain name is "),
    Control("defaulthost", LINE, ME, "qmail-inject", "added to addresses without host",
            before="Default host name is "),
    Control("doublebouncehost", LINE, ME, "qmail-send", "host that gets bounces of bounces",
            before="2B recipient host: "),
    Control("doublebounceto", LINE, "postmaster", "qmail-send", "user who gets bounces of bounces",
            before="2B recipient user: "),
    Control("envnoathost", LINE, ME, "qmail-send", "host of envelope recipients without @",
            before="Presumed domain name is "),
    Control("helohost", LINE, ME, "qmail-remote", "own name in HELO",
            before="SMTP client HELO host name is "),
    Control("idhost", LINE, ME, "qmail-inject", "host in the Message-ID of new messages",
            before="Message-ID host name is "),
    Control("localiphost", LINE, ME, "qmail-smtpd", "host in place of an own IP address in brackets",
            before="Local IP address becomes "),
    Control("locals", LINES, ME, "qmail-send", "domains delivered locally",
            before="Messages for ", after=" are delivered locally.", absent="Messages for me are delivered locally."),
    Control("me", LINE, "undefined! Uh-oh", "all", "the name of this host; default of many others",
            before="My name is "),
    Control("percenthack", LINES, None, "qmail-send", "domains where user%host is rewritten to user@host",
            before="The percent hack is allowed for user%host@", after=".", absent="The percent hack is not allowed."),
    Control("plusdomain", LINE, ME, "qmail-inject", "added to host names that end in +",
            before="Plus domain name is "),
    Control("qmqpservers", LINES, None, "qmail-qmqpc", "IP addresses of QMQP servers, tried in turn",
            before="QMQP server: ", after=".", absent="No QMQP servers."),
    Control("queuelifetime", NUMBER, 604800, "qmail-send", "seconds that a message may stay in the queue",
            before="Message lifetime in the queue is ", after=" seconds"),
    Control("rcpthosts", LINES, None, "qmail-smtpd, qmail-qmtpd", "domains that mail is taken for",
            before="SMTP clients may send messages to recipients at ", after=".",
            absent="SMTP clients may send messages to any recipient."),
    Control("morercpthosts", LINES, None, "qmail-newmrh", "more of rcpthosts, source of morercpthosts.cdb",
            before="SMTP clients may send messages to recipients at ", after=".", absent="No effect."),
    Control("morercpthosts.cdb", CDB, None, "qmail-smtpd, qmail-qmtpd", "morercpthosts as qmail-newmrh made it"),
    Control("smtpgreeting", LINE, ME, "qmail-smtpd", "text of the greeting after 220",
            before="SMTP greeting: 220 "),
    Control("smtproutes", LINES, None, "qmail-remote", "domain:relay:port, artificial routes",
            before="SMTP route: ", absent="No artificial SMTP routes."),
    Control("timeoutconnect", NUMBER, 60, "qmail-remote", "seconds that a connection may take to be made",
            before="SMTP client connection timeout is ", after=" seconds"),
    Control("timeoutremote", NUMBER, 1200, "qmail-remote", "seconds to wait for each reply or write",
            before="SMTP client data timeout is ", after=" seconds"),
    Control("timeoutsmtpd", NUMBER, 1200, "qmail-smtpd", "seconds to wait for each read or write",
            before="SMTP server data timeout is ", after=" seconds"),
    Control("virtualdomains", LINES, None, "qmail-send", "domain:user, virtual domains and users",
            before="Virtual domain: ", absent="No virtual domains."),
    # pyqmail's own, by name
    Control("concurrencyincoming", NUMBER, 100, "qmail-smtpd --listen", "SMTP connections at once",
            before="Incoming SMTP concurrency is ", own=True),
    Control("concurrencyperip", NUMBER, 50,
            "qmail-smtpd --listen, qmail-popup --listen, qmail-qmtpd --listen, qmail-qmqpd --listen",
            "connections at once from one address; default: half of all",
            before="Concurrency of one address is ", own=True),
    Control("concurrencypop3", NUMBER, 100, "qmail-popup --listen", "POP3 connections at once",
            before="POP3 concurrency is ", own=True),
    Control("concurrencyqmqp", NUMBER, 100, "qmail-qmqpd --listen", "QMQP connections at once",
            before="QMQP concurrency is ", own=True),
    Control("concurrencyqmtp", NUMBER, 100, "qmail-qmtpd --listen", "QMTP connections at once",
            before="QMTP concurrency is ", own=True),
    Control("maxrecipients", NUMBER, 10000, "qmail-smtpd, qmail-qmtpd", "recipients that one message may have",
            before="Recipients of a message: at most ", own=True),
    Control("moreipme", LINES, None, "qmail-remote, qmail-smtpd", "more IP addresses that are this host",
            before="My IP address: ", after=".", own=True),
    Control("pop3checker", LINE, "checkpassword qmail-pop3d Maildir", "qmail-popup --listen",
            "the checker of POP3 logins and its arguments, separated by blanks",
            before="POP3 checker: ", own=True),
    Control("pop3listen", LINES, None, "qmail-popup --listen", "addresses where POP3 is served",
            before="POP3 is served at ", after=".", own=True),
    Control("qmqplisten", LINES, None, "qmail-qmqpd --listen", "addresses where QMQP is served",
            before="QMQP is served at ", after=".", own=True),
    Control("qmtplisten", LINES, None, "qmail-qmtpd --listen", "addresses where QMTP is served",
            before="QMTP is served at ", after=".", own=True),
    Control("smtplisten", LINES, None, "qmail-smtpd --listen", "addresses where SMTP is served",
            before="SMTP is served at ", after=".", own=True),
    Control("tcp.pop3", LINES, None, "tcprules", "address:allow or deny, variables; source of tcp.pop3.cdb",
            before="POP3 rule: ", own=True),
    Control("tcp.pop3.cdb", CDB, None, "qmail-popup --listen", "tcp.pop3 as tcprules made it", own=True),
    Control("tcp.qmqp", LINES, None, "tcprules", "address:allow or deny; source of tcp.qmqp.cdb",
            before="QMQP rule: ", own=True),
    Control("tcp.qmqp.cdb", CDB, None, "qmail-qmqpd --listen", "tcp.qmqp as tcprules made it; nobody else may connect",
            own=True),
    Control("tcp.qmtp", LINES, None, "tcprules", "address:allow or deny, variables; source of tcp.qmtp.cdb",
            before="QMTP rule: ", own=True),
    Control("tcp.qmtp.cdb", CDB, None, "qmail-qmtpd --listen", "tcp.qmtp as tcprules made it", own=True),
    Control("tcp.smtp", LINES, None, "tcprules", "address:allow or deny, variables; source of tcp.smtp.cdb",
            before="SMTP rule: ", own=True),
    Control("tcp.smtp.cdb", CDB, None, "qmail-smtpd --listen", "tcp.smtp as tcprules made it", own=True),
)
BY_NAME = {control.name: control for control in CONTROLS}
