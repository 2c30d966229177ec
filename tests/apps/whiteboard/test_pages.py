"""What a real node answers to pages over their websockets: right ones, wrong ones, and such as come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from tests.apps.whiteboard.drawing import ANNE, BEN, a_line

import guthi
from guthi_web import WEB
from guthi_whiteboard import endpoint

PATIENCE_S = 30.0


def config(folder: Path, **whiteboard: Any) -> guthi.Config:
    boards = folder / "boards"
    boards.mkdir(exist_ok=True)
    plugins = {"gutfs": {"exports": [f"{boards}:/whiteboards:sync"], "tracking": "off"}, "whiteboard": whiteboard}
    node = {"name": "alice", "plugins": ["web", "gutfs", "whiteboard"]}
    return guthi.Config.from_mapping({"node": node, "plugins": plugins}, environment={})


@pytest.fixture
async def alice(tmp_path: Path) -> AsyncIterator[guthi.Node]:
    async with guthi.Node(config(tmp_path, most_objects=50)) as node:
        yield node


class Page:
    """A page at its websocket, without a browser."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.drawn: list[Any] = []
        self.number = 0

    async def say(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def told(self, what: str) -> dict[str, Any]:
        """The next message of a kind; what is drawn meanwhile is kept."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message: dict[str, Any] = json.loads(await self.socket.recv())
                self.drawn += message.get("drawn", [])
                self.number = message.get("number", self.number)
                if what in message:
                    return message

    async def end(self) -> tuple[int, str]:
        """Why the node has closed it."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    await self.socket.recv()
            except websockets.ConnectionClosed as closed:
                assert closed.rcvd is not None
                return closed.rcvd.code, closed.rcvd.reason


@asynccontextmanager
async def a_page(node: guthi.Node, board: str = "plans", hello: Any = None) -> AsyncIterator[Page]:
    url = node.require(WEB).url.replace("http", "ws") + f"api/whiteboard/{board}"
    async with websockets.connect(url, max_size=None) as socket:
        page = Page(socket)
        with suppress(websockets.ConnectionClosed):  # refused already
            await page.say({"hello": {"page": ANNE, "name": "Anne"} if hello is None else hello})
        yield page


def add(time: int, who: str = ANNE) -> list[Any]:
    return [time, who, time, who, a_line(time)]


async def test_what_is_drawn_is_told_saved_and_there_for_the_next_one(alice: guthi.Node, tmp_path: Path) -> None:
    async with a_page(alice) as anne, a_page(alice, hello={"page": BEN, "name": "Ben"}) as ben:
        await anne.told("whole")
        await ben.told("whole")
        await anne.say({"batch": 1, "draw": [add(1), add(2)]})
        assert await anne.told("written") == {"written": 1, "refused": []}
        while len(ben.drawn) < 2:
            await ben.told("drawn")
        assert ben.drawn == [add(1), add(2)]
    (log,) = (tmp_path / "boards" / "plans").iterdir()
    assert [json.loads(line) for line in log.read_text().splitlines()] == [add(1), add(2)]
    async with a_page(alice) as later:
        await later.told("whole")
        assert later.drawn == [add(1), add(2)]
    async with httpx.AsyncClient(base_url=alice.require(WEB).url) as client:
        assert (await client.get("/api/boards")).json() == [{"name": "plans"}]
        assert "/whiteboard/page/app.js" in (await client.get("/whiteboard")).text
        assert (await client.get("/whiteboard/page/app.js")).status_code == 200
        assert (await client.get("/whiteboard/page/../plugin.py")).status_code == 404


async def test_a_page_that_comes_back_is_told_what_is_new(alice: guthi.Node) -> None:
    async with a_page(alice) as page:
        life = (await page.told("welcome"))["welcome"]["life"]
        await page.say({"batch": 1, "draw": [add(1)]})
        await page.told("written")
        number = page.number
    async with a_page(alice, hello={"page": BEN, "name": "Ben"}) as other:
        await other.say({"batch": 1, "draw": [add(2, BEN)]})
        await other.told("written")
    async with a_page(alice, hello={"page": ANNE, "name": "Anne", "life": life, "number": number}) as back:
        await back.told("whole")
        assert back.drawn == [add(2, BEN)]
        await back.say({"batch": 1, "draw": [add(1)]})  # it had not heard that this was saved
        assert await back.told("written") == {"written": 1, "refused": []}
    async with a_page(alice, hello={"page": ANNE, "name": "Anne", "life": "another", "number": number}) as lost:
        await lost.told("whole")
        assert lost.drawn == [add(1), add(2, BEN)]


async def test_hands_and_names_are_told_and_written_nowhere(alice: guthi.Node, tmp_path: Path) -> None:
    async with a_page(alice) as anne, a_page(alice, hello={"page": BEN, "name": "Ben"}) as ben:
        while len((await anne.told("people"))["people"]) < 2:
            pass
        await ben.say({"hand": {"at": [10, 20]}})
        assert (await anne.told("hands"))["hands"] == {BEN: {"at": [10, 20]}}
        await ben.say({"name": "Benjamin"})
        people = (await anne.told("people"))["people"]
        assert [each["name"] for each in people if each["page"] == BEN] == ["Benjamin"]
    assert list((tmp_path / "boards" / "plans").iterdir()) == []


async def test_of_a_batch_what_is_bad_is_refused_and_the_rest_is_drawn(alice: guthi.Node) -> None:
    async with a_page(alice) as page:
        await page.say({"batch": 9, "draw": [add(1), [1], [5_000_000, ANNE, 5_000_000, ANNE, a_line()], add(2)]})
        answer = await page.told("written")
        assert answer["written"] == 9 and [place for place, _ in answer["refused"]] == [1, 2]
        assert "too far ahead" in answer["refused"][1][1]
        await page.say({"batch": 10, "draw": [add(time) for time in range(3, 103)]})
        answer = await page.told("written")
        assert len(answer["refused"]) == 52 and "the board is full" in answer["refused"][0][1]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", 1007),
        ("[" * 10_000, 1007),
        ("{}", 1007),
        (b"\0\1", 1007),
        ('{"hello": {"page": "me"}}', 1007),
        ('{"hand": {"at": [0, 0]}}', 1007),
        (json.dumps({"batch": 1, "draw": ["x" * 20_000]}), 1009),
    ],
)
async def test_who_speaks_nonsense_first_is_told_so_and_let_go(
    alice: guthi.Node, message: str | bytes, code: int
) -> None:
    url = alice.require(WEB).url.replace("http", "ws") + "api/whiteboard/plans"
    async with websockets.connect(url) as socket:
        await socket.send(message)
        assert (await Page(socket).end())[0] == code


async def test_who_says_nothing_is_let_go_and_may_try_again(alice: guthi.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop that was closed just then is not told that it did something wrong, after which a page gives up."""
    monkeypatch.setattr(endpoint, "HELLO_PATIENCE_S", 0.01)
    url = alice.require(WEB).url.replace("http", "ws") + "api/whiteboard/plans"
    async with websockets.connect(url) as socket:
        assert (await Page(socket).end())[0] == 1013


async def test_who_speaks_nonsense_later_too(alice: guthi.Node) -> None:
    for message in (json.dumps({"hello": {"page": ANNE}}), '{"draw": 1}', "null", b"bytes", '{"hand": {"at": "x"}}'):
        async with a_page(alice) as page:
            await page.told("whole")
            await page.say(message)
            with pytest.raises(websockets.ConnectionClosed):
                await page.told("nothing")


@pytest.mark.parametrize(
    "name", ["..%2Fx", "%2e%2e", "a%2Fb", "%F0%9F%96%8D" * 30, "%00", ".hidden", "x" * 61, "con", "%ff", "a%20"]
)
async def test_odd_names_are_no_boards(alice: guthi.Node, tmp_path: Path, name: str) -> None:
    async with a_page(alice, name) as page:
        if name == "a%20":  # what surrounds a name does not count
            await page.told("whole")
            return
        code, reason = await page.end()
        assert code == 1008 and "a board's name is" in reason
    assert sorted(each.name for each in tmp_path.iterdir()) == ["boards"]
    assert list((tmp_path / "boards").iterdir()) == []


async def test_two_boards_have_nothing_in_common(alice: guthi.Node) -> None:
    async with a_page(alice, "one") as one, a_page(alice, "two", {"page": BEN, "name": "Ben"}) as two:
        await one.say({"batch": 1, "draw": [add(1)]})
        await one.told("written")
        await two.say({"batch": 1, "draw": [add(1, BEN)]})
        await two.told("written")
        assert (one.drawn, two.drawn) == ([add(1)], [add(1, BEN)])


async def test_there_is_an_end_to_how_many_pages_are_open(tmp_path: Path) -> None:
    async with guthi.Node(config(tmp_path, most_pages=1)) as node, a_page(node) as page:
        await page.told("whole")
        async with a_page(node) as other:
            assert (await other.end())[0] == 1013


async def test_without_a_replicated_folder_a_node_says_how_to_mend_it(tmp_path: Path) -> None:
    mapping = {"node": {"name": "alice", "plugins": ["web", "gutfs", "whiteboard"]}}
    with pytest.raises(guthi.ConfigError, match=r'exports = \["./boards:/whiteboards:sync"\]'):
        async with guthi.Node(guthi.Config.from_mapping(mapping, environment={})):
            pass
