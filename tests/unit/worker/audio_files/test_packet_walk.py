from __future__ import annotations

import pytest

from worker.audio_files.packet_walk import first_packet_time

HEAD = b"#software: x\n#tb 0: 1/25\n#media_type 0: video\n#codec_id 0: h264\n"


@pytest.mark.parametrize(
    ("packet", "seconds"),
    [
        (b"0,         -2,          50,        1,     3000, 0x0\n", 2.0),
        (b"0,         -2,         -25,        1,     3000, 0x0\n", -1.0),
        (b"0, -9223372036854775808, -9223372036854775808,        1,     3000, 0x0\n", None),
        (b"", None),
    ],
)
def test_the_first_packet_has_a_time_or_none(packet: bytes, seconds: float | None) -> None:
    assert first_packet_time(HEAD + packet) == seconds
