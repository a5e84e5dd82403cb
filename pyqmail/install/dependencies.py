"""The libraries pyqmail needs, in QMAILHOME/venv. Which ones stands in pyproject.toml and nowhere else."""
import os
import shutil
import tomllib

from ..base import home
from ..base.errors import Temporary
from ..vpopmail import database_url
from . import commands, hands, interpreter

QUIET = (("PIP_ROOT_USER_ACTION", "ignore"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1"), ("PIP_NO_INPUT", "1"))
DEBIAN = "python3-venv"


def wanted(source):
    """The requirements of pyproject.toml as a list of str, with those for accounts in SQL where there are such."""
    with open(os.path.join(source, "pyproject.toml"), "rb") as f:
        project = tomllib.load(f)["project"]
    return project["dependencies"] + (project["optional-dependencies"]["sql"] if uses_sql() else [])


def uses_sql():
    """True if VPOPHOME/etc/vpopmail.sql says where accounts are."""
    try:
        return database_url.find() is not None
    except (Temporary, OSError):
        return False                    # no vpopmail


def name_of(requirement):
    """pure-cdb of "pure-cdb==3.1.0"."""
    return requirement.split(";")[0].translate(str.maketrans("<>=!~[ ", "       ")).split()[0].lower().replace("_", "-")


def share(venv):
    """Use a virtual environment that is there already: QMAILHOME/venv becomes a link to it."""
    if not os.path.isdir(os.path.join(venv, "lib")):
        raise Temporary(f"{venv} is not a virtual environment")
    foreign = hands.root_may_not_trust(os.path.realpath(venv))
    if foreign:
        raise Temporary(f"{foreign} can be changed by others: what is in it cannot be run with our rights")
    place = home.path("venv")
    if not os.path.lexists(place):
        os.symlink(os.path.realpath(venv), place)


def install(source, python, tell):
    """Make QMAILHOME/venv with the libraries, unless it has them already."""
    venv, requirements = home.path("venv"), wanted(source)
    major, minor = interpreter.version(python)
    note = f"python{major}.{minor} {' '.join(sorted(requirements))}\n"
    if os.path.islink(venv) or read(f"{venv}/installed") == note:
        return
    tell(f"installing {', '.join(requirements)} into {venv}")
    if not os.path.isdir(f"{venv}/lib/python{major}.{minor}/site-packages/pip"):
        make_venv(python, venv)
    commands.run(f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "--upgrade", *requirements, env=QUIET)
    with open(f"{venv}/installed", "w", encoding="utf-8") as f:
        f.write(note)


def make_venv(python, venv):
    """A virtual environment with pip; on Debian that takes a package, which root gets here."""
    code, output = commands.attempt(python, "-m", "venv", "--clear", venv)
    if code == 0:
        return
    shutil.rmtree(venv, ignore_errors=True)
    if "ensurepip" not in output:
        raise Temporary(f"{python} -m venv {venv} failed:\n{output[-commands.SHOWN:]}")
    if os.geteuid() != 0 or not shutil.which("apt-get", path=os.fsdecode(commands.PATH)):
        raise Temporary(f"{python} cannot make virtual environments; as root: apt-get install {DEBIAN}")
    debian(DEBIAN)
    commands.run(python, "-m", "venv", "--clear", venv)


def debian(*packages):
    """apt-get install, with fresh lists if the old ones do not do."""
    quiet = (("DEBIAN_FRONTEND", "noninteractive"),)
    install = ("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)
    if commands.attempt(*install, env=quiet)[0] != 0:
        commands.run("apt-get", "update", "-q", env=quiet)
        commands.run(*install, env=quiet)


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read()
    except OSError:
        return None
