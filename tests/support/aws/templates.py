"""CloudFormation templates as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref Name` is {"Ref": "Name"}."""


def _short_form(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            return {name: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {name: loader.construct_sequence(node, deep=True)}
    raise AssertionError(node)


_Loader.add_multi_constructor("!", _short_form)


def read_template(path: Path) -> Any:
    """Return a template."""
    return yaml.load(path.read_text(), _Loader)
