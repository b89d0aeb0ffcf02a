"""Pure: the rules of single frames: what their markers say, and what two decoders see."""

from collections.abc import Callable

from gateway.dicom import jpeg
from gateway.dicom.jpeg import Classifier, ColourSpace
from gateway.dicom.storage_classes import JPEG_BASELINE
from gateway.model import FrameEncoding, FrameFault
from gateway.preflight import decoders
from gateway.preflight.report import Findings

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
LOOKED_INTO = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
"""Transfer syntaxes whose frames are looked into; of others only the packaging is."""
SOF_BASELINE, SOF_EXTENDED = 0xC0, 0xC1
_ENCODINGS = {
    "YBR_FULL_422": FrameEncoding.JPEG_YBR,
    "RGB": FrameEncoding.JPEG_RGB,
    "MONOCHROME2": FrameEncoding.JPEG_GREY,
}
_MEANS = {
    "YBR_FULL_422": ColourSpace.YCBCR,
    "YBR_FULL": ColourSpace.YCBCR,
    "RGB": ColourSpace.RGB,
    "MONOCHROME1": ColourSpace.GREY,
    "MONOCHROME2": ColourSpace.GREY,
}
_PROCESSES = {
    0xC1: "extended sequential",
    0xC2: "progressive",
    0xC3: "lossless",
    0xC9: "arithmetic coding",
    0xCA: "progressive with arithmetic coding",
}

Sampled = Callable[[int], bool]
"""Called with a frame number, 1-based: is this frame to be decoded?"""


class FrameCheck:
    """Checks the frames of one instance, in order.

    rows, columns, photometric_interpretation: what the header says. Fast where a frame is as it
    should be; only one that is not is looked at twice.
    """

    def __init__(
        self,
        findings: Findings,
        *,
        transfer_syntax_uid: str,
        rows: int,
        columns: int,
        photometric_interpretation: str,
        sampled: Sampled,
    ) -> None:
        self._findings, self._sampled = findings, sampled
        self._rows, self._columns = rows, columns
        self._label, self._syntax = photometric_interpretation, transfer_syntax_uid
        self._classifier = Classifier()
        self.decoded_count = 0

    def look(self, frame_number: int, stream: bytes) -> None:
        """Check one frame. stream: its only fragment."""
        encoding, fault = self._classifier.classify(
            stream, 0, len(stream), rows=self._rows, columns=self._columns
        )
        as_labelled = encoding is _ENCODINGS.get(self._label) and fault is FrameFault.NONE
        sound = as_labelled or self._explain(frame_number, stream)
        if sound and self._sampled(frame_number):
            self.decoded_count += 1
            words = decoders.disagreement(stream, self._label)
            if words:
                self._findings.error("colours-differ", f"{words}.", frame_number)

    def _explain(self, frame_number: int, stream: bytes) -> bool:
        """Say what is wrong with a frame's markers; returns whether it is worth decoding."""

        def wrong(rule: str, message: str) -> None:
            self._findings.error(rule, message, frame_number)

        found = jpeg.scan(stream)
        if found is None or found.frame_marker == 0:
            wrong("not-jpeg", "it is no JPEG stream.")
            return False
        if not found.complete:
            wrong("truncated", "the JPEG stream is cut off: it does not end with EOI (FFD9).")
            return False
        before = self._findings.error_count
        if (found.rows, found.columns) != (self._rows, self._columns):
            wrong(
                "other-size",
                f"it is {found.columns}x{found.rows}, Rows and Columns say"
                f" {self._columns}x{self._rows}.",
            )
        if not found.has_tables:
            wrong("no-tables", "Huffman tables (DHT) or quantisation tables (DQT) are missing.")
        if found.precision != 8:
            wrong("precision", f"it has {found.precision} bits a sample; 8 were expected.")
        self._check_process(found.frame_marker, wrong)
        self._check_colour(found.colour_space, wrong)
        return self._findings.error_count == before

    def _check_process(self, marker: int, wrong: Callable[[str, str], None]) -> None:
        allowed = {SOF_BASELINE} if self._syntax == JPEG_BASELINE else {SOF_BASELINE, SOF_EXTENDED}
        if marker not in allowed:
            process = _PROCESSES.get(marker, f"SOF{marker - 0xC0}")
            wrong("process", f"it is {process}, which its transfer syntax does not allow.")

    def _check_colour(self, found: ColourSpace, wrong: Callable[[str, str], None]) -> None:
        meant = _MEANS.get(self._label)
        if meant is None:
            wrong("label", f"{self._label or 'no Photometric Interpretation'} is no label of JPEG.")
        elif ColourSpace.GREY in (meant, found) and meant is not found:
            one, other = ("grey", "colour") if found is ColourSpace.GREY else ("colour", "grey")
            wrong("samples", f"it is {one}, the header says {other}.")
        elif meant is not found:
            wrong(
                "colour-label",
                f"its JPEG stream is {found}, Photometric Interpretation says {self._label}:"
                " receivers that believe the label show wrong colours.",
            )
