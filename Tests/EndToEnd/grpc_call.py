"""Calls of containerd's API that no client at hand makes: gRPC by hand, one connection for each, messages as {field number: value}."""
import socket
import struct


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(fields):
    """Values: int, str, bytes, a nested message or a list of those; a dictionary with text keys is a map."""
    out = b""
    for number, value in fields.items():
        if isinstance(value, dict) and any(isinstance(k, str) for k in value):
            value = [{1: k, 2: v} for k, v in value.items()]
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                out += varint(number << 3) + varint(one)
                continue
            data = one.encode() if isinstance(one, str) else message(one) if isinstance(one, dict) else one
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def parse(data):
    """{field number: [int or bytes]}"""
    fields, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            length = number()
            value, at = data[at:at + length], at + length
        fields.setdefault(key >> 3, []).append(value)
    return fields


class CallFailed(Exception):
    pass


def call(path, namespace, method, fields, timeout=30):
    """`method`: "containers.v1.Containers/Create". Returns the answer's fields; raises CallFailed."""
    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def header(name, value):
        return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()

    body = message(fields)
    assert len(body) < 16000
    headers = b"".join(header(*h) for h in (
        (":method", "POST"), (":scheme", "http"), (":path", f"/containerd.services.{method}"), (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers"),
        ("containerd-namespace", namespace)))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, headers) + frame(0, 1, 1, struct.pack(">BI", 0, len(body)) + body))
        stream, answer, trailer = connection.makefile("rb"), b"", b""
        while head := stream.read(9):
            payload = stream.read(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == 4 and not flags & 1:
                connection.sendall(frame(4, 1, 0, b""))
            elif kind == 0:
                answer += payload
            elif kind == 1:
                trailer = payload
            if kind in (0, 1) and flags & 1 or kind in (3, 7):
                break
    # An error is a status without a message. Its text may be in Huffman's code: what can be read of it.
    if len(answer) < 5:
        raise CallFailed(f"{method}: {trailer!r}")
    return parse(answer[5:])
