"""The Stop button, without a page."""

from sample.web.stops import Stops


def test_stop_ends_the_texts_of_one_session_that_are_being_written():
    stops = Stops()
    with stops.writing("a") as first, stops.writing("a") as second, stops.writing("b") as other:
        stops.stop("a")
        assert (first.is_set(), second.is_set(), other.is_set()) == (True, True, False)
    with stops.writing("a") as later:
        assert not later.is_set()


def test_nothing_is_kept_of_texts_that_ended():
    stops = Stops()
    with stops.writing("a"):
        pass
    stops.stop("a")
    assert stops._writing == {}
