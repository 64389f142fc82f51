"""`is_free` distinguishes free ports from ports in use."""

from __future__ import annotations

import socket

from deploy.local.service_plan import is_free
from tests.fixtures.ports import OWN, find_free


def test_a_port_is_taken_while_a_server_listens_and_free_at_once_after() -> None:
    port = find_free()
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        assert not is_free(port)
        with socket.create_connection(("127.0.0.1", port)):
            connection, _ = server.accept()
            connection.close()  # the server's end closes first, and stays in TIME_WAIT
    assert is_free(port)


def test_a_run_of_ports_is_free_at_every_offset() -> None:
    port = find_free((0, 1, 10_000))
    assert all(is_free(port + offset) for offset in (0, 1, 10_000))


def test_ports_that_nobody_listens_on_yet_are_not_given_out_again() -> None:
    given = [find_free((0, 1)) for _ in range(50)]
    assert len({*given, *(port + 1 for port in given)}) == 100
    assert all(port in OWN and port + 1 in OWN for port in given)
