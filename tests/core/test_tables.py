"""Tables as files: what is read back is what was written, in every kind alike."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from fssd_core.errors import InputError
from fssd_core.tables import KINDS, table_bytes

COLUMNS = {
    "data": ["a,b", 'say "c"', "<ä>", "line\nbreak"],
    "row": np.array([3, 1, 2, 2**40]),
    "score": np.array([0.1 + 0.2, -1e-300, np.nan, np.inf]),
    "accepted": np.array([True, False, False, True]),
}


def from_csv(raw: bytes) -> dict[str, list[str]]:
    head, *rows = csv.reader(io.StringIO(raw.decode(), newline=""))
    return {name: list(values) for name, values in zip(head, zip(*rows, strict=True), strict=True)}


def test_csv_and_parquet_hold_the_same_to_the_last_digit():
    parquet = pytest.importorskip("pyarrow.parquet")
    text = from_csv(table_bytes(".csv", COLUMNS))
    table = parquet.read_table(io.BytesIO(table_bytes(".parquet", COLUMNS)))
    assert table.column_names == list(text) == list(COLUMNS)
    found = table.to_pydict()
    assert text["data"] == found["data"] == COLUMNS["data"]
    assert [int(v) for v in text["row"]] == found["row"] == COLUMNS["row"].tolist()
    np.testing.assert_array_equal([float(v) for v in text["score"]], found["score"])
    np.testing.assert_array_equal(found["score"], COLUMNS["score"])
    assert [v == "True" for v in text["accepted"]] == found["accepted"] == COLUMNS["accepted"].tolist()


def test_npz_holds_the_same_too():
    with np.load(io.BytesIO(table_bytes(".npz", COLUMNS)), allow_pickle=False) as file:
        for name, values in COLUMNS.items():
            np.testing.assert_array_equal(file[name], np.asarray(values))


def test_the_same_columns_give_the_same_csv():
    assert table_bytes(".csv", COLUMNS) == table_bytes(".csv", {n: list(v) for n, v in COLUMNS.items()})


def test_bad_tables_say_what_is_wrong():
    with pytest.raises(InputError, match=r"no kind of table '.xlsx'"):
        table_bytes(".xlsx", COLUMNS)
    for kind in KINDS:
        with pytest.raises(InputError, match=r"lengths \[1, 2\]"):
            table_bytes(kind, {"a": [1], "b": [1, 2]})
