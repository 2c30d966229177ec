"""What those send who mean harm, or are broken: the server stays up, bounded, silent in the log, and in its rhythm."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets
from tests.kernel.nodes import names, until
from tests.plugins.web.network import KEY, a_client, a_web_node

import guthi
from guthi_rpc import RPC
from guthi_web import WEB, View, connections, gate
from guthi_web.tokens import token_of

HEAD = b"GET /dashboard/app.js HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
JSON = {"content-type": "application/json"}
MOST_PROCESSOR_S = 0.5  # of one turn of the loop; a fifth of what a heartbeat may be late


@pytest.fixture
async def guarded() -> AsyncIterator[guthi.Node]:
    """A node that asks for a token on loopback too."""
    async with a_web_node("guarded", web={"authentication": "always"}, key=KEY) as node:
        yield node


@pytest.fixture
async def crowded() -> AsyncIterator[guthi.Node]:
    """A node with room for few connections."""
    async with a_web_node("crowded", plugins=["web", "dashboard"], web={"most_connections": 8}) as node:
        yield node


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def lines_to(node: guthi.Node, count: int) -> list[Line]:
    return [await a_line_to(node) for _ in range(count)]


async def a_line_to(node: guthi.Node) -> Line:
    """A connection whose own buffers hold next to nothing of what nobody reads."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, node.require(WEB).address)
    return await asyncio.open_connection(sock=line, limit=1024)


def hang_up(lines: list[Line]) -> None:
    for _, writer in lines:
        writer.transport.abort()


class Rhythm:
    """How much of the processor the longest turn of the loop took; what else the machine does is not counted."""

    longest_s = 0.0

    async def __aenter__(self) -> Rhythm:
        self._task = asyncio.create_task(self._beat())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest_s, before = max(self.longest_s, now - before), now


# ---- crowds


async def test_who_says_nothing_makes_room_for_who_does(crowded: guthi.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_PATIENCE_S", 3600.0)  # so that it is for others that they end
    silent = await lines_to(crowded, 200)
    for _, writer in silent[::2]:
        writer.write(b"GET /healthz HTT")
    async with a_client(crowded) as client:
        assert (await client.get("/healthz")).status_code == 200
    ended = [asyncio.ensure_future(reader.read()) for reader, _ in silent]
    async with asyncio.timeout(60):
        while sum(not each.done() for each in ended) > 8:
            await asyncio.sleep(0.05)
    hang_up(silent)
    await asyncio.gather(*ended, return_exceptions=True)


async def test_who_takes_nothing_of_the_answers_is_given_up(
    crowded: guthi.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "TAKING_PATIENCE_S", 0.3)
    greedy = await lines_to(crowded, 8)
    for _, writer in greedy:
        writer.write(HEAD * 20_000)  # far more than the system's buffers hold of the answers
    await asyncio.sleep(0.1)
    async with a_client(crowded) as client:

        async def is_served() -> bool:
            return (await client.get("/healthz")).status_code == 200

        async with asyncio.timeout(60):
            while not await is_served():
                await asyncio.sleep(0.1)
    hang_up(greedy)


async def test_a_page_that_takes_nothing_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKING_PATIENCE_S", 0.3)
    async with a_web_node("alice", web={"most_pages": 1}) as node:
        count = 0

        def large() -> str:
            nonlocal count
            count += 1
            return f"{count}{'x' * (8 << 20)}"  # more than the system's buffers hold

        node.require(WEB).add_view(View("large", "Something large.", large, every_s=0.1))
        line = await a_page_that_reads_nothing(node, "large")
        await until(lambda: count > 0)
        assert not await is_let_in(node)
        async with asyncio.timeout(60):
            while not await is_let_in(node):
                await asyncio.sleep(0.1)
        hang_up([line])


async def a_page_that_reads_nothing(node: guthi.Node, view: str) -> Line:
    """A websocket that follows a view, and takes no more than the answer to its request."""
    reader, writer = await a_line_to(node)
    writer.write(
        b"GET /api/live HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")  # what is sent before that is lost
    text = b'{"watch":["%s"]}' % view.encode()
    writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    return reader, writer


async def is_let_in(node: guthi.Node) -> bool:
    async with websockets.connect(f"ws://{node.require(WEB).address}/api/live") as page:
        try:
            await page.send('{"watch": ["self"]}')
            return bool(json.loads(await page.recv())["view"] == "self")
        except websockets.ConnectionClosed:
            return False


async def test_two_hundred_connections_do_not_hold_the_loop() -> None:
    async with a_web_node("alice", plugins=["web", "dashboard"]) as node, Rhythm() as rhythm:
        lines = await lines_to(node, 200)
        for number, (_, writer) in enumerate(lines):
            writer.write([b"GET /", HEAD * 5, b"nonsense\r\n\r\n", b"POST /api/login HTTP/1.1\r\n"][number % 4])
        async with a_client(node) as client:
            for _ in range(20):
                assert (await client.get("/healthz")).status_code in (200, 503)
        hang_up(lines)
    assert rhythm.longest_s < MOST_PROCESSOR_S


async def test_no_body_that_is_let_in_holds_the_loop() -> None:
    async with a_web_node("alice", plugins=["rpc", "web"]) as node, a_client(node) as client, Rhythm() as rhythm:
        node.require(RPC).register(lambda *given: len(given), name="count", run="inline")
        body = b'{"arguments":[[%s1]]}' % (b"1," * ((gate.MOST_BYTES - 100) // 2))
        assert (await client.post("/api/functions/count", content=body, headers=JSON, timeout=60)).json() == 1
        too_long = body + b" " * 200
        assert (await client.post("/api/functions/count", content=too_long, headers=JSON)).status_code == 413
    assert rhythm.longest_s < 4 * MOST_PROCESSOR_S  # the caller and the callee are both here, on one loop


class Late(guthi.Plugin):
    """Brings a view that waits for somebody who is gone."""

    name = "late"

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> list[View]:
        return [View("late", "Never there.", lambda: asyncio.sleep(3600))]


async def test_a_view_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guthi_web.views.READ_PATIENCE_S", 0.2)
    async with a_web_node("alice", classes=[Late]) as node, a_client(node) as client:
        answer = await client.get("/api/late")
        assert answer.status_code == 504 and answer.json()["error"] == "TimeoutError"
        assert (await client.get("/api/nodes")).status_code == 200


async def test_browsers_that_read_nothing_do_not_disturb_the_node() -> None:
    """Ten pages are to be sent a large view again and again, and take nothing; the node answers another as before."""
    readings = 0

    def large() -> str:
        nonlocal readings
        readings += 1
        return f"{readings}{'x' * (1 << 19)}"

    async with a_web_node("alice") as alice, a_web_node("bob", alice) as bob:
        await until(lambda: names(alice) == {"bob"} and names(bob) == {"alice"})
        alice.handle("test.echo", lambda incoming: incoming.value)
        web = alice.require(WEB)
        web.add_view(View("large", "Something large.", large, every_s=0.1))
        lines = [await a_page_that_reads_nothing(alice, "large") for _ in range(10)]
        async with Rhythm() as rhythm:
            number = 0
            while readings < 5:
                web.nudge("large")
                assert await bob.request(alice.id, "test.echo", number, timeout_s=30) == number
                number += 1
                await asyncio.sleep(0.01)
        assert number > 5 and rhythm.longest_s < MOST_PROCESSOR_S
        hang_up(lines)


# ---- guesses


@pytest.fixture
def _slow_to_forgive(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, no further guess is earned meanwhile."""
    monkeypatch.setattr("guthi_web.guesses.EVERY_S", 3600.0)


@pytest.mark.usefixtures("_slow_to_forgive")
async def test_tokens_cannot_be_guessed_quickly(guarded: guthi.Node) -> None:
    async with a_client(guarded) as client, a_client(guarded) as known:
        assert (await known.post("/api/login", json={"token": token_of(KEY)})).status_code == 204
        statuses = [(await client.post("/api/login", json={"token": f"wrong{n}"})).status_code for n in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        right = await client.post("/api/login", json={"token": token_of(KEY)})
        assert right.status_code == 429 and 0 < int(right.headers["retry-after"]) <= 3600 and "wait" in right.text
        bearer = {"authorization": f"Bearer {token_of(KEY)}"}
        assert (await client.get("/api/self", headers=bearer)).status_code == 429  # whatever way it is guessed
        assert (await known.get("/api/self")).status_code == 200  # who is in stays in
        refused = (await known.get("/metrics")).text
        assert 'guthi_web_refused_total{status="401"} 10.0' in refused
        assert 'guthi_web_refused_total{status="429"} 4.0' in refused


@pytest.mark.usefixtures("_slow_to_forgive")
async def test_guesses_by_header_count_too(guarded: guthi.Node) -> None:
    async with a_client(guarded) as client:
        for number in range(10):
            answer = await client.get("/api/self", headers={"authorization": f"Bearer {number}"})
            assert answer.status_code == 401
        assert (await client.get("/api/self", headers={"authorization": "Bearer 10"})).status_code == 429
        assert (await client.post("/api/login", json={"token": token_of(KEY)})).status_code == 429


# ---- what is malformed


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 4000, 400),
        (b'{"token": "\\ud800"}', 422),
        (b'{"token": 1e999}', 422),
        (b'{"token": NaN}', 422),
        (b'{"token": ' + b"9" * 4000, 422),
        (b"\xff\xfe", 422),
        (b"", 422),
        (b"7", 422),
    ],
)
async def test_bodies_of_strangers_are_refused_without_a_traceback(
    guarded: guthi.Node, body: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_client(guarded) as client:
        answer = await client.post("/api/login", content=body, headers=JSON)
        assert answer.status_code == status and answer.json()["error"] and answer.json()["message"]
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: " + b"9" * 5000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
        b"POST /api/login HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/live HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"GET /dashboard/app.js HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    ],
)
async def test_nonsense_leaves_nothing_in_the_log(
    crowded: guthi.Node, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ((reader, writer),) = lines = await lines_to(crowded, 1)
    writer.write(sent)
    assert (await asyncio.wait_for(reader.readline(), 30)).split()[1][:1] == b"4"
    hang_up(lines)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


async def test_texts_that_are_no_unicode_are_shown(guarded: guthi.Node) -> None:
    """File names may have any bytes in them, and Python has odd characters for these."""
    guarded.require(WEB).add_view(View("odd", "Odd names.", lambda: [{"name": "caf\udce9 ü"}]))
    headers = {"authorization": f"Bearer {token_of(KEY)}"}
    url = f"ws://{guarded.require(WEB).address}/api/live"
    async with websockets.connect(url, additional_headers=headers) as page:
        await page.send('{"watch": ["odd"]}')
        assert json.loads(await page.recv())["data"] == [{"name": "caf\udce9 ü"}]


async def test_errors_have_one_form(guarded: guthi.Node) -> None:
    async with a_client(guarded, authorization=f"Bearer {token_of(KEY)}") as client:
        for answer in (
            await client.get("/api/no-such-thing"),
            await client.get("/api/nodes", params={"limit": -1}),
            await client.put("/api/nodes"),
            await client.post("/api/nodes", json={}),
        ):
            assert answer.status_code in (404, 405, 422) and {"error", "message"} <= answer.json().keys()
        assert "address" in answer.json()["message"]


async def test_arguments_may_be_called_as_options_are() -> None:
    async with a_web_node("alice", plugins=["rpc", "web"]) as node, a_client(node) as client:
        node.require(RPC).register(lambda **named: sorted(named), name="names", run="inline")
        named = {"on": 1, "timeout": 2, "name": 3, "self": 4, "key": 5}
        answer = await client.post("/api/functions/names", json={"named": named})
        assert answer.json() == sorted(named)


# ---- who is asked for a token


async def test_who_names_a_token_file_asks_for_the_token(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "token"
    file.write_text("a token of sixteen letters\n")
    async with a_web_node("alice", web={"token_file": str(file)}) as node, a_client(node) as client:
        assert (await client.get("/api/self")).status_code == 401
        headers = {"authorization": "Bearer a token of sixteen letters"}
        assert (await client.get("/api/self", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:99999", "127.0.0.1", "no such host:1", f"{'a' * 70}.example:1", "1.2.3:x"]
)
async def test_addresses_that_are_none_are_refused_with_the_key_that_is_wrong(listen: str) -> None:
    with pytest.raises(guthi.GuthiError, match="listen"):
        async with a_web_node("alice", web={"listen": listen}, key=KEY):
            pass


@pytest.mark.system
async def test_a_node_that_was_killed_can_be_started_anew_at_once(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Its port is free, though connections of its former life were open; its cookies are good no more."""
    file = tmp_path / "node.toml"
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    table = f'[plugins.web]\nlisten = "{listen}"\nauthentication = "always"\n'
    key = f'[security]\ncluster_key = "{KEY.text()}"\n'
    file.write_text(f'[node]\nname = "victim"\nplugins = ["web"]\n{table}{key}')
    cookies: httpx.Cookies | None = None
    for _ in range(2):
        call = [sys.executable, "-m", "guthi", "run", str(file), "--json"]
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert json.loads(await asyncio.to_thread(process.stdout.readline))["name"] == "victim"
                async with httpx.AsyncClient(base_url=f"http://{listen}", cookies=cookies, timeout=60) as client:
                    assert (await client.get("/api/self")).status_code == 401
                    assert (await client.post("/api/login", json={"token": token_of(KEY)})).status_code == 204
                    assert (await client.get("/api/self")).json()["name"] == "victim"
                    cookies = client.cookies
                    process.kill()
            finally:
                process.kill()
