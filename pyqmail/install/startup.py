"""Starting at boot: systemd's units, or an init script. And talking to systemd where it is in charge."""
import os

from ..base import home
from . import commands, hier, services

SYSTEMD_RUNS = "/run/systemd/system"
UNITS = "/etc/systemd/system"
INIT = "/etc/init.d/qmail"


def install(tell):
    """Put units or the init script in place, where nothing of that name is there yet."""
    if os.path.isdir(SYSTEMD_RUNS):
        made = [name for name in hier.UNITS if copy_missing(f"boot/{name}", f"{UNITS}/{name}", 0o644)]
        if made:
            tell(f"made {', '.join(made)} in {UNITS}")
            commands.run("systemctl", "daemon-reload")
            commands.run("systemctl", "enable", *made)
    elif os.path.isdir(os.path.dirname(INIT)) and copy_missing("boot/qmail.init", INIT, 0o755):
        tell(f"made {INIT}")
        import shutil               # 1 MB, for the installer only
        if shutil.which("update-rc.d", path=os.fsdecode(commands.PATH)):
            commands.run("update-rc.d", "qmail", "defaults")


def copy_missing(path, target, mode):
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        return False
    with open(home.path(path), "rb") as source, open(fd, "wb") as f:
        f.write(source.read())
    return True


def by_systemd():
    """The names of our services that systemd is in charge of, with this home; usually all or none."""
    if not os.path.isdir(SYSTEMD_RUNS):
        return []
    return [service.name for service in services.wanted() if ours(f"{UNITS}/qmail-{service.name}.service")]


def ours(unit):
    try:
        with open(unit, encoding="utf-8") as f:
            return f"{home.program('qmailctl')} run " in f.read()
    except OSError:
        return False


def systemctl(verb, names):
    commands.run("systemctl", verb, *(f"qmail-{name}.service" for name in names))
