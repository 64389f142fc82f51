"""A batch as the OpenAPI document shows it: its request, its state, an item, its reports and an estimate."""

from __future__ import annotations

import json
from typing import Any

BATCH_ID = "9c4e2a7d1b3f48569a0b1c2d3e4f5a6b"
JOB_ID = "9c4e2a7d1b3f48569a0b1c2d00000001"

PATH, JOB_PATH = f"/v1/batches/{BATCH_ID}", f"/v1/jobs/{JOB_ID}"

SHA256 = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"

EXAMPLE_BATCH_SUBMISSION: dict[str, Any] = {
    "name": "album",
    "defaults": {"format": "mp3", "mixes": ["minus:vocals"]},
    "items": [
        {
            "track": "One",
            "source": {"upload_id": "0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70"},
            "then": [{"from": "vocals", "engine": "repetition"}],
        },
        {"track": "Two", "source": {"s3": {"bucket": "catalog", "key": "a/two.flac"}}, "format": "flac"},
    ],
}

EXAMPLE_MANIFEST_SUBMISSION: dict[str, Any] = {
    "manifest": {"upload_id": "0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70"},
    "manifest_format": "jsonl",
    "export": {"bucket": "stems-out", "prefix": "2026/", "template": "{track}/{stem}.{format}"},
}

EXAMPLE_PREFIX_SUBMISSION: dict[str, Any] = {"prefix": {"bucket": "catalog", "prefix": "albums/1999/"}}

EXAMPLE_BATCH: dict[str, Any] = {
    "id": BATCH_ID,
    "name": "album",
    "state": "running",
    "priority": "bulk",
    "total": 3,
    "counts": {"waiting": 1, "queued": 0, "running": 1, "succeeded": 1, "failed": 0, "canceled": 0, "invalid": 0},
    "left_out": [{"reason": "other", "count": 2, "examples": ["cover.jpg", "notes.txt"]}],
    "audio_seconds": 187.2,
    "error": None,
    "rerun_checked": None,
    "created_at": "2026-11-30T21:30:00Z",
    "ended_at": None,
    "expires_at": None,
    "webhook_url": None,
    "links": {
        "self": PATH,
        "items": f"{PATH}/items",
        "report_csv": f"{PATH}/report.csv",
        "report_jsonl": f"{PATH}/report.jsonl",
        "cancel": f"{PATH}/cancel",
        "retry_failed": None,
        "rerun": f"{PATH}/rerun",
    },
}

EXAMPLE_ITEM: dict[str, Any] = {
    "number": 1,
    "line": 1,
    "track": "One",
    "state": "succeeded",
    "job_id": JOB_ID,
    "error": None,
    "attempts": 1,
    "duration_seconds": 187.2,
    "seconds": 4.1,
    "real_time_factor": 45.66,
    "input_sha256": SHA256,
    "engine": "unet",
    "engine_version": "4",
    "cached": False,
    "tempo_bpm": 123.9,
    "key": "F# minor",
    "notes": ["The file declares 190.00 s but contains 187.20 s: it may be truncated or damaged."],
    "outputs": [
        {"name": "vocals", "url": f"{JOB_PATH}/stems/vocals"},
        {"name": "minus-vocals", "url": f"{JOB_PATH}/mixes/minus-vocals"},
    ],
    "exported": [],
}

EXAMPLE_NEW_BATCH: dict[str, Any] = {
    **EXAMPLE_BATCH,
    "state": "reading",
    "total": 0,
    "counts": dict.fromkeys(EXAMPLE_BATCH["counts"], 0),
    "left_out": [],
    "audio_seconds": 0.0,
    "links": {**EXAMPLE_BATCH["links"], "rerun": None},
}

EXAMPLE_CANCELED_BATCH: dict[str, Any] = {
    **EXAMPLE_BATCH,
    "state": "canceled",
    "counts": {**EXAMPLE_BATCH["counts"], "waiting": 0, "running": 0, "canceled": 2},
    "ended_at": "2026-11-30T21:31:00Z",
    "expires_at": "2026-12-07T21:31:00Z",
    "links": {**EXAMPLE_BATCH["links"], "cancel": None, "retry_failed": f"{PATH}/retry-failed"},
}

EXAMPLE_BATCHES: dict[str, Any] = {
    "batches": [EXAMPLE_BATCH],
    "has_more": True,
    "next_starting_after": f"{BATCH_ID}-1796074200000",
}

EXAMPLE_ITEMS: dict[str, Any] = {"items": [EXAMPLE_ITEM], "has_more": True, "next_starting_after": 1}

EXAMPLE_PREFLIGHT: dict[str, Any] = {
    "items": 2,
    "invalid": 1,
    "bad_lines": [{"line": 3, "code": "request_invalid", "message": "engine: 'unnet' is unknown; choose from unet"}],
    "complete": True,
    "slots": 4,
    "hours": 0.01,
    "storage_bytes": 31457280,
    "work": [{"engine": "unet", "format": "mp3", "items": 2, "seconds_each": 4.1, "bytes_each": 15728640}],
}

EXAMPLE_CSV = (
    "number,line,track,state,job_id,input_sha256,duration_seconds,outputs,attempts,error_code,error_message,seconds,"
    "real_time_factor,engine,engine_version,cached,exported,tempo_bpm,key,notes\r\n"
    f"1,1,One,succeeded,{JOB_ID},{SHA256},187.2,"
    f"{JOB_PATH}/stems/vocals {JOB_PATH}/mixes/minus-vocals,1,,,4.1,45.66,unet,4,False,,123.9,F# minor,"
    "The file declares 190.00 s but contains 187.20 s: it may be truncated or damaged.\r\n"
)

EXAMPLE_JSONL = json.dumps(EXAMPLE_ITEM, separators=(",", ":")) + "\n"
