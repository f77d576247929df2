"""What the system needs beside the cluster: MongoDB, SQS, and the service that does the jobs."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobqueue_testsupport.kube_e2e.commands import ROOT, run
from jobqueue_testsupport.kube_e2e.recorder import Recorder
from jobqueue_testsupport.server import HOST, EmbeddedMongo, EmbeddedSqs

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST_VARIABLE = "JOBQUEUE_E2E_HOST"
"""Address of this machine that pods can reach (with kind: the gateway of its network)."""

CLUSTER_VARIABLE = "CLUSTER"
_CLUSTER_HOST = "host.cluster.internal"
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Where pods find what is beside the cluster, and the recorder itself."""

    mongodb_uri: str
    sqs_endpoint: str
    processor_url: str
    recorder: Recorder
    mongo: EmbeddedMongo
    sqs: EmbeddedSqs


@contextmanager
def neighbours(folder: Path) -> Iterator[Neighbours]:
    """Run all three while the context lasts, and make pods reach them.

    Raises:
        ServerError: one did not start.
        CommandError: the cluster could not be given a way to them.
    """
    with ExitStack() as stack:
        mongo = stack.enter_context(EmbeddedMongo(folder / "mongo"))
        sqs = stack.enter_context(EmbeddedSqs(folder / "sqs"))
        recorder = stack.enter_context(Recorder())
        host = os.environ.get(HOST_VARIABLE)
        ports = (mongo.port, sqs.port, recorder.port)
        if host is None:
            cluster = Path(os.environ.get(CLUSTER_VARIABLE, ROOT.parent / "shared" / "cluster"))
            run(str(cluster / "expose"), *map(str, ports))
            host = _CLUSTER_HOST
        else:
            for port in ports:
                stack.enter_context(_forwarding(host, port))
        yield Neighbours(
            mongodb_uri=f"mongodb://{host}:{mongo.port}/?retryWrites=false&directConnection=true",
            sqs_endpoint=f"http://{host}:{sqs.port}",
            processor_url=f"http://{host}:{recorder.port}/jobs",
            recorder=recorder,
            mongo=mongo,
            sqs=sqs,
        )


@contextmanager
def _forwarding(host: str, port: int) -> Iterator[None]:
    """Forward a port of another address of this machine to the same one of 127.0.0.1."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((HOST, port)) as server:
                back = threading.Thread(target=_pump, args=(server, self.request), daemon=True)
                back.start()
                _pump(self.request, server)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until the source ends, and say so to the target."""
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            end.close()
