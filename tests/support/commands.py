"""Commands that are called in the test's own process, which costs a tenth of a process of their own."""

from __future__ import annotations

import os

from click.testing import CliRunner, Result

from support.servers.emulators import without_aws
from thumbq.cli import main


def thumbq(*arguments: str, **variables: str) -> Result:
    """Run a command in the current directory, with these variables of AWS's and thumbq's and no others."""
    hidden = dict.fromkeys(os.environ.keys() - without_aws(os.environ).keys())
    return CliRunner().invoke(main, arguments, env=hidden | variables)
