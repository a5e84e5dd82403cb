"""Manual pages where `man` finds them: links in the directory for what a machine has of its own."""
import glob
import os

from ..base import home

OWN, PACKAGES = "/usr/local/share/man", "/usr/share/man"


def link(tell, own=OWN, packages=PACKAGES):
    """Link every page of this installation into `own`. A page of that name that is there already, or
    that a package has below `packages`, stays the one that `man` shows."""
    made, taken = 0, []
    for path in sorted(glob.glob(home.path("man/man[1-8]/*.[1-8]"))):
        section, page = path.split("/")[-2:]
        place = f"{own}/{section}/{page}"
        if os.path.lexists(place):
            continue
        if glob.glob(f"{packages}/{section}/{page}*"):
            taken.append(page)
            continue
        os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
        os.symlink(path, place)
        made += 1
    if made:
        tell(f"made links to {made} manual pages in {own}")
    if taken:
        tell(f"other packages have {', '.join(taken)}; to read ours: man -M {home.path('man')}")
