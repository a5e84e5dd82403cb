"""Virtual domains of a running installation: what tests do with them."""
import contextlib
import os
import subprocess

PASSWORD = "Correct-Horse-9"


class Virtual:
    """A running installation with a VPOPHOME of its own. `home`: QMAILHOME; `place`: VPOPHOME; `smtp`, `pop3`: ports
    on 127.0.0.1; `system`: the System. POP3 logs in by vchkpw."""

    def __init__(self, system, place):
        self.system, self.home, self.place = system, system.home, place
        self.smtp, self.pop3 = system.smtp, system.pop3
        self.wait, self.log, self.ctl, self.pid = system.wait, system.log, system.ctl, system.pid

    def command(self, program, *words, text="", directory=None, **options):
        """The CompletedProcess (bytes) of a program with `text` on its standard input; from QMAILHOME/bin, or from
        `directory`."""
        return subprocess.run([f"{directory or self.home + '/bin'}/{program}", *words], input=text.encode(),
                              capture_output=True, timeout=120, **options)

    def run(self, program, *words, text="", status=0):
        """What a program says on standard output (str); it must exit with `status`."""
        done = self.command(program, *words, text=text)
        assert done.returncode == status, (program, words, done)
        return done.stdout.decode()

    @contextlib.contextmanager
    def options(self, text):
        """VPOPHOME/options as this text for a while."""
        path = f"{self.place}/options"
        with open(path, encoding="ascii") as f:
            before = f.read()
        self.put(path, text)
        try:
            yield
        finally:
            self.put(path, before)

    @staticmethod
    def put(path, text):
        """The file anew, whole at any time."""
        with open(f"{path}.new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(f"{path}.new", path)

    # ------------------------------------------------------------ domains and users

    def new_name(self):
        """The name of a domain that nobody has."""
        return f"v{os.urandom(5).hex()}.test"

    def add_domain(self, *options, name=None, password=PASSWORD):
        """A new domain with its postmaster; its name."""
        name = name or self.new_name()
        self.run("vadddomain", *options, name, password)
        return name

    def add_user(self, address, *options, password=PASSWORD):
        self.run("vadduser", *options, address, password)
        return address

    def domain_directory(self, name):
        return self.run("vdominfo", "-d", name).strip()

    def user_directory(self, address):
        return self.run("vuserinfo", "-d", address).strip()

    def domains(self):
        """The names of all domains, alias domains too."""
        return [word.removeprefix("domain: ").split(" ")[0] for word in self.run("vdominfo").split("\n")
                if word.startswith("domain: ")]

    def remove(self, name):
        """A domain, its aliases, its mail."""
        self.command("vdeldomain", "-f", name)

    def remove_all(self):
        for name in self.domains():
            self.remove(name)

    # ------------------------------------------------------------ mail

    def messages(self, address, folder=""):
        """The messages in the Maildir of an address, as bytes."""
        found = []
        for part in ("new", "cur"):
            where = os.path.join(self.user_directory(address), "Maildir", folder, part)
            for name in sorted(os.listdir(where)):
                with open(f"{where}/{name}", "rb") as f:
                    found.append(f.read())
        return found
