"""The coverage page claims exactly what marked tests show."""

import coverage_rows


def test_every_mark_names_a_row():
    unknown = set(coverage_rows.shown()) - set(coverage_rows.rows())
    assert not unknown, f"no such rows: {sorted(unknown)}"


def test_the_page_claims_what_tests_show():
    assert coverage_rows.PAGE.read_text() == coverage_rows.render(), "run `make coverage`"


def test_a_test_that_never_runs_shows_nothing():
    source = """
import pytest

@pytest.mark.row("S0-01", "S0-02")
def test_runs(): ...

@pytest.mark.skip
@pytest.mark.row("S0-03")
def test_rests(): ...

@pytest.mark.row("S0-04")
def helper(): ...

@pytest.mark.row("S0-05")
class TestGroup:
    @pytest.mark.xfail
    def test_fails(self): ...
    def test_works(self): ...
"""
    assert coverage_rows.marks_of(source) == [
        ("test_runs", "S0-01"),
        ("test_runs", "S0-02"),
        ("TestGroup::test_works", "S0-05"),
    ]


def test_a_module_mark_holds_for_all_its_tests():
    source = "import pytest\npytestmark = [pytest.mark.row('S1-01')]\ndef test_a(): ...\ndef test_b(): ...\n"
    assert coverage_rows.marks_of(source) == [("test_a", "S1-01"), ("test_b", "S1-01")]
