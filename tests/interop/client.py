"""An independent client of the Casemesh protocol, written from PROTOCOL.md alone.

client.py golden FILE               reads one body of each kind and checks its signature and its content's hash
client.py stranger OFFICE           connects with a key that nobody knows
client.py deliver OFFICE [again]    seals a referral and puts it, or puts the same packet once more
client.py open OFFICE PACKET        opens a packet that the partner sealed to this office

Each prints one JSON object. OFFICE is a JSON file: an office's secrets, and the partner to speak with.
"""

import hashlib
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import cbor2
import trio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from libp2p import create_yamux_muxer_option, new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.exceptions import BaseLibp2pError
from libp2p.io.utils import read_exactly
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from multiaddr import Multiaddr

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NO_HASH = bytes(32)


class Broken(Exception):
    """What was read breaks the protocol."""


class Refused(Exception):
    """The partner rejected what was asked, or cut the connection."""


def require(condition, message):
    if not condition:
        raise Broken(message)


# Encoding: without maps and floats, what cbor2 writes by itself is canonical.


def is_plain(value):
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, int):
        return -(2**64) <= value < 2**64
    return value is None or isinstance(value, (bytes, str))


def decode(data):
    value = cbor2.loads(data)
    require(is_plain(value) and cbor2.dumps(value) == data, "not canonical")
    return value


def prefixed(data):
    return len(data).to_bytes(4, "big") + data


def split_prefixed(data):
    end = 4 + int.from_bytes(data[:4], "big")
    require(4 <= end <= len(data), "a length leads past the end")
    return data[4:end], data[end:]


# Hashes, keys and signatures


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def under(context, data):
    return context.encode() + b"\0" + data


def key_id(public):
    return sha256(public)[:8]


def find_key(keys, wanted):
    return next((key for key in keys if key_id(key) == wanted), None)


def hkdf(key, salt, info):
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def sign(seed, context, data):
    """The id of the signing key, and the signature."""
    secret = Ed25519PrivateKey.from_private_bytes(seed)
    return key_id(secret.public_key().public_bytes_raw()), secret.sign(under(context, data))


def signature_holds(public, signature, context, data):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, under(context, data))
    except InvalidSignature:
        return False
    return True


# Packets

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
ENC_LENGTH = 1120
CHUNK = 64 * 1024
TAG_LENGTH = 16
PACKET_MOST = 240 * 1024


def xwing_public(data):
    mlkem, x25519 = data[:1184], data[1184:]
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519)
    )


def xwing_secret(seed):
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])
    )


def slot_info(packet_id, prekey_id):
    return b"rp/1/slot" + packet_id + prekey_id


def padded_length(length):
    if length <= CHUNK:
        return max(4096, 1 << (length - 1).bit_length())
    exponent = length.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-length // step) * step


def stream(work, data, chunk_length):
    """STREAM-BE32: `work` encrypts or decrypts each chunk under the nonce of its place."""
    chunks = [data[at : at + chunk_length] for at in range(0, len(data), chunk_length)]
    nonces = [at.to_bytes(11, "big") + bytes([at == len(chunks) - 1]) for at in range(len(chunks))]
    return b"".join(work(nonce, chunk, None) for nonce, chunk in zip(nonces, chunks, strict=True))


def seal(office, kind, body, now_ms, expires_ms, urgency, thread, consent, purpose):
    """A packet of one body for the partner."""
    partner = office["partner"]
    packet_id, content_key, salt = os.urandom(16), os.urandom(32), os.urandom(32)
    expires_h = expires_ms // HOUR_MS
    prekey_id = key_id(partner["prekey"])
    sealed_key = SUITE.encrypt(content_key, xwing_public(partner["prekey"]), slot_info(packet_id, prekey_id))
    slots = [[prekey_id, sealed_key[:ENC_LENGTH], sealed_key[ENC_LENGTH:]]]
    commitment = hkdf(content_key, packet_id, b"rp/1/commit")
    header = cbor2.dumps([1, 1, packet_id, expires_h, urgency, commitment, slots, []])

    node_key = Ed25519PrivateKey.from_private_bytes(office["node_key_seed"]).public_key().public_bytes_raw()
    sender = [office["office"], key_id(node_key), office["log_head"]]
    about = [thread, NO_HASH, consent, purpose, sha256(salt, body)]
    statement = cbor2.dumps(
        [1, kind, sha256(header), packet_id, *sender, [partner["office"]], now_ms // 1000, expires_h, *about, [], []]
    )
    _, signature = sign(office["node_key_seed"], "rp/1/statement", statement)
    plaintext = prefixed(statement) + signature + salt + prefixed(body)
    plaintext = plaintext.ljust(padded_length(len(plaintext)), b"\0")
    payload_key = hkdf(content_key, sha256(header), b"rp/1/payload")
    return prefixed(header) + stream(ChaCha20Poly1305(payload_key).encrypt, plaintext, CHUNK)


def unseal(office, packet, now_ms):
    """The sender, kind, thread and body of the partner's packet to this office, checked in the order of PROTOCOL.md."""
    require(len(packet) <= PACKET_MOST, "a packet that is too long")
    header, payload = split_prefixed(packet)
    version, suite, packet_id, expires_h, urgency, commitment, slots, _ext = decode(header)
    require((version, suite) == (1, 1) and urgency in (0, 1, 2) and len(slots) in (1, 2, 4, 8), "the header")
    require(now_ms < expires_h * HOUR_MS, "a packet that is expired")

    seeds = {prekey["id"]: prekey["seed"] for prekey in office["prekeys"]}
    ours = [slot for slot in slots if slot[0] in seeds]
    require(ours, "no slot is ours")
    prekey_id, enc, wrapped = ours[0]
    content_key = SUITE.decrypt(enc + wrapped, xwing_secret(seeds[prekey_id]), slot_info(packet_id, prekey_id))
    require(hkdf(content_key, packet_id, b"rp/1/commit") == commitment, "the commitment")

    payload_key = hkdf(content_key, sha256(header), b"rp/1/payload")
    plaintext = stream(ChaCha20Poly1305(payload_key).decrypt, payload, CHUNK + TAG_LENGTH)
    statement, rest = split_prefixed(plaintext)
    signature, salt = rest[:64], rest[64:96]
    body, padding = split_prefixed(rest[96:])
    require(not any(padding) and len(plaintext) == padded_length(len(plaintext) - len(padding)), "the padding")

    version, kind, *agreed, sender, sender_key, _log_head, to, _created_s, stated_expiry = decode(statement)[:10]
    thread, _previous, _consent, _purpose, body_hash, _attachments, _ext = decode(statement)[10:]
    node_key = find_key(office["partner"]["node_keys"], sender_key)
    require(version == 1 and sender == office["partner"]["office"] and node_key is not None, "the sender")
    require(signature_holds(node_key, signature, "rp/1/statement", statement), "the sender's signature")
    require([*agreed, stated_expiry] == [sha256(header), packet_id, expires_h], "the statement is of another header")
    require(office["office"] in to, "the statement is to others")
    require(body_hash == sha256(salt, body), "the statement is of another body")
    return sender, kind, thread, decode(body)


# Referrals

PREVIEW_KIND, EVENT_KIND, SENT = 1, 3, 0
# Kinds whose body is an event and a content: the step, which of its fields is the content's hash, the hash's context.
CONTENTS = {
    PREVIEW_KIND: (SENT, 3, "casemesh/1/preview"),
    2: (20, 0, "casemesh/1/full"),
    7: (23, 0, "casemesh/1/conflict-names"),
}


def content_hash(kind, content):
    return sha256(under(CONTENTS[kind][2], cbor2.dumps(content)))


def step_of(signed):
    return decode(signed[0])[5]


def event_in(kind, body):
    """The signed event of a body, which must name the content beside it; `None` where a kind has none."""
    if kind not in CONTENTS:
        return body if kind == EVENT_KIND else None
    signed, content = body
    number, fields = step_of(signed)
    step, place, _ = CONTENTS[kind]
    require(number == step and fields[place] == content_hash(kind, content), "the event names another content")
    return signed


def event_signature_holds(signed, keys):
    event, signer, signature = signed
    key = find_key(keys, signer)
    return key is not None and signature_holds(key, signature, "casemesh/1/referral-event", event)


def referral(office, now_ms):
    """A sealed packet: the first event and the preview of a new referral."""
    thread, expires_ms, purpose = os.urandom(16), now_ms + 7 * DAY_MS, 3
    service = ["service_type", 1, "safe_house", "Safe house"]
    person = ["sonose", ["age_band", 1, "30-38", "30-38"], ["sex", 1, "female", "Female"], None, False, "Ugu"]
    contact = [False, True, False, False, "", ""]
    consent_expires_ms, groups, withheld = now_ms + 90 * DAY_MS, [1, 3], [[4, 1]]
    preview = [service, "Built by another program", *person, contact, purpose, consent_expires_ms, groups, withheld]
    preview += [4, [0, 0, False]]

    sent = [SENT, [service, now_ms + 2 * DAY_MS, expires_ms, content_hash(PREVIEW_KIND, preview)]]
    event = cbor2.dumps([[office["office"], os.urandom(8), 1], thread, NO_HASH, NO_HASH, now_ms, sent])
    signed = [event, *sign(office["node_key_seed"], "casemesh/1/referral-event", event)]
    body = cbor2.dumps([signed, preview])
    consent = sha256(b"the consent that the client gave")
    return seal(office, PREVIEW_KIND, body, now_ms, expires_ms, 1, thread, consent, purpose)


# Connection

STEP_SECONDS = 20
HELLO, PACKET = "/casemesh/hello/1", "/casemesh/packet/1"
FRAME_MOST = {HELLO: 8 * 1024, PACKET: 256 * 1024}


@asynccontextmanager
async def connected(partner, seed):
    """Yields a function that asks the partner one thing over a stream of its own."""
    keys = create_new_key_pair(seed)
    noise = NoiseTransport(keys, noise_privkey=create_new_x25519_key_pair().private_key)
    host = new_host(key_pair=keys, sec_opt={NOISE: noise}, muxer_opt=create_yamux_muxer_option())
    peer = ID(partner["peer"])

    async def ask(protocol, request):
        try:
            with trio.fail_after(STEP_SECONDS):
                opened = await host.new_stream(peer, [protocol])
                await opened.write(prefixed(cbor2.dumps(request)))
                await opened.close_write()
                length = int.from_bytes(await read_exactly(opened, 4), "big")
                require(length <= FRAME_MOST[protocol], "a frame that is too long")
                return decode(await read_exactly(opened, length))
        except BaseLibp2pError as error:
            raise Refused(f"the connection is cut: {type(error).__name__} {error}") from error

    async with host.run(listen_addrs=[]):
        with trio.fail_after(STEP_SECONDS):
            await host.connect(PeerInfo(peer, [Multiaddr(partner["address"])]))
        try:
            yield ask
        finally:
            with trio.move_on_after(STEP_SECONDS, shield=True):
                await host.disconnect(peer)


async def say_hello(ask, office):
    number, fields = await ask(HELLO, [1, 1, office["network"], office["office"], now()])
    if number != 0:
        raise Refused(f"the hello is rejected: {fields}")
    [[version_min, version_max, network, partner, _now_ms]] = fields
    require(version_min <= 1 <= version_max and network == office["network"], "another network answers")
    require(partner == office["partner"]["office"], "another office answers")


# Commands


def now():
    return time.time_ns() // 1_000_000


def read_office(path):
    def unhex(value):
        if isinstance(value, list):
            return [unhex(one) for one in value]
        return bytes.fromhex(value) if isinstance(value, str) else value

    def fields(pairs):
        return {name: value if name == "address" else unhex(value) for name, value in pairs}

    return json.loads(Path(path).read_text(), object_pairs_hook=fields)


def golden(path):
    key = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32).public_key().public_bytes_raw()
    kinds, signatures = [], 0
    for line in Path(path).read_text().splitlines():
        kind, body = line.split()
        kinds.append(int(kind))
        signed = event_in(int(kind), decode(bytes.fromhex(body)))
        if signed is not None:
            require(event_signature_holds(signed, [key]), f"the signature of kind {kind}")
            signatures += 1
    return {"kinds": kinds, "signatures": signatures}


async def stranger(office):
    async with connected(office["partner"], os.urandom(32)) as ask:
        try:
            await say_hello(ask, office)
        except Refused as how:
            return {"refused": True, "how": str(how)}
    return {"refused": False}


async def deliver(office, packet):
    partner = office["partner"]
    async with connected(partner, office["peer_seed"]) as ask:
        await say_hello(ask, office)
        number, fields = await ask(PACKET, [0, [packet]])
    if number != 0:
        raise Refused(f"the packet is not stored: {number} {fields}")
    [[receipt, key, signature]] = fields
    version, packet_hash, holder, stored_ms = decode(receipt)
    holds = (
        key in partner["receipt_keys"]
        and signature_holds(key, signature, "casemesh/1/receipt", receipt)
        and (version, packet_hash, holder) == (1, sha256(packet), partner["office"])
    )
    return {"receipt_holds": holds, "stored_ms": stored_ms}


def open_packet(office, packet):
    sender, kind, thread, body = unseal(office, packet, now())
    told = {"kind": kind, "from": sender.hex(), "thread": thread.hex(), "step": None, "signature_holds": None}
    signed = event_in(kind, body)
    if signed is not None:
        told["step"] = step_of(signed)[0]
        told["signature_holds"] = event_signature_holds(signed, office["partner"]["node_keys"])
    return told


def main(arguments):
    match arguments:
        case ["golden", path]:
            return golden(path)
        case ["stranger", path]:
            return trio.run(stranger, read_office(path))
        case ["deliver", path, *again] if again in ([], ["again"]):
            office, packet = read_office(path), Path(f"{path}.packet")
            if not again:
                packet.write_bytes(referral(office, now()))
            return trio.run(deliver, office, packet.read_bytes())
        case ["open", path, packet]:
            return open_packet(read_office(path), Path(packet).read_bytes())
    sys.exit(__doc__)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
