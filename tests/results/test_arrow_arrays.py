"""Arrow arrays from buffers are those pyarrow makes itself, without importing pandas."""

import subprocess
import sys

import pytest

from numa_sim.results.arrow_arrays import arrow_array, arrow_type


@pytest.mark.parametrize("values", [[], [None], ["one", None, "", "zwölf"], ["a"] * 20])
@pytest.mark.parametrize("kind", ["text"])
def test_texts(kind, values):
    check(kind, values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", [1, None, -(1 << 63), (1 << 63) - 1]),
        ("int", list(range(17))),
        ("float", [1, 2.5, None, float("inf")]),
        ("bool", [True, None, False] * 6),
        ("bool", []),
    ],
)
def test_numbers(kind, values):
    check(kind, values)


def check(kind, values):
    import pyarrow as pa

    array = arrow_array(kind, values)
    array.validate(full=True)
    assert array.equals(pa.array(values, arrow_type(kind)))
    assert array.null_count == values.count(None)


def test_tables_are_made_and_read_without_pandas():
    code = (
        "import sys\n"
        "from numa_sim.results.arrow_arrays import arrow_array\n"
        "from numa_sim.results.tables import parquet_bytes, read_parquet\n"
        "import pyarrow as pa\n"
        "table = pa.Table.from_arrays([arrow_array('text', ['a', None]), arrow_array('int', [1, None])], ['t', 'i'])\n"
        "assert read_parquet(parquet_bytes(table)).equals(table)\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)
