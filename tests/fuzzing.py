"""Inputs nobody means well with: valid ones, bent at random, the same again for the same seed.

`parsers` names what reads bytes from outside, with what each may raise. `conversations` are
whole streams for a listener. tests/bench/fuzz.py runs many of both, the tests a few.
"""

import random
import select
import socket
import struct
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter

from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dicom import header, identity, jpeg, part10
from gateway.dicom.layout import HeaderReader
from gateway.errors import Undecodable
from gateway.packs import tar
from gateway.scp.wire import command, pdu
from tests.instances import (
    JPEG_BASELINE,
    VL_ENDOSCOPIC,
    cut,
    data_set,
    encoded,
    frame,
    p_data,
    store_command,
)
from tests.instances import jpeg as jpeg_frame
from tests.requestor import ABORT, RELEASE_REQUEST, associate_request

EXPLICIT, DEFLATED = "1.2.840.10008.1.2.1", header.DEFLATED
SYNTAXES = (EXPLICIT, header.IMPLICIT_LITTLE, header.EXPLICIT_BIG, DEFLATED, JPEG_BASELINE)
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
CONTEXTS = (
    (VL_ENDOSCOPIC, [JPEG_BASELINE]),
    (VERIFICATION, [header.IMPLICIT_LITTLE]),
    (COMMITMENT, [EXPLICIT, header.IMPLICIT_LITTLE]),
    (VL_ENDOSCOPIC, [JPEG_BASELINE]),
)
"""Presentation contexts 1, 3, 5 and 7 of every conversation."""

_TELLING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\x00\x00", b"\xff\xff\xff\xff",
    b"\xfe\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\x01\x00", b"\x00\x01",
    b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"\xe0\x7f\x10\x00OB\x00\x00",
    b"SQ\x00\x00\xff\xff\xff\xff", b"UN\x00\x00\xff\xff\xff\xff", b"\xff\xd8", b"\xff\xd9",
    b"\xff\xda", b"\xff\xc0", b"ustar", b"sha256:", b"\x04\x00\x00\x00\x00\x00", b"\\", b"-1",
)  # fmt: skip
"""What parsers stumble over."""


def mutate(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return the input with one to eight changes."""
    bent = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        at = rng.randrange(len(bent) + 1)
        count = min(rng.choice((1, 1, 2, 4, 8, 64, 512)), len(bent) - at)
        telling, other = rng.choice(_TELLING), rng.choice(others or (data,))
        start = rng.randrange(len(other) + 1)
        stretch, piece = slice(at, at + count), bytes(bent[at : at + count])
        where, what = rng.choice(
            (
                (slice(at, at + 1), bytes(one ^ 1 << rng.randrange(8) for one in piece[:1])),
                (stretch, rng.randbytes(count)),
                (slice(at, at), rng.randbytes(rng.choice((1, 2, 4, 16, 200)))),
                (stretch, b""),
                (slice(at, at), piece * rng.choice((1, 1, 2, 40))),
                (slice(at, at + len(telling)), telling),
                (slice(at, at), telling),
                (slice(at, None), b""),
                (stretch, other[start : start + rng.choice((4, 16, 128, 1024))]),
            )
        )
        bent[where] = what
    return bytes(bent[: 1 << 20])


# Parsers: bytes in, values out.


@dataclass(frozen=True)
class Parser:
    """read: raises nothing but `raises`, whatever it is given."""

    read: Callable[[bytes], object]
    seeds: Sequence[bytes]
    raises: tuple[type[Exception], ...] = ()


def parsers() -> dict[str, Parser]:
    frames = [frame(1), frame(2, PatientName=None), _nested(), _native(), _deep(60)]
    headers = [one for ds in (data_set(3), _plain()) for one in _in_every_syntax(ds)]
    commands = list(_commands())
    members = [_member(number) for number in (1, 2)]
    return {
        "pdu.values": Parser(
            _read_values, [one[6:] for one in _p_data_pdus()], (pdu.MalformedPdu,)
        ),
        "pdu.missing": Parser(_read_missing, list(_p_data_pdus()), (pdu.MalformedPdu,)),
        "command.decode": Parser(_read_command, commands),
        "command.RequestReader": Parser(_requests_reader(commands), commands),
        "header.read": Parser(_read_header, [*frames, *headers], (Undecodable,)),
        "layout.HeaderReader": Parser(_read_twice, [*frames, *headers[:1]], (Undecodable,)),
        "identity.read": Parser(_read_identity, [*frames, *headers], (Undecodable,)),
        "jpeg.scan": Parser(_read_jpeg, [jpeg_frame(1), jpeg_frame(2, 96, 80)]),
        "tar.decode_header": Parser(_read_tar, [one[:512] for one in members]),
        "part10.parse_file_meta": Parser(
            part10.parse_file_meta, [one[512:2000] for one in members], (Undecodable,)
        ),
        "part10.first_fragment": Parser(
            part10.first_fragment, [one[512:] for one in members], (Undecodable,)
        ),
    }  # fmt: skip


def _read_values(data: bytes) -> None:
    taken = sum(6 + len(fragment) for _, _, fragment in pdu.values(memoryview(data)))
    assert taken == len(data)


def _read_missing(data: bytes) -> None:
    assert pdu.missing(data[: 6 + len(data) // 2], bytes_max=1 << 20) < 1 << 21


def _read_command(data: bytes) -> None:
    request = command.decode(data)
    if request is not None:
        command.encode_response(request, 0xA700, "out of resources")


def _requests_reader(seen: Sequence[bytes]) -> Callable[[bytes], None]:
    """Return a check that one who remembers reads what one who does not reads."""
    readers = [command.RequestReader() for _ in seen]
    for reader, one in zip(readers, seen, strict=True):
        reader.read(one)

    def check(data: bytes) -> None:
        for reader in readers:
            assert reader.read(data) == command.decode(data)

    return check


def _syntax_of(data: bytes) -> str:
    return SYNTAXES[sum(data[:64]) % len(SYNTAXES)]


def _read_header(data: bytes) -> None:
    refused: Undecodable | None = None
    for syntax in (EXPLICIT, _syntax_of(data)):
        try:
            found = header.read(data, syntax)
        except Undecodable as error:
            refused = error
            continue
        if syntax != DEFLATED:
            assert (found.pixel_data_offset or 0) <= len(data)
            if found.fragment:
                assert found.fragment.offset + found.fragment.size <= len(data)
        for tag in header.WANTED:
            found.text(tag), found.unsigned(tag), found.integer(tag)
    if refused:
        raise refused


_reader = HeaderReader()
for _number in range(1, 6):
    _reader.read(frame(_number), JPEG_BASELINE)  # it knows these layouts by now


def _read_twice(data: bytes) -> None:
    """What the reader with a memory says is what the one without says."""
    try:
        expected = header.read(data, JPEG_BASELINE)
    except Undecodable as error:
        try:
            found = _reader.read(data, JPEG_BASELINE)
        except Undecodable:
            raise error from None
        raise AssertionError(f"it read {found} where it is {error}") from error
    assert _reader.read(data, JPEG_BASELINE) == expected


def _read_identity(data: bytes) -> None:
    identity.read(data, _syntax_of(data))


def _read_jpeg(data: bytes) -> None:
    jpeg.scan(data)
    jpeg.classify(data, rows=64, columns=64)


def _read_tar(data: bytes) -> None:
    member = tar.decode_header(data)
    if member is not None:
        assert 0 <= member.size <= tar.SIZE_MAX
        assert len(member.digest) == 32


def _plain() -> Dataset:
    ds = data_set(4)
    del ds.PixelData
    return ds


def _in_every_syntax(ds: Dataset) -> Iterator[bytes]:
    import zlib

    for implicit, little in ((False, True), (True, True), (False, False)):
        if "PixelData" in ds and (implicit or not little):
            continue
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = little, implicit
        write_dataset(buffer, ds)
        yield buffer.getvalue()
    packer = zlib.compressobj(wbits=-15)
    yield packer.compress(encoded(ds)) + packer.flush()


def _nested() -> bytes:
    """A data set with sequences in sequences, of undefined and of defined length."""
    ds = data_set(5)
    outer, inner = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator = "122865005", "SCT"
    outer.ConceptCodeSequence = [inner, inner]
    ds.AnatomicRegionSequence = [outer]
    ds["AnatomicRegionSequence"].is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    return encoded(ds)


def _deep(depth: int) -> bytes:
    """Sequences in sequences, more than anybody reads, their lengths defined."""
    value = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value
        value = struct.pack("<HH2sxxL", 0x0010, 0x1002, b"SQ", len(item)) + item
    ds = encoded(data_set(7))
    at = ds.index(b"\x20\x00\x0d\x00UI")
    return ds[:at] + value + ds[at:]


def _native() -> bytes:
    ds = data_set(6)
    ds.PixelData = bytes(600)
    ds["PixelData"].is_undefined_length = False
    return encoded(ds)


def _member(number: int) -> bytes:
    uid = f"1.2.3.{number}"
    meta = part10.encode_file_meta(
        sop_class_uid=VL_ENDOSCOPIC, sop_instance_uid=uid,
        transfer_syntax_uid=JPEG_BASELINE, source_ae_title="WS",
    )  # fmt: skip
    content = meta + frame(number)
    digest = tar.content_digest(content)
    return (
        tar.encode_header(f"{uid}.dcm", size=len(content), digest=digest, modified_at=1) + content
    )


# Conversations: what is sent to a listener, from the first byte on.


def element(number: int, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", 0, number, len(value)) + value


def command_set(field: int, *, data: bool, **values: bytes) -> bytes:
    """Return a command set. values: by element number, as in x0002."""
    elements = {
        0x0002: VL_ENDOSCOPIC.encode(),
        0x0100: struct.pack("<H", field),
        0x0110: struct.pack("<H", 7),
        0x0800: struct.pack("<H", 0x0000 if data else 0x0101),
        **{int(name[1:], 16): value for name, value in values.items()},
    }
    body = b"".join(element(number, elements[number]) for number in sorted(elements))
    return element(0x0000, struct.pack("<L", len(body))) + body


def _commands() -> Iterator[bytes]:
    """Yield command sets of every DIMSE service, requests and responses (PS3.7 E.1)."""
    yield store_command("1.2.826.0.1.3680043.9.7433.1.1.1")
    for field in (
        0x0001, 0x0010, 0x0020, 0x0021, 0x0030, 0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150,
        0x0FFF, 0x8001, 0x8010, 0x8020, 0x8021, 0x8030, 0x8100, 0x8110, 0x8120, 0x8130, 0x8140,
        0x8150, 0x1234,
    ):  # fmt: skip
        response = {"x0120": b"\x07\x00", "x0900": b"\x00\x00"} if field & 0x8000 else {}
        yield command_set(field, data=field in (0x0020, 0x0110, 0x0130), **response)
    yield command_set(
        0x0130, data=True, x0003=COMMITMENT.encode(), x1001=b"1.2.840.10008.1.20.1.1",
        x1008=b"\x01\x00",
    )  # fmt: skip
    yield command_set(
        0x0100, data=True, x0002=COMMITMENT.encode(), x1000=b"1.2.840.10008.1.20.1.1",
        x1002=b"\x01\x00",
    )  # fmt: skip
    yield command_set(0x0030, data=False, x0002=VERIFICATION.encode())


def _message(number: int, sizes: Sequence[int], context_id: int = 1) -> bytes:
    """Return a C-STORE in PDUs of one value each, cut into pieces of these sizes."""
    uid = f"1.2.826.0.1.3680043.9.7433.1.1.{number}"
    out = b""
    for flag, content in ((1, store_command(uid)), (0, frame(number))):
        pieces = list(cut(content, sizes))
        for index, piece in enumerate(pieces):
            last = 2 if index == len(pieces) - 1 else 0
            out += p_data([(context_id, flag | last, piece)])
    return out


def _p_data_pdus() -> Iterator[bytes]:
    yield p_data([(1, 3, store_command("1.2.3"))])
    yield p_data([(1, 3, store_command("1.2.3")), (1, 0, frame(1)[:500]), (1, 2, frame(1)[500:])])
    yield p_data([(context_id, 2, b"\x01" * context_id) for context_id in range(1, 256, 2)])
    yield p_data([(1, 0, b""), (3, 1, b""), (1, 2, b"x")])


def conversations() -> list[list[bytes]]:
    """Return streams, each a list of PDUs; the first is the A-ASSOCIATE-RQ."""
    request = associate_request(calling="FUZZ", called="CAPSULEGW", contexts=CONTEXTS, window=8)
    stores = [_message(number, sizes) for number, sizes in
              ((1, [16_000]), (2, [700]), (3, [90, 1]), (4, [100_000]))]  # fmt: skip
    both = p_data([(1, 3, store_command("1.2.826.0.1.3680043.9.7433.1.1.5")), (1, 2, frame(5))])
    services = [
        p_data([(3 if one[20:40].find(b"1.1\0") >= 0 else 5, 3, one)]) for one in _commands()
    ]
    identifier = p_data([(5, 2, encoded(_plain()))])
    mixed = [piece for one in services for piece in (one, identifier)]
    interleaved = [
        p_data([(1, 3, store_command("1.2.826.0.1.3680043.9.7433.1.1.8"))]),
        p_data([(7, 3, store_command("1.2.826.0.1.3680043.9.7433.1.1.9"))]),
        p_data([(1, 0, frame(8)[:900]), (7, 2, frame(9)), (1, 2, frame(8)[900:])]),
    ]
    private = encoded(data_set(6, PixelData=encapsulate([b"\x5a" * 300_000])))
    large = [p_data([(1, 3, store_command("1.2.826.0.1.3680043.9.7433.1.1.6"))]),
             *(p_data([(1, 0, piece)]) for piece in cut(private, [60_000])),
             p_data([(1, 2, b"")])]  # fmt: skip
    return [
        [request, *stores, RELEASE_REQUEST],
        [request, both, *services[:6], both, RELEASE_REQUEST],
        [request, *mixed, RELEASE_REQUEST],
        [request, *interleaved, RELEASE_REQUEST],
        [request, *large, RELEASE_REQUEST],
        [request, *(one for one in services for _ in range(20)), RELEASE_REQUEST],
        [request, stores[0], ABORT],
        [request, RELEASE_REQUEST],
        [request],
    ]


def bent_conversation(rng: random.Random, valid: Sequence[list[bytes]]) -> list[bytes]:
    """Return one of the conversations, with something wrong in it.

    Mostly the association is left whole, so that what comes after it is reached.
    """
    stream = list(rng.choice(valid))
    others = [piece for one in valid for piece in one]
    kind = rng.randrange(10)
    if kind == 0:
        stream[0] = mutate(stream[0], rng, others)
    elif kind == 1:
        first, rest = stream[:1], stream[1:]
        rng.shuffle(rest)
        stream = first + rest
    elif kind == 2:
        at = rng.randrange(len(stream))
        stream[at:at] = [rng.choice(others)] * rng.choice((1, 1, 3, 50))
    else:
        for _ in range(rng.choice((1, 1, 2, 4))):
            at = rng.randrange(1, len(stream)) if len(stream) > 1 else 0
            stream[at] = _bent_pdu(stream[at], rng, others)
    return stream


def _bent_pdu(one: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """Bend a PDU; half the time with its length put right, so that its inside is looked at."""
    bent = mutate(one, rng, others)
    if rng.random() < 0.5 or len(bent) < 12:
        return bent
    length = len(bent) - 6
    if bent[0] == 0x04 and rng.random() < 0.7:  # one value, of the whole PDU
        return struct.pack(">BxLL", bent[0], length, length - 4) + bent[10:]
    return struct.pack(">BxL", bent[0], length) + bent[6:]


ANSWER_S_MAX = 15
"""A listener that has been told there is no more must have closed by then."""


class Hang(AssertionError):
    """The listener neither answered nor closed."""


def converse(port: int, stream: Sequence[bytes]) -> bytes:
    """Send a stream and its end, reading all the while; returns what came until the end.

    What follows the first PDU waits for its answer, as PS3.8 wants it. Raises Hang.
    """
    came = bytearray()
    left = [memoryview(stream[0]), memoryview(b"".join(stream[1:]))]
    deadline = monotonic() + ANSWER_S_MAX
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S_MAX) as connection:
        connection.setblocking(False)
        until = monotonic() + 2  # for an answer to the first
        while True:
            may_write = len(left) == 2 or (left and (came or monotonic() > until))
            wanted = [connection] if may_write else []
            readable, writable, _ = select.select([connection], wanted, [], 0.1)
            if monotonic() > deadline:
                raise Hang(f"no end after {ANSWER_S_MAX} s; {left} not taken")
            try:
                if readable:
                    piece = connection.recv(1 << 16)
                    if not piece:
                        return bytes(came)
                    came += piece
                if writable:
                    left[0] = left[0][connection.send(left[0][: 1 << 18]) :] if left[0] else left[0]
                    if not left[0]:
                        del left[0]
                    if not left:
                        connection.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                continue
            except OSError:  # reset: it had enough
                return bytes(came)


@dataclass
class Findings:
    """What came of many inputs to one parser."""

    count: int = 0
    refused: int = 0
    slowest_s: float = 0.0
    peak_bytes: int = 0


def run_parser(parser: Parser, seed: str, count: int) -> Findings:
    """Feed bent inputs to a parser. Whatever it raises against its promise goes through."""
    rng, findings = random.Random(seed), Findings()
    tracemalloc.start()
    warnings.simplefilter("ignore")  # pydicom says what it thinks of each value
    try:
        for _ in range(count):
            data = mutate(rng.choice(parser.seeds), rng, parser.seeds)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            began = perf_counter()
            try:
                parser.read(data)
            except parser.raises:
                findings.refused += 1
            except BaseException as error:
                error.add_note(f"input: {data.hex()}")
                raise
            findings.slowest_s = max(findings.slowest_s, perf_counter() - began)
            grown = tracemalloc.get_traced_memory()[1] - before
            findings.peak_bytes = max(findings.peak_bytes, grown)
            findings.count += 1
    finally:
        tracemalloc.stop()
    return findings
