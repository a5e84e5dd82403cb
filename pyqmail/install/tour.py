"""What the installer says at its end: how to send, how to read, where the log is, how to stop."""
import os
import pwd

from ..base import accounts, home
from . import doctor, mailboxes, services


def lines(run, started):
    """The text, line by line. run: the Setup that has run."""
    private = accounts.private()
    yield ""
    yield f"pyqmail is installed in {home.HOME}{' and runs' if started else ''}."
    if run.kept:
        yield f"These programs there are not pyqmail's and were left alone: {', '.join(run.kept)}"
    who = pwd.getpwuid(private[0]).pw_name if private else somebody()
    if private:
        yield f"PRIVILEGE SEPARATION IS OFF: this is a private home, every role is played by {who}"
        yield f"(uid {private[0]}). Fine for a laptop or a test; install as root for a mail server."
    ctl, sendmail = home.program("qmailctl"), home.program("sendmail")
    if os.path.realpath("/usr/sbin/sendmail") == sendmail:
        sendmail = "/usr/sbin/sendmail"     # not in everybody's PATH
    yield ""
    if not started:
        old = services.running("send")
        yield f"{'restart' if old else 'start  '}    {ctl} {'restart (the old code still runs)' if old else 'start'}"
    for address in services.addresses("smtpd")[:1]:
        host, port = doctor.reachable(address)
        yield f"send       by SMTP: swaks --server {host}:{port} --to {who}@localhost"
    yield f"           by hand: echo 'Subject: hello' | {sendmail} {who}"
    for address in services.addresses("pop3d")[:1]:
        host, port = doctor.reachable(address)
        yield f"read       by POP3: poplib.POP3({host!r}, {port}), user {who}, {password_of(run, private)}"
    yield "           or in the mailbox itself, ~/Maildir/new (who has none makes it: maildirmake ~/Maildir)"
    yield f"log        {services.log_place('send')}"
    yield f"look       {ctl} stat | queue | doctor"
    yield f"stop       {ctl} stop"
    yield f"settings   {home.path('control')}: me, locals, rcpthosts, smtproutes …"
    yield f"           explained by {home.program('qmail-showctl')}"


def somebody():
    """Whom the examples name: who called sudo, or anybody who has a Maildir."""
    people = [user.pw_name for user in pwd.getpwall()
              if user.pw_uid in mailboxes.ORDINARY and os.path.isdir(f"{user.pw_dir}/Maildir")]
    caller = os.environ.get("SUDO_USER")
    return caller if caller in people else next(iter(people), "alice")


def password_of(run, private):
    if not private:
        return "the user's login password"
    return f"password {run.password or 'as set before'} (another one: echo NEW | {home.program('qmailctl')} password)"
