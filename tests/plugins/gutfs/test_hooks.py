"""The hooks of the plugin: what has changed here, and what two writes that knew not of each other have made."""

from __future__ import annotations

from pathlib import Path

import guthi
from guthi_gutfs import GUTFS, Change, ChangeKind


class Hearing(guthi.Plugin):
    """Hears of files."""

    name = "hearing"

    def __init__(self, node: guthi.Node, config: object) -> None:
        super().__init__(node, config)
        self.changes: list[tuple[ChangeKind, str]] = []
        self.conflicts: list[tuple[str, str]] = []

    @guthi.hookimpl
    def file_changed(self, change: Change, owner: guthi.NodeId) -> None:
        assert owner == self.node.id
        self.changes.append((change.kind, change.entry.path))

    @guthi.hookimpl
    def file_conflict(self, path: str, copy: str, owner: guthi.NodeId) -> None:
        assert owner == self.node.id
        self.conflicts.append((path, copy))


async def test_the_hooks_are_called(tmp_path: Path) -> None:
    table = {"exports": [f"{tmp_path}:/d:rw"], "tracking": "off"}
    config = guthi.Config.from_mapping({"node": {"plugins": ["gutfs"]}, "plugins": {"gutfs": table}}, environment={})
    async with guthi.Node(config, plugins=[Hearing]) as node:
        fs = node.require(GUTFS)
        heard = next(each for each in node.plugins if isinstance(each, Hearing))
        base = (await fs.write("/d/a", b"one")).entry.version
        assert heard.changes == [(ChangeKind.CREATED, "/d/a")] and heard.conflicts == []
        await fs.write("/d/a", b"two", base=base)
        copy = (await fs.write("/d/a", b"three", base=base)).conflict
        assert copy is not None
        assert heard.changes[1:] == [(ChangeKind.CHANGED, "/d/a"), (ChangeKind.CREATED, copy.path)]
        assert heard.conflicts == [("/d/a", copy.path)]
        (tmp_path / "b").touch()
        await fs.delete("/d/a")
        assert heard.changes[3:] == [(ChangeKind.DELETED, "/d/a")]
        await fs.list("/d")
        assert heard.changes[4:] == [(ChangeKind.CREATED, "/d/b")]
