"""mdoc: text, arguments and references as the pages have them; and the code that tables are made from."""
import glob
import importlib
import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


class Code:
    """pyqmail's modules by attribute: Code().smtp.server.TOTAL"""

    def __init__(self, path="pyqmail"):
        self._path = path

    def __getattr__(self, name):
        module = importlib.import_module(self._path)
        if hasattr(module, name) and not hasattr(getattr(module, name), "__path__"):
            found = getattr(module, name)
            return Code(found.__name__) if type(found) is type(os) else found
        return Code(f"{self._path}.{name}")


class Names(dict):
    def __missing__(self, name):
        return getattr(Code(), name)


code = Code()


def evaluate(expression):
    """The value of a fact's expression."""
    value = eval(expression, Names(__builtins__={}, max=max, range=range))
    if isinstance(value, Code):
        raise AttributeError(f"{expression} is nothing in pyqmail")
    return value


# ---------------------------------------------------------------- mdoc

def plain(words):
    """Text as mdoc has it: no backslash and no line that looks like a request."""
    words = words.replace("\\", "\\e")
    return "\\&" + words if words.startswith((".", "'")) else words


def references(names):
    """Lines that name programs, as references where there is a page: qmail-send, qmail-inject."""
    for name in names:
        program, _, option = name.partition(" ")
        comma = "" if name == names[-1] else " ,"
        page = next(iter(glob.glob(f"{HERE}/man[18]/{program}.[18]")), None)
        what = f".Xr {program} {page[-1]}" if page else f".Nm {program}"
        yield what + (f" Fl {option[1:]}" if option else "") + comma


def sentence(words):
    """A sentence of its own; a first word that is a name stays as it is."""
    first = words.partition(" ")[0].rstrip(",.")
    upper = words if set(first) & set(".:@") else words[:1].upper() + words[1:]
    return plain(upper if upper.endswith((".", "!", "?")) else upper + ".")


def wrapped(line, width=79):
    """A line of text as lines that are short enough; macros stay whole."""
    while len(line) > width and not line.startswith("."):
        cut = line.rfind(" ", 0, width)
        while cut > 0 and line[cut + 1] in ".'":
            cut = line.rfind(" ", 0, cut)
        if cut <= 0:
            break
        yield line[:cut]
        line = line[cut + 1:]
    yield line


def quoted(words):
    """An argument with blanks in it; what looks like the end of a sentence is none."""
    return '"' + words.replace('"', '""') + ("\\&" if words.endswith((".", ":", "!", "?")) else "") + '"'
