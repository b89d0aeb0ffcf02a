"""What the database leaves out, matching would have left out, too."""

import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from gateway.holdings.headers import Headers
from gateway.holdings.identifier import Identifier
from gateway.holdings.keys import Level
from gateway.holdings.query import Query, narrowing_of
from gateway.ledger import migrate
from gateway.ledger.engine import Ledger
from gateway.ledger.queries import narrowing
from gateway.ledger.queries import studies as queries
from gateway.ledger.schema import Study
from gateway.ledger.transitions import moves
from gateway.model import StudyState
from gateway.settings import Settings
from tests import ledgers
from tests.kept_studies import clock

NAMES = ("Wang^Xiao=王^小东", "wang^XIAO", "Müller^Jo", "Muller", "王小东", "", "100%_^a", "A'b\\c")
DATES = ("20240101", "20240102", "20231231", "", "unknown")
PATIENTS = ("P1", "p1", "P_1", "P%1", "")


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    chosen = Settings(home=tmp_path_factory.mktemp("ledger"), query_received=True)
    ledger = ledgers.in_home(chosen.home)
    with ledger.transaction() as session:
        for number, name in enumerate(NAMES):
            for day in DATES:
                for patient in PATIENTS:
                    session.add(
                        study(f"1.{number}.{abs(hash((day, patient)))}", name, day, patient)
                    )
    return chosen, ledger


def study(uid: str, name: str, day: str, patient: str) -> Study:
    return Study(
        study_instance_uid=uid, state=StudyState.READY, patient_name=name, study_date=day,
        patient_id=patient, received_at=clock(), last_received_at=clock(),
        state_changed_at=clock(), attributes={"00200010": {"vr": "SH", "Value": [patient]}},
    )  # fmt: skip


KEYS = st.fixed_dictionaries(
    {
        "PatientName": st.one_of(
            st.sampled_from(["WANG*", "王*", "*东", "muller*", "=王小东", "Wang^Xiao=*", "*_^a"]),
            st.text("Wangmü王小东*?=^%_", max_size=5),
        ),
        "StudyDate": st.sampled_from(["", "20240101", "20240101-", "-20231231", "2024", "x"]),
        "PatientID": st.sampled_from(["", "P1", "P?1", "P*", "P_1", "*1", "P%1", "P1\\p1"]),
        "StudyID": st.sampled_from(["", "P1", "p*"]),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(KEYS)
def test_narrowing_loses_no_match(held, asked):
    chosen, ledger = held
    identifier = Identifier(Level.STUDY, asked)
    query = Query(chosen, ledger, Headers(chosen.home), identifier)
    with ledger.reading() as session:
        every = narrowing.study_ids(session, narrowing.Narrowing(), received=True)
        narrowed = narrowing.study_ids(session, narrowing_of(identifier), received=True)
    matching = {one.held.id for one in query._studies(every) if query._fits(one.value)}
    assert matching <= set(narrowed)


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"PatientID": "P1"}, "ix_study_patient_id"),
        ({"AccessionNumber": "A1"}, "ix_study_accession_number"),
        ({"StudyID": "1"}, "study_identifier"),
        ({"PatientName": "Wang*"}, "study_name_alphabetic"),
        ({"PatientName": "王*"}, "study_name_ideographic"),
        ({"StudyDate": "20240101-20240102"}, "study_date_time"),
        ({"StudyInstanceUID": "1.2"}, "study_delivered_uid"),
    ],
)
def test_indexed_keys_are_answered_by_their_index(held, asked, index):
    _, ledger = held
    statements = []

    def note(_connection, _cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        with ledger.reading() as session:
            wanted = narrowing_of(Identifier(Level.STUDY, asked))
            narrowing.study_ids(session, wanted, received=False)
    finally:
        event.remove(ledger.engine, "before_cursor_execute", note)
    with ledger.engine.connect() as connection:
        statement, parameters = statements[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
    words = "\n".join(str(row) for row in plan)
    assert index in words
    assert "SCAN study" not in words


def test_the_search_keys_follow_a_corrected_name(held):
    _, ledger = held
    with ledger.transaction() as session:
        row = session.query(Study).first()
        moves.move_study(
            session, row, StudyState.SETTLING, "corrected", now=clock(),
            values={"patient_name": "Nowak^Ann"},
        )  # fmt: skip
        assert row.name_alphabetic == "nowak^ann"
        row.patient_name = "Kowalski"
    with ledger.reading() as session:
        assert queries.get(session, row.id).name_alphabetic == "kowalski"


def test_studies_from_before_get_their_search_keys(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    migrate.upgrade(ledger)
    config = migrate._config()
    with ledger.transaction() as session:
        session.add(study("1.2", "Müller^Jo", "20240101", "P1"))
    with ledger.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0004")
    migrate.upgrade(ledger)
    with ledger.reading() as session:
        row = session.execute(text("SELECT name_alphabetic, study_identifier FROM study")).one()
    assert tuple(row) == ("muller^jo", "P1")
