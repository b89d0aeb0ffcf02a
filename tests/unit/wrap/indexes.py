"""Builders of pack indexes without packs, for the pure half of the wrap."""

import hashlib
from collections.abc import Sequence

import numpy as np

from gateway.model import FrameEncoding, FrameFault
from gateway.packs.index import RECORD
from workers.wrap.recording import FRAME, SealedPack

SERIES = "1.2.3.1"


def member(number: int = 1, **columns: object):
    """Return one record, a sound frame of 1,000 bytes taken `number` seconds after 1970.

    uid and content: what its SOP Instance UID and its bytes are made of, by default the number.
    """
    row = np.zeros((), RECORD)
    row["sop_instance_uid"] = f"1.2.3.4.{columns.pop('uid', number)}".encode()
    row["digest"] = _digest(columns.pop("content", number))
    row["fragment_digest"] = row["digest"]
    row["sop_class_uid"] = b"1.2.840.10008.5.1.4.1.1.77.1.1"
    row["instance_number"], row["acquired_us"] = number, number * 1_000_000
    row["fragment_size"], row["size"] = 1_000, 2_000
    row["rows"] = row["columns"] = 64
    row["encoding"], row["fault"] = FrameEncoding.JPEG_YBR, FrameFault.NONE
    for name, value in columns.items():
        row[name] = value
    return row


def pack(rows: Sequence, series_instance_uid: str = SERIES) -> SealedPack:
    index = np.array(list(rows), RECORD) if len(rows) else np.zeros(0, RECORD)
    return SealedPack(series_instance_uid, index)


def frames(count: int, **columns: object):
    """Return `count` ordered frames of a recording; columns: arrays or values to set."""
    made = np.zeros(count, FRAME)
    made["instance_number"] = np.arange(1, count + 1)
    made["fragment_size"] = 1_000
    made["rows"] = made["columns"] = 64
    made["encoding"] = FrameEncoding.JPEG_YBR
    for name, value in columns.items():
        made[name] = value
    return made


def _digest(content: object):
    return np.frombuffer(hashlib.sha256(str(content).encode()).digest(), "u1")
