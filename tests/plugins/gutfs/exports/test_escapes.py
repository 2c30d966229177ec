"""Attempts to get out of an export: by paths, by links that are there, and by links that come while one looks."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.gutfs.local import NODE

from guthi import GuthiError
from guthi_gutfs.config import ExportTable
from guthi_gutfs.errors import PermissionDenied
from guthi_gutfs.exports import folders
from guthi_gutfs.exports.catalogue import Catalogue
from guthi_gutfs.exports.folders import DescriptorFolder, PathFolder, entered
from guthi_gutfs.exports.index import Index
from guthi_gutfs.exports.reading import opened_file
from guthi_gutfs.exports.refusals import refusals_of
from guthi_gutfs.exports.rules import Exports
from guthi_gutfs.exports.survey import look
from guthi_gutfs.exports.writing import Writer

SECRET = b"not exported"


@contextmanager
def a_place() -> Iterator[Path]:
    """A folder with an export in it, full of traps, and a secret beside it."""
    place = Path(tempfile.mkdtemp(prefix="gutfs-escape-"))
    try:
        data, outside = place / "data", place / "outside"
        (data / "in").mkdir(parents=True)
        outside.mkdir()
        (outside / "secret").write_bytes(SECRET)
        (data / "a").write_bytes(b"a")
        os.symlink(outside, data / "out")
        os.symlink(outside / "secret", data / "leak")
        os.symlink("../../outside", data / "in" / "up")
        os.symlink("/", data / "in" / "root")
        os.symlink("loop", data / "loop")
        yield place
    finally:
        shutil.rmtree(place)


@pytest.fixture(params=["descriptors", "paths"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of reaching files."""
    if request.param == "paths":
        monkeypatch.setattr(folders, "HAS_DESCRIPTORS", False)
    elif not folders.HAS_DESCRIPTORS:
        pytest.skip("this system has no descriptors of folders")
    return str(request.param)


def the_writer(data: Path) -> Writer:
    exports = Exports([ExportTable(data, "/d", writable=True)])
    catalogue = Catalogue(exports, Index(None, b"life"), NODE, "alice", lambda: 1.8e9, 1000)
    tokens = iter(range(10**6))
    writer = Writer(catalogue, lambda: str(next(tokens)))
    writer.recover(1.8e9)
    return writer


NAMES = st.sampled_from(
    ["in", "out", "up", "leak", "root", "loop", "secret", "a", "etc", "passwd", "..", ".", "", "new", "~", "\0"]
)
PATHS = st.lists(NAMES, max_size=6).map(lambda names: "/d/" + "/".join(names)) | st.text(max_size=20)
DEEDS: list[Callable[[Writer, str], object]] = [
    lambda writer, path: writer.write(path, b"x", "bob", None),
    lambda writer, path: writer.append(path, b"x", "bob"),
    lambda writer, path: writer.make_folder(path, "bob", True),
    lambda writer, path: writer.delete(path, "bob", True),
    lambda writer, path: writer.rename("/d/a", path, "bob", True),
    lambda writer, path: writer.rename(path, "/d/new", "bob", True),
]


def picture(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder."""
    return {str(each): each.read_bytes() if each.is_file() else None for each in sorted(folder.rglob("*"))}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(range(len(DEEDS))), PATHS), min_size=1, max_size=5))
def test_nothing_outside_is_changed_whatever_is_written(deeds: list[tuple[int, str]]) -> None:
    for has_descriptors in {folders.HAS_DESCRIPTORS, False}:
        with a_place() as place, pytest.MonkeyPatch.context() as patch:
            patch.setattr(folders, "HAS_DESCRIPTORS", has_descriptors)
            before, writer = picture(place / "outside"), the_writer(place / "data")
            for number, path in deeds:
                try:
                    DEEDS[number](writer, path)
                except GuthiError:
                    pass
            assert picture(place / "outside") == before


@settings(max_examples=80, deadline=None)
@given(PATHS)
def test_nothing_outside_is_read(path: str) -> None:
    for has_descriptors in {folders.HAS_DESCRIPTORS, False}:
        with a_place() as place, pytest.MonkeyPatch.context() as patch:
            patch.setattr(folders, "HAS_DESCRIPTORS", has_descriptors)
            catalogue = the_writer(place / "data").catalogue
            try:
                path, export, names = catalogue.place(path)
                seen = look(export, names, path)
                with opened_file(export, names, path) as descriptor:
                    assert os.read(descriptor, 100) in (b"a", b"")
                assert seen is not None
            except GuthiError:
                pass
            assert all(row.entry.size_bytes <= 1 for row in catalogue.index.below("/"))


def test_links_are_no_part_of_an_export(kind: str) -> None:
    with a_place() as place:
        writer = the_writer(place / "data")
        assert [row.entry.path for row in writer.catalogue.index.below("/")] == ["/d", "/d/a", "/d/in"]
        with pytest.raises(GuthiError):
            writer.write("/d/leak/x", b"x", "bob", None)
        with pytest.raises(PermissionDenied):
            writer.write("/d/leak", b"over the link", "bob", None)  # who does not see it shall not replace it either
        assert (place / "outside" / "secret").read_bytes() == SECRET
        assert (place / "data" / "leak").is_symlink()


def test_a_name_is_checked_at_the_last_gate_too(kind: str) -> None:
    with a_place() as place:
        export = Exports([ExportTable(place / "data", "/d", writable=True)]).all[0]
        with entered(export.folder, ()) as folder:
            assert isinstance(folder, DescriptorFolder if kind == "descriptors" else PathFolder)
            for name in ["..", ".", "", "in/../..", "a\0", "/etc"]:
                for deed in [folder.look, folder.enter, folder.remove, folder.make_folder, folder.remove_folder]:
                    with pytest.raises(GuthiError), refusals_of("/d"):
                        deed(name)  # type: ignore[operator]


@pytest.mark.skipif(not folders.HAS_DESCRIPTORS, reason="only descriptors close the race")
def test_a_link_that_comes_while_one_reads_leads_nowhere() -> None:
    """`in` is a folder with a file `secret` of the export's own, and time and again a link to the outside."""
    with a_place() as place:
        data = place / "data"
        (data / "in" / "secret").write_bytes(b"a")
        export = Exports([ExportTable(data, "/d")]).all[0]
        is_done = threading.Event()

        def swap() -> None:
            os.symlink(place / "outside", data / "trap")
            while not is_done.is_set():
                os.rename(data / "in", data / "aside")
                os.rename(data / "trap", data / "in")
                os.rename(data / "in", data / "trap")
                os.rename(data / "aside", data / "in")

        swapping = threading.Thread(target=swap)
        swapping.start()
        outcomes: dict[str, int] = {}
        try:
            for _ in range(4000):
                try:
                    with opened_file(export, ("in", "secret"), "/d/in/secret") as descriptor:
                        content = os.read(descriptor, 100)
                        assert content == b"a"
                        outcomes["read"] = outcomes.get("read", 0) + 1
                except GuthiError as error:
                    outcomes[type(error).__name__] = outcomes.get(type(error).__name__, 0) + 1
        finally:
            is_done.set()
            swapping.join()
        assert outcomes["read"] > 0 and len(outcomes) > 1, outcomes  # the race was run
