"""Swap headers as bytes: both formats, every refusal, and agreement with the tools of util-linux and file."""

import shutil
import subprocess
from errno import EINVAL
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numa_sim.errors import SwapError
from numa_sim.kernel.swap_header import (
    MAX_BAD_PAGES,
    V1_MAX_PAGES,
    SwapHeader,
    decode,
    encode,
    for_area,
)

DATA = Path(__file__).parent.parent / "data" / "swap"
UUID = bytes.fromhex("0123456789abcdef0123456789abcdef")


def tool(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def refusal(page: bytes) -> SwapError:
    with pytest.raises(SwapError) as caught:
        decode(page)
    assert caught.value.code == EINVAL
    return caught.value


@given(st.integers(20, 40_000), st.sampled_from([1, 2]), st.sets(st.integers(1, 9), max_size=8))
def test_what_is_written_is_read_again(pages: int, version: int, bad: set[int]) -> None:
    header = for_area(pages, version, bad)
    page = encode(header)
    assert len(page) == 4096
    assert decode(page) == header
    assert header.usable + len(header.bad) + 1 == header.slots <= pages


@pytest.mark.row("S2-18", "S3-144", "S3-145")
def test_version_1_is_a_bitmap_of_at_most_32687_pages() -> None:
    header = for_area(100_000, 1)
    assert header.slots == V1_MAX_PAGES == 32688
    assert header.usable == 32687
    page = encode(for_area(20, 1, bad=[5]))
    assert page[:3] == bytes([0b11011110, 0b11111111, 0b00001111])  # bit 0 is the header, bit 5 is bad
    assert page[-10:] == b"SWAP-SPACE"


def test_version_1_ends_with_its_last_usable_page() -> None:
    assert for_area(20, 1, bad=[19, 18, 3]) == SwapHeader(1, 18, (3,))


@pytest.mark.row("S3-144", "S3-146")
def test_version_2_has_its_fields_where_linux_has_them() -> None:
    page = encode(for_area(100, 2, bad=[7, 9], label="numa", uuid=UUID))
    assert page[:1024] == bytes(1024)
    assert page[1024:1036].hex() == "010000006300000002000000"
    assert page[1036:1052] == UUID
    assert page[1536:1544].hex() == "0700000009000000"
    assert page[-10:] == b"SWAPSPACE2"


@pytest.mark.row("S3-146")
def test_more_than_637_bad_pages_are_refused() -> None:
    assert decode(encode(for_area(1000, 2, range(1, MAX_BAD_PAGES + 1)))).usable == 999 - 1 - 637
    with pytest.raises(SwapError, match="638 bad pages"):
        for_area(1000, 2, range(1, MAX_BAD_PAGES + 2))
    page = bytearray(encode(for_area(1000, 2)))
    page[1032:1036] = (638).to_bytes(4, "little")
    assert "638 bad pages" in str(refusal(bytes(page)))


@pytest.mark.row("S3-144")
def test_what_is_no_swap_area_is_refused() -> None:
    good = encode(for_area(100))
    assert "signature" in str(refusal(bytes(4096)))
    assert "version 2" in str(refusal(good[:1024] + b"\2" + good[1025:]))
    assert "outside 1..98" in str(refusal(encode(SwapHeader(2, 99, (99,)))))
    assert "usable" in str(refusal(encode(SwapHeader(2, 1))))
    assert "usable" in str(refusal(bytes(4086) + b"SWAP-SPACE"))


@pytest.mark.parametrize(("pages", "version", "bad"), [(9, 2, []), (10, 3, []), (10, 2, [10]), (10, 2, range(1, 10))])
def test_mkswap_refuses_what_cannot_be_an_area(pages: int, version: int, bad: list[int]) -> None:
    with pytest.raises(SwapError):
        for_area(pages, version, bad)


def test_a_header_made_by_mkswap_is_kept_with_the_tests() -> None:
    assert decode((DATA / "mkswap-100-pages.bin").read_bytes()) == SwapHeader(2, 99, (), "numa", UUID)


def test_a_real_mkswap_is_understood(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    image.write_bytes(bytes(300 * 4096))
    image.chmod(0o600)
    said(tool("mkswap"), "-p", "4096", "-L", "real", "-U", "01234567-89ab-cdef-0123-456789abcdef", str(image))
    page = image.read_bytes()[:4096]
    assert decode(page) == for_area(300, label="real", uuid=UUID)
    assert encode(decode(page)) == page


def test_real_tools_understand_ours(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    image.write_bytes(encode(for_area(300, 2, bad=[5], label="ours", uuid=UUID)) + bytes(299 * 4096))
    described = said(tool("file"), "-b", str(image))
    assert "4k page size" in described
    assert "size 299 pages, 1 bad pages" in described
    labels = said(tool("swaplabel"), str(image))
    assert "ours" in labels
    assert "01234567-89ab-cdef-0123-456789abcdef" in labels


def test_file_knows_the_old_format_too(tmp_path: Path) -> None:
    image = tmp_path / "swap"
    image.write_bytes(encode(for_area(300, 1)) + bytes(299 * 4096))
    assert "swap" in said(tool("file"), "-b", str(image)).lower()
