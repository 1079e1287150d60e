"""Multipart forms, byte by byte."""

from __future__ import annotations

TYPE = "multipart/form-data; boundary=x"


def part(name: str, value: bytes, disposition: str = "", content_type: str = "") -> bytes:
    """A part; ``disposition`` follows the name, such as ``filename="a.txt"``."""
    more = f"; {disposition}" if disposition else ""
    lines = [f'Content-Disposition: form-data; name="{name}"{more}']
    lines += [f"Content-Type: {content_type}"] if content_type else []
    return "\r\n".join(["--x", *lines, "", ""]).encode() + value + b"\r\n"


def file(name: str, value: bytes, filename: str, content_type: str = "") -> bytes:
    return part(name, value, f'filename="{filename}"', content_type)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--x--\r\n"
