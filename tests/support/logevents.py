"""The events that the code may log as a warning or worse, read from its syntax trees.

A level that is decided at run time counts as the worst: ``write = log.error if … else log.warning``, a function that
returns one of them, and a function or class that logs the name it is given.
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
        naming = re.compile("|".join([rf"\.({'|'.join(LOUD)})\b", *(rf"\b{name}\b" for name in names)]))
        found, others = _found([ast.parse(text) for text in texts if naming.search(text)])
        if others <= names:
            return found
        names |= others


def _found(modules: list[ast.Module]) -> tuple[set[str], set[str]]:
    """Return the events of these modules, and the functions and classes that give a level or are given a name."""
    found: set[str] = set()
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
                event = _event(call)
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


def _scopes(module: ast.Module) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Give each function, with the class that it is a method of."""
    methods = {id(node): owner for owner in ast.walk(module) if isinstance(owner, ast.ClassDef) for node in owner.body}
    return ((function, methods.get(id(function))) for function in _functions(module))


def _loud_calls(scope: Function, givers: set[str]) -> Iterator[ast.Call]:
    aliases = {
        target.id
        for node in ast.walk(scope)
        if isinstance(node, ast.Assign) and _gives_a_level(node.value, givers)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(scope):
        if isinstance(node, ast.Call) and (
            _is_level(node.func)
            or (isinstance(node.func, ast.Name) and node.func.id in aliases)
            or (isinstance(node.func, ast.Call) and _name(node.func.func) in givers)
        ):
            yield node


def _gives_a_level(value: ast.AST, givers: set[str]) -> bool:
    """Whether one of the values that an expression may have is a method that logs loudly."""
    match value:
        case ast.IfExp():
            return _gives_a_level(value.body, givers) or _gives_a_level(value.orelse, givers)
        case ast.Call():
            return _name(value.func) in givers
        case _:
            return _is_level(value)


def _names_a_level(value: ast.AST | None) -> bool:
    return value is not None and _gives_a_level(value, set())


def _is_level(node: ast.AST) -> bool:
    """Whether this is a loud method of a logger: ``log.error``, ``structlog.get_logger().error``."""
    if not isinstance(node, ast.Attribute) or node.attr not in LOUD:
        return False
    owner = node.value.func if isinstance(node.value, ast.Call) else node.value
    return _name(owner) in {"log", "_log", "logger", "get_logger"}


def _event(call: ast.Call) -> str | ast.AST:
    if not call.args:
        raise Unreadable(ast.unparse(call))
    first = call.args[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else first


def _taker(scope: Function, owner: ast.ClassDef | None, event: ast.AST) -> str:
    """Return the function or class that is called with the name of an event as its first argument."""
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
