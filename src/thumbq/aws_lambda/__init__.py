"""thumbq as an AWS Lambda function with an SQS trigger: ``thumbq.aws_lambda.handler``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from thumbq.aws_lambda.function import Function

if TYPE_CHECKING:
    from thumbq.aws_lambda.function import Context

__all__ = ["Function", "handler"]

_function: Final = Function()


def handler(event: Any, context: Context) -> dict[str, Any]:
    """Do the jobs of one batch, and say which messages have to come again.

    Raises SetupError with everything that is wrong when the function cannot start, or the event is not one of SQS.
    """
    return _function(event, context)
