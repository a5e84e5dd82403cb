"""Working in a domain's directory with no more rights than its owner has."""
import os

from ..base import prot
from ..base.errors import Temporary, text


class Inside:
    """with Inside(domain): the current directory is the domain's, and root acts as its owner, so that nothing the
    owner may have put there misleads root. Everything inside uses names relative to the directory: the way to it
    may be closed to the owner. Raises Temporary if the directory is not there (a disk that is not mounted?) or
    belongs to somebody else."""

    def __init__(self, domain):
        self._domain = domain

    def __enter__(self):
        domain = self._domain
        self._back = os.open(b".", os.O_PATH | os.O_CLOEXEC)
        try:
            os.chdir(domain.directory)
            if os.geteuid() == 0 and os.stat(b".").st_uid != domain.uid:
                raise Temporary(f"{os.fsdecode(domain.directory)} does not belong to uid {domain.uid}")
        except OSError as why:
            self._return()
            raise Temporary(f"unable to enter {os.fsdecode(domain.directory)}: {text(why)}") from why
        except BaseException:
            self._return()
            raise
        self._acting = prot.Acting(domain.uid, domain.gid)
        self._acting.__enter__()

    def __exit__(self, *problem):
        self._acting.__exit__(*problem)
        self._return()

    def _return(self):
        os.fchdir(self._back)
        os.close(self._back)


def within(domain, path):
    """`path` relative to the domain's directory if it lies there; as it is otherwise."""
    return relative(domain.directory, path)


def relative(base, path):
    """`path` relative to the directory `base` if it lies there; as it is otherwise."""
    return path[len(base) + 1:] if path.startswith(base + b"/") else path
