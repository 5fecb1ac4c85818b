"""The shape of the code: small files, short functions, few collaborators, imports without circles."""

from __future__ import annotations

import ast
import graphlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import thumbq

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINES = 250
MAX_FUNCTION_LINES = 50
MAX_ARGUMENTS = 8
MAX_ROOMS = 10

# It knows all rooms, so that no other module has to.
COMPOSITION_ROOT = "thumbq.service"

# A value: what a file's header says, in members that are read one by one. (Records and settings are pydantic's.)
VALUES = {
    "thumbq.imaging.header.Header",
    "thumbq.jobs.delivery.JobResult",
    "thumbq.jobs.resources.JobResources",
    "thumbq.ports.Backend",
    "thumbq.ports.deadletters.DeadLetter",
    "thumbq.ports.queueing.ReceivedMessage",
    "thumbq.ports.rendering.Rendered",
    "thumbq.web.route.Route",
    "thumbq.web.services.WebServices",
}

# All other tasks live in task groups, where no error gets lost. Here whoever waits for the task gets its error.
OWN_TASKS = {
    "thumbq.aws.messagesender": "a batch is of none of its senders, and ends with the last of them",
    "thumbq.aws_lambda.function": "the event loop runs during invocations only, and no task group lasts over several",
    "thumbq.web.server": "clients are accepted before the main loop begins, which then watches that",
}

ROOT = Path(thumbq.__file__).parent


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path.read_text() for path in sorted(ROOT.rglob("*.py"))}


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(SOURCES[name])


def nodes(*words: str) -> Iterator[tuple[str, ast.AST]]:
    """Give all nodes of the sources that have one of these words, each with its module: parsing takes a second."""
    for name, source in SOURCES.items():
        if any(word in source for word in words):
            yield from ((name, node) for node in ast.walk(tree_of(name)))


def imports_of(name: str) -> set[str]:
    """Return the modules of thumbq that a module imports, also those that only its annotations need."""
    found: set[str] = set()
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "ruff refuses relative imports"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                found.add(submodule if submodule in SOURCES else str(node.module))
    return found & SOURCES.keys()


def room_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for name, node in nodes("class "):
        if isinstance(node, ast.ClassDef):
            yield f"{name}.{node.name}", node


def constructor_arguments(node: ast.ClassDef) -> int:
    """Return how many arguments a class takes: those of ``__init__``, or the fields of a dataclass."""
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            taken = member.args
            return len([*taken.posonlyargs, *taken.args, *taken.kwonlyargs]) - 1
    if not any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return 0
    fields = [member for member in node.body if isinstance(member, ast.AnnAssign)]
    return len([field for field in fields if "ClassVar" not in ast.unparse(field.annotation)])


def test_no_file_is_long() -> None:
    lines = {name: source.count("\n") for name, source in SOURCES.items()}
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}


def test_no_function_is_long_and_no_class_takes_many_arguments() -> None:
    functions = {
        f"{name}.{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, node in nodes("def ")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: count for name, count in functions.items() if count > MAX_FUNCTION_LINES}
    taken = {name: constructor_arguments(node) for name, node in classes()}
    assert taken.keys() >= VALUES
    assert not {name: count for name, count in taken.items() if count > MAX_ARGUMENTS and name not in VALUES}


def test_only_the_composition_root_knows_many_rooms_and_no_imports_go_in_a_circle() -> None:
    """import-linter compares siblings; here packages and the modules in them count too. CycleError names a circle."""
    imports = {name: imports_of(name) - {name} for name in SOURCES}
    rooms = {name: {room_of(imported) for imported in imports[name]} - {"", room_of(name)} for name in SOURCES}
    assert not {
        name: sorted(known) for name, known in rooms.items() if len(known) > MAX_ROOMS and name != COMPOSITION_ROOT
    }
    graphlib.TopologicalSorter(imports).prepare()


def test_tasks_live_in_task_groups() -> None:
    bare = ("asyncio.create_task", "ensure_future", "loop.create_task", "loop().create_task")
    found = {
        name
        for name, node in nodes("create_task", "ensure_future")
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(bare)
    }
    assert found == OWN_TASKS.keys()


def test_queries_are_read_in_one_place_which_refuses_what_is_no_utf8() -> None:
    readers = {
        name
        for name, node in nodes("query")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"request.query", "request.rel_url.query"}
    }
    # A route looks for the names of parameters only, to know which scope is enough.
    assert readers == {"thumbq.web.queries", "thumbq.web.route"}
