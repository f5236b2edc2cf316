"""How an answer goes over ASGI, whole or a file piece by piece."""

from __future__ import annotations

import asyncio
from typing import IO

from cudawheel.index.answer import Answer, Receive, Send

_PIECE = 1 << 20
_NOT_MODIFIED = 304


async def send_answer(answer: Answer, file: IO[bytes] | None, receive: Receive, send: Send, *, head: bool) -> str:
    """Send an answer; of the answer to a HEAD request everything but the body.

    Args:
        answer: what to send.
        file: its file, opened, if its body is one and is wanted.
        receive: tells when the client has gone.
        send: takes the pieces.
        head: whether the body is left out.

    Returns:
        What kept the body from being sent to its end, or nothing. The server then breaks the connection off, so that
        nobody takes the part for the whole.
    """
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    if answer.status != _NOT_MODIFIED:
        headers.append((b"content-length", str(answer.length).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if file is None:
        await send({"type": "http.response.body", "body": b"" if head else answer.body})
        return ""
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        return await _send_file(file, answer, send, gone)
    finally:
        gone.cancel()


async def _send_file(file: IO[bytes], answer: Answer, send: Send, gone: asyncio.Future[None]) -> str:
    try:
        await asyncio.to_thread(file.seek, answer.start)
        left = answer.length
        while left:
            piece = await asyncio.to_thread(file.read, min(left, _PIECE))
            if not piece:
                return "the file was cut short while it was being sent"
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            if gone.done() and left:
                return "the client has gone"
    except OSError as fault:
        return str(fault)
    else:
        return ""


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
