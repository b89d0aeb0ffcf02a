"""As many associations at once as there may be, never one more, in the order they asked."""

from gateway.scp.places import PATIENCE_S, Places, Who

A1, A2, B1, B2 = Who(1, 10), Who(1, 11), Who(2, 20), Who(2, 21)


def test_places_are_given_in_the_order_they_were_asked_for():
    places = Places(2)
    for who in (B1, A1, A2):
        places.ask(who, 0)
    assert places.decide(0) == [(B1, True), (A1, True)]
    assert places.taken_count == 2


def test_who_finds_no_place_waits_a_moment_and_is_then_refused():
    places = Places(1)
    places.ask(A1, 0)
    places.ask(B1, 0)
    assert places.decide(0) == [(A1, True)]
    assert places.is_anybody_waiting
    assert places.decide(PATIENCE_S - 0.01) == []
    assert places.decide(PATIENCE_S) == [(B1, False)]
    assert not places.is_anybody_waiting


def test_who_waits_gets_the_place_that_comes_free():
    places = Places(1)
    places.ask(A1, 0)
    places.ask(B1, 0)
    places.decide(0)
    places.give_back(A1)
    assert places.decide(0.1) == [(B1, True)]


def test_who_is_gone_before_the_answer_takes_no_place():
    places = Places(1)
    places.ask(A1, 0)
    places.give_back(A1)
    places.ask(B1, 0)
    assert places.decide(0) == [(B1, True)]


def test_giving_back_twice_gives_one_place():
    places = Places(1)
    places.ask(A1, 0)
    places.decide(0)
    places.give_back(A1)
    places.give_back(A1)
    for who in (B1, B2):
        places.ask(who, 0)
    assert places.decide(0) == [(B1, True)]


def test_with_a_process_all_its_places_come_back_and_no_others():
    places = Places(3)
    for who in (A1, B1, A2):
        places.ask(who, 0)
    places.decide(0)
    places.ask(B2, 0)
    places.give_back_all(1)
    assert places.taken_count == 1
    assert places.decide(0) == [(B2, True)]
