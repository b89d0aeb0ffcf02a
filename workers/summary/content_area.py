"""Pure: which pixels of a frame show the patient.

Capsules image a round or octagonal field on black; recorders burn text into the corners.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from cv2.typing import MatLike

Image = MatLike
"""Shape (rows, columns, 3), uint8, BGR."""
Mask = MatLike
"""Shape (rows, columns), uint8; 255 where the pixel counts, else 0."""

SAMPLES_MAX = 48
"""Frames looked at. The field does not change during a recording; a few dozen show all of it."""
_LIT = 20  # of 255: outside the field JPEG noise stays below
_LIT_PERCENTILE = 70  # lit in 3 of 10 samples: passing text is not, the darkest lumen is
_AREA_MIN = 0.3  # of the frame; less is no field of view we know: then every pixel counts


def content_area(shape: tuple[int, int], samples: Iterable[Image]) -> Mask:
    """Find the field of view of reduced frames of one shape (rows, columns).

    samples: spread over the recording; those of another shape do not count.
    """
    stack = [sample.max(axis=2) for sample in samples if sample.shape[:2] == shape]
    if not stack:
        return np.full(shape, 255, np.uint8)
    lit = (np.percentile(stack, _LIT_PERCENTILE, axis=0) >= _LIT).astype(np.uint8)
    opened = cv2.morphologyEx(lit, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas) or areas.max() < _AREA_MIN * lit.size:
        return np.full(shape, 255, np.uint8)
    field = (labels == 1 + int(areas.argmax())).astype(np.uint8)
    # The lumen may be dark in every sample: what the outline encloses belongs to the field.
    outlines, _ = cv2.findContours(field, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(max(outlines, key=cv2.contourArea))
    filled = np.zeros(lit.shape, np.uint8)
    cv2.fillConvexPoly(filled, hull, 255)
    # The rim is blurred and reflects the light: one pixel of the reduced frame is left out. A
    # border value of 0 counts the outside of the frame as outside of the field.
    return cv2.erode(
        filled, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
