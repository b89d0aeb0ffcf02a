"""The summarise step: look at every frame once, choose, make the summary objects, record.

Safe to run again at any point: the same frames give the same choice, the same SOP Instance UIDs
and the same bytes.
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from gateway.ledger.engine import Ledger
from gateway.ledger.queries import studies as queries
from gateway.ledger.transitions import studies
from gateway.ledger.transitions.studies import ChosenFrame, DerivedInstance
from gateway.model import DerivedRole, StudyState
from gateway.settings import Settings
from workers import derived_files
from workers.derived_files import Batch
from workers.dicom_objects import MadeInstance, Reference, SourceStudy
from workers.lease import Clock, StudyLease
from workers.stored_recording import StoredRecording
from workers.summary import contact_sheet, key_frame, key_objects, parts, quality
from workers.summary.contact_sheet import Tile
from workers.summary.content_area import SAMPLES_MAX, content_area
from workers.summary.features import FEATURES, FeaturePass, Features, Reduction
from workers.summary.key_frame import KeyFrame
from workers.summary.selection import Selection, select

FEATURES_FILE = "features.npy"
"""Beside the derived instances of a study: one record per frame, see summary.features."""

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
    paths = [derived_files.path_of(settings, row.storage_key) for row in rows]
    source = SourceStudy(
        settings.tenant, study.study_instance_uid, study.received_at, study.attributes
    )
    directory = settings.derived_dir / source.study_instance_uid
    derived_files.remove_drafts(directory)
    chosen: Chosen = ()
    with StoredRecording(paths) as recording, Batch(directory, lease.keep) as batch:
        made = _Output(source, batch)
        if recording.frame_count:
            # 2. Look and decide.
            features = observe(recording, lease)
            elapsed_ms = parts.elapsed_ms(recording.parts)
            selection = select(features, elapsed_ms, budget=settings.key_frames)
            # 3. Make.
            made.keep_features(features)
            chosen = made.summary(recording, selection, _ranked(recording, selection, elapsed_ms))
    # 4. Record what is durable now.
    with ledger.transaction() as session:
        studies.finish_summary(
            session, study_id, attempt, made.instances, [_row(*one) for one in chosen], now=now()
        )


def observe(recording: StoredRecording, lease: StudyLease) -> Features:
    """Return the graded features of every frame; holds no more than one frame at a time."""
    features = np.zeros(recording.frame_count, FEATURES)
    passes: dict[tuple[int, int], FeaturePass] = {}
    for frame_index, (part, stream) in enumerate(recording.frames()):
        lease.keep()
        geometry = part.rows, part.columns
        if geometry not in passes:
            passes[geometry] = _feature_pass(recording, geometry)
        features[frame_index] = passes[geometry].observe(stream)
    quality.grade(features)
    return features


def _feature_pass(recording: StoredRecording, geometry: tuple[int, int]) -> FeaturePass:
    """Look at a few frames of a geometry, spread over the study, to find the field of view."""
    reduction = Reduction.of(*geometry)
    indices = recording.of_geometry(geometry)
    spread = indices[np.linspace(0, len(indices) - 1, SAMPLES_MAX).astype(np.int64)]
    samples = (reduction.decode(recording.read(int(one))) for one in np.unique(spread))
    area = content_area(reduction.shape, (one for one in samples if one is not None))
    return FeaturePass(reduction, area)


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

    def keep_features(self, features: Features) -> None:
        buffer = BytesIO()
        np.save(buffer, features)
        self._batch.add(FEATURES_FILE, buffer.getbuffer())

    def summary(
        self, recording: StoredRecording, selection: Selection, ranked: Sequence[KeyFrame]
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
            made = key_objects.make(self._study, selection, recording.frame_count, chosen)
            self._keep(made)
        return chosen

    def _keep(self, made: MadeInstance, shown: KeyFrame | None = None) -> Reference:
        reference = made.reference
        file_name = f"{reference.sop_instance_uid}.dcm"
        written = self._batch.add(file_name, made.contents)
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
                frame_count=0 if made.place.role == DerivedRole.KEY_OBJECTS else 1,
                digest=written.digest,
                first_frame_at=shown.acquired_at if shown is not None else "",
            )
        )
        return reference


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
