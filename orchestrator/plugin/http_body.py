"""Reading an HTTP body without being harmed by it: bounded decompression and strict JSON. Knows no HTTP library."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, NoReturn

from orchestrator.errors import StepError

PIECE_BYTES = 65_536
MAX_JSON_DEPTH = 100


class BodyTooLarge(Exception):
    """More bytes than allowed came, or would have come out of decompression."""


async def read_decoded(chunks: AsyncIterator[bytes], encoding: str, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """Pieces of the decompressed body, never more than `max_bytes` in all, never more than 64 KiB made at once.

    Raises: BodyTooLarge; zlib.error for a body that is not what its Content-Encoding says; ValueError for an unknown one.
    """
    decode = _decoder(encoding)
    seen = 0
    async for chunk in chunks:
        for piece in decode(chunk):
            seen += len(piece)
            if seen > max_bytes:
                raise BodyTooLarge
            yield piece
    if decode.is_cut:
        raise zlib.error("the compressed body ends in the middle")


def _decoder(encoding: str) -> _Decoder:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _Decoder(None)
    if name in ("gzip", "x-gzip"):
        return _Decoder(16 + zlib.MAX_WBITS)
    if name == "deflate":
        return _Decoder(zlib.MAX_WBITS)
    raise ValueError(f'Content-Encoding "{encoding}" was not asked for')


class _Decoder:
    def __init__(self, window_bits: int | None) -> None:
        self._bits = window_bits
        self._zlib = None if window_bits is None else zlib.decompressobj(window_bits)
        self._is_first = True

    @property
    def is_cut(self) -> bool:
        """Whether a compressed body began and did not end."""
        return self._zlib is not None and not self._is_first and not self._zlib.eof

    def __call__(self, data: bytes) -> Iterator[bytes]:
        if self._zlib is None:
            yield data
            return
        while data:
            try:
                piece = self._zlib.decompress(data, PIECE_BYTES)
            except zlib.error:
                if not (self._is_first and self._bits == zlib.MAX_WBITS):
                    raise
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)  # "deflate" without a zlib header is common
                piece = self._zlib.decompress(data, PIECE_BYTES)
            self._is_first = False
            if piece:
                yield piece
            if self._zlib.eof:
                data = self._zlib.unused_data
                if data and self._bits == 16 + zlib.MAX_WBITS and data[:2] == b"\x1f\x8b":
                    self._zlib = zlib.decompressobj(self._bits)  # gzip files may be several members in a row
                    continue
                return
            data = self._zlib.unconsumed_tail


def parse_json(text: str | bytes) -> Any:  # any JSON value
    """Strict JSON: no NaN, no lone surrogate, bounded depth, one kind of error. Raises: ValueError."""
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}") from None
    if _is_too_deep(value):
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")
    if "\\u" in text or "\\U" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair stands alone in a text") from None
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _is_too_deep(value: Any) -> bool:  # any JSON value
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def bad_json(where: str, problem: ValueError, text: str) -> StepError:
    """The error for a body that said it was JSON."""
    return StepError("http.bad_json", f"{where} sent JSON that cannot be read: {problem}", details={"body": text[:500]})
