"""What the configuration exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from guthi import Config, ConfigError
from guthi_gutfs import GutfsPlugin
from guthi_gutfs.config import ExportTable
from guthi_gutfs.errors import NotFound
from guthi_gutfs.exports.rules import Export, Exports


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("ending", "at", "is_writable", "is_sync"),
    [
        ("", "/data", False, False),
        (":/photos", "/photos", False, False),
        (":/photos:ro", "/photos", False, False),
        (":/photos:rw", "/photos", True, False),
        (":/photos:sync", "/photos", True, True),
        (":/", "/", False, False),
        (":", "/", False, False),
        (":/a/b:rw,sync", "/a/b", True, True),
    ],
)
def test_the_short_form(data: Path, ending: str, at: str, is_writable: bool, is_sync: bool) -> None:
    export = Export.read(Path(f"{data}{ending}"))
    assert (export.at, export.is_writable, export.is_sync) == (at, is_writable, is_sync)
    assert export.folder == data.resolve()


@pytest.mark.parametrize("ending", [":/photos:rx", ":/a:b:c", "/missing:/a", ":/../a"])
def test_what_is_no_export_is_refused_with_the_mend(data: Path, ending: str) -> None:
    with pytest.raises(ConfigError, match=r"write FOLDER:PATH|no such folder|cannot be exported"):
        Export.read(Path(f"{data}{ending}"))


def test_paths_are_relative_to_the_file_that_names_them(data: Path) -> None:
    file = data.parent / "node.toml"
    file.write_text(
        '[node]\nplugins = ["gutfs"]\n[plugins.gutfs]\n'
        'exports = ["./data:/photos:rw", { folder = "data", at = "b", quota = "1 MB" }]'
    )
    config = Config.from_toml(file, environment={}).plugin_config("gutfs", GutfsPlugin.Config)
    first, second = (Export.read(each) for each in config.exports)
    assert (first.folder, first.at, first.is_writable) == (data, "/photos", True)
    assert (second.folder, second.at, second.quota_bytes) == (data, "/b", 10**6)


def test_exports_have_no_path_in_common(data: Path) -> None:
    (data / "in").mkdir()
    with pytest.raises(ConfigError, match="in common"):
        Exports([ExportTable(data, "/a"), ExportTable(data / "in", "/a/b")])
    Exports([ExportTable(data, "/a"), ExportTable(data / "in", "/ab")])


def test_the_key_of_the_node_is_not_exported(data: Path) -> None:
    with pytest.raises(ConfigError, match="its key"):
        Exports([ExportTable(data, "/a")], data / "in" / "node")
    Exports([ExportTable(data, "/a")], data.parent / "node")


def test_folders_above_exports(data: Path) -> None:
    exports = Exports([ExportTable(data, "/a/b/c"), ExportTable(data, "/a/d")])
    assert exports.is_above("/") and exports.is_above("/a") and not exports.is_above("/a/d")
    assert exports.next_below("/") == ["/a"] and exports.next_below("/a") == ["/a/b", "/a/d"]
    assert exports.of("/a/d/x").at == "/a/d"
    with pytest.raises(NotFound, match="/a/b/c, /a/d"):
        exports.of("/a/e")
    assert Exports([]).is_above("/") and Exports([]).next_below("/") == []


def test_a_place_on_the_disk_has_a_path(data: Path) -> None:
    export = Export.read(ExportTable(data, "/a/b"))
    assert export.path_of(str(data / "x" / "y")) == "/a/b/x/y"
    assert export.path_of(str(data)) == "/a/b"
    assert export.path_of(str(data.parent)) is None
    assert export.path_of(str(data / ".gutfs-draft")) is None
    assert Export.read(ExportTable(data, "/")).path_of(str(data / "x")) == "/x"
