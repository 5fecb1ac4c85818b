"""What an SQS trigger hands to a function (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS")."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel, to_pascal

from thumbq.core import tracecontext
from thumbq.errors import Problem, SetupError
from thumbq.ports import ReceivedMessage


class _Attributes(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_pascal)

    approximate_receive_count: int
    sent_timestamp: int
    message_group_id: str | None = None
    trace: str | None = Field(default=None, alias="AWSTraceHeader")


class _MessageAttribute(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    string_value: str | None = None


class Record(BaseModel):
    """One message of a batch, and the queue that it is from."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel)

    message_id: str
    receipt_handle: str
    body: str
    attributes: _Attributes
    message_attributes: dict[str, _MessageAttribute] = Field(default_factory=dict)
    event_source: Literal["aws:sqs"]
    queue_arn: str = Field(alias="eventSourceARN", pattern=r"^arn:[^:]+:sqs:[^:]+:[^:]+:[^:]+$")

    @property
    def message(self) -> ReceivedMessage:
        """The message, as if it had been received."""
        named = {name: {"StringValue": each.string_value} for name, each in self.message_attributes.items()}
        return ReceivedMessage(
            id=self.message_id,
            receipt=self.receipt_handle,
            body=self.body,
            receive_count=self.attributes.approximate_receive_count,
            sent_at=self.attributes.sent_timestamp / 1000,
            trace=self.attributes.trace,
            group=self.attributes.message_group_id,
            sender=tracecontext.of_message(named, self.attributes.trace),
        )


class _Event(BaseModel):
    records: tuple[Record, ...] = Field(alias="Records")


_EVENT: Final = TypeAdapter[_Event](_Event)


def records(event: Any) -> tuple[Record, ...]:
    """Return the messages of an event. Raises SetupError when it is not one of SQS, or not one of SQS alone."""
    try:
        return _EVENT.validate_python(event).records
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the event"
        what = f"this is no event of an SQS trigger: {where}: {first['msg']}"
        fix = "have an SQS queue invoke the function; S3, SNS and EventBridge can send to the queue"
        raise SetupError([Problem(what, fix)]) from error
