"""Pure: the private block of our multi-frame instances: where each of their frames came from.

Only value representations that old readers know: OV and UV make widespread viewers reject the
whole file.
"""

GROUP, CREATOR = 0x0029, "CAPSGW 1.0"

SOURCE_NAMES = 0x01
"""UT: a line for each frame, its source SOP Instance UID; of a multi-frame instance also, behind
a space, the number of the frame in it."""
ELAPSED_US = 0x02
"""OB: unsigned 64-bit little-endian microseconds since the recording's first frame; absent where
the times are estimated."""
LEGEND = 0x03
"""LO: what the others are."""
DIGESTS = 0x04
"""OB: the SHA-256 of each fragment, 32 bytes a frame."""
TREATMENTS = 0x05
"""OB: gateway.model.FrameTreatment of each frame; absent if nothing was done to any."""

LEGEND_TEXT = (
    "01 source SOP Instance UIDs, behind a space the frame in it",
    "02 uint64 LE us since first frame",
    "03 this text",
    "04 SHA-256 of each fragment",
    "05 what was done to each frame, 0: nothing",
)
"""Each value within 64 characters."""
