"""A TCP proxy on loopback that can be told to misbehave: the cable between two parts of the system.

Owns connections and their faults; understands nothing of what flows through, but for `answer_503`, which speaks HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>'
)


FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>'
)

METHOD = re.compile(rb"(GET|HEAD|PUT|POST|DELETE) ")

ANSWERS = {"slow_down": SLOW_DOWN, "forbid": FORBIDDEN}


class Proxy:
    """Listens on a free port and forwards to `target_port`, in a thread of its own, until closed.

    `mode` is read for each block: `pass`; `swallow` (connections open, nothing comes through); `refuse` (new ones
    are closed at once); `slow_down` (HTTP 503 to every new connection); `forbid` (HTTP 403). `delay_seconds` and
    `bytes_per_second` slow down what passes; `reset_after_bytes` cuts each connection once so much has gone to the
    target; `refusal` (503) answers requests for which `refuses` is true; it is asked with `PUT /path…`. With `tls` it
    ends TLS before a target that has none.
    """

    def __init__(self, target_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self.mode = "pass"
        self.delay_seconds = 0.0
        self.bytes_per_second: float | None = None
        self.reset_after_bytes: int | None = None
        self.refuses: Callable[[bytes], bool] = lambda _: False
        self.refusal = SLOW_DOWN
        self.resets = 0
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._wait(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def reset_all(self) -> None:
        """Cut every open connection with a RST."""
        self._loop.call_soon_threadsafe(lambda: [self._reset(w) for w in list(self._writers)])

    def close(self) -> None:
        """Cut everything and end the thread."""
        self._wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            self._reset(writer)
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.mode == "refuse":
                return
            if self.mode in ANSWERS:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(65536), 1)
                writer.write(ANSWERS[self.mode])
                await writer.drain()
                return
            await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.mode == "swallow":
            await asyncio.sleep(0.02)
        there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers.add(back)
        try:
            await asyncio.gather(self._pump(reader, back, writer), self._pump(there, writer))
        finally:
            self._writers.discard(back)
            back.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: asyncio.StreamWriter | None = None
    ) -> None:
        """Forward one direction; with `client`, whom it comes from, that to the target."""
        sent = 0
        while block := await source.read(65536):
            if client and METHOD.match(block) and self.refuses(block.partition(b"\r\n")[0]):
                client.write(self.refusal)
                await client.drain()
                client.close()
                break
            while self.mode == "swallow":
                await asyncio.sleep(0.02)
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if self.bytes_per_second:
                await asyncio.sleep(len(block) / self.bytes_per_second)
            sink.write(block)
            await sink.drain()
            sent += len(block)
            if client and self.reset_after_bytes is not None and sent >= self.reset_after_bytes:
                self.resets += 1
                for writer in list(self._writers):
                    self._reset(writer)
                return
        with contextlib.suppress(OSError):
            # TLS knows no half-closed connections.
            sink.write_eof() if sink.can_write_eof() else sink.close()

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                # No lingering: the kernel sends a RST instead of an orderly end.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
