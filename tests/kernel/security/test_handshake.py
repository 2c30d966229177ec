"""The handshake against the published vectors, against two independent Noise implementations, and under attack."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from dissononce.cipher.aesgcm import AESGCMCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.public import PublicKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.extras.dh.dangerous.dh_nogen import NoGenDH
from dissononce.hash.sha256 import SHA256Hash
from dissononce.processing.handshakepatterns.interactive.IK import IKHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState as DissononceState
from dissononce.processing.impl.symmetricstate import SymmetricState
from dissononce.processing.modifiers.psk import PSKPatternModifier
from hypothesis import given
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from guthi.errors import PeerBreach, UsageError
from guthi.security.handshake import HandshakeFailed, HandshakeState, Initiator, Responder, Role, TransportKeys
from guthi.security.identity import Identity

PROTOCOL = "Noise_IKpsk2_25519_AESGCM_SHA256"
PSK = bytes.fromhex("54686973206973206d7920417573747269616e20706572737065637469766521")
PROLOGUE = bytes.fromhex("4a6f686e2047616c74")
ALICE = Identity.from_private(bytes.fromhex("e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"))
BOB = Identity.from_private(bytes.fromhex("4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"))
ALICE_EPHEMERAL = bytes.fromhex("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a")
BOB_EPHEMERAL = bytes.fromhex("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b")


def initiator(
    *, peer: bytes = BOB.public_key, psk: bytes = PSK, prologue: bytes = PROLOGUE, ephemeral: bytes | None = None
) -> Initiator:
    return Initiator(
        identity=ALICE,
        peer_public_key=peer,
        psk=psk,
        prologue=prologue,
        ephemeral_private=ephemeral or ALICE_EPHEMERAL,
    )


def responder(*, identity: Identity = BOB, psk: bytes = PSK, prologue: bytes = PROLOGUE) -> Responder:
    return Responder(identity=identity, psk=psk, prologue=prologue, ephemeral_private=BOB_EPHEMERAL)


def transport(key: bytes, counter: int, plaintext: bytes) -> bytes:
    """A transport message as section 5.1 and 12.4 of the Noise specification have it."""
    return AESGCM(key).encrypt(counter.to_bytes(12, "big"), plaintext, b"")


# --- published vectors -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vector:
    """What a protocol must make of the keys above and PAYLOADS, which the two sides send in turns."""

    protocol_name: str
    handshake_hash: str
    messages: list[str]


PAYLOADS = [
    b"Ludwig von Mises",
    b"Murray Rothbard",
    b"F. A. Hayek",
    b"Carl Menger",
    b"Jean-Baptiste Say",
    "Eugen Böhm von Bawerk".encode("latin-1"),
]

# The vectors of cacophony (https://github.com/haskell-cryptography/cacophony): protocol, handshake hash, messages.
VECTORS = [
    Vector(
        "Noise_IKpsk2_25519_AESGCM_SHA256",
        "48c3f1eb397c797af6b139032c6074cb41282ff033ee25d5aee4a4badd3a2c3f",
        [
            (
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79445a1baf339186d7867062b0dd"
                "31f5de322d370165d217939b2b7ed9e2bae7840458ea65c2ce1554e0e8077fe7334c4bd514c658fd04d97b86"
                "d216f58f59714a7e24144155045c8f36bed85a2cb0fd9af7"
            ),
            (
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088432fe8d675e949799d2a968211"
                "a66cc7ba2b0f4cad8eda3c2bd37eae737bbf88"
            ),
            "38cbf3835c78b7802df0dd0d9640ff8575debd0cb61cfb52590da1",
            "ffc365ff6955fc66c5d809b31ac995f812c5770bd29f0df12f0ffd",
            "a7f2828174c4ead2491ffeb77c41c890fd1229ee36f23ccb9066a795daff1cad6b",
            "3b86963d5c0e6e3b4153d77153836606393eefc4e5e6dae97796552d1265839ee3825cb80c",
        ],
    ),
    Vector(
        "Noise_IK_25519_AESGCM_SHA256",
        "669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf",
        [
            (
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444e417bc55c7a8166c993356c"
                "1be41ef67818a292426f301556c7f26b21d25ddb097153891a9a956cff47b83e63ad8d701c1342c209cff1ca"
                "5ecd43402762ac249e3bd3a4c0a145fe07cb5dae28ea13a3"
            ),
            (
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843af2ccf9972e22afc67aeafcd"
                "25162f7f98c363b7762e3e4cb7d272e39f27a5"
            ),
            "66acfc92e3197de166809e6d4d5d003dcc819a84bc3522ca53c9d9",
            "71f89aa6533a6de70b0826864dd75f60806ee40170c16290189eb3",
            "4795a3423550c8bf00386bd496a3e2c76c10669d2a75ab8f79b5094c5412a25705",
            "aa0bb39097555c918e40be82abc2b909eb79d9eb87adb07e268fc37323a6cf904fd01fb391",
        ],
    ),
    Vector(
        "Noise_IKpsk2_25519_AESGCM_BLAKE2s",
        "60f2139120264f109f2bd525a8d94877d7896d64394c34a7abedbc114154a6d5",
        [
            (
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944f70d65fedfd7ad294f4c8f5c"
                "1324c7c90e54cd8af05652112a27b261e11ce99d9d517c4a1e0753038edb26066b4087b4c230aafa22b05525"
                "50b723eb69374a674d306a84e1852e30af2e2dbefeb4fd2f"
            ),
            (
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088434190dae84b6887641a5f81e0"
                "3d83f7be91fa1134c18dde966e18fc404b97a8"
            ),
            "061b631b380a639a0801920ddf205e2dbf6606c3328683c6af50fc",
            "c4b5ecd181f80279f2cc41217d490ed56459e3e3fb5e758e522d0d",
            "43897c593df3b427776e11c3632bb935fd7e31e50a4069c8b559188a04af961e12",
            "b7f9229e7ba4b89161baca67cef00381ce7b613bdcb8dcf233573476f6164dde9a8b1b9200",
        ],
    ),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.protocol_name)
def test_published_vectors(vector: Vector) -> None:
    psk = PSK if "psk" in vector.protocol_name else None
    alice = HandshakeState(
        Role.INITIATOR,
        identity=ALICE,
        ephemeral_private=ALICE_EPHEMERAL,
        prologue=PROLOGUE,
        peer_public_key=BOB.public_key,
        psk=psk,
        protocol_name=vector.protocol_name,
    )
    bob = HandshakeState(
        Role.RESPONDER,
        identity=BOB,
        ephemeral_private=BOB_EPHEMERAL,
        prologue=PROLOGUE,
        psk=psk,
        protocol_name=vector.protocol_name,
    )
    messages = [bytes.fromhex(message) for message in vector.messages]
    assert alice.write(PAYLOADS[0]) == messages[0]
    assert bob.read(messages[0]) == PAYLOADS[0]
    assert bob.write(PAYLOADS[1]) == messages[1]
    assert alice.read(messages[1]) == PAYLOADS[1]
    for keys in (alice.keys, bob.keys):
        assert keys.handshake_hash.hex() == vector.handshake_hash
    assert alice.keys.send == bob.keys.receive
    for number in (2, 3, 4, 5):
        key = (alice if number % 2 == 0 else bob).keys.send
        assert transport(key, number // 2 - 1, PAYLOADS[number]) == messages[number]


def test_initiator_and_responder_run_the_published_vector() -> None:
    alice, bob = initiator(), responder()
    messages = [bytes.fromhex(message) for message in VECTORS[0].messages]
    assert alice.write_init(PAYLOADS[0]) == messages[0]
    assert bob.read_init(messages[0]) == PAYLOADS[0]
    assert bob.peer_public_key == ALICE.public_key
    assert bob.write_response(PAYLOADS[1]) == messages[1]
    assert alice.read_response(messages[1]) == PAYLOADS[1]
    assert alice.keys.handshake_hash == bob.keys.handshake_hash
    assert (alice.keys.send, alice.keys.receive) == (bob.keys.receive, bob.keys.send)


# --- two independent implementations -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """All that a run depends on."""

    static: Identity
    ephemeral: bytes
    peer_static: Identity
    psk: bytes
    prologue: bytes


class NoiseProtocolPeer:
    """The package `noiseprotocol` in either role."""

    def __init__(self, role: Role, case: Case) -> None:
        self.connection = NoiseConnection.from_name(PROTOCOL.encode())
        self.connection.set_psks(psk=case.psk)
        self.connection.set_prologue(case.prologue)
        self.connection.set_keypair_from_private_bytes(Keypair.STATIC, case.static.private_key)
        self.connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, case.ephemeral)
        if role is Role.INITIATOR:
            self.connection.set_as_initiator()
            self.connection.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, case.peer_static.public_key)
        else:
            self.connection.set_as_responder()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="One of ephemeral keypairs is already set")
            self.connection.start_handshake()

    def write(self, payload: bytes) -> bytes:
        return bytes(self.connection.write_message(payload))

    def read(self, message: bytes) -> bytes:
        return bytes(self.connection.read_message(message))

    def encrypt(self, plaintext: bytes) -> bytes:
        return bytes(self.connection.encrypt(plaintext))

    def decrypt(self, ciphertext: bytes) -> bytes:
        return bytes(self.connection.decrypt(ciphertext))

    def handshake_hash(self) -> bytes:
        return bytes(self.connection.get_handshake_hash())


class DissononcePeer:
    """The package `dissononce` in either role."""

    def __init__(self, role: Role, case: Case) -> None:
        dh = NoGenDH(X25519DH(), PrivateKey(case.ephemeral))
        symmetric = SymmetricState(CipherState(AESGCMCipher()), SHA256Hash())
        self.state = DissononceState(symmetric, dh)
        self.role = role
        self.ciphers: tuple[CipherState, CipherState] | None = None
        self.state.initialize(
            PSKPatternModifier(2).modify(IKHandshakePattern()),
            role is Role.INITIATOR,
            case.prologue,
            s=X25519DH().generate_keypair(PrivateKey(case.static.private_key)),
            rs=PublicKey(case.peer_static.public_key) if role is Role.INITIATOR else None,
            psks=[case.psk],
        )

    def write(self, payload: bytes) -> bytes:
        buffer = bytearray()
        self.ciphers = self.state.write_message(payload, buffer)
        return bytes(buffer)

    def read(self, message: bytes) -> bytes:
        buffer = bytearray()
        self.ciphers = self.state.read_message(message, buffer)
        return bytes(buffer)

    def encrypt(self, plaintext: bytes) -> bytes:
        assert self.ciphers is not None
        return bytes(self.ciphers[self.role.value].encrypt_with_ad(b"", plaintext))

    def decrypt(self, ciphertext: bytes) -> bytes:
        assert self.ciphers is not None
        return bytes(self.ciphers[1 - self.role.value].decrypt_with_ad(b"", ciphertext))

    def handshake_hash(self) -> bytes:
        return bytes(self.state.symmetricstate.get_handshake_hash())


IMPLEMENTATIONS = [NoiseProtocolPeer, DissononcePeer]
keys = st.binary(min_size=32, max_size=32)
payloads = st.binary(max_size=300)


def check_transport(keys: TransportKeys, peer: NoiseProtocolPeer | DissononcePeer) -> None:
    assert peer.handshake_hash() == keys.handshake_hash
    for counter in range(3):
        assert peer.decrypt(transport(keys.send, counter, b"from us")) == b"from us"
        assert peer.encrypt(b"from them") == transport(keys.receive, counter, b"from them")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(ours=keys, theirs=keys, ephemerals=st.tuples(keys, keys), psk=keys, prologue=payloads, first=payloads)
def test_we_initiate_and_another_implementation_responds(
    implementation: type[NoiseProtocolPeer | DissononcePeer],
    ours: bytes,
    theirs: bytes,
    ephemerals: tuple[bytes, bytes],
    psk: bytes,
    prologue: bytes,
    first: bytes,
) -> None:
    we, they = Identity.from_private(ours), Identity.from_private(theirs)
    peer = implementation(Role.RESPONDER, Case(they, ephemerals[1], we, psk, prologue))
    alice = Initiator(
        identity=we,
        peer_public_key=they.public_key,
        psk=psk,
        prologue=prologue,
        ephemeral_private=ephemerals[0],
    )
    assert peer.read(alice.write_init(first)) == first
    assert alice.read_response(peer.write(b"answer")) == b"answer"
    check_transport(alice.keys, peer)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(ours=keys, theirs=keys, ephemerals=st.tuples(keys, keys), psk=keys, prologue=payloads, second=payloads)
def test_another_implementation_initiates_and_we_respond(
    implementation: type[NoiseProtocolPeer | DissononcePeer],
    ours: bytes,
    theirs: bytes,
    ephemerals: tuple[bytes, bytes],
    psk: bytes,
    prologue: bytes,
    second: bytes,
) -> None:
    we, they = Identity.from_private(ours), Identity.from_private(theirs)
    peer = implementation(Role.INITIATOR, Case(they, ephemerals[1], we, psk, prologue))
    bob = Responder(identity=we, psk=psk, prologue=prologue, ephemeral_private=ephemerals[0])
    assert bob.read_init(peer.write(b"question")) == b"question"
    assert bob.peer_public_key == they.public_key
    assert peer.read(bob.write_response(second)) == second
    check_transport(bob.keys, peer)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_all_implementations_write_the_same_bytes(
    implementation: type[NoiseProtocolPeer | DissononcePeer],
) -> None:
    they_initiate = implementation(Role.INITIATOR, Case(ALICE, ALICE_EPHEMERAL, BOB, PSK, PROLOGUE))
    they_respond = implementation(Role.RESPONDER, Case(BOB, BOB_EPHEMERAL, ALICE, PSK, PROLOGUE))
    alice, bob = initiator(), responder()
    first = alice.write_init(b"first")
    assert they_initiate.write(b"first") == first
    assert bob.read_init(first) == they_respond.read(first) == b"first"
    second = bob.write_response(b"second")
    assert they_respond.write(b"second") == second
    assert they_initiate.read(second) == alice.read_response(second) == b"second"


# --- attacks and accidents -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bob",
    [
        lambda: responder(identity=Identity.generate(os.urandom)),
        lambda: responder(prologue=b"another protocol version"),
    ],
    ids=["static key", "prologue"],
)
def test_message_1_for_somebody_else_is_refused(bob: Callable[[], Responder]) -> None:
    with pytest.raises(HandshakeFailed):
        bob().read_init(initiator().write_init(b"payload"))


def test_a_wrong_psk_shows_in_message_2() -> None:
    alice, bob = initiator(psk=b"a" * 32), responder(psk=b"b" * 32)
    bob.read_init(alice.write_init(b""))  # psk2: the responder cannot tell yet
    with pytest.raises(HandshakeFailed):
        alice.read_response(bob.write_response(b""))
    with pytest.raises(UsageError):
        _ = alice.keys


@given(place=st.integers(0, 96 + 6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_message_1_is_noticed_and_changes_nothing(place: int, bit: int) -> None:
    alice, bob = initiator(), responder()
    message = alice.write_init(b"payload")
    forged = bytearray(message)
    forged[place] ^= 1 << bit
    with pytest.raises(HandshakeFailed):
        bob.read_init(forged)
    assert_completes(alice, bob, message)


@given(place=st.integers(0, 48 + 6), bit=st.integers(0, 7))
def test_a_flipped_bit_in_message_2_is_noticed_and_changes_nothing(place: int, bit: int) -> None:
    alice, bob = initiator(), responder()
    bob.read_init(alice.write_init(b""))
    message = bob.write_response(b"payload")
    forged = bytearray(message)
    forged[place] ^= 1 << bit
    with pytest.raises(HandshakeFailed):
        alice.read_response(forged)
    assert alice.read_response(message) == b"payload"
    assert alice.keys.handshake_hash == bob.keys.handshake_hash


def test_every_truncation_is_refused() -> None:
    alice, bob = initiator(), responder()
    first = alice.write_init(b"payload")
    for size in range(len(first)):
        with pytest.raises(HandshakeFailed, match="cut short" if size < 80 else "not authentic"):
            bob.read_init(first[:size])
    bob.read_init(first)
    second = bob.write_response(b"payload")
    for size in range(len(second)):
        with pytest.raises(HandshakeFailed, match="cut short" if size < 32 else "not authentic"):
            alice.read_response(second[:size])
    assert alice.read_response(second) == b"payload"


@given(st.binary(max_size=300))
def test_garbage_is_a_breach_and_nothing_else(garbage: bytes) -> None:
    alice, bob = initiator(), responder()
    first = alice.write_init(b"")
    with pytest.raises(PeerBreach):
        bob.read_init(garbage)
    with pytest.raises(PeerBreach):
        alice.read_response(garbage)
    assert_completes(alice, bob, first)


def test_message_2_is_of_no_use_to_another_run() -> None:
    alice, bob = initiator(), responder()
    bob.read_init(alice.write_init(b""))
    recorded = bob.write_response(b"")
    another_run = initiator(ephemeral=b"\x33" * 32)
    another_run.write_init(b"")
    with pytest.raises(HandshakeFailed):
        another_run.read_response(recorded)


def test_a_replayed_message_1_leads_to_keys_that_the_replayer_does_not_have() -> None:
    """The documented weakness of message 1: it is accepted, but each response has another ephemeral key."""
    recorded = initiator().write_init(b"")
    keys_of_runs = set()
    for ephemeral in (b"\x01" * 32, b"\x02" * 32):
        bob = Responder(identity=BOB, psk=PSK, prologue=PROLOGUE, ephemeral_private=ephemeral)
        bob.read_init(recorded)
        bob.write_response(b"")
        keys_of_runs |= {bob.keys.send, bob.keys.receive}
    assert len(keys_of_runs) == 4


# Points of order 1, 2, 4 and 8 make the shared secret zero whatever the private key (RFC 7748, section 6.1).
LOW_ORDER = [
    bytes(32),
    bytes([1]) + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
]


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:4])
def test_a_point_of_low_order_is_refused_wherever_it_comes_from(point: bytes) -> None:
    with pytest.raises(HandshakeFailed, match="not usable"):
        initiator(peer=point).write_init(b"")
    with pytest.raises(HandshakeFailed, match="not usable"):
        responder().read_init(point + bytes(100))
    alice = initiator()
    alice.write_init(b"")
    with pytest.raises(HandshakeFailed, match="not usable"):
        alice.read_response(point + bytes(100))


def test_payloads_are_not_readable_on_the_wire_nor_is_the_initiators_key() -> None:
    alice, bob = initiator(), responder()
    first = alice.write_init(b"a payload of the initiator")
    bob.read_init(first)
    second = bob.write_response(b"a payload of the responder")
    assert b"payload" not in first + second
    assert ALICE.public_key not in first
    assert (len(first), len(second)) == (96 + 26, 48 + 26)


# --- misuse ----------------------------------------------------------------------------------------------------


def test_steps_out_of_turn_are_usage_errors() -> None:
    alice, bob = initiator(), responder()
    for step in (lambda: alice.read_response(bytes(48)), lambda: bob.write_response(b"")):
        with pytest.raises(UsageError, match="out of turn"):
            step()
    with pytest.raises(UsageError):
        _ = bob.peer_public_key
    first = alice.write_init(b"")
    bob.read_init(first)
    for step in (lambda: alice.write_init(b""), lambda: bob.read_init(first)):
        with pytest.raises(UsageError, match="out of turn"):
            step()
    for side in (alice, bob):
        with pytest.raises(UsageError, match="after its last message"):
            _ = side.keys
    second = bob.write_response(b"")
    alice.read_response(second)
    for step in (lambda: alice.read_response(second), lambda: bob.write_response(b"")):
        with pytest.raises(UsageError, match="out of turn"):
            step()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_of_a_wrong_size_are_usage_errors(size: int) -> None:
    with pytest.raises(UsageError, match="pre-shared key has 32 bytes"):
        initiator(psk=bytes(size))
    with pytest.raises(UsageError, match="responder's public key has 32 bytes"):
        initiator(peer=bytes(size))
    with pytest.raises(UsageError, match="ephemeral private key has 32 bytes"):
        Responder(identity=BOB, psk=PSK, prologue=b"", ephemeral_private=bytes(size))


def test_the_largest_payload_passes_and_one_byte_more_is_a_usage_error() -> None:
    alice, bob = initiator(), responder()
    with pytest.raises(UsageError, match="at most 65439"):
        alice.write_init(bytes(65440))
    message = alice.write_init(bytes(65439))
    assert len(message) == 65535
    assert bob.read_init(memoryview(message)) == bytes(65439)


def test_repr_does_not_show_the_session_keys() -> None:
    shown = repr(TransportKeys(b"s" * 32, b"r" * 32, b"h" * 32))
    assert "ssss" not in shown
    assert "rrrr" not in shown


def assert_completes(alice: Initiator, bob: Responder, first: bytes) -> None:
    bob.read_init(first)
    alice.read_response(bob.write_response(b""))
    assert alice.keys.send == bob.keys.receive
