"""What a program of bin/ can say and read: the strings in its module and in every module of ours that it imports."""
import ast
import functools
import glob
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODULES = {"except": "except_"}
TABLE = "pyqmail.base.controls"     # names every control file and reads none


def place(module):
    path = f"{ROOT}/{module.replace('.', '/')}"
    return next((file for file in (f"{path}.py", f"{path}/__init__.py") if os.path.exists(file)), None)


@functools.cache
def tree(module):
    with open(place(module), encoding="utf-8") as f:
        return ast.parse(f.read())


@functools.cache
def imported(module):
    package = module.split(".") if place(module).endswith("__init__.py") else module.split(".")[:-1]
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[:len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            for alias in node.names:
                found.add(next(filter(place, (".".join([*base, alias.name]), ".".join(base)))))
    return found - {TABLE}


def modules(program):
    """The module of a program and all that it imports, directly or not."""
    first = "pyqmail.programs." + MODULES.get(program, program.replace("-", "_"))
    seen, waiting = {first}, [first]
    while waiting:
        for module in imported(waiting.pop()) - seen:
            seen.add(module)
            waiting.append(module)
    return seen


@functools.cache
def strings(module):
    """Constants as they are, f-strings as they are written."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            found.add(node.value if isinstance(node.value, str) else node.value.decode("latin-1"))
        elif isinstance(node, ast.JoinedStr):
            found.add(ast.unparse(node))
    return found


def everything():
    """Every module of pyqmail but the table of control files."""
    for path in glob.glob(f"{ROOT}/pyqmail/**/*.py", recursive=True):
        module = os.path.relpath(path, ROOT).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if module != TABLE:
            yield module


def strings_of(program):
    return set().union(*map(strings, modules(program)))
