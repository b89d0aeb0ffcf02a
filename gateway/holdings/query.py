"""Answering a query: which studies may match, what matches, one match after the other.

The database narrows (gateway.ledger.queries.narrowing), matching decides. No session is open
while a match is out of our hands: the requestor may take its time.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from gateway.dicom import matching, names, ranges
from gateway.holdings import keys, originals
from gateway.holdings.headers import Headers, Place
from gateway.holdings.identifier import Identifier
from gateway.holdings.keys import Level
from gateway.holdings.records import (
    DerivedRecord,
    SeriesRecord,
    StudyRecord,
    place_of,
)
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import holdings
from gateway.ledger.queries import narrowing as narrow
from gateway.ledger.queries.holdings import HeldSeries
from gateway.ledger.queries.narrowing import Narrowing
from gateway.settings import Settings

PAGE = 100
"""Studies looked at with one question."""
Value = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Query:
    """combined: whether combined date-time matching was negotiated."""

    settings: Settings
    ledger: Ledger
    headers: Headers
    identifier: Identifier
    combined: bool = False

    def matches(self) -> Iterator[Value]:
        """Yield the attributes of each match, by keyword; the latest studies first."""
        received = bool(self.identifier.values("SeriesInstanceUID")) or self._lists_received
        with self.ledger.reading() as session:
            ids = iter(narrow.study_ids(session, narrowing_of(self.identifier), received=received))
        patients: set[str] = set()
        while page := list(islice(ids, PAGE)):
            for study in self._studies(page):
                if self.identifier.level is Level.PATIENT:
                    if study.held.patient_id not in patients and self._fits(study.value):
                        patients.add(study.held.patient_id)
                        yield self._patient(study)
                elif self._fits(study.value):
                    yield from self._within(study)

    @property
    def _lists_received(self) -> bool:
        return self.settings.query_received and self.identifier.level >= Level.SERIES

    def _studies(self, page: Sequence[int]) -> list[StudyRecord]:
        with self.ledger.reading() as session:
            held = holdings.studies(session, page)
            counted = holdings.summaries(session, page) if self._is_counted() else {}
        return [StudyRecord(one, counted.get(one.id, holdings.NOTHING)) for one in held]

    def _is_counted(self) -> bool:
        asked = {"ModalitiesInStudy", "SOPClassesInStudy"} & set(self.identifier.keys)
        return bool(asked) or any("StudyRelated" in one for one in self.identifier.keys)

    def _within(self, study: StudyRecord) -> Iterator[Value]:
        """Yield what matches of one study, which does."""
        if self.identifier.level is Level.STUDY:
            yield study.value
            return
        for series in self._series(study):
            value = _either(series.value, study.value)
            if not self._fits(value, Level.SERIES):
                continue
            if self.identifier.level is Level.SERIES:
                yield value
                continue
            for instance in self._instances(study, series):
                whole = _either(instance, value)
                if self._fits(whole, Level.IMAGE):
                    yield whole

    def _series(self, study: StudyRecord) -> list[SeriesRecord]:
        """Return the series of a study: derived ones, and received ones that are named.

        A received Series that holds instances we deliver as they came is the whole of it when
        it is named.
        """
        ids = [study.held.id]
        named = set(self.identifier.values("SeriesInstanceUID"))
        with self.ledger.reading() as session:
            found = holdings.derived_series(session, ids)
            received = holdings.received_series(session, ids)
        shown = [
            one for one in received if self._lists_received or one.series_instance_uid in named
        ]
        whole = {one.series_instance_uid for one in shown}
        found = [one for one in found if one.series_instance_uid not in whole]
        return [self._series_record(one) for one in (*found, *shown)]

    def _series_record(self, held: HeldSeries) -> SeriesRecord:
        place = place_of(held.sample) if held.sample is not None else self._first_received(held)
        return SeriesRecord(held, place, self.headers)

    def _first_received(self, held: HeldSeries) -> Place | None:
        with self.ledger.reading() as session:
            packs = holdings.pack_keys(session, held.study_id, [held.series_instance_uid])
        for pack in packs[:1]:
            for _, place, _ in originals.ReceivedMembers(self.settings.home, pack).each():
                return place
        return None

    def _instances(self, study: StudyRecord, series: SeriesRecord) -> Iterator[Value]:
        study_id, uid = study.held.id, series.held.series_instance_uid
        if not series.held.received:
            with self.ledger.reading() as session:
                rows = holdings.derived(session, study_id, [uid])
            for row in rows:
                yield DerivedRecord(row, self.headers).value
            return
        with self.ledger.reading() as session:
            packs = holdings.pack_keys(session, study_id, [uid])
        wanted = self.identifier.values("SOPInstanceUID") or None
        for pack in originals.members(self.settings.home, packs, wanted):
            for record in pack.records(self.headers):
                yield record.value

    def _patient(self, study: StudyRecord) -> Value:
        if not any("PatientRelated" in one for one in self.identifier.keys):
            return study.value
        same = Narrowing(texts={"PatientID": (study.held.patient_id,)})
        with self.ledger.reading() as session:
            ids = narrow.study_ids(session, same, received=False)
            counted = holdings.summaries(session, ids).values()
        counts = {
            "NumberOfPatientRelatedStudies": [str(len(counted))],
            "NumberOfPatientRelatedSeries": [str(sum(one.series_count for one in counted))],
            "NumberOfPatientRelatedInstances": [str(sum(one.instance_count for one in counted))],
        }
        return lambda keyword: counts.get(keyword) or study.value(keyword)

    def _fits(self, value: Value, only: Level | None = None) -> bool:
        """Tell whether an entity matches the keys of its level; of a study, the patient's, too."""
        levels = (Level.PATIENT, Level.STUDY) if only is None else (only,)
        asked = {
            keyword: text for keyword, text in self._matched.items()
            if keys.BY_KEYWORD[keyword].level in levels
        }  # fmt: skip
        for date, time in keys.PAIRS if self.combined else ():
            if date in asked and time in asked:
                moment = asked.pop(date), asked.pop(time)
                if not matching.matches_moment(*moment, value(date), value(time)):
                    return False
        return all(
            matching.matches(keys.BY_KEYWORD[keyword].vr, text, value(keyword))
            for keyword, text in asked.items()
        )

    @functools.cached_property
    def _matched(self) -> dict[str, str]:
        """The keys that do not match everything."""
        return {
            keyword: text
            for keyword, text in self.identifier.keys.items()
            for key in (keys.BY_KEYWORD[keyword],)
            if not key.counted and not matching.is_universal(key.vr, text)
        }


def narrowing_of(identifier: Identifier) -> Narrowing:
    """Return conditions every match of a query fulfils."""
    texts = {
        keyword: values
        for keyword in sorted(narrow.NARROWED_TEXTS)
        if (values := identifier.values(keyword)) and not _is_range(keyword, values)
    }
    dates = [
        (span.first, span.last)
        for one in identifier.values("StudyDate")[:2]
        if (span := ranges.key_span("DA", one))
    ]
    return Narrowing(
        texts=texts,
        names=_names(identifier),
        dates=dates[0] if len(dates) == len(identifier.values("StudyDate")) == 1 else None,
        study_instance_uids=identifier.values("StudyInstanceUID"),
        series_instance_uids=identifier.values("SeriesInstanceUID"),
    )


def _names(identifier: Identifier) -> tuple[str, ...]:
    """Return the keys for a name as its groups are searched by; none if one could be any name."""
    found = []
    for one in identifier.values("PatientName"):
        groups = names.groups(one) if "=" in one else (names.fold_group(one),)
        telling = [group for group in groups if group.strip("*")]
        if not telling:
            return ()
        found.append(telling[0])
    return tuple(found)


def _is_range(keyword: str, values: Sequence[str]) -> bool:
    return keys.BY_KEYWORD[keyword].vr == "DA" and not all(
        len(one) == 8 and one.isdigit() for one in values
    )


def _either(first: Value, second: Value) -> Value:
    return lambda keyword: first(keyword) or second(keyword)
