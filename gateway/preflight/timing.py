"""Pure: when the frames of a multi-frame instance were taken (PS3.3 C.7.6.5, C.7.6.6)."""

import math
from collections.abc import Sequence

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from gateway.preflight.report import Findings

VECTOR_BYTES_MAX = 65_534
"""Explicit VR gives a DS a 16-bit length; beyond it libraries write VR UN and readers give up."""
_FRAME_TIME_VECTOR = 0x00181065
_DURATION_TOLERANCE_S = 0.01


def check(ds: Dataset, findings: Findings) -> None:
    """Check the Frame Time Vector against Number of Frames and what else says when."""
    if _FRAME_TIME_VECTOR not in ds:
        _check_pointer(ds, findings)
        return
    raw = ds.get_item(_FRAME_TIME_VECTOR)
    if str(raw.VR) == "UN" or _length(raw.value) > VECTOR_BYTES_MAX:
        findings.error("time-vector-length", "Frame Time Vector is longer than a DS can be.")
        return
    if "FrameTime" in ds:
        findings.error("frame-time", "Frame Time and Frame Time Vector are both there.")
    _check_pointer(ds, findings)
    vector = _numbers(ds, findings)
    if vector is None:
        return
    frame_count = int(ds.get("NumberOfFrames") or 1)
    if len(vector) != frame_count:
        findings.error(
            "time-vector-count",
            f"Frame Time Vector has {len(vector)} values for {frame_count} frames.",
        )
    if vector[0] != 0:
        findings.error(
            "time-vector-first", f"Frame Time Vector begins with {vector[0]:g} instead of 0."
        )
    for number, value in enumerate(vector, start=1):
        if value < 0:
            findings.error("time-vector-negative", f"its time is {value:g} ms.", number)
    _check_duration(ds, vector, findings)


def _numbers(ds: Dataset, findings: Findings) -> list[float] | None:
    raw = ds.get_item(_FRAME_TIME_VECTOR).value
    try:
        if isinstance(raw, bytes):
            vector = [float(one) for one in raw.decode("ascii").strip("\0 ").split("\\")]
        else:
            vector = [float(one) for one in (raw if isinstance(raw, Sequence) else [raw])]
    except (ValueError, TypeError):
        vector = []
    if not vector or not all(map(math.isfinite, vector)):
        findings.error("time-vector", "Frame Time Vector holds what are no numbers.")
        return None
    return vector


def _check_pointer(ds: Dataset, findings: Findings) -> None:
    pointer = ds.get("FrameIncrementPointer")
    targets = [] if pointer is None else pointer if isinstance(pointer, Sequence) else [pointer]
    if int(ds.get("NumberOfFrames") or 1) > 1 and not targets:
        findings.error("frame-increment", "Nothing says in what frames differ (0028,0009).")
    for target in targets:
        if target not in ds:
            findings.error("frame-increment", f"Frame Increment Pointer names {target}: absent.")
    if _FRAME_TIME_VECTOR in ds and tag_for_keyword("FrameTimeVector") not in targets:
        findings.error("frame-increment", "Frame Increment Pointer overlooks Frame Time Vector.")


def _check_duration(ds: Dataset, vector: list[float], findings: Findings) -> None:
    stated = ds.get("EffectiveDuration")
    if stated is not None and abs(float(stated) - sum(vector) / 1000) > _DURATION_TOLERANCE_S:
        findings.error(
            "duration",
            f"Effective Duration says {float(stated):g} s, the frames last {sum(vector) / 1000:g}.",
        )


def _length(value: object) -> int:
    if isinstance(value, bytes):
        return len(value)
    return sum(len(str(one)) + 1 for one in value) if isinstance(value, Sequence) else 0
