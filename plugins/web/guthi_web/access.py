"""Decides whom the web server answers: a pure function of a request's head and the tokens that are good.

Four checks, on every method and on websockets alike:

- Host. A page of another site can have its own name point to this machine (DNS rebinding), and then read what it
  fetches. So the name in `Host` must be an IP address, which cannot be pointed, `localhost`, or one that the
  configuration names.
- Origin. A browser says where a request comes from that could do something, and where a websocket does. It must be
  this server (RFC 6454); a program that is no browser sends none.
- Proxy. Where no token is asked for, because only this machine can connect, whatever a proxy on it passes on is
  refused: it may come from anywhere.
- Token. In `Authorization: Bearer …`, or in the cookie that `login` sets. The cookie is HttpOnly and SameSite=Strict,
  is not the token, and is good in this life of the server only. Comparisons take the same time whatever differs.

What anybody may see is the files of pages, without any data in them, `/healthz`, and where to log in.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

__all__ = ["Access", "Kind", "Refusal", "Request"]

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain"})
LONGEST_TOKEN = 512
OTHERS = ("cross-site", "same-site")
"""What a browser says of a request by a page of another site, and by one of another port of this machine."""
PASSED_ON = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
"""What proxies add."""


class Kind(Enum):
    """What is asked for."""

    HTTP = "http"
    WEBSOCKET = "websocket"


class Request(NamedTuple):
    """The head of a request; names of headers in lower case."""

    kind: Kind
    method: str
    path: str
    headers: Mapping[str, str]
    is_secure: bool = False


class Refusal(NamedTuple):
    """Why there is no answer: an HTTP status, a text for people, and when it may be tried again."""

    status: int
    reason: str
    retry_after_s: int | None = None


class Access:
    """The rules of one server.

    `tokens` gives those that are good now; None: everybody who gets past the other checks is let in. `names` are host
    names that the server may be called by. `secret` makes cookies; `port` names them, because browsers do not tell
    ports of one host apart.
    """

    def __init__(
        self, tokens: Callable[[], Sequence[str]] | None, names: Collection[str], secret: bytes, port: int
    ) -> None:
        self._tokens = tokens
        self._names = LOCAL_NAMES | {name.lower() for name in names}
        self._secret = secret
        self.cookie = f"guthi-{port}"
        self._public = {"/healthz", "/api/login", "/api/logout"}
        self._public_folders: tuple[str, ...] = ()

    @property
    def needs_token(self) -> bool:
        """Whether a token is asked for."""
        return self._tokens is not None

    def publish(self, path: str) -> None:
        """Anybody may see a path; one that ends with a slash is a folder. Nothing there may tell of the network."""
        if path.endswith("/") and path != "/":
            self._public_folders += (path,)
        else:
            self._public.add(path)

    def judge(self, request: Request) -> Refusal | None:
        """None: let it in."""
        host = request.headers.get("host", "")
        if not self._may_be_called(host):
            return Refusal(
                421,
                f"this server is not called {host!r}; use its address, or name it in [plugins.web] hosts",
            )
        origin = request.headers.get("origin")
        if origin is not None and not self._is_mine(origin, host, request.is_secure):
            return Refusal(403, f"requests from pages of {origin} are not answered")
        is_public = self._is_public(request.path)
        is_followed_link = is_public and request.method in ("GET", "HEAD")
        if request.headers.get("sec-fetch-site") in OTHERS and not is_followed_link:
            return Refusal(403, "requests from pages of other sites are not answered")
        if is_public:
            return None
        if self._tokens is None and not PASSED_ON.isdisjoint(request.headers):
            return Refusal(403, 'a proxy passed this on, and no token is asked for: set authentication = "always"')
        if self.is_known(request.headers):
            return None
        return Refusal(401, "a token is needed: Authorization: Bearer …, as `guthi web --token` prints it")

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Whether the token, or the cookie, is good; always where none is asked for."""
        if self._tokens is None:
            return True
        if self.is_token(_bearer(headers)):
            return True
        return self._is_cookie(_cookies(headers.get("cookie", "")).get(self.cookie, ""))

    def is_guess(self, headers: Mapping[str, str]) -> bool:
        """Whether it depends on the token that the request brings whether it is let in."""
        return self._tokens is not None and bool(_bearer(headers))

    def is_token(self, token: str) -> bool:
        """Whether a token is good."""
        given = token.encode()
        good = [each.encode() for each in self._tokens()] if self._tokens is not None else []
        matches = [hmac.compare_digest(given, each) for each in good]  # all of them, whichever is right
        return len(given) <= LONGEST_TOKEN and any(matches)

    def cookie_for(self, token: str) -> str:
        """What a browser is given for a token."""
        return blake2b(token.encode(), key=self._secret, digest_size=32).hexdigest()

    def _is_cookie(self, value: str) -> bool:
        tokens = self._tokens() if self._tokens is not None else ()
        matches = [hmac.compare_digest(value.encode(), self.cookie_for(each).encode()) for each in tokens]
        return any(matches)

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(self._public_folders)

    def _is_mine(self, origin: str, host: str, is_secure: bool) -> bool:
        """A name of this server may also be that of a proxy before it, which speaks TLS where this server does not."""
        name = _name_of(host)
        is_named = name in self._names and name not in LOCAL_NAMES
        schemes = ["https"] if is_secure else ["http", "https"] if is_named else ["http"]
        return origin.lower() in [f"{scheme}://{host}".lower() for scheme in schemes]

    def _may_be_called(self, host: str) -> bool:
        name = _name_of(host)
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _name_of(host: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _cookies(header: str) -> dict[str, str]:
    pairs = (each.strip().partition("=") for each in header.split(";"))
    return {name: value for name, _, value in pairs}
