"""The server of a real node: what is answered, what is refused, what a slow or silent crowd does to the node."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.kernel.nodes import Line, names, until
from tests.plugins.web.network import KEY, a_client, a_web_node

import guthi
from guthi.membership.members import MemberState
from guthi.runner import run_loop
from guthi.testing import World, simulated
from guthi_web import WEB, Measure, View, Web, command, connections, gate
from guthi_web.tokens import token_of


@pytest.fixture
async def alice() -> AsyncIterator[guthi.Node]:
    async with a_web_node("alice") as node:
        yield node


@pytest.fixture
async def guarded() -> AsyncIterator[guthi.Node]:
    """A node that asks for a token on loopback too."""
    async with a_web_node("guarded", web={"authentication": "always"}, key=KEY) as node:
        yield node


async def test_what_every_node_shows(alice: guthi.Node) -> None:
    async with a_web_node("bob", alice), a_client(alice) as client:
        await until(lambda: names(alice) == {"bob"})
        assert (await client.get("/healthz")).text == "ok\n"
        nodes = {row["name"]: row for row in (await client.get("/api/nodes")).json()}
        assert list(nodes) == ["alice", "bob"] and nodes["alice"]["is_me"] and nodes["bob"]["state"] == "alive"
        assert nodes["alice"]["port"] == alice.address.port and nodes["bob"]["plugins"] == {"web": "0.1.0"}
        links = {row["id"]: row["peers"] for row in (await client.get("/api/links")).json()}
        assert nodes["bob"]["id"] in links[nodes["alice"]["id"]] and nodes["alice"]["id"] in links[nodes["bob"]["id"]]
        me = (await client.get("/api/self")).json()
        assert me["id"] == str(alice.id) and me["config"]["transport"]["timeout"] == 5.0
        assert 'guthi_members{state="alive"} 2.0' in (await client.get("/metrics")).text


async def test_lists_are_paged_and_filtered(alice: guthi.Node) -> None:
    alice.require(WEB)
    async with a_web_node("bob", alice), a_web_node("bobby", alice), a_client(alice) as client:
        await until(lambda: len(alice.members) == 2)
        found = await client.get("/api/nodes", params={"contains": "BOB", "limit": 1, "offset": 1})
        assert [row["name"] for row in found.json()] == ["bobby"] and found.headers["x-total-count"] == "2"
        assert (await client.get("/api/nodes", params={"limit": -1})).status_code == 422


async def test_the_description_is_there_and_loads_nothing_from_elsewhere(alice: guthi.Node) -> None:
    async with a_client(alice) as client:
        paths = (await client.get("/api/openapi.json")).json()["paths"]
        assert {"/api/nodes", "/api/self", "/api/links", "/healthz", "/metrics", "/api/login"} <= paths.keys()
        assert "/api/functions" not in paths  # rpc does not run here
        assert (await client.get("/docs")).status_code == 404
        headers = (await client.get("/api/nodes")).headers
        assert "default-src 'self'" in headers["content-security-policy"] and headers["cache-control"] == "no-store"
        assert "server" not in headers


async def test_a_token_is_asked_for_everywhere(guarded: guthi.Node) -> None:
    async with a_client(guarded) as client, a_client(guarded, authorization=f"Bearer {token_of(KEY)}") as known:
        paths = (await known.get("/api/openapi.json")).json()["paths"]
        assert len(paths) >= 7
        for path, methods in paths.items():
            for method in {*methods, "get", "post", "put", "delete", "options", "head"}:
                is_open = path in ("/healthz", "/api/login", "/api/logout")
                answer = await client.request(method, path)
                assert (answer.status_code == 401) is (not is_open), (method, path)
                if method != "post":
                    assert (await known.request(method, path)).status_code != 401
        assert "secret" not in str((await known.get("/api/self")).json()).lower()
        assert (await known.get("/api/self")).json()["cluster_keys"] == [KEY.fingerprint]


async def test_a_browser_logs_in_and_out(guarded: guthi.Node) -> None:
    async with a_client(guarded) as client:
        assert (await client.post("/api/login", json={"token": "wrong"})).status_code == 401
        cross = {"origin": "http://evil.example"}
        assert (await client.post("/api/login", json={"token": token_of(KEY)}, headers=cross)).status_code == 403
        answer = await client.post("/api/login", json={"token": token_of(KEY)})
        cookie = answer.headers["set-cookie"].lower()
        assert answer.status_code == 204 and "httponly" in cookie and "samesite=strict" in cookie
        assert (await client.get("/api/nodes")).status_code == 200
        assert (await client.get("/api/nodes", headers=cross)).status_code == 403
        assert (await client.get("/api/nodes", headers={"host": "evil.example"})).status_code == 421
        assert (await client.post("/api/logout")).status_code == 204
        assert (await client.get("/api/nodes")).status_code == 401


def every_hour(node: guthi.Node) -> View:
    """The view of nodes, read once an hour."""
    (view,) = [each for each in node.require(WEB).views() if each.name == "nodes"]
    return replace(view, every_s=3600.0)


def live(node: guthi.Node, **headers: str) -> Any:
    address = node.require(WEB).address
    return websockets.connect(f"ws://{address}/api/live", additional_headers=headers)


async def test_websockets_are_guarded_too(guarded: guthi.Node, alice: guthi.Node) -> None:
    for node, headers in (
        (guarded, {}),
        (alice, {"origin": "http://evil.example"}),
        (guarded, {"authorization": f"Bearer {token_of(KEY)}", "origin": "http://evil.example"}),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await live(node, **headers)
        assert refused.value.response.status_code == 403
    async with live(guarded, authorization=f"Bearer {token_of(KEY)}") as socket:
        await socket.send('{"watch": ["nodes"]}')
        assert json.loads(await socket.recv())["view"] == "nodes"


async def test_a_failure_is_seen_at_the_verdict(alice: guthi.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is told by the verdict itself: the view would be read again in an hour."""
    line = Line()
    monkeypatch.setattr(alice.require(WEB)._views._kept["nodes"], "view", every_hour(alice))
    async with a_web_node("bob", alice, line=line) as bob, live(alice) as page:
        await until(lambda: names(alice) == {"bob"})
        line.is_cut = True
        await page.send('{"watch": ["nodes"]}')
        await page.recv()
        alice.accuse(bob.id, MemberState.FAILED, evidence="the test says so")
        async with asyncio.timeout(60):
            while True:
                rows = {row["name"]: row for row in json.loads(await page.recv())["data"]}
                if rows["bob"]["state"] == "failed":
                    break
        assert rows["bob"]["verdict"] == "alice (direct): the test says so"


async def test_a_node_is_joined_by_address_and_port(alice: guthi.Node) -> None:
    async with a_web_node("far") as far, a_client(alice) as client:
        assert names(alice) == set()
        answer = await client.post("/api/nodes", json={"address": str(far.address)})
        assert answer.status_code == 200 and answer.json() == {"joined": "far"}
        assert names(alice) == {"far"} and names(far) == {"alice"}


@pytest.mark.parametrize(("address", "status"), [("nonsense", 422), ("127.0.0.1:0", 422), ("127.0.0.1:1", 504)])
async def test_what_cannot_be_joined_is_said(
    alice: guthi.Node, address: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guthi_web.api.JOIN_TIMEOUT_S", 0.3)
    async with a_client(alice) as client:
        answer = await client.post("/api/nodes", json={"address": address})
        assert answer.status_code == status and answer.json()["message"]


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(guthi.AddressUnavailable, match=rf"127\.0\.0\.1:{port}.*another in \[plugins\.web\] listen"):
            async with a_web_node("alice", web={"listen": f"127.0.0.1:{port}"}):
                pass


async def test_the_port_is_free_again_when_the_node_has_ended() -> None:
    async with a_web_node("alice") as node:
        port = node.require(WEB).address.port
    async with a_web_node("alice", web={"listen": f"127.0.0.1:{port}"}) as node, a_client(node) as client:
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("web", "error"),
    [
        ({"listen": "0.0.0.0:0"}, "needs a token"),
        ({"authentication": "always"}, "needs a token"),
        ({"most_pages": 0}, "1 or more"),
        ({"certificate_key": "x.pem"}, "without a certificate"),
        ({"certificate": "/nonexistent.pem"}, "certificate"),
    ],
)
async def test_unsafe_or_wrong_configurations_are_refused(web: dict[str, Any], error: str) -> None:
    with pytest.raises(guthi.ConfigError, match=error):
        async with a_web_node("alice", web=web):
            pass


async def test_off_loopback_a_token_is_asked_for_and_the_lack_of_tls_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with a_web_node("alice", web={"listen": "0.0.0.0:0"}, key=KEY) as node, a_client(node) as client:
        assert (await client.get("/api/nodes")).status_code == 401
        assert "unencrypted" in caplog.text


async def test_signals_stay_the_nodes() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with a_web_node("bob") as bob, a_client(bob) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


async def test_two_nodes_of_a_process_have_a_server_each(alice: guthi.Node) -> None:
    async with a_web_node("bob") as bob, a_client(alice) as one, a_client(bob) as other:
        assert (await one.get("/api/self")).json()["name"] == "alice"
        assert (await other.get("/api/self")).json()["name"] == "bob"


async def test_silent_connections_are_closed_and_hold_nobody_up(
    alice: guthi.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_PATIENCE_S", 0.5)
    address = alice.require(WEB).address
    open_lines = [await asyncio.open_connection(*address) for _ in range(5)]
    open_lines[0][1].write(b"GET /healthz HTT")
    ended = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in open_lines)), 60)
    assert ended == [b""] * 5
    for _, writer in open_lines:
        writer.close()
    monkeypatch.setattr(connections, "REQUEST_PATIENCE_S", 60.0)
    async with a_client(alice) as client:
        assert (await client.get("/healthz")).status_code == 200
        monkeypatch.setattr(connections, "REQUEST_PATIENCE_S", 0.5)  # for what an open connection says
        assert (await client.get("/healthz")).status_code == 200
        await asyncio.sleep(0.8)  # a page that is idle between requests may be so for longer
        assert (await client.get("/healthz")).status_code == 200


async def test_a_websocket_is_not_closed_for_its_silence(alice: guthi.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_PATIENCE_S", 0.5)
    async with live(alice) as page:
        await asyncio.sleep(0.8)
        await page.send('{"watch": ["nodes"]}')
        assert json.loads(await page.recv())["view"] == "nodes"


async def test_too_many_at_once_are_told_to_come_again() -> None:
    async with a_web_node("alice", web={"most_connections": 3}) as node, a_client(node) as client:
        pages = [await live(node) for _ in range(3)]
        assert (await client.get("/healthz")).status_code == 503
        await pages[0].close()
        async with asyncio.timeout(30):
            while (await client.get("/healthz")).status_code != 200:
                await asyncio.sleep(0.05)
        for page in pages[1:]:
            await page.close()


class Shop(guthi.Plugin):
    """A plugin that shows itself."""

    name = "shop"

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> list[View]:
        return [View("wares", "What there is.", lambda: [{"name": "apple"}])]

    @guthi.hookimpl(optionalhook=True)
    def web_measures(self) -> list[Measure]:
        return [Measure("shop_customers", "counter", "Who came.", [({"from": "town"}, 3)])]

    @guthi.hookimpl(optionalhook=True)
    def web_routes(self, web: Web) -> None:
        @web.app.get("/shop")
        async def shop() -> str:
            return "open"


async def test_other_plugins_show_themselves_and_run_without_the_server_too() -> None:
    async with a_web_node("alice", classes=[Shop]) as node, a_client(node) as client:
        assert (await client.get("/api/wares")).json() == [{"name": "apple"}]
        assert (await client.get("/shop")).json() == "open"
        assert 'shop_customers_total{from="town"} 3.0' in (await client.get("/metrics")).text
    async with guthi.Node(guthi.Config.from_mapping({"node": {}}, environment={}), plugins=[Shop]):
        pass


async def test_where_the_plugins_run_their_views_are_there() -> None:
    plugins = ["rpc", "dvar", "mutex", "health", "resources", "web"]
    async with a_web_node("alice", plugins=plugins) as node, a_client(node) as client:
        from guthi_dvar import DVAR
        from guthi_mutex import MUTEX
        from guthi_rpc import RPC

        node.require(RPC).register(lambda x, y: x + y, name="add", run="inline")
        await node.require(DVAR).create("temperature", 21.5)
        (function,) = (await client.get("/api/functions")).json()
        assert function["name"] == "add" and function["nodes"] == ["alice"]
        assert (await client.post("/api/functions/add", json={"arguments": [2, 3]})).json() == 5
        failed = await client.post("/api/functions/add", json={"arguments": [2, "3"]})
        assert failed.status_code == 500 and failed.json()["error"] == "TypeError"
        assert (await client.post("/api/functions/no", json={})).status_code == 404
        here = (await client.get("/api/functions")).json()[0]["here"]
        assert (here["calls"], here["errors"]) == (2, 1) and 0 < here["p50_s"] <= here["p99_s"]
        lines = (await client.post("/api/functions/add/map", json={"items": [[1, 2], [3, 4]], "star": True})).text
        assert sorted(json.loads(line)["value"] for line in lines.splitlines()) == [3, 7]
        (run,) = (await client.get("/api/maps")).json()
        assert run["done"] == run["total"] == 2 and run["is_over"]
        (variable,) = (await client.get("/api/variables")).json()
        assert variable["name"] == "temperature" and variable["type"] == "float"
        assert (await client.get("/api/variables/temperature")).json() == {"value": 21.5}
        async with node.require(MUTEX).lock("door"):
            (lock,) = (await client.get("/api/locks")).json()
            assert lock["name"] == "door" and lock["holder"] == "alice" and lock["fence"]
        assert (await client.get("/api/health")).json() == []
        (sample,) = (await client.get("/api/resources")).json()
        assert sample["name"] == "alice" and len((await client.get("/api/history")).json()[str(node.id)]) == 1
        assert (
            f"guthi_memory_total_bytes {sample['memory_total_bytes']:.11e}"[:25] in (await client.get("/metrics")).text
        )


async def test_the_file_tree_is_shown(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("buy milk")
    tables = {"gutfs": {"exports": [f"{tmp_path}:/shared:rw"]}}
    async with a_web_node("alice", plugins=["gutfs", "web"], tables=tables) as node, a_client(node) as client:
        (row,) = (await client.get("/api/files")).json()
        assert row["name"] == "alice" and row["exports"] == ["/shared (rw)"] and row["cache"]["hits"] == 0
        async with asyncio.timeout(60):
            while not (found := (await client.get("/api/files/list", params={"path": "/shared/notes"})).json()):
                await asyncio.sleep(0.05)
        assert found[0]["name"] == "todo.txt" and found[0]["size_bytes"] == 8 and found[0]["nodes"] == ["alice"]
        missing = await client.get("/api/files/list", params={"path": "/nowhere"})
        assert missing.status_code == 404 and missing.json()["error"] == "NotFound"
        assert (await client.get("/api/files/conflicts")).json() == []


def test_the_command_tells_where_and_by_which_token() -> None:
    with guthi.connect(plugins=["web"], name="server", role="peer") as node:
        told = CliRunner().invoke(command.web, ["--json", "--join", str(node.address)], catch_exceptions=False)
        (row,) = json.loads(told.output)
        assert row["name"] == "server" and row["access"] == "open" and row["url"].startswith("http://127.0.0.1:")


def test_the_command_prints_the_token_of_the_cluster_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUTHI_CLUSTER_KEY", KEY.text())
    told = CliRunner().invoke(command.web, ["--token", "--join", "127.0.0.1:1"], catch_exceptions=False)
    assert told.output == f"{token_of(KEY)}\n"


@simulated
async def test_in_a_world_nothing_listens_and_the_app_is_there(world: World) -> None:
    alice = await world.start("alice", plugins=["web"])
    await world.start("bob", plugins=["web"], join=["alice"])
    web = alice.node.require(WEB)
    assert {view.name for view in web.views()} >= {"nodes", "self", "links"}
    snapshot = await web._views.read("links")
    assert len(snapshot.data) == 2


async def test_long_bodies_and_slow_ones_are_not_waited_for(
    guarded: guthi.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PART_PATIENCE_S", 0.5)
    async with a_client(guarded) as client, a_client(guarded, authorization=f"Bearer {token_of(KEY)}") as known:
        assert (await client.post("/api/login", json={"token": "x" * 5000})).status_code == 413

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(5000):
                yield b" " * 1000

        assert (await client.post("/api/login", content=endless())).status_code == 400
        assert (await known.post("/api/login", json={"token": "x" * 5000})).status_code == 422
    reader, writer = await asyncio.open_connection(*guarded.require(WEB).address)
    writer.write(b"POST /api/login HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 100\r\n\r\n{")
    assert b" 400 " in await asyncio.wait_for(reader.readline(), 60)
    writer.close()


class Twice(guthi.Plugin):
    """Brings a view whose name is taken."""

    name = "twice"

    @guthi.hookimpl(optionalhook=True)
    def web_views(self) -> list[View]:
        return [View("nodes", "Mine.", list), View("more", "More.", lambda: [1])]


async def test_a_view_whose_name_is_taken_does_not_end_the_server(caplog: pytest.LogCaptureFixture) -> None:
    async with a_web_node("alice", classes=[Twice]) as node, a_client(node) as client:
        assert (await client.get("/api/more")).json() == [1]
        assert len((await client.get("/api/nodes")).json()) == 1 and "'nodes' already" in caplog.text


def a_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "alice")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "alice.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    return file


async def test_with_a_certificate_it_speaks_tls(tmp_path: Path) -> None:
    file = a_certificate(tmp_path)
    async with a_web_node("alice", web={"certificate": str(file), "authentication": "always"}, key=KEY) as node:
        url = node.require(WEB).url
        assert url.startswith("https://127.0.0.1:")
        trust = ssl.create_default_context(cafile=str(file))
        async with httpx.AsyncClient(base_url=url, verify=trust) as client:
            answer = await client.post("/api/login", json={"token": token_of(KEY)}, headers={"origin": url.rstrip("/")})
            assert answer.status_code == 204 and "secure" in answer.headers["set-cookie"].lower()
            assert (await client.get("/api/self")).json()["name"] == "alice"


def test_the_same_on_uvloop() -> None:
    async def scenario() -> None:
        async with a_web_node("alice") as node, a_client(node) as client, live(node) as page:
            assert (await client.get("/healthz")).text == "ok\n"
            await page.send('{"watch": ["nodes"]}')
            assert json.loads(await page.recv())["view"] == "nodes"
            reader, writer = await asyncio.open_connection(*node.require(WEB).address)
            writer.write(b"GET /he")
            await asyncio.sleep(0.02)
            writer.write(b"althz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b" 200 " in await reader.readline()
            writer.close()

    run_loop(scenario())


async def test_durations_of_all_nodes_are_added_up() -> None:
    from guthi_rpc import RPC

    plugins = ["rpc", "web"]
    async with a_web_node("alice", plugins=plugins) as alice, a_web_node("bob", alice, plugins=plugins) as bob:
        for node in (alice, bob):
            node.require(RPC).register(lambda number: 1 / number, name="invert", run="inline")
        await alice.require(RPC).available("invert", nodes=2, timeout=60)
        for on, number in (("alice", 1), ("bob", 2), ("bob", 4), ("bob", 0)):
            with suppress(ZeroDivisionError):
                await alice.require(RPC).call("invert", number, on=on)
        async with a_client(alice) as client:
            (row,) = (await client.get("/api/durations")).json()
            assert (row["name"], row["calls"], row["errors"]) == ("invert", 4, 1) and 0 < row["p50_s"] <= row["p99_s"]
            told = (await client.get("/metrics")).text
            assert 'guthi_call_seconds_count{function="invert"} 1.0' in told
            assert 'guthi_call_seconds_bucket{function="invert",le="64.0"} 1.0' in told
        async with a_client(bob) as client:
            assert 'guthi_call_errors_total{function="invert"} 1.0' in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    "row",
    [
        7,
        ["f", 1, 0, 1.0],
        ["f", 1, 2, 1.0, {}],
        ["f", 1, 0, -1.0, {}],
        ["f", 1, 0, 1.0, {"x": 1}],
        ["f", 1, 0, 1.0, {10**9: 1}],
        ["f", 1, 0, 1.0, {1: -1}],
        [7, 1, 0, 1.0, {}],
    ],
)
def test_durations_that_are_none_are_not_taken(row: Any) -> None:
    from guthi_web.adapters.durations import _read

    assert _read([["f", 1, 0, 1.0, {3: 1}]])
    with pytest.raises(guthi.MalformedMessage):
        _read([row])
