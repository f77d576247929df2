"""SQS as the tests see and change it, past the product."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_BATCH = 10
_MISSING = "NonExistentQueue"


class Sqs:
    """A synchronous client with the credentials of the environment; a context manager."""

    def __init__(self, endpoint: str) -> None:
        self._client: Any = boto3.client("sqs", endpoint_url=endpoint)

    def __enter__(self) -> Self:
        """Give the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close its connections."""
        self._client.close()

    def url(self, name: str) -> str | None:
        """Return the URL of a queue; None where there is none."""
        try:
            return str(self._client.get_queue_url(QueueName=name)["QueueUrl"])
        except ClientError as error:
            if error.response["Error"]["Code"].endswith((_MISSING, "QueueDoesNotExist")):
                return None
            raise

    def create(self, name: str, **attributes: str) -> None:
        """Create a queue."""
        self._client.create_queue(QueueName=name, Attributes=attributes)

    def delete(self, name: str) -> None:
        """Delete a queue."""
        self._client.delete_queue(QueueUrl=self._existing(name))

    def purge(self, name: str) -> None:
        """Delete all messages of a queue."""
        self._client.purge_queue(QueueUrl=self._existing(name))

    def attributes(self, name: str) -> dict[str, str]:
        """Return all attributes of a queue."""
        answer = self._client.get_queue_attributes(QueueUrl=self._existing(name), AttributeNames=["All"])
        return dict(answer["Attributes"])

    def redrive(self, name: str) -> dict[str, Any]:
        """Return the redrive policy of a queue; empty where it has none."""
        return dict(json.loads(self.attributes(name).get("RedrivePolicy", "{}")))

    def change(self, name: str, **attributes: str) -> None:
        """Change attributes of a queue, as somebody by hand."""
        self._client.set_queue_attributes(QueueUrl=self._existing(name), Attributes=attributes)

    def tags(self, name: str) -> dict[str, str]:
        """Return the tags of a queue."""
        return dict(self._client.list_queue_tags(QueueUrl=self._existing(name)).get("Tags", {}))

    def send(self, name: str, count: int) -> None:
        """Put so many messages into a queue; what they say does not matter to who counts them."""
        url = self._existing(name)
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            entries = [{"Id": str(number), "MessageBody": f'{{"test":{number}}}'} for number in numbers]
            self._client.send_message_batch(QueueUrl=url, Entries=entries)

    def waiting(self, name: str) -> int:
        """Return how many messages can be received."""
        return int(self.attributes(name)["ApproximateNumberOfMessages"])

    def _existing(self, name: str) -> str:
        url = self.url(name)
        assert url is not None, f"no queue {name}"
        return url
