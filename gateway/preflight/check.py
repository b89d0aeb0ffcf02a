"""The check of one file, from its header to its last frame."""

from pathlib import Path

from pydicom.config import disable_value_validation

from gateway.dicom.storage_classes import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    VIDEO_ENDOSCOPIC,
)
from gateway.errors import Undecodable
from gateway.preflight import attributes, timing
from gateway.preflight.frames import LOOKED_INTO, FrameCheck
from gateway.preflight.instance import FRAME_BYTES_MAX, UNREADABLE, Fragment, OpenInstance
from gateway.preflight.report import Findings, Report

EVERY = 50
"""One frame in so many is decoded, and the first and the last: a part of 2,000 frames costs the
check a tenth of a second."""
_NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG})


def check(path: Path, *, every: int = EVERY) -> Report:
    """Check a Part 10 file. every: of so many frames one is decoded by both decoders.

    Whatever the file holds, a report comes of it. Raises OSError if it cannot be read.
    """
    findings = Findings()
    try:
        # The library would write every value it finds odd, names among them, into the log.
        with disable_value_validation(), OpenInstance(path) as instance:
            return _Check(instance, findings, every).run()
    except Undecodable as error:
        findings.error("unreadable", str(error))
        return Report(findings.listed, findings.error_count)


class _Check:
    def __init__(self, instance: OpenInstance, findings: Findings, every: int) -> None:
        self._instance, self._findings, self._every = instance, findings, every
        self._ds = instance.header

    def run(self) -> Report:
        ds, meta = self._ds, self._instance.meta
        frame_count = decoded_count = 0
        try:
            attributes.check(ds, self._findings)
            self._check_meta()
            if self._instance.has_pixel_data:
                frame_count, decoded_count = self._check_pixels()
                timing.check(ds, self._findings)
            elif "Rows" in ds:
                self._findings.error("no-pixels", "There is no pixel data.")
        except UNREADABLE as error:
            self._findings.error("unreadable", f"An attribute cannot be read: {error}.")
        return Report(
            self._findings.listed,
            self._findings.error_count,
            meta.sop_class_uid,
            meta.sop_instance_uid,
            frame_count,
            decoded_count,
        )

    def _check_meta(self) -> None:
        meta = self._instance.meta
        for keyword, said in (
            ("SOPClassUID", meta.sop_class_uid),
            ("SOPInstanceUID", meta.sop_instance_uid),
        ):
            if str(self._ds.get(keyword, "")) != said:
                self._findings.error("meta", f"The file meta information has another {keyword}.")

    def _check_pixels(self) -> tuple[int, int]:
        """Return (frames that are there, frames decoded)."""
        ds, native = self._ds, self._instance.meta.transfer_syntax_uid in _NATIVE
        declared = int(ds.get("NumberOfFrames") or 1)
        if declared > 1 and "NumberOfFrames" not in ds:
            self._findings.error("missing", "NumberOfFrames is missing.")
        if native == self._instance.encapsulated:
            self._findings.error(
                "transfer-syntax", "The pixel data is not encapsulated as its transfer syntax says."
            )
        if "ExtendedOffsetTable" in ds:
            self._findings.error(
                "extended-offset-table", "There is an Extended Offset Table: viewers reject it."
            )
        if not self._instance.encapsulated:
            return self._check_native(declared), 0
        return self._check_fragments(declared)

    def _check_native(self, declared: int) -> int:
        ds = self._ds
        samples = int(ds.get("Rows") or 0) * int(ds.get("Columns") or 0)
        samples *= int(ds.get("SamplesPerPixel") or 1) * declared
        if ds.get("PhotometricInterpretation") == "YBR_FULL_422":
            samples = samples * 2 // 3
        expected = (samples * int(ds.get("BitsAllocated") or 8) + 7) // 8
        found = self._instance.native_bytes_left()
        words = f"There are {found} bytes of pixel data, {expected} were expected."
        if found < expected:
            self._findings.error("pixel-bytes", words)
        elif found > expected + expected % 2:
            self._findings.warning("pixel-bytes", words)
        return declared

    def _check_fragments(self, declared: int) -> tuple[int, int]:
        """Check how frames are packaged (PS3.5 A.4), then each of them."""
        fragments = self._instance.fragments(self._findings)
        for number, fragment in enumerate(fragments, start=1):
            if fragment.size_bytes % 2:
                self._findings.error("odd-length", "its fragment has an odd length.", number)
        table = self._instance.offset_table
        if table:
            self._check_table(declared, fragments)
        if self._instance.meta.transfer_syntax_uid not in LOOKED_INTO:
            return declared, 0
        grouped = self._grouped(declared, fragments)
        frames = self._frame_check(declared)
        for number, group in enumerate(grouped, start=1):
            if sum(one.size_bytes for one in group) <= FRAME_BYTES_MAX:
                frames.look(number, self._instance.read(group))
            else:
                self._findings.error("frame-bytes", "it is too large to be looked at.", number)
        return len(grouped), frames.decoded_count

    def _grouped(self, declared: int, fragments: list[Fragment]) -> list[list[Fragment]]:
        """Return the fragments of each frame, as far as a receiver can tell."""
        count, starts = len(fragments), set(self._instance.offset_table)
        if count > declared > 1 and not starts:
            self._findings.error(
                "no-offset-table",
                f"{count} fragments hold {declared} frames and there is no Basic Offset Table:"
                " receivers cannot tell where frames begin, from frame 2 on.",
            )
            return []
        if count < declared:
            self._findings.error(
                "frame-count", f"Number of Frames says {declared}, there are {count} fragments."
            )
        if declared == 1:
            return [fragments] if fragments else []
        if count <= declared:
            return [[one] for one in fragments]
        if self._ds.get("SOPClassUID") == VIDEO_ENDOSCOPIC:
            self._findings.error("fragments", f"{count} fragments hold {declared} frames.")
        grouped: list[list[Fragment]] = []
        for one in fragments:
            if one.offset in starts or not grouped:
                grouped.append([])
            grouped[-1].append(one)
        return grouped

    def _frame_check(self, declared: int) -> FrameCheck:
        ds = self._ds

        def sampled(frame_number: int) -> bool:
            return frame_number in (1, declared) or frame_number % self._every == 0

        return FrameCheck(
            self._findings,
            transfer_syntax_uid=self._instance.meta.transfer_syntax_uid,
            rows=int(ds.get("Rows") or 0),
            columns=int(ds.get("Columns") or 0),
            photometric_interpretation=str(ds.get("PhotometricInterpretation", "")),
            sampled=sampled,
        )

    def _check_table(self, declared: int, fragments: list[Fragment]) -> None:
        table = self._instance.offset_table
        if len(table) != declared:
            self._findings.error(
                "offset-table",
                f"The Basic Offset Table has {len(table)} entries for {declared} frames.",
            )
        begins = {one.offset for one in fragments}
        for number, offset in enumerate(table, start=1):
            if offset not in begins:
                self._findings.error(
                    "offset-table", f"the Basic Offset Table points to {offset}: none.", number
                )
        if list(table) != sorted(set(table)):
            self._findings.error("offset-table", "The Basic Offset Table does not ascend.")
