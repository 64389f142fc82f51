"""A client that sends or reads too slowly is disconnected; one that pauses now and then is not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from api.server import paced_socket
from api.server.paced_socket import ClientTooSlowError, PacedSocket

RATE = 1000.0


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced_socket, "GRACE_SECONDS", 0.6)


@pytest.fixture
def pair() -> Iterator[tuple[PacedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    paced = PacedSocket(ours, RATE)
    paced.reset_credit(0.6)
    with paced, theirs:
        theirs.settimeout(10)
        yield paced, theirs


def in_pieces(wire: socket.socket, piece: bytes, pause: float, number: int) -> threading.Thread:
    def send() -> None:
        for _ in range(number):
            try:
                wire.sendall(piece)
            except OSError:
                return
            time.sleep(pause)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def receive(wire: socket.socket, size: int) -> None:
    while size > 0:
        size -= len(wire.recv(100_000))


def test_a_byte_now_and_then_is_too_little(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    sender = in_pieces(theirs, b"x", pause=0.1, number=40)
    assert ours.recv(100) == b"x"
    with pytest.raises(ClientTooSlowError):
        receive(ours, 40)
    ours.close()
    sender.join()


def test_silence_is_too_little(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, _ = pair
    with pytest.raises(ClientTooSlowError):
        ours.recv(100)
    with pytest.raises(ClientTooSlowError):
        ours.recv(100)
    ours.reset_credit(0.05)
    with pytest.raises(ClientTooSlowError):
        ours.recv(100)


def test_a_slow_client_above_the_rate_is_waited_for(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    # 4000 bytes a second or less: the sender's pauses are not exact, and a busy machine stretches them.
    sender = in_pieces(theirs, bytes(800), pause=0.2, number=10)
    receive(ours, 8000)
    sender.join()


def test_what_came_fast_pays_for_no_longer_pause_than_the_grace(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(bytes(50_000))
    receive(ours, 50_000)
    begun = time.monotonic()
    with pytest.raises(ClientTooSlowError):
        ours.recv(100)
    assert time.monotonic() - begun < 25, "50 s by the average alone"


def test_the_server_s_own_time_costs_nothing(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")
    assert ours.recv(1) == b"x"
    time.sleep(1)
    theirs.sendall(b"x")
    assert ours.recv(1) == b"x"
    theirs.close()
    assert ours.recv(1) == b""


def test_an_answer_that_nobody_reads_is_given_up(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.sendall(bytes(1000))
    assert len(theirs.recv(1000)) == 1000
    with pytest.raises(ClientTooSlowError):
        ours.sendall(bytes(50_000_000))


def test_an_answer_arrives_whole(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    content = bytes(range(256)) * 20_000
    sender = threading.Thread(target=ours.sendall, args=(content,))
    sender.start()
    received = bytearray()
    while len(received) < len(content):
        received += theirs.recv(1_000_000)
    sender.join()
    assert received == content


def test_take_waits_for_nothing(pair: tuple[PacedSocket, socket.socket]) -> None:
    ours, theirs = pair
    with pytest.raises(BlockingIOError):
        ours.recv_available(10)
    theirs.sendall(b"abc")
    assert ours.recv_available(10) == b"abc"
