"""Who is answered: the rules, and what browsers and attackers send."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guthi import ConfigError
from guthi.security.keyring import ClusterKey, Keyring
from guthi_web.access import Access, Kind, Request
from guthi_web.tokens import token_of, tokens_of_file, tokens_of_keyring

TOKEN = "a token of sixteen letters"
HERE = "10.0.0.5:8080"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"]


def an_access(tokens: list[str] | None = None) -> Access:
    good = tokens
    access = Access((lambda: good) if good is not None else None, ["Alice.example"], b"secret", 8080)
    access.publish("/")
    access.publish("/static/")
    return access


def asked(headers: Mapping[str, str], path: str = "/api/nodes", method: str = "GET", kind: Kind = Kind.HTTP) -> Request:
    return Request(kind, method, path, {"host": HERE, **headers})


def status(access: Access, request: Request) -> int:
    refusal = access.judge(request)
    return refusal.status if refusal is not None else 200


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "path", ["/api/nodes", "/metrics", "/api/openapi.json", "/staticx", "/static", "//", "/healthz/"]
)
def test_without_the_token_nothing_is_answered_by_any_method(method: str, path: str) -> None:
    access = an_access([TOKEN])
    assert status(access, asked({}, path, method)) == 401
    assert status(access, asked({"authorization": f"Bearer {TOKEN}"}, path, method)) == 200
    assert status(access, asked({"authorization": f"Bearer {TOKEN[:-1]}"}, path, method)) == 401
    assert status(access, asked({"authorization": f"Basic {TOKEN}"}, path, method)) == 401


def test_a_websocket_needs_it_too() -> None:
    access = an_access([TOKEN])
    assert status(access, asked({}, "/api/live", kind=Kind.WEBSOCKET)) == 401
    assert status(access, asked({"authorization": f"bearer {TOKEN}"}, "/api/live", kind=Kind.WEBSOCKET)) == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/static/app.js", "/api/login"])
def test_what_tells_nothing_is_for_everybody(path: str) -> None:
    assert status(an_access([TOKEN]), asked({}, path)) == 200


@pytest.mark.parametrize("host", [HERE, "10.0.0.5", "localhost:8080", "[::1]:8080", "alice.EXAMPLE", "[::1]"])
def test_hosts_that_it_may_be_called(host: str) -> None:
    assert status(an_access(), asked({"host": host})) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "", "10.0.0.5.evil.example", "localhost.evil", "a:b:c"]
)
def test_a_name_that_somebody_pointed_here_is_not_answered(host: str) -> None:
    for path in ("/api/nodes", "/healthz"):
        assert status(an_access(), asked({"host": host}, path)) == 421


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://10.0.0.5:8080", "http://10.0.0.5", "http://10.0.0.5:80800"]
)
def test_pages_of_others_are_not_answered(kind: Kind, origin: str) -> None:
    for access, headers in ((an_access(), {}), (an_access([TOKEN]), {"authorization": f"Bearer {TOKEN}"})):
        assert status(access, asked({"origin": origin, **headers}, "/api/live", "POST", kind)) == 403
        assert status(access, asked({"origin": f"http://{HERE}", **headers}, "/api/live", "POST", kind)) == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_elsewhere_may_be_followed_but_fetches_nothing(site: str) -> None:
    access, cross = an_access(), {"sec-fetch-site": site}
    assert status(access, asked(cross, "/")) == 200
    assert status(access, asked(cross, "/api/nodes")) == 403
    assert status(access, asked(cross, "/", "POST")) == 403


def test_the_cookie_is_good_in_this_life_only_and_is_not_the_token() -> None:
    access, later = an_access([TOKEN]), Access(lambda: [TOKEN], [], b"other secret", 8080)
    cookie = access.cookie_for(TOKEN)
    assert TOKEN not in cookie
    assert status(access, asked({"cookie": f"a=b; {access.cookie}={cookie}; c=d"})) == 200
    assert status(later, asked({"cookie": f"{access.cookie}={cookie}"})) == 401
    assert status(access, asked({"cookie": f"guthi-8081={cookie}"})) == 401
    assert status(access, asked({"cookie": f"{access.cookie}={TOKEN}"})) == 401


@given(st.text(max_size=600))
def test_no_text_but_the_token_opens(text: str) -> None:
    access = an_access([TOKEN])
    assert access.is_token(text) is (text == TOKEN)
    assert status(access, asked({"authorization": text, "cookie": text})) == 401


def test_the_token_follows_from_the_cluster_key_and_from_each_while_they_are_rotated() -> None:
    old, new = ClusterKey(b"a" * 32), ClusterKey(b"b" * 32)
    ring = Keyring([old])
    tokens = tokens_of_keyring(lambda: ring)
    assert tokens() == [token_of(old)] and token_of(old) != token_of(new) and len(token_of(old)) == 32
    ring = Keyring([new, old])
    assert set(tokens()) == {token_of(old), token_of(new)}
    ring = Keyring([new])
    assert tokens() == [token_of(new)]


def test_the_token_of_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "token"
    with pytest.raises(ConfigError, match="cannot be read"):
        tokens_of_file(file)
    for bad in ("", "# nothing\n", "short", "ünsafe letters everywhere"):
        file.write_text(bad, encoding="utf-8")
        with pytest.raises(ConfigError, match="at least 16"):
            tokens_of_file(file)
    file.write_text(f"# ours\n{TOKEN}\n\n")
    assert tokens_of_file(file)() == [TOKEN]


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via", "x-real-ip"])
def test_what_a_proxy_passes_on_is_not_from_this_machine(header: str) -> None:
    """A proxy on this machine would let in the whole world where no token is asked for."""
    passed_on = asked({header: "203.0.113.9"})
    assert status(an_access(), passed_on) == 403
    assert status(an_access(), asked({header: "203.0.113.9"}, "/healthz")) == 200
    known = {header: "203.0.113.9", "authorization": f"Bearer {TOKEN}"}
    assert status(an_access([TOKEN]), asked(known)) == 200


def test_behind_a_proxy_that_speaks_tls_pages_are_of_this_server() -> None:
    name, address = {"host": "alice.example"}, {"host": "10.0.0.5"}
    assert status(an_access(), asked({**name, "origin": "https://alice.example"})) == 200
    assert status(an_access(), asked({**name, "origin": "https://bob.example"})) == 403
    assert status(an_access(), asked({**address, "origin": "https://10.0.0.5"})) == 403
    assert status(an_access(), asked({"host": "localhost", "origin": "https://localhost"})) == 403
