# SPDX-License-Identifier: MIT
"""Makes small ELF files of any architecture, as the generic ABI (gabi) has them, for what looks into such files."""

import struct
from typing import List, Sequence, Tuple

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
EM_386, EM_S390, EM_ARM, EM_X86_64, EM_AARCH64 = 3, 22, 40, 62, 183
TAGS = {"needed": 1, "soname": 14, "rpath": 15, "runpath": 29}


class Strings:
    """A table of strings."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        self.data += text.encode() + b"\0"
        return len(self.data) - len(text.encode()) - 1


def elf_file(imports: Sequence[str] = (), exports: Sequence[str] = (), needed: Sequence[str] = (),
             machine: int = EM_X86_64, wide: bool = True, order: str = "<", gnu_hash: bool = True,
             interpreter: str = "", go: Sequence[str] = (), flags_1: int = 0,
             layout: str = "hash symbols strings", **strings: str) -> bytes:
    """A program or library without sections, in which addresses are the same as offsets. `layout` is the order of its
    tables: lld puts versions behind the symbols, Go what no tag tells of.
    """
    word, table = "Q" if wide else "I", Strings()
    dynamic: List[Tuple[int, int]] = [(TAGS["needed"], table.add(name)) for name in needed]
    dynamic += [(TAGS[tag], table.add(text)) for tag, text in strings.items()]
    dynamic += [(0x6FFFFFFB, flags_1)] if flags_1 else []

    def symbol(name: str, section: int) -> bytes:
        start = table.add(name) if name else 0
        return (struct.pack(order + "IBBHQQ", start, 0x12, 0, section, 0, 0) if wide else
                struct.pack(order + "IIIBBH", start, 0, 0, 0x12, 0, section))

    symbols = b"".join([symbol("", 0), *(symbol(name, 0) for name in imports), *(symbol(name, 1) for name in exports)])
    count = 1 + len(imports) + len(exports)
    if gnu_hash:  # nbuckets, symoffset (1 of GNU ld, if all is empty), bloom_size, bloom_shift, bloom, buckets, chain
        hashes = struct.pack(order + "IIII" + word + "I", 1, 1 + len(imports) if exports else 1, 1, 0, 0,
                             1 + len(imports) if exports else 0) + b"".join(
            struct.pack(order + "I", number == len(exports)) for number in range(1, 1 + len(exports)))
    else:  # nbucket, nchain
        hashes = struct.pack(order + ("QQ" if machine == EM_S390 and wide else "II"), 1, count) + bytes(8 * (count + 1))
    note = struct.pack(order + "III", 4, 4, 4) + b"Go\0\0abcd" if go else b""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in go) if go else b""
    header_bytes, segment_bytes = (64, 56) if wide else (52, 32)
    parts = [(PT_INTERP, interpreter.encode() + b"\0" if interpreter else b""), (PT_NOTE, note)]
    segments = [kind for kind, data in parts if data] + [PT_LOAD] + [PT_DYNAMIC] * bool(dynamic or imports or exports)
    start = header_bytes + segment_bytes * len(segments)
    places = {}
    body = b""

    def put(kind: int, data: bytes) -> int:
        nonlocal body
        body += bytes(-len(body) % 8)
        place = start + len(body)
        places[kind] = (place, len(data))
        body += data
        return place

    for kind, data in parts:
        if data:
            put(kind, data)
    if PT_DYNAMIC in segments:
        tables = {"hash": (0x6FFFFEF5 if gnu_hash else 4, hashes), "symbols": (6, symbols), "strings": (5, table.data),
                  "versions": (0x6FFFFFF0, struct.pack(order + "24H", *[2, 0] * 12)),
                  "other": (0, struct.pack(order + "18I", *[1 << 20, 0] * 9))}
        for name in layout.split():
            tag, data = tables[name]
            place = put(-1, data)
            dynamic += [(tag, place)] if tag else []
        dynamic += [(10, len(table.data)), (0, 0)]
        put(PT_DYNAMIC, b"".join(struct.pack(order + 2 * word, *pair) for pair in dynamic))
    put(-4, names)
    size = start + len(body)
    places[PT_LOAD] = (0, size)
    rows = []
    for kind in segments:
        place, length = places[kind]
        rows.append(struct.pack(order + "IIQQQQQQ", kind, 4, place, place, place, length, length, 8) if wide else
                    struct.pack(order + "8I", kind, place, place, place, length, length, 4, 4))
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    return ident + struct.pack(order + f"HHI{word}{word}{word}I6H", 3, machine, 1, 0, header_bytes, 0, 0, header_bytes,
                               segment_bytes, len(segments), 0, 0, 0) + b"".join(rows) + body
