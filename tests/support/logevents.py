"""The events that the code may log as a warning or worse, read from its syntax trees.

A level that is decided at run time counts as the worst: ``write = log.error if … else log.warning``, a function that
returns one of them, ``log.log(level, …)``, ``getattr(log, level)(…)``, ``partial(log.error, …)``, and a function or
class that logs the name it is given. A logger may have any name. What else is done with a loud method cannot be read.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LOUD = {"warning", "warn", "error", "critical", "fatal", "exception"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Unreadable(Exception):
    """A line logs something whose name this module cannot find."""


def loud_events(files: Iterable[Path]) -> set[str]:
    """Return the name of each event that is, or may be, a warning or worse. Raises Unreadable."""
    return loud_events_of([path.read_text() for path in files])


def loud_events_of(texts: list[str]) -> set[str]:
    """Return what ``loud_events`` does of the texts of modules."""
    names: set[str] = set()
    while True:
        # Parsing is what takes time: a module that names none of these logs nothing of the kind.
        naming = re.compile("|".join([rf"\.({'|'.join(LOUD)}|log)\b|\bgetattr\b", *(rf"\b{name}\b" for name in names)]))
        found, others = _found([ast.parse(text) for text in texts if naming.search(text)])
        if others <= names:
            return found
        names |= others


def _found(modules: list[ast.Module]) -> tuple[set[str], set[str]]:
    """Return the events of these modules, and the functions and classes that give a level or are given a name."""
    found = {event for module in modules for event in _of_partials(module)}
    takers: set[str] = set()
    givers = {
        function.name
        for module in modules
        for function in _functions(module)
        if any(isinstance(each, ast.Return) and _names_a_level(each.value) for each in ast.walk(function))
    }
    for module in modules:
        for scope, owner in _scopes(module):
            for call in _loud_calls(scope, givers):
                event = _event(call, at=_place(call))
                if isinstance(event, str):
                    found.add(event)
                else:
                    takers.add(_taker(scope, owner, event))
    for module in modules:
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and _name(node.func) in takers:
                event = _event(node)
                if not isinstance(event, str):
                    raise Unreadable(ast.unparse(node))
                found.add(event)
    return found, givers | takers


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _scopes(module: ast.Module) -> Iterator[tuple[ast.AST, ast.ClassDef | None]]:
    """Give each function, with the class that it is a method of, and what the module does outside of them."""
    methods = {id(node): owner for owner in ast.walk(module) if isinstance(owner, ast.ClassDef) for node in owner.body}
    yield from ((function, methods.get(id(function))) for function in _functions(module))
    outside = [node for node in module.body if not isinstance(node, Function | ast.ClassDef)]
    yield ast.Module(outside, []), None


def _loud_calls(scope: ast.AST, givers: set[str]) -> Iterator[ast.Call]:
    aliases = {
        target.id
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and _gives_a_level(node.value, givers)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(scope):
        if isinstance(node, ast.Call) and (
            _is_loud(node)
            or (isinstance(node.func, ast.Name) and node.func.id in aliases)
            or (isinstance(node.func, ast.Call) and _name(node.func.func) in {*givers, "getattr"})
        ):
            yield node


def _is_loud(call: ast.Call) -> bool:
    """Whether this calls a loud method of what may be a logger, whatever its name; a future's has no argument."""
    if not isinstance(call.func, ast.Attribute):
        return False
    known = _logs_loudly(call.func)
    return known or (call.func.attr in LOUD and bool(call.args)) or (_place(call) == 1 and len(call.args) > 1)


def _place(call: ast.Call) -> int:
    """Return which argument is the event: behind the level in ``log.log``."""
    return int(isinstance(call.func, ast.Attribute) and call.func.attr == "log")


def _of_partials(module: ast.Module) -> Iterator[str]:
    """Give the event of each ``partial(log.error, "…")``; a loud method that is passed elsewhere cannot be read."""
    for call in ast.walk(module):
        if not isinstance(call, ast.Call):
            continue
        if any(map(_logs_loudly, [*call.args, *(each.value for each in call.keywords)])):
            match call.args:
                case [_, ast.Constant(value=str(event)), *_] if _name(call.func) == "partial":
                    yield event
                case _:
                    raise Unreadable(ast.unparse(call))


def _gives_a_level(value: ast.AST, givers: set[str]) -> bool:
    """Whether one of the values that an expression may have is a method that logs loudly."""
    match value:
        case ast.IfExp():
            return _gives_a_level(value.body, givers) or _gives_a_level(value.orelse, givers)
        case ast.Call():
            return _name(value.func) in givers
        case _:
            return _logs_loudly(value)


def _names_a_level(value: ast.AST | None) -> bool:
    return value is not None and _gives_a_level(value, set())


def _logs_loudly(node: ast.AST) -> bool:
    """Whether this is a loud method of a logger: ``log.error``, ``self._logger.bind(…).error``."""
    return isinstance(node, ast.Attribute) and node.attr in LOUD and "log" in ast.unparse(node.value).lower()


def _event(call: ast.Call, *, at: int = 0) -> str | ast.AST:
    if len(call.args) <= at:
        raise Unreadable(ast.unparse(call))
    given = call.args[at]
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else given


def _taker(scope: ast.AST, owner: ast.ClassDef | None, event: ast.AST) -> str:
    """Return the function or class that is called with the name of an event as its first argument."""
    if not isinstance(scope, Function):
        raise Unreadable(ast.unparse(event))
    if isinstance(event, ast.Name) and scope.args.args and scope.args.args[0].arg == event.id:
        return scope.name
    if owner is not None and isinstance(event, ast.Attribute) and _name(event.value) == "self":
        for method in owner.body:
            if isinstance(method, Function) and method.name == "__init__":
                for node in ast.walk(method):
                    if (
                        isinstance(node, ast.Assign)
                        and ast.unparse(node.targets[0]) == ast.unparse(event)
                        and isinstance(node.value, ast.Name)
                        and node.value.id == method.args.args[1].arg
                    ):
                        return owner.name
    raise Unreadable(f"{scope.name}: {ast.unparse(event)}")


def _name(node: ast.AST) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case _:
            return ""
