"""A synthetic capsule, its workstation, and a hospital PACS: for `demo`, tests, onboarding.

`synthetic_frames` draws a recording (storyline, mucosa, optics and overlays paint it),
`SyntheticStudy` makes DICOM instances of it, `send_study` sends them by C-STORE, and
`SimulatedPacs` is what receives the gateway's result. Nothing in it comes from a patient.
"""

from gateway.simulator.capsule import SyntheticFrame, synthetic_frames
from gateway.simulator.pacs import SimulatedPacs
from gateway.simulator.storyline import Storyline, plan
from gateway.simulator.study import SyntheticStudy, instance_bytes, part10_bytes
from gateway.simulator.workstation import SendInterrupted, SendReport, send_study

__all__ = [
    "SendInterrupted",
    "SendReport",
    "SimulatedPacs",
    "Storyline",
    "SyntheticFrame",
    "SyntheticStudy",
    "instance_bytes",
    "part10_bytes",
    "plan",
    "send_study",
    "synthetic_frames",
]
