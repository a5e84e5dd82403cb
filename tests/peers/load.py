"""Many numbered messages by SMTP, and which of them were promised to arrive."""
import re
import smtplib
import threading
import time


class Load:
    """Threads that send numbered messages by SMTP, to `local` and to `remote`, as a context manager.
    `accepted`: the numbers that got their 250."""

    def __init__(self, mail, local, remote, threads=4):
        self.mail, self.recipients, self.over = mail, (local, remote), threading.Event()
        self.accepted, self.refused, self.numbers, self.lock = set(), 0, iter(range(1_000_000)), threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def work(self, n):
        while not self.over.is_set():
            with self.lock:
                number = next(self.numbers)
            try:
                with self.mail.smtp(timeout=60) as smtp:
                    smtp.sendmail("", self.recipients[n % 2], b"Subject: load\r\n\r\nnumber %d.\r\n" % number)
                    self.accepted.add(number)
            except smtplib.SMTPResponseException as why:
                assert 400 <= why.smtp_code < 500, why
                self.refused += 1
            except (OSError, smtplib.SMTPException):
                self.refused += 1
                time.sleep(0.01)

    def more(self, count):
        """Wait until so many more have been accepted."""
        enough = len(self.accepted) + count
        self.mail.wait(lambda: len(self.accepted) >= enough, 60)


def numbers(texts):
    return {int(number) for text in texts for number in re.findall(rb"\nnumber (\d+)\.\r?\n", text)}
