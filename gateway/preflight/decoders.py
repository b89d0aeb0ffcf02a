"""Pure: one JPEG frame seen by two decoders, one of which believes the label.

OpenCV does as libjpeg does by itself: it looks at the stream's own markers and overlooks what
the header says. DCMTK, GDCM and Orthanc believe Photometric Interpretation. The second decoder
here, imagecodecs with a libjpeg of its own, is told to do so, too. (pydicom corrects a wrong
label by the markers, and so hides the fault.)
"""

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

DIFFERENCE_MAX = 4.0
"""Mean absolute difference of all samples. Rounding makes 0.5; a wrong label 30 and more."""
GRID = 4
"""One pixel in so many, each way, is compared: colours are wrong everywhere or nowhere."""

Picture = NDArray[np.uint8]
"""Shape (rows, columns, 3), RGB, or (rows, columns)."""


def disagreement(stream: bytes, photometric_interpretation: str) -> str:
    """Say how the two decoders disagree about a frame; empty if they do not.

    stream: a JPEG stream of one or three components.
    """
    by_markers = _by_markers(stream)
    if by_markers is None:
        return "OpenCV (libjpeg) cannot decode it"
    try:
        by_label = _by_label(stream, photometric_interpretation)
    except imagecodecs.Jpeg8Error as error:
        return f"imagecodecs (libjpeg-turbo) cannot decode it: {error}"
    if by_markers.shape != by_label.shape:
        return f"one decoder makes {_size(by_markers)} of it, the other {_size(by_label)}"
    seen, labelled = by_markers[::GRID, ::GRID], by_label[::GRID, ::GRID]
    difference = np.abs(seen.astype(np.int16) - labelled.astype(np.int16))
    if difference.mean() <= DIFFERENCE_MAX:
        return ""
    by_pixel = difference.reshape(*difference.shape[:2], -1).sum(axis=2)
    row, column = (int(one) for one in np.unravel_index(by_pixel.argmax(), by_pixel.shape))
    return (
        f"a viewer that believes {photometric_interpretation} shows other colours than its JPEG"
        f" stream means: {_sample(labelled[row, column])} instead of {_sample(seen[row, column])}"
        f" at row {row * GRID}, column {column * GRID}"
    )


def _by_markers(stream: bytes) -> Picture | None:
    coded = np.frombuffer(stream, np.uint8)
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(coded, flags)
    except cv2.error:
        return None
    if picture is None or picture.dtype != np.uint8:
        return None
    colours = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return colours.astype(np.uint8, copy=False)


def _by_label(stream: bytes, photometric_interpretation: str) -> Picture:
    """Decode what the label says is coded. Raises imagecodecs.Jpeg8Error."""
    if photometric_interpretation.startswith("MONOCHROME"):
        coded = shown = "GRAYSCALE"
    else:
        coded = "YCBCR" if photometric_interpretation.startswith("YBR") else "RGB"
        shown = "RGB"
    picture: Picture = imagecodecs.jpeg8_decode(stream, colorspace=coded, outcolorspace=shown)
    return picture


def _size(picture: Picture) -> str:
    return "x".join(map(str, (picture.shape[1], picture.shape[0], *picture.shape[2:])))


def _sample(pixel: NDArray[np.generic]) -> str:
    return str(tuple(int(one) for one in np.atleast_1d(pixel)))
