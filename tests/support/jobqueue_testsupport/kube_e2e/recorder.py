"""The external service of the tests: it does what a job says, and remembers every call."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

HOST = "127.0.0.1"
# More connections than this at once would be refused; workers open one for each slot.
_BACKLOG = 256


@dataclass(slots=True)
class Calls:
    """Calls by job id. `lost` are those whose caller was gone before the answer: a worker that was killed."""

    begun: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    answered_at: dict[str, float] = field(default_factory=dict)


class Recorder:
    """An HTTP service in threads of this process; a context manager.

    A job whose payload has `seconds` is answered after that long; every answer is a 200.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._calls = Calls()
        self._server = _Server((HOST, 0), _Handler)
        self._server.recorder = self
        self._thread = threading.Thread(target=self._server.serve_forever, name="recorder", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on, on 127.0.0.1."""
        return int(self._server.server_address[1])

    def calls_of(self, job_ids: list[str]) -> Calls:
        """Return what is known of some jobs."""
        wanted = set(job_ids)
        with self._lock:
            calls = self._calls
            return Calls(
                begun=Counter({job: count for job, count in calls.begun.items() if job in wanted}),
                answered=Counter({job: count for job, count in calls.answered.items() if job in wanted}),
                lost=[job for job in calls.lost if job in wanted],
                answered_at={job: at for job, at in calls.answered_at.items() if job in wanted},
            )

    def wait_answered(self, job_id: str, seconds: float) -> float:
        """Wait until a job was answered; return when, on the monotonic clock in seconds.

        Raises:
            TimeoutError: it was not, in so many seconds.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: job_id in self._calls.answered_at, seconds):
                raise TimeoutError(f"job {job_id} was not called within {seconds:g} s")
            return self._calls.answered_at[job_id]

    def begin(self, job_id: str) -> None:
        """Note that a call has come."""
        with self._lock:
            self._calls.begun[job_id] += 1

    def end(self, job_id: str, *, caller_is_there: bool) -> None:
        """Note how a call has ended."""
        with self._lock:
            if caller_is_there:
                self._calls.answered[job_id] += 1
                self._calls.answered_at.setdefault(job_id, time.monotonic())
            else:
                self._calls.lost.append(job_id)
            self._lock.notify_all()

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, without waiting for calls under way."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = _BACKLOG
    recorder: Recorder

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing: a caller that went away is counted already."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        """Do a job."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        job_id = str(body["jobId"])
        self.server.recorder.begin(job_id)
        time.sleep(float(body.get("seconds", 0)))
        is_there = self._caller_is_there()
        self.server.recorder.end(job_id, caller_is_there=is_there)
        if not is_there:
            self.close_connection = True
            return
        answer = b'{"done": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _caller_is_there(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return True
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Log nothing: what was called is asked of the recorder."""
