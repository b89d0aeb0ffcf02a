"""The summarise step: look at every frame once, choose, make the summary objects, record.

Safe to run again at any point: the same frames give the same choice, the same SOP Instance UIDs
and the same bytes.
"""

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as queries
from gateway.ledger.transitions import corrections, studies
from gateway.ledger.transitions.studies import ChosenFrame, DerivedInstance
from gateway.model import DerivedRole, StudyState
from gateway.settings import Settings
from workers import derived_files, landmarks
from workers.derived_files import Batch
from workers.dicom_objects import MadeInstance, Reference, SourceStudy
from workers.lease import Clock, StudyLease
from workers.observing import Observer
from workers.rejecting import make_notes
from workers.source_study import source_study
from workers.stored_recording import StoredRecording
from workers.summary import (
    contact_sheet,
    key_frame,
    key_objects,
    parts,
    preview,
    quality,
    report,
    timeline,
    transit,
)
from workers.summary.contact_sheet import Tile
from workers.summary.features import Features
from workers.summary.key_frame import KeyFrame
from workers.summary.report import Landmark
from workers.summary.selection import Selection, select

FEATURES_FILE = "features.npy"
"""Beside the derived instances of a study: one record per frame, see summary.features."""

TIMELINE_FILE = "timeline.json"
"""The same for readers: see summary.timeline, and what Study.summary holds."""

Chosen = Sequence[tuple[KeyFrame, Reference]]


def summarise(
    settings: Settings, ledger: Ledger, study_id: int, attempt: int, *, now: Clock
) -> None:
    """Choose a study's key frames, make the summary objects and record both, which makes the
    study ready, under the claim `attempt`.

    Every file is durable before anything is recorded. Raises StaleTransition when the claim is
    lost, and StorageError.
    """
    claim = (study_id, attempt)
    lease = StudyLease(ledger, claim, StudyState.SUMMARISING, lease_s=settings.lease_s, now=now)
    # 1. Gather.
    lease.renew()
    with ledger.reading() as session:
        study = queries.get(session, study_id)
        rows = [one for one in queries.derived(session, study_id) if one.role == DerivedRole.FRAMES]
        said = queries.landmarks(session, study_id)
    paths = [derived_files.path_of(settings, row.storage_key) for row in rows]
    source = source_study(settings, study)
    directory = settings.derived_dir / source.study_instance_uid
    derived_files.remove_drafts(directory)
    chosen: Chosen = ()
    marks: Sequence[Landmark] = ()
    promises: dict[str, Any] = {}
    with StoredRecording(paths) as recording, Batch(directory, lease.keep) as batch:
        made = _Output(source, batch)
        if recording.frame_count:
            # 2. Look and decide.
            features = Observer(recording, lease.keep).observe()
            quality.grade(features)
            elapsed_ms = parts.elapsed_ms(recording.parts)
            found = landmarks.find(recording, features, said)
            selection = select(
                features, elapsed_ms, budget=settings.key_frames, organs=transit.spans(found)
            )
            marks = landmarks.in_report(recording, found, elapsed_ms, said)
            promises = _promises(selection, marks)
            # 3. Make.
            made.keep(features, {**timeline.of(features, elapsed_ms), **promises})
            ranked = _ranked(recording, selection, elapsed_ms)
            chosen = made.summary(recording, selection, ranked, marks)
    # 4. Record what is durable now; what destinations hold that no longer holds is taken back.
    uids = {one.sop_instance_uid for one in made.instances}
    notes = make_notes(settings, ledger, study_id, uids, lease.keep)
    with ledger.transaction() as session:
        studies.holding(session, study_id, attempt, StudyState.SUMMARISING)
        corrections.record_notes(session, study_id, notes, now=now())
        studies.finish_summary(
            session,
            study_id,
            attempt,
            made.instances,
            [_row(*one) for one in chosen],
            landmarks=[landmarks.row(one) for one in marks],
            promises=promises,
            now=now(),
        )


def _ranked(
    recording: StoredRecording, selection: Selection, elapsed_ms: NDArray[np.int64]
) -> list[KeyFrame]:
    """Put the choices in time order: as recorded, and by the clock where there are several
    recordings, which ran at the same time."""
    choices = list(selection.choices)
    if recording.recording_count > 1:
        choices.sort(key=lambda choice: (int(elapsed_ms[choice.frame_index]), choice.frame_index))
    ranked = []
    for rank, choice in enumerate(choices, start=1):
        part, frame_number = recording.locate(choice.frame_index)
        ranked.append(
            KeyFrame(
                rank=rank,
                part=recording.parts[part],
                frame_number=frame_number,
                recording_frame_number=recording.recording_frame_number(choice.frame_index),
                elapsed_ms=int(elapsed_ms[choice.frame_index]),
                choice=choice,
            )
        )
    return ranked


class _Output:
    """Writes what is made; instances are to be recorded when the batch is durable."""

    def __init__(self, study: SourceStudy, batch: Batch) -> None:
        self._study, self._batch = study, batch
        self.instances: list[DerivedInstance] = []

    def keep(self, features: Features, strip: dict[str, Any]) -> None:
        """Keep what lies beside the instances: features and timeline."""
        buffer = BytesIO()
        np.save(buffer, features)
        self._batch.add(FEATURES_FILE, buffer.getbuffer())
        self._batch.add(TIMELINE_FILE, json.dumps(strip, separators=(",", ":")).encode())

    def summary(
        self,
        recording: StoredRecording,
        selection: Selection,
        ranked: Sequence[KeyFrame],
        marks: Sequence[Landmark],
    ) -> Chosen:
        """Make everything there is to show of the key frames; returns them with their images."""
        chosen: list[tuple[KeyFrame, Reference]] = []
        for one in ranked:
            fragment = recording.read(one.choice.frame_index)
            chosen.append((one, self._keep(key_frame.make(self._study, one, fragment), one)))
        sheets = contact_sheet.arrange(ranked)
        for number, positions in enumerate(sheets, start=1):
            tiles = [
                Tile(*chosen[one], recording.read(ranked[one].choice.frame_index))
                for one in positions
            ]
            title = contact_sheet.title(tiles, len(ranked), recording.frame_count)
            self._keep(contact_sheet.make(self._study, number, title, tiles))
        if chosen:
            self._documents(recording, selection, chosen, marks)
            shown = [ranked[one] for one in preview.arrange(ranked)]
            fragments = [recording.read(one.choice.frame_index) for one in shown]
            self._keep(preview.make(self._study, shown, fragments), frame_count=len(shown))
        return chosen

    def _documents(
        self,
        recording: StoredRecording,
        selection: Selection,
        chosen: Chosen,
        marks: Sequence[Landmark],
    ) -> None:
        count = recording.frame_count
        made = key_objects.make(self._study, selection, count, chosen)
        self._keep(made, frame_count=0)
        statement = key_objects.statement(selection, count, [one for one, _ in chosen])
        self._keep(report.make(self._study, marks, chosen, statement), frame_count=0)

    def _keep(
        self, made: MadeInstance, shown: KeyFrame | None = None, frame_count: int = 1
    ) -> Reference:
        reference = made.reference
        file_name = f"{reference.sop_instance_uid}.dcm"
        contents = made.contents
        if made.place.role == DerivedRole.CONTACT_SHEET:
            # Another version of OpenCV draws other bytes under the same UID: the first ones stay.
            contents = self._batch.already(file_name) or contents
        written = self._batch.add(file_name, contents)
        self.instances.append(
            DerivedInstance(
                role=DerivedRole(made.place.role),
                number=made.place.instance_number,
                series_instance_uid=reference.series_instance_uid,
                sop_class_uid=reference.sop_class_uid,
                sop_instance_uid=reference.sop_instance_uid,
                transfer_syntax_uid=made.transfer_syntax_uid,
                storage_key=derived_files.storage_key(self._study.study_instance_uid, file_name),
                size_bytes=written.size_bytes,
                frame_count=frame_count,
                digest=written.digest,
                first_frame_at=shown.acquired_at if shown is not None else "",
            )
        )
        return reference


def _promises(selection: Selection, marks: Sequence[Landmark]) -> dict[str, Any]:
    organs = [
        {
            "organ": str(one.organ),
            "first_frame": one.recording_frame_number,
            "elapsed_ms": one.elapsed_ms,
            "confidence": one.confidence,
            "edited_by": one.edited_by,
        }
        for one in marks
    ]
    took = {str(organ): duration for organ, duration in report.transit_ms(marks).items()}
    gap = selection.longest_gap_frames, selection.longest_gap_ms
    return timeline.promises(selection.bound_frames, gap, selection.usable_count, organs, took)


def _row(one: KeyFrame, reference: Reference) -> ChosenFrame:
    return ChosenFrame(
        rank=one.rank,
        sop_instance_uid=reference.sop_instance_uid,
        part_sop_instance_uid=one.part.reference.sop_instance_uid,
        frame_number=one.frame_number,
        recording_frame_number=one.recording_frame_number,
        elapsed_ms=one.elapsed_ms,
        reason=one.choice.reason,
        score=one.choice.score,
        neighbour_count=one.choice.neighbour_count,
    )
