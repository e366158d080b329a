#!/usr/bin/env python3
"""Checks what a Stele server signed, proved and exported, without trusting it or any code of its makers.

    stele_verify.py FILE --key KEY [--old CHECKPOINT] [--document FILE]   a checkpoint or a proof
    stele_verify.py RECEIPT --key KEY [--log DIRECTORY | --snapshot FILE] a search receipt, searched again
    stele_verify.py SNAPSHOT.stele                                        a snapshot, by itself
    stele_verify.py DIRECTORY --key KEY [--snapshot FILE]                 an exported log, replayed to its roots

One file, Python 3.9's standard library only, written from docs/format.md. It reads; it asks no server. Exit code 0:
everything holds; 1: something does not, and the message names the object and the place; 2: wrong usage; 3: a receipt
holds but for records that have been erased.
What each proof shows and does not show: docs/audit.md.
"""

import argparse
import base64
import binascii
import hashlib
import math
import os
import struct
import sys
from collections import deque

ZERO = bytes(32)


class Refused(Exception):
    """Something does not hold: which object, and where."""


def refuse(what):
    raise Refused(what)


def H(label, *parts):
    digest = hashlib.sha256(bytes([label]))
    for part in parts:
        digest.update(part)
    return digest.digest()


def merkle(label, leaves):
    """Root of a list: RFC 6962, section 2.1."""
    if not leaves:
        return ZERO
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return H(label, merkle(label, leaves[:k]), merkle(label, leaves[k:]))


# ---- Ed25519, RFC 8032 section 5.1: verification only, slow -------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    A = (a[1] - a[0]) * (b[1] - b[0]) % P
    B = (a[1] + a[0]) * (b[1] + b[0]) % P
    C = 2 * a[3] * b[3] * D % P
    E = 2 * a[2] * b[2] % P
    return (B - A) * (E - C) % P, (E + C) * (B + A) % P, (E - C) * (E + C) % P, (B - A) * (B + A) % P


def point_multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar > 0:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_decode(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P != 0 or (x == 0 and sign == 1):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_verify(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    public, r = point_decode(key), point_decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if public is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = point_multiply(s, BASE), point_add(r, point_multiply(h, public))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# ---- Text: base64, notes, checkpoints, proofs ---------------------------------------------------------------------

def unbase64(text, what):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        refuse(f"{what}: it is not base64")
    if base64.b64encode(data) != text:
        refuse(f"{what}: it is not base64 in its one form")
    return data


def decimal(text, what):
    if not text.isdigit() or (len(text) > 1 and text[:1] == b"0") or int(text) >= 1 << 64:
        refuse(f"{what}: it is not a number")
    return int(text)


def digest_of(text, what):
    data = unbase64(text, what)
    if len(data) != 32:
        refuse(f"{what}: it is not a hash")
    return data


class Lines:
    """Takes a text apart line by line; says which line of which object is wrong."""

    def __init__(self, data, what):
        self.data, self.what, self.number, self.offset = data, what, 0, 0

    def where(self):
        return f"{self.what}, line {self.number}"

    def next(self):
        self.number += 1
        end = self.data.find(b"\n", self.offset)
        if end < 0:
            refuse(f"{self.where()}: it is missing, or has no end")
        line, self.offset = self.data[self.offset:end], end + 1
        return line

    def field(self, word):
        line = self.next()
        if not line.startswith(word + b" "):
            refuse(f"{self.where()}: it does not begin with {word.decode()!r}")
        return line[len(word) + 1:]

    def hashes(self, most=64):
        found = []
        while True:
            line = self.next()
            if not line:
                return found
            if len(found) == most:
                refuse(f"{self.where()}: more hashes than a proof has")
            found.append(digest_of(line, self.where()))

    def next_is(self, prefix):
        return self.data.startswith(prefix, self.offset)

    def rest(self):
        return self.data[self.offset:]


def is_utf8(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_name(name):
    return is_utf8(name) and 0 < len(name) <= 256 and all(c > 0x20 and c not in (0x7f, 0x2b) for c in name)


class VerifierKey:
    """Of a log (kind 1) or of a witness (kind 4)."""

    def __init__(self, text, kind=1):
        parts = text.split(b"+", 2)
        data = unbase64(parts[2], "the key") if len(parts) == 3 else b""
        if len(data) != 33 or data[0] != kind or not is_name(parts[0]):
            refuse(f"the key: it is not NAME+ID+BASE64 of an Ed25519 key of kind {kind}")
        self.name, self.public, self.text = parts[0], data[1:], text
        self.id = hashlib.sha256(self.name + b"\n" + data).digest()[:4]
        if self.id.hex().encode() != parts[1]:
            refuse("the key: its id does not fit its name and key")


def read_note(data, what, most=65536):
    """(text, [(line, name, key id, signature)]) of a signed note."""
    if len(data) > most:
        refuse(f"{what}: it is longer than allowed")
    lines = Lines(data, what)
    while lines.next():
        pass
    text, signatures = data[:lines.offset - 1], []
    while lines.rest():
        dash, _, rest = lines.next().partition(b" ")
        name, _, blob = rest.rpartition(b" ")
        if dash != "\u2014".encode() or not is_name(name) or len(signatures) == 64:
            refuse(f"{lines.where()}: it is not a signature line")
        blob = unbase64(blob, lines.where())
        if len(blob) <= 4:
            refuse(f"{lines.where()}: it is not a signature line")
        signatures.append((lines.where(), name, blob[:4], blob[4:]))
    return text, signatures


def check_note(text, signatures, key, key_id, what):
    """That one signature is of the key, under the id that it has for this kind of text, and good."""
    good = False
    for where, name, signer, signature in signatures:
        if name == key.name and signer == key_id:
            if not ed25519_verify(key.public, text, signature):
                refuse(f"{where}: the signature is not of this text")
            good = True
    if not good:
        refuse(f"{what}: no signature of the trusted key {key.text.decode()}")


def read_checkpoint(note, key, what="the checkpoint"):
    """(number of entries, root) of a signed note, whose signature by the key is checked."""
    text, signatures = read_note(note, what)
    check_note(text, signatures, key, key.id, what)
    text = text.split(b"\n")[:-1]
    if len(text) != 3:
        refuse(f"{what}: its text has {len(text)} lines, a checkpoint has 3")
    if text[0] != key.name:
        refuse(f"{what}, line 1: it is of another log than the key")
    return decimal(text[1], f"{what}, line 2"), digest_of(text[2], f"{what}, line 3")


def check_witnesses(note, witnesses, needed, what="the checkpoint"):
    """[(name, seconds since 1970)] of the witnesses that cosigned: c2sp.org/tlog-cosignature."""
    text, signatures = read_note(note, what)
    found = []
    for witness in {witness.public: witness for witness in witnesses}.values():
        times = []
        for where, name, signer, blob in signatures:
            if name == witness.name and signer == witness.id:
                time = int.from_bytes(blob[:8], "big")
                message = b"cosignature/v1\ntime %d\n" % time + text
                if len(blob) != 72 or not 1 <= time < 1 << 63 or not ed25519_verify(witness.public, message, blob[8:]):
                    refuse(f"{where}: the cosignature is not of this checkpoint")
                times.append(time)
        if times:
            found.append((witness.name, max(times)))
    if len(found) < needed:
        refuse(f"{what}: {len(found)} of the witnesses have cosigned it, {needed} are needed")
    return found


def leaf_hash(record):
    return H(0x00, record)


def node_hash(left, right):
    return H(0x01, left, right)


def inclusion_holds(index, size, leaf, proof, root):
    """RFC 9162, section 2.1.3.2."""
    if index >= size:
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def consistency_holds(old, new, proof, old_root, new_root):
    """RFC 9162, section 2.1.4.2."""
    if old == 0 or old > new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    if not proof:
        return False
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class LogTree:
    """RFC 6962 over commit records, as the roots of its complete subtrees."""

    def __init__(self, size=0, frontier=()):
        self.size, self.frontier = size, list(frontier)

    def append(self, leaf):
        self.frontier.append(leaf)
        size = self.size
        while size & 1:
            right = self.frontier.pop()
            self.frontier[-1] = node_hash(self.frontier[-1], right)
            size >>= 1
        self.size += 1

    def root(self):
        if not self.frontier:
            return hashlib.sha256().digest()
        root = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            root = node_hash(left, root)
        return root


def verify_inclusion(data, key, what="the inclusion proof"):
    lines = Lines(data, what)
    if lines.next() != b"c2sp.org/tlog-proof@v1":
        refuse(f"{lines.where()}: it is not a tlog-proof")
    record = unbase64(lines.field(b"extra"), lines.where())
    index = decimal(lines.field(b"index"), lines.where())
    proof = lines.hashes()
    size, root = read_checkpoint(lines.rest(), key)
    if not inclusion_holds(index, size, leaf_hash(record), proof, root):
        refuse(f"{what}: this commit record is not entry {index} of the log of the checkpoint")
    commit = decode_commit(record, f"{what}, line 2")
    if commit["index"] != index:
        refuse(f"{what}, line 2: it is the commit record of another entry")
    return commit, size


def verify_certificate(data, key):
    """What an erasure certificate says; the signature is checked."""
    what = "the certificate"
    text, signatures = read_note(data, what)
    check_note(text, signatures, key, key.id, what)
    lines = Lines(text, what)
    lines.next()
    if lines.field(b"log") != key.name:
        refuse(f"{what}, line 2: it is of another log than the key")
    found = {word: decimal(lines.field(word.encode()), lines.where())
             for word in ("entry", "completed", "operations", "snapshots")}
    found["records"] = []
    while lines.next_is(b"record "):
        found["records"].append(digest_of(lines.field(b"record"), lines.where()))
    if found["records"] != sorted(set(found["records"])):
        refuse(f"{what}: the records are not in order")
    found["size"], found["root"] = decimal(lines.field(b"size"), lines.where()), None
    found["root"] = digest_of(lines.field(b"root"), lines.where())
    if lines.rest() or not found["entry"] < found["completed"] < found["size"]:
        refuse(f"{what}: the entries are not in this order in this log")
    return found


def verify_consistency(data, key, old_note):
    what = "the consistency proof"
    lines = Lines(data, what)
    lines.next()
    old = decimal(lines.field(b"old"), lines.where())
    proof = lines.hashes()
    size, root = read_checkpoint(lines.rest(), key)
    if old_note is None:
        refuse(f"{what}: it is checked against the older checkpoint: give --old")
    old_size, old_root = read_checkpoint(old_note, key, "the older checkpoint")
    if old != old_size:
        refuse(f"{what}, line 2: it is for {old} entries, the older checkpoint is of {old_size}")
    if not consistency_holds(old, size, proof, old_root, root):
        refuse(f"{what}: it does not show that the log of {size} entries begins with those {old}")
    return old, size


# ---- The codec ----------------------------------------------------------------------------------------------------

class Decoder:
    def __init__(self, data, what):
        self.data, self.what, self.offset = data, what, 0

    def fail(self, why="malformed"):
        refuse(f"{self.what}, byte {self.offset}: {why}")

    def raw(self, size):
        if size > len(self.data) - self.offset:
            self.fail("it is cut off")
        self.offset += size
        return self.data[self.offset - size:self.offset]

    def u8(self):
        return self.raw(1)[0]

    def u32(self):
        return struct.unpack("<I", self.raw(4))[0]

    def u64(self):
        return struct.unpack("<Q", self.raw(8))[0]

    def i64(self):
        return struct.unpack("<q", self.raw(8))[0]

    def bool(self):
        value = self.u8()
        if value > 1:
            self.fail("it is not 0 or 1")
        return value == 1

    def sized(self, most):
        size = self.u32()
        if size > most:
            self.fail("it is longer than allowed")
        return self.raw(size)

    def text(self, most, least=0):
        data = self.sized(most)
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            self.fail("it is not UTF-8")
        if len(data) < least:
            self.fail("it is empty")
        return data

    def digest(self):
        return self.raw(32)

    def components(self, count):
        return struct.unpack(f"<{count}i", self.raw(4 * count))

    def end(self):
        if self.offset != len(self.data):
            self.fail("something follows the end")


def sized(data):
    return struct.pack("<I", len(data)) + data


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


BOOL, INT64, DOUBLE, STRING, BYTES, TIMESTAMP, LIST = range(1, 8)


def scalar(decoder, kind):
    if kind == BOOL:
        return decoder.bool()
    if kind in (INT64, TIMESTAMP):
        return decoder.i64()
    if kind == DOUBLE:
        data = decoder.raw(8)
        value = struct.unpack("<d", data)[0]
        if math.isnan(value) or data == b"\0" * 7 + b"\x80":
            decoder.fail("NaN and -0 are no values")
        return value
    if kind == STRING:
        return decoder.text(65536)
    if kind == BYTES:
        return decoder.sized(65536)
    return decoder.fail("an unknown type of value")


def value(decoder):
    """(type, value, encoding); of a list (7, [(type, value), ...], encoding)."""
    begin = decoder.offset
    kind = decoder.u8()
    if kind == LIST:
        element, count = decoder.u8(), decoder.u32()
        if (count == 0) != (element == 0):
            decoder.fail("an empty list has no type, and no other")
        if count > len(decoder.data) - decoder.offset:
            decoder.fail("it is cut off")
        found = [(element, scalar(decoder, element)) for _ in range(count)]
    else:
        found = scalar(decoder, kind)
    return kind, found, decoder.data[begin:decoder.offset]


def attributes_of(data, what):
    """Pairs (name, (type, value, encoding)) in order of name."""
    if not data:
        return []
    decoder = Decoder(data, what)
    count = decoder.u32()
    if not 1 <= count <= 256 or len(data) > 65536:
        decoder.fail("too many attributes, or none")
    pairs = []
    for _ in range(count):
        name = decoder.text(128, 1)
        if pairs and name <= pairs[-1][0]:
            decoder.fail("names are not in order")
        pairs.append((name, value(decoder)))
    decoder.end()
    return pairs


def encode_attributes(pairs):
    return u32(len(pairs)) + b"".join(sized(name) + entry[2] for name, entry in pairs) if pairs else b""


def compare(a, b):
    """Negative, 0, positive; None where the types cannot be compared."""
    numbers = (INT64, DOUBLE)
    if a[0] == LIST or (a[0] != b[0] and not (a[0] in numbers and b[0] in numbers)):
        return None
    return (a[1] > b[1]) - (a[1] < b[1])


def filter_of(decoder, level, budget):
    """A predicate over a dict of attributes."""
    kind = decoder.u8()
    if level > 16 or not 1 <= kind <= 4:
        decoder.fail("an unknown filter, or too many levels")
    if kind != 1:
        count = decoder.u32()
        budget[0] -= count == 0
        if count > len(decoder.data) - decoder.offset or budget[0] < 0:
            decoder.fail("the filter is too large")
        parts = [filter_of(decoder, level + 1, budget) for _ in range(count)]
        if kind == 2:
            return lambda a: all(part(a) for part in parts)
        if kind == 3:
            return lambda a: any(part(a) for part in parts)
        return lambda a: not any(part(a) for part in parts)
    test, name, count = decoder.u8(), decoder.text(128, 1), decoder.u32()
    budget[0] -= max(count if test in (3, 4) else 1, 1)
    if not 1 <= test <= 11 or budget[0] < 0 or not (
            count == 0 if test in (9, 10) else test in (3, 4) or count == 1):
        decoder.fail("an unknown test, or literals that do not fit it")
    literals = [value(decoder) for _ in range(count)]
    if any(literal[0] == LIST for literal in literals):
        decoder.fail("a literal is a list")
    equal = lambda v: any(compare(v, literal) == 0 for literal in literals)
    orders = {5: lambda c: c < 0, 6: lambda c: c <= 0, 7: lambda c: c > 0, 8: lambda c: c >= 0}

    def holds(attributes):
        v = attributes.get(name)
        if v is None:
            return test == 10
        if test in (9, 10):
            return test == 9
        if test in (1, 3):
            return equal(v)
        if test in (2, 4):
            return not equal(v)
        if test == 11:
            return v[0] == LIST and any(compare(e, literals[0]) == 0 for e in v[1])
        order = compare(v, literals[0])
        return order is not None and orders[test](order)

    return holds


def check_admitted(decoder, vector):
    if any(abs(x) >= 1 << 30 for x in vector) or sum(x * x for x in vector) >= 1 << 60:
        decoder.fail("the vector is not admitted")


def is_normalized(vector):
    root = math.isqrt(len(vector))
    slack = 65536 * (root + (root * root < len(vector))) + len(vector)
    return abs(sum(x * x for x in vector) - (1 << 32)) <= slack


UPSERT, INSERT, UPDATE, DELETE, DELETE_BY_FILTER, CREATE, DROP, GENESIS, RESTORE, UPGRADE, SEALED = range(1, 12)
CREATE_WITH_OPTIONS, ERASE, ERASE_BY_FILTER, ERASURE_COMPLETED, SET_HOLD, RELEASE_HOLD, SET_HISTORY = 13, *range(18, 24)
RECEIPTS = 24
# What erasable collections write: the same kinds, with a salt.
SALTED = {14: UPSERT, 15: INSERT, 16: UPDATE, 17: DELETE_BY_FILTER, ERASE_BY_FILTER: ERASE_BY_FILTER}
RECORD_KINDS = (UPSERT, INSERT, UPDATE, DELETE, ERASE)
BY_FILTER = (DELETE_BY_FILTER, ERASE_BY_FILTER)


def config_of(decoder, with_options):
    """(dimension, metric, description, receipts, erasable) of a collection."""
    config = (decoder.u32(), decoder.u8(), decoder.text(1024))
    config += (decoder.u8(), decoder.bool()) if with_options else (0, False)
    if not 1 <= config[0] <= 32768 or not 1 <= config[1] <= 3 or config[3] > 2:
        decoder.fail("an unknown dimension, metric or policy")
    if with_options and config[3:] == (0, False):
        decoder.fail("options that are all default are not written")
    return config


def ids_of(decoder):
    count = decoder.u32()
    if count > 1000:
        decoder.fail("too many ids")
    ids = [decoder.text(256, 1) for _ in range(count)]
    if ids != sorted(set(ids)):
        decoder.fail("ids are not in order")
    return ids


def holds_hash(holds):
    """Of {name: (index, reason, ids)}; None without holds."""
    if not holds:
        return None
    return H(0x29, u32(len(holds)), *(
        sized(name) + u64(index) + sized(reason) + u32(len(ids)) + b"".join(sized(i) for i in ids)
        for name, (index, reason, ids) in sorted(holds.items())))


def operation_of(data, what):
    decoder = Decoder(data, what)
    first = decoder.u8()
    form, erased = first & 0x7f, first >= 0x80
    salted, kind = form in SALTED, SALTED.get(form, form)
    op = {"kind": kind, "salted": salted, "erased": erased}
    if erased and not salted:
        decoder.fail("an unknown operation")
    op["collection"] = decoder.text(128, 1 if kind <= DROP or form in (13, ERASE, ERASE_BY_FILTER, SET_HOLD, RELEASE_HOLD) else 0)
    if kind in (GENESIS, RESTORE, UPGRADE, SEALED, ERASURE_COMPLETED, SET_HISTORY, RECEIPTS) and op["collection"]:
        decoder.fail("it names a collection")
    if kind in BY_FILTER:
        op["limit"] = decoder.u32()
        if not 1 <= op["limit"] <= 10000:
            decoder.fail("the limit is out of range")
    if kind in RECORD_KINDS:
        op["precondition"], op["version"] = decoder.u8(), decoder.u64()
        if op["precondition"] > 2 or (op["precondition"] != 2 and op["version"] != 0):
            decoder.fail("an unknown precondition")
        op["id"] = decoder.text(256, 1)
    head = bytes([form]) + data[1:decoder.offset]
    if erased:
        op["commitment"] = digest = decoder.digest()
        decoder.end()
        op["item"] = H(0x12, head, digest)
        return op
    op["salt"] = salt = decoder.raw(32) if salted else None
    content = decoder.offset
    if kind in (UPSERT, INSERT):
        dimension = decoder.u32()
        if not 1 <= dimension <= 32768:
            decoder.fail("the dimension is out of range")
        op["vector"] = decoder.components(dimension)
        check_admitted(decoder, op["vector"])
        op["attributes"], document = decoder.sized(65536), decoder.sized(1 << 20)
        attributes_of(op["attributes"], what)
        op["document"] = part_hash(4, document, part_salt(salt, 4)) if document else None
        op["commitment"] = record_commitment(op["id"], op["vector"], op["attributes"], op["document"], salt)
        op["item"] = H(0x12, head, op["commitment"])
    elif kind == UPDATE:
        op["set"], count = decoder.sized(65536), decoder.u32()
        attributes_of(op["set"], what)
        if count > 256:
            decoder.fail("too many names")
        op["removed"] = [decoder.text(128, 1) for _ in range(count)]
        if op["removed"] != sorted(set(op["removed"])):
            decoder.fail("names are not in order")
    elif kind in BY_FILTER:
        op["filter"] = filter_of(decoder, 1, [1024])
    elif kind in (SET_HOLD, RELEASE_HOLD):
        op["hold"] = decoder.text(128, 1)
        if kind == SET_HOLD:
            op["reason"], op["ids"] = decoder.text(1024), ids_of(decoder)
    elif kind == SET_HISTORY:
        op["history"] = decoder.u64()
        if op["history"] > 131072:
            decoder.fail("more entries than can be kept")
    elif kind == ERASURE_COMPLETED:
        op["index"], op["items"], op["snapshots"] = decoder.u64(), decoder.u64(), decoder.u64()
    elif kind in (CREATE, CREATE_WITH_OPTIONS):
        op["config"], op["kind"] = config_of(decoder, kind == CREATE_WITH_OPTIONS), CREATE
    elif kind in (GENESIS, UPGRADE):
        op["rules"] = decoder.u32()
    elif kind == RESTORE:
        op["rules"], op["parent"] = decoder.u32(), decoder.raw(16)
        op["index"], op["log_root"], op["snapshot"] = decoder.u64(), decoder.digest(), decoder.digest()
    elif kind == SEALED:
        op["index"], op["snapshot"] = decoder.u64(), decoder.digest()
    elif kind == RECEIPTS:
        count = decoder.u32()
        if not 1 <= count <= 65536:
            decoder.fail("the number of receipts is out of range")
        op["receipts"] = [decoder.digest() for _ in range(count)]
        if any(a >= b for a, b in zip(op["receipts"], op["receipts"][1:])):
            decoder.fail("receipts are not in order")
    elif kind not in (DELETE, DROP, ERASE):
        decoder.fail("an unknown operation")
    decoder.end()
    if salted:
        op.setdefault("item", H(0x12, head, H(0x17, salt, data[content:])))
    op.setdefault("item", H(0x12, data))
    return op


def part_salt(salt, kind, name=b""):
    """The salt of one part; None where the collection is not erasable."""
    return None if salt is None else H(0x18, salt, bytes([kind]), name)


def part_hash(kind, data, salt):
    return H(0x10, bytes([kind]), data) if salt is None else H(0x19, bytes([kind]), salt, data)


def part_salts(salt, pairs):
    return [part_salt(salt, 1), part_salt(salt, 2)] + [part_salt(salt, 3, name) for name, _ in pairs]


def record_commitment(record_id, vector, attributes, document, salt=None, salts=None):
    """salt: the record's, or None. salts: instead of it those of its parts."""
    pairs = attributes_of(attributes, "attributes")
    salts = part_salts(salt, pairs) if salts is None else salts
    parts = [part_hash(1, record_id, salts[0]), part_hash(2, struct.pack(f"<{len(vector)}i", *vector), salts[1])]
    parts += [part_hash(3, sized(name) + entry[2], own) for (name, entry), own in zip(pairs, salts[2:])]
    if document is not None:
        parts.append(document)
    return merkle(0x11, parts)


def decode_header(data, what):
    decoder = Decoder(data, what)
    if decoder.u8() != 1:
        decoder.fail("an unknown format")
    header = {"log_id": decoder.raw(16), "term": decoder.u64(), "rules": decoder.u32(),
              "request_id": decoder.sized(64), "actor": decoder.sized(128), "timestamp": decoder.i64(),
              "clock": decoder.i64(), "known_index": decoder.u64()}
    expects, header["expected"] = decoder.bool(), decoder.u64()
    if not expects and header["expected"] != 0:
        decoder.fail("a state index that is not expected")
    header["expects"] = expects
    header["items"], header["items_root"] = decoder.u32(), decoder.digest()
    if not 1 <= header["items"] <= 4096:
        decoder.fail("the number of items is out of range")
    decoder.end()
    return header


COUNTS = ("inserted", "updated", "deleted", "missing")


def decode_commit(data, what):
    decoder = Decoder(data, what)
    if decoder.u8() != 1:
        decoder.fail("an unknown format")
    commit = {"index": decoder.u64(), "command": decoder.digest(), "outcome": decoder.u8(),
              "failed": decoder.u32(), "current": decoder.u64()}
    for name in COUNTS:
        commit[name] = decoder.u64()
    commit["more"], commit["state_index"] = decoder.bool(), decoder.u64()
    commit["effects_root"], commit["state_root"] = decoder.digest(), decoder.digest()
    if commit["outcome"] > 20:
        decoder.fail("an unknown outcome")
    decoder.end()
    return commit


def encode_commit(commit):
    return (b"\x01" + u64(commit["index"]) + commit["command"] + bytes([commit["outcome"]]) + u32(commit["failed"]) +
            u64(commit["current"]) + b"".join(u64(commit[name]) for name in COUNTS) + bytes([commit["more"]]) +
            u64(commit["state_index"]) + commit["effects_root"] + commit["state_root"])


# ---- Sparse trees -------------------------------------------------------------------------------------------------

def key_bit(key, depth):
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


class SparseTree:
    """A leaf is (key, value); a node [hash or None, left, right]; nothing is None."""

    def __init__(self):
        self.top = None

    def put(self, key, value_hash):
        self.top = self._put(self.top, key, value_hash, 0)

    def _put(self, node, key, value_hash, depth):
        if node is None or (isinstance(node, tuple) and node[0] == key):
            return key, value_hash
        if isinstance(node, tuple):
            node = [None, *((None, node) if key_bit(node[0], depth) else (node, None))]
        side = 1 + key_bit(key, depth)
        node[0], node[side] = None, self._put(node[side], key, value_hash, depth + 1)
        return node

    def remove(self, key):
        self.top = self._remove(self.top, key, 0)

    def _remove(self, node, key, depth):
        if isinstance(node, tuple):
            return None
        side = 1 + key_bit(key, depth)
        node[0], node[side] = None, self._remove(node[side], key, depth + 1)
        only = node[2] if node[1] is None else node[1] if node[2] is None else node
        return only if only is None or isinstance(only, tuple) else node

    def root(self):
        return self._hash(self.top)

    def _hash(self, node):
        if node is None:
            return ZERO
        if isinstance(node, tuple):
            return H(0x21, *node)
        if node[0] is None:
            node[0] = H(0x22, self._hash(node[1]), self._hash(node[2]))
        return node[0]


def path_root(path, key, value_hash, what):
    """The root that a sparse tree has if the path is right; value_hash None: the key is not there."""
    end, siblings = path
    if (end[0] == b"found") != (value_hash is not None):
        refuse(f"{what}: the path is not of this kind")
    computed = ZERO
    if value_hash is not None:
        computed = H(0x21, key, value_hash)
    elif end[0] == b"other":
        if end[1] == key or any(key_bit(end[1], i) != key_bit(key, i) for i in range(len(siblings))):
            refuse(f"{what}: the other key is not on the path of this one")
        computed = H(0x21, end[1], end[2])
    for depth in range(len(siblings) - 1, -1, -1):
        pair = (siblings[depth], computed) if key_bit(key, depth) else (computed, siblings[depth])
        computed = H(0x22, *pair)
    return computed


def read_path(lines, word):
    parts = lines.field(word).split(b" ")
    if parts[0] == b"other" and len(parts) == 3:
        end = (b"other", digest_of(parts[1], lines.where()), digest_of(parts[2], lines.where()))
    elif parts in ([b"found"], [b"empty"]):
        end = (parts[0],)
    else:
        refuse(f"{lines.where()}: a path ends with found, empty or other")
    return end, lines.hashes(256)


def record_key(collection, record_id):
    return H(0x20, sized(collection), record_id)


def state_root_of(rules, root, history):
    return H(0x25, u32(rules), root) if history is None else H(0x28, u32(rules), root, u64(history))


def held_value(config, root, holds):
    value = collection_value(config, root)
    return value if holds is None else H(0x27, value, holds)


def collection_value(config, root):
    plain = config[3:] == (0, False)
    options = b"" if plain else bytes([config[3], config[4]])
    return H(0x24 if plain else 0x26, u32(config[0]), bytes([config[1]]), sized(config[2]), options, root)


def verify_record(data, key, document):
    what = "the record proof"
    lines = Lines(data, what)
    lines.next()
    collection = unbase64(lines.field(b"collection"), lines.where())
    record_id = unbase64(lines.field(b"id"), lines.where())
    rules = decimal(lines.field(b"rules"), lines.where())
    config, commitment, content, collection_hash, holds, history = None, None, None, None, None, None
    if lines.next_is(b"history "):
        history = decimal(lines.field(b"history"), lines.where())
    parts = lines.field(b"config").split(b" ")
    if parts != [b"none"]:
        if len(parts) not in (3, 5):
            refuse(f"{lines.where()}: it is not a dimension, a metric, a description and perhaps two options")
        config = (decimal(parts[0], lines.where()), decimal(parts[1], lines.where()),
                  unbase64(parts[2], lines.where()), *(decimal(part, lines.where()) for part in parts[3:]))
        if config[0] >= 1 << 32 or not 1 <= config[1] <= 3 or config[3:] == (0, 0) or \
                (len(parts) == 5 and (config[3] > 2 or config[4] > 1)):
            refuse(f"{lines.where()}: an unknown dimension, metric or option")
        config = config[:3] + ((config[3], config[4] == 1) if len(parts) == 5 else (0, False))
    if config is not None and lines.next_is(b"holds "):
        holds = digest_of(lines.field(b"holds"), lines.where())
    record = lines.field(b"record")
    if record != b"none":
        commitment = digest_of(record, lines.where())
        if config is None:
            refuse(f"{lines.where()}: a record without a collection")
    if lines.next_is(b"vector "):
        raw = unbase64(lines.field(b"vector"), lines.where())
        if commitment is None or len(raw) != 4 * config[0]:
            refuse(f"{lines.where()}: the vector is not of the record's dimension")
        attributes = unbase64(lines.field(b"attributes"), lines.where())
        pairs = attributes_of(attributes, f"{lines.where()}, attributes")
        part = lines.field(b"document")
        part = None if part == b"none" else digest_of(part, lines.where())
        salts = [None] * (2 + len(pairs))
        if config[4]:
            raw_salts = unbase64(lines.field(b"salts"), lines.where())
            if len(raw_salts) != 32 * len(salts):
                refuse(f"{lines.where()}: it is not a salt for each part")
            salts = [raw_salts[i:i + 32] for i in range(0, len(raw_salts), 32)]
        content = (struct.unpack(f"<{config[0]}i", raw), pairs, part)
        if record_commitment(record_id, content[0], attributes, part, salts=salts) != commitment:
            refuse(f"{what}: the content is not that of the record's commitment")
    if config is not None:
        path = read_path(lines, b"record-path")
        collection_hash = held_value(config, path_root(
            path, record_key(collection, record_id), commitment, f"{what}, the record's path"), holds)
    path = read_path(lines, b"collection-path")
    above = data[:lines.offset]
    if digest_of(lines.field(b"sha256"), lines.where()) != hashlib.sha256(above).digest():
        refuse(f"{lines.where()}: it is not the hash of the lines above")
    commit, size = verify_inclusion(lines.rest(), key, f"{what}, its inclusion proof")
    root = path_root(path, H(0x23, collection), collection_hash, f"{what}, the collection's path")
    if rules >= 1 << 32 or state_root_of(rules, root, history) != commit["state_root"]:
        refuse(f"{what}: its paths do not lead to the state root of entry {commit['index']}")
    if document is not None:
        if content is None:
            refuse(f"{what}: it carries no content to compare the document with")
        if config[4]:
            refuse(f"{what}: the hash of a document in an erasable collection is salted, and cannot be compared")
        if (H(0x10, b"\x04", document) if document else None) != content[2]:
            refuse(f"{what}: the document is not the one of the record")
    return {"collection": collection, "id": record_id, "exists": commitment is not None,
            "collection_exists": config is not None, "index": commit["index"], "size": size, "content": content}


# ---- The state machine: docs/format.md, "Applying" ----------------------------------------------------------------

HORIZON = 262144
OK, NO_COLLECTION, COLLECTION_EXISTS, RECORD_EXISTS, NO_RECORD, PRECONDITION, STATE_INDEX, DIMENSION, NOT_NORMALIZED, \
    TOO_OLD, DUPLICATE, REUSED, ATTRIBUTES, COLLECTIONS, MALFORMED, OPTIONS, NOT_ERASABLE, HELD, HOLD_EXISTS, \
    NO_HOLD, HOLDS = range(21)


class Collection:
    def __init__(self, config, born):
        self.config, self.born, self.state_index = config, born, born
        self.tree = SparseTree()
        # id -> (version, vector, attributes, document part or None, place of the document, salt or None);
        # of a record whose content was erased the vector and the attributes are None
        self.records = {}
        self.holds = {}  # name -> (index, reason, ids)

    def value(self):
        return held_value(self.config, self.tree.root(), holds_hash(self.holds))

    def check_holds(self, record_id=None):
        for _, (index, _, ids) in sorted(self.holds.items()):
            if record_id is None or not ids or record_id in ids:
                raise Rejected(HELD, index)


class Rejected(Exception):
    def __init__(self, outcome, current=0):
        super().__init__()
        self.outcome, self.current = outcome, current


class Machine:
    """The state, and how an entry changes it."""

    def __init__(self):
        self.rules, self.next_index, self.state_index, self.timestamp = 0, 0, 0, None
        self.state_root = ZERO
        self.collections = {}
        self.tree = SparseTree()
        self.requests = {}     # request key -> (index, body)
        self.remembered = deque()  # (index, request key or None), the oldest first
        self.history = None  # how many entries back states can be read, where the log says
        self.pending = []  # erasures that no entry says are complete
        self.logged = None  # of an entry that is applied: its commit record and its record effects
        self.given = 0  # effects that were taken from the log, since their content was erased

    def compute_root(self):
        self.state_root = state_root_of(self.rules, self.tree.root(), self.history)

    def remember(self, index, key, body):
        if len(self.remembered) == HORIZON:
            _, forgotten = self.remembered.popleft()
            if forgotten is not None:
                del self.requests[forgotten]
        self.remembered.append((index, key))
        if key is not None:
            self.requests[key] = (index, body)

    def apply(self, index, header, operations, command, logged=None):
        """The commit record and the effects of an entry. logged: what the log says of them, for what follows
        from content that has been erased: (commit record, effects)."""
        self.logged = (logged[0], {k: v for kind, k, v in logged[1] if kind == 1}) if logged else None
        commit = {"index": index, "command": command, "outcome": OK, "failed": 0, "current": 0, "more": False}
        commit.update((name, 0) for name in COUNTS)
        effects = []
        key = None
        if header["request_id"]:
            key = H(0x15, sized(header["actor"]), sized(header["request_id"]))[:16]
        body = H(0x16, bytes([header["expects"]]), u64(header["expected"]), header["items_root"])
        try:
            self.check_request(index, header, key, body)
            self.check_shape(operations)
            if any(op["erased"] for op in operations) and self.logged is None:
                raise Rejected(MALFORMED)
            self.execute(index, operations, commit, effects)
            if operations[0]["kind"] == ERASURE_COMPLETED:
                self.pending = [p for p in self.pending if p != operations[0]["index"]]
            elif any(op["kind"] in (ERASE, ERASE_BY_FILTER) for op in operations):
                self.pending.append(index)
        except Rejected as rejected:
            effects = []
            commit["more"] = False
            commit["outcome"], commit["current"] = rejected.outcome, rejected.current
        if effects or (commit["outcome"] == OK and operations[0]["kind"] in (GENESIS, RESTORE, UPGRADE, SET_HISTORY)):
            self.state_index = index
        commit["state_index"], commit["state_root"] = self.state_index, self.state_root
        commit["effects_root"] = merkle(0x31, [H(0x30, bytes([kind]), k, v) for kind, k, v in effects])
        self.timestamp = header["timestamp"] if self.timestamp is None else max(self.timestamp, header["timestamp"])
        remembers = key is not None and commit["outcome"] not in (DUPLICATE, REUSED)
        self.remember(index, key if remembers else None, body)
        self.next_index = index + 1
        return commit, effects

    def check_request(self, index, header, key, body):
        if key is not None:
            seen = self.requests.get(key)
            if seen is not None:
                raise Rejected(DUPLICATE if seen[1] == body else REUSED, seen[0])
            oldest = max(index - HORIZON, 0)
            if header["known_index"] != 0 and header["known_index"] < oldest:
                raise Rejected(TOO_OLD, oldest)
        if header["expects"] and header["expected"] != self.state_index:
            raise Rejected(STATE_INDEX, self.state_index)

    @staticmethod
    def check_shape(operations):
        if len(operations) > 1:
            places = [(op["collection"], op.get("id")) for op in operations]
            if any(op["kind"] not in RECORD_KINDS for op in operations) or len(set(places)) != len(places):
                raise Rejected(MALFORMED)

    def execute(self, index, operations, commit, effects):
        op = operations[0]
        kind = op["kind"]
        if kind in RECORD_KINDS:
            self.write_records(index, operations, commit, effects)
        elif kind in BY_FILTER:
            self.delete_by_filter(index, op, commit, effects)
        elif kind == CREATE:
            if op["collection"] in self.collections:
                raise Rejected(COLLECTION_EXISTS)
            if len(self.collections) == 65536:
                raise Rejected(COLLECTIONS)
            self.collections[op["collection"]] = Collection(op["config"], index)
            self.finish(index, {op["collection"]}, effects)
        elif kind == DROP:
            collection = self.collections.pop(op["collection"], None)
            if collection is None:
                raise Rejected(NO_COLLECTION)
            if collection.holds:
                self.collections[op["collection"]] = collection
                collection.check_holds()
            commit["deleted"] = len(collection.records)
            key = H(0x23, op["collection"])
            self.tree.remove(key)
            effects.append((2, key, ZERO))
            self.compute_root()
        elif kind in (SET_HOLD, RELEASE_HOLD):
            self.set_hold(index, op, effects)
        elif kind == SET_HISTORY:
            self.history = op["history"]
            self.compute_root()
        elif kind not in (SEALED, ERASURE_COMPLETED, RECEIPTS):
            first = index == 0 if kind == GENESIS else index == op["index"] + 1 if kind == RESTORE else True
            if op["rules"] != 1 or not first:
                raise Rejected(MALFORMED)
            self.rules = op["rules"]
            self.compute_root()

    def set_hold(self, index, op, effects):
        collection = self.collections.get(op["collection"])
        if collection is None:
            raise Rejected(NO_COLLECTION)
        there = collection.holds.get(op["hold"])
        if op["kind"] == RELEASE_HOLD:
            if there is None:
                raise Rejected(NO_HOLD)
            del collection.holds[op["hold"]]
        else:
            if there is not None:
                raise Rejected(HOLD_EXISTS, there[0])
            if len(collection.holds) == 64:
                raise Rejected(HOLDS)
            collection.holds[op["hold"]] = (index, op["reason"], op["ids"])
        self.finish(index, {op["collection"]}, effects)

    def write_records(self, index, operations, commit, effects):
        plans = []
        for number, op in enumerate(operations):
            try:
                plans.append(self.plan(op, number))
            except Rejected:
                commit["failed"] = number
                raise
        touched = set()
        for number, (op, (collection, before, attributes)) in enumerate(zip(operations, plans)):
            key = record_key(op["collection"], op["id"])
            if op["kind"] in (DELETE, ERASE):
                if before is None:
                    commit["missing"] += 1
                    continue
                del collection.records[op["id"]]
                collection.tree.remove(key)
                effects.append((1, key, ZERO))
                commit["deleted"] += 1
            else:
                if op["erased"] or (op["kind"] == UPDATE and before[1] is None):
                    record = (index, None, None, None, None, None)
                    commitment = self.logged[1].get(key, ZERO) if op["kind"] == UPDATE else op["commitment"]
                    self.given += 1
                elif op["kind"] == UPDATE:
                    record = (index, before[1], attributes, before[3], before[4], op["salt"])
                    commitment = record_commitment(op["id"], record[1], attributes, record[3], op["salt"])
                else:
                    record = (index, op["vector"], op["attributes"], op["document"], (index, number), op["salt"])
                    commitment = op["commitment"]
                collection.records[op["id"]] = record
                collection.tree.put(key, commitment)
                effects.append((1, key, commitment))
                commit["updated" if before is not None else "inserted"] += 1
            touched.add(op["collection"])
        self.finish(index, touched, effects)

    @staticmethod
    def check_options(op, collection):
        erasable = collection.config[4]
        if op["kind"] in (UPSERT, INSERT, UPDATE, DELETE_BY_FILTER) and op["salted"] != erasable:
            raise Rejected(OPTIONS)
        if op["kind"] in (ERASE, ERASE_BY_FILTER) and not erasable:
            raise Rejected(NOT_ERASABLE)

    def plan(self, op, number):
        collection = self.collections.get(op["collection"])
        if collection is None:
            raise Rejected(NO_COLLECTION)
        self.check_options(op, collection)
        before = collection.records.get(op["id"])
        version = before[0] if before is not None else 0
        if (op["precondition"] == 1 and before is not None) or (op["precondition"] == 2 and version != op["version"]):
            raise Rejected(PRECONDITION, version)
        attributes = None
        if op["kind"] == ERASE:
            collection.check_holds(op["id"])
        if op["kind"] == INSERT and before is not None:
            raise Rejected(RECORD_EXISTS, version)
        if op["kind"] == UPDATE and before is None:
            raise Rejected(NO_RECORD)
        if op["erased"] or (op["kind"] == UPDATE and before[1] is None):
            said = self.logged[0]
            refusals = (ATTRIBUTES,) if op["kind"] == UPDATE else (DIMENSION, NOT_NORMALIZED)
            if said["outcome"] in refusals and said["failed"] == number:
                raise Rejected(said["outcome"], said["current"])
        elif op["kind"] in (UPSERT, INSERT):
            if len(op["vector"]) != collection.config[0]:
                raise Rejected(DIMENSION, collection.config[0])
            if collection.config[1] == 3 and not is_normalized(op["vector"]):
                raise Rejected(NOT_NORMALIZED)
        elif op["kind"] == UPDATE:
            merged = dict(attributes_of(before[2], "attributes"))
            merged.update(attributes_of(op["set"], "attributes"))
            for name in op["removed"]:
                merged.pop(name, None)
            attributes = encode_attributes(sorted(merged.items()))
            if len(merged) > 256 or len(attributes) > 65536:
                raise Rejected(ATTRIBUTES)
        return collection, before, attributes

    def delete_by_filter(self, index, op, commit, effects):
        collection = self.collections.get(op["collection"])
        if collection is None:
            raise Rejected(NO_COLLECTION)
        self.check_options(op, collection)
        unknown, matching = False, []
        for record_id in sorted(collection.records):
            attributes = collection.records[record_id][2]
            if op["erased"] or attributes is None:
                unknown = True
                if self.logged is None or record_key(op["collection"], record_id) not in self.logged[1]:
                    continue
                self.given += 1
            elif not op["filter"](dict(attributes_of(attributes, "attributes"))):
                continue
            if len(matching) == op["limit"]:
                commit["more"] = True
                break
            if op["kind"] == ERASE_BY_FILTER:
                collection.check_holds(record_id)
            matching.append(record_id)
        if unknown and self.logged is not None and self.logged[0]["outcome"] == HELD:
            raise Rejected(HELD, self.logged[0]["current"])
        for record_id in matching:
            key = record_key(op["collection"], record_id)
            del collection.records[record_id]
            collection.tree.remove(key)
            effects.append((1, key, ZERO))
            commit["deleted"] += 1
        if unknown:
            commit["more"] = self.logged is not None and self.logged[0]["more"]
        if commit["deleted"]:
            self.finish(index, {op["collection"]}, effects)

    def finish(self, index, names, effects):
        for name in sorted(names):
            collection = self.collections[name]
            collection.state_index = index
            key, value_hash = H(0x23, name), collection.value()
            self.tree.put(key, value_hash)
            effects.append((2, key, value_hash))
        if names:
            self.compute_root()


# ---- Snapshots ----------------------------------------------------------------------------------------------------

def load_requests(machine, decoder, log_index):
    first, count = decoder.u64(), decoder.u64()
    if count > HORIZON or first + count != log_index + 1:
        decoder.fail("it does not reach the snapshot's entry")
    for index in range(first, first + count):
        key, body = decoder.raw(16), decoder.digest()
        key = None if key == bytes(16) else key
        if key in machine.requests:
            decoder.fail("a request occurs twice")
        machine.remember(index, key, body)
    decoder.end()


def load_collection(machine, decoder, with_options, versions, log_index, held):
    name = decoder.text(128, 1)
    config = config_of(decoder, with_options)
    collection = Collection(config, decoder.u64())
    collection.state_index, count = decoder.u64(), decoder.u64()
    if name in machine.collections or max(collection.born, collection.state_index) > log_index:
        decoder.fail("the collection is malformed")
    versions.update(sized(name) + u64(collection.born) + u64(collection.state_index))
    last = b""
    for _ in range(count):
        record_id, version = decoder.text(256, 1), decoder.u64()
        salt = None
        if config[4]:
            gone, salt = decoder.bool(), decoder.digest()
            if gone:
                if record_id <= last or version > log_index:
                    decoder.fail("the record is out of order")
                versions.update(sized(record_id) + u64(version))
                collection.records[record_id] = (version, None, None, None, None, None)
                collection.tree.put(record_key(name, record_id), salt)
                last = record_id
                continue
        vector = decoder.components(config[0])
        check_admitted(decoder, vector)
        attributes = decoder.sized(65536)
        attributes_of(attributes, f"{decoder.what}, attributes")
        document, place = None, None
        if decoder.bool():
            place = (decoder.u64(), decoder.u32())
            decoder.u32()
            document = decoder.digest()
        if record_id <= last or version > log_index or (config[1] == 3 and not is_normalized(vector)):
            decoder.fail("the record is out of order, or not of its collection")
        versions.update(sized(record_id) + u64(version))
        collection.records[record_id] = (version, vector, attributes, document, place, salt)
        collection.tree.put(record_key(name, record_id),
                            record_commitment(record_id, vector, attributes, document, salt))
        last = record_id
    decoder.end()
    collection.holds = held.pop(name, {})
    machine.collections[name] = collection
    machine.tree.put(H(0x23, name), collection.value())


def load_policies(machine, decoder, log_index):
    """The holds of collections that are still to come, by name."""
    machine.pending = [decoder.u64() for _ in range(decoder.u32())]
    if machine.pending != sorted(set(machine.pending)) or machine.pending and machine.pending[-1] > log_index:
        decoder.fail("erasures out of order")
    has_history, history = decoder.bool(), decoder.u64()
    if history > (131072 if has_history else 0):
        decoder.fail("a history that is not set, or too long")
    machine.history = history if has_history else None
    held = {}
    for _ in range(decoder.u32()):
        name, holds = decoder.text(128, 1), {}
        if held and name <= next(reversed(held)):
            decoder.fail("collections are out of order")
        count = decoder.u32()
        for _ in range(count):
            hold = decoder.text(128, 1)
            if holds and hold <= next(reversed(holds)):
                decoder.fail("holds are out of order")
            holds[hold] = (decoder.u64(), decoder.text(1024), ids_of(decoder))
            if holds[hold][0] > log_index:
                decoder.fail("a hold of a later entry")
        if not 1 <= count <= 64:
            decoder.fail("no holds, or too many")
        held[name] = holds
    if not machine.pending and not has_history and not held:
        decoder.fail("policies that say nothing are not written")
    decoder.end()
    return held


def check_documents(decoder, salted, expected):
    while decoder.offset < len(decoder.data):
        place = (decoder.u64(), decoder.u32())
        salt = decoder.raw(32) if salted else None
        document = decoder.sized(1 << 20)
        if not expected or expected.popleft() != (place, part_hash(4, document, salt)):
            decoder.fail("it is not the document that the record names")


def load_snapshot(data, what="the snapshot"):
    """(machine, log tree, snapshot hash, log id) of a snapshot file, everything in it checked."""
    if len(data) < 72 or data[:16] != b"STELESNP" + u32(1) + u32(0) or data[-8:] != b"STELEEND":
        refuse(f"{what}: header or trailer are not those of a snapshot")
    offset, size, digest = struct.unpack("<QQ32s", data[-56:-8])
    if offset < 16 or offset + size != len(data) - 56 or hashlib.sha256(data[offset:offset + size]).digest() != digest:
        refuse(f"{what}, manifest: it is cut off or damaged")
    decoder = Decoder(data[offset:offset + size], f"{what}, manifest")
    if decoder.u32() != 1:
        decoder.fail("an unknown format")
    log_id, log_index, state_index = decoder.raw(16), decoder.u64(), decoder.u64()
    rules, timestamp, count = decoder.u32(), decoder.i64(), decoder.u32()
    if rules != 1 or count != bin(log_index + 1).count("1"):
        decoder.fail("unknown rules, or a frontier of another size")
    tree = LogTree(log_index + 1, [decoder.digest() for _ in range(count)])
    log_root, state_root, versions_hash, requests_hash = (decoder.digest() for _ in range(4))
    snapshot_hash = H(0x40, decoder.data[:decoder.offset])
    if log_root != tree.root():
        decoder.fail("the log root is not that of the frontier")
    machine, versions, position = Machine(), hashlib.sha256(b"\x41"), 16
    expected, kinds, last_name, held = deque(), [], b"", {}
    for number in range(decoder.u32()):
        kind, begin, length, section_digest = decoder.u8(), decoder.u64(), decoder.u64(), decoder.digest()
        place = f"{what}, section {number} at byte {begin}"
        section = data[begin:begin + length]
        if begin != position or begin + length > offset or hashlib.sha256(section).digest() != section_digest:
            refuse(f"{place}: it is damaged or in the wrong place")
        position, part = begin + length, Decoder(section, place)
        rank = {1: 1, 6: 2, 2: 3, 4: 3, 3: 4, 5: 4}.get(kind, 0)
        if kinds and rank < kinds[-1] or kind == 1 and kinds or not kinds and kind != 1 or rank == 0 or \
                kind == 6 and kinds[-1] == rank:
            refuse(f"{place}: it is out of order")
        kinds.append(rank)
        if kind == 1:
            if section_digest != requests_hash:
                refuse(f"{place}: it is not the requests that the metadata name")
            load_requests(machine, part, log_index)
        elif kind in (2, 4):
            load_collection(machine, part, kind == 4, versions, log_index, held)
            name = next(reversed(machine.collections))
            if name <= last_name:
                refuse(f"{place}: collections are out of order")
            last_name = name
            expected.extend((r[4], r[3]) for r in machine.collections[name].records.values() if r[3] is not None)
        elif kind == 6:
            held = load_policies(machine, part, log_index)
        else:
            check_documents(part, kind == 5, expected)
    decoder.end()
    if position != offset or not kinds:
        refuse(f"{what}: the sections do not fill the file")
    if held:
        refuse(f"{what}: holds of a collection that is not there")
    if expected:
        refuse(f"{what}: the document of entry {expected[0][0][0]} is missing")
    machine.rules, machine.next_index, machine.state_index = rules, log_index + 1, state_index
    machine.timestamp = timestamp
    machine.compute_root()
    if machine.state_root != state_root:
        refuse(f"{what}: the state root over its content is not the one of its metadata")
    if versions.digest() != versions_hash:
        refuse(f"{what}: the versions hash over its content is not the one of its metadata")
    return machine, tree, snapshot_hash, log_id


# ---- Exported logs ------------------------------------------------------------------------------------------------

def tile_path(number, width):
    """c2sp.org/tlog-tiles: groups of three digits, x before all but the last."""
    text = f"{number % 1000:03d}"
    while number >= 1000:
        number //= 1000
        text = f"x{number % 1000:03d}/{text}"
    return text if width == 256 else f"{text}.p/{width}"


def read_file(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        refuse(f"{path}: {error.strerror}")


def read_entries(directory, base, size):
    """(index, commit record, header, effects, operations) of every entry."""
    for number in range(base // 256, (size + 255) // 256):
        begin, end = max(number * 256, base), min(number * 256 + 256, size)
        name = tile_path(number, end - number * 256)
        bundle_name, body_name = f"tile/entries/{name}", f"body/{name}"
        bundle = Decoder(read_file(os.path.join(directory, bundle_name)), bundle_name)
        body = Decoder(read_file(os.path.join(directory, body_name)), body_name)
        for index in range(begin, end):
            record = bundle.raw(struct.unpack(">H", bundle.raw(2))[0])
            header, effects = body.sized(1 << 32), body.sized(1 << 32)
            operations = [body.sized(1 << 32) for _ in range(body.u32())]
            yield index, record, header, effects, operations
        bundle.end()
        body.end()


def check_tiles(directory, leaves):
    """The tiles over the leaves, level by level, each file compared."""
    level, nodes = 0, leaves
    while nodes:
        for number in range((len(nodes) + 255) // 256):
            part = nodes[number * 256:number * 256 + 256]
            name = f"tile/{level}/{tile_path(number, len(part))}"
            if read_file(os.path.join(directory, name)) != b"".join(part):
                refuse(f"{name}: it is not that of the entries")
        nodes = [merkle(0x01, nodes[i:i + 256]) for i in range(0, len(nodes) - 255, 256)]
        level += 1


def effects_bytes(effects):
    return u32(len(effects)) + b"".join(bytes([kind]) + key + v for kind, key, v in effects)


def effects_of(data, what):
    decoder = Decoder(data, what)
    effects = [(decoder.u8(), decoder.digest(), decoder.digest()) for _ in range(decoder.u32())]
    decoder.end()
    return effects


def replay_entry(machine, index, record, header_bytes, effect_bytes, items, log_id):
    what = f"entry {index}"
    logged = decode_commit(record, f"{what}, commit record")
    header = decode_header(header_bytes, f"{what}, header")
    if header["log_id"] != log_id:
        refuse(f"{what}: it is of another log")
    if header["rules"] != 1:
        refuse(f"{what}: rules version {header['rules']} is not known here")
    if machine.timestamp is not None and header["timestamp"] < machine.timestamp:
        refuse(f"{what}: its time is before that of the entry before")
    operations = [operation_of(item, f"{what}, operation {i}") for i, item in enumerate(items)]
    if header["items"] != len(items) or header["items_root"] != merkle(0x13, [op["item"] for op in operations]):
        refuse(f"{what}: its operations are not those that its header commits to")
    commit, effects = machine.apply(index, header, operations, H(0x14, header_bytes),
                                    (logged, effects_of(effect_bytes, f"{what}, effects")))
    if effects_bytes(effects) != effect_bytes:
        refuse(f"{what}: applying it gives other effects than the log holds")
    if encode_commit(commit) != record:
        for name in commit:
            if commit[name] != decode_commit(record, what)[name]:
                refuse(f"{what}: applying it gives another {name.replace('_', ' ')} than its commit record says")
        refuse(f"{what}: its commit record is malformed")
    return operations


def verify_export(directory, key, snapshot, receipt=None):
    """With a receipt: its search is made again after its entry."""
    size, root = read_checkpoint(read_file(os.path.join(directory, "checkpoint")), key)
    log_id = bytes.fromhex(key.name.decode().rpartition("/")[2])
    machine, tree, base, snapshot_hash = Machine(), LogTree(), 0, None
    if os.path.exists(os.path.join(directory, "base")):
        lines = Lines(read_file(os.path.join(directory, "base")), "base")
        if lines.next() != b"stele/log-base@v1":
            refuse("base, line 1: it is not the base of a log")
        base = decimal(lines.field(b"size"), lines.where())
        tree = LogTree(base, lines.hashes())
        if lines.rest() or len(tree.frontier) != bin(base).count("1") or snapshot is None:
            refuse("base: the log continues a snapshot, which --snapshot must give" if snapshot is None
                   else "base: it is malformed")
        machine, snapshot_tree, snapshot_hash, _ = load_snapshot(snapshot)
        if snapshot_tree.size != base or snapshot_tree.root() != tree.root():
            refuse("base: the snapshot is not the one that the log continues")
    if receipt is not None and not base <= receipt["index"] < size:
        refuse(f"the receipt, line 3: the log holds the entries {base} to {size - 1}")
    leaves = []
    for index, record, header, effects, items in read_entries(directory, base, size):
        operations = replay_entry(machine, index, record, header, effects, items, log_id)
        if index == base and base > 0:
            first = operations[0]
            if first["kind"] != RESTORE or first["log_root"] != tree.root() or first["snapshot"] != snapshot_hash:
                refuse(f"entry {index}: it does not continue this snapshot")
        leaf = leaf_hash(record)
        leaves.append(leaf)
        tree.append(leaf)
        if receipt is not None and index == receipt["index"]:
            search_again(receipt, machine)
        if receipt is not None and receipt["digest"] in operations[0].get("receipts", ()):
            receipt.setdefault("logged_in", index)
        if receipt is not None and receipt["checkpoint"] is not None and receipt["checkpoint"][0] == tree.size:
            if receipt["checkpoint"][1] != tree.root():
                refuse("the receipt, line 7: the log does not begin with the entries of its checkpoint")
    if tree.size != size or tree.root() != root:
        refuse(f"the log: the root over its {tree.size} entries is not the one that was signed")
    if base == 0:
        check_tiles(directory, leaves)
    return base, size, root, machine


# ---- Search receipts ----------------------------------------------------------------------------------------------

RECEIPT = b"stele/search-receipt@v1"
L2, DOT, COSINE = 1, 2, 3


def signed_decimal(text, what):
    negative = text.startswith(b"-")
    number = decimal(text[1:] if negative else text, what)
    if number >= (1 << 63) + negative or (negative and number == 0):
        refuse(f"{what}: it is not a raw distance")
    return -number if negative else number


def number_between(lines, word, least, most):
    number = decimal(lines.field(word), lines.where())
    if not least <= number <= most:
        refuse(f"{lines.where()}: it is not such a number")
    return number


def parse_receipt(text):
    """The receipt that a signed text is."""
    lines = Lines(text, "the receipt")
    if lines.next() != RECEIPT:
        refuse(f"{lines.where()}: it is not a search receipt")
    receipt = {"log": lines.field(b"log"), "digest": H(0x50, text)}
    receipt["index"] = number_between(lines, b"index", 0, (1 << 64) - 2)
    receipt["state_index"] = number_between(lines, b"state-index", 0, receipt["index"])
    receipt["state_root"] = digest_of(lines.field(b"state-root"), lines.where())
    number_between(lines, b"rules", 1, 1)
    checkpoint = lines.field(b"checkpoint")
    receipt["checkpoint"] = None
    if checkpoint != b"none":
        size, _, root = checkpoint.partition(b" ")
        receipt["checkpoint"] = (decimal(size, lines.where()), digest_of(root, lines.where()))
    receipt["collection"] = unbase64(lines.field(b"collection"), lines.where())
    receipt["metric"] = number_between(lines, b"metric", 1, 3)
    dimension = receipt["dimension"] = number_between(lines, b"dimension", 1, 32768)
    raw = unbase64(lines.field(b"vector"), lines.where())
    if len(raw) != 4 * dimension:
        refuse(f"{lines.where()}: the vector is not of the collection's dimension")
    receipt["vector"] = struct.unpack(f"<{dimension}i", raw)
    check_admitted(Decoder(raw, lines.where()), receipt["vector"])
    if receipt["metric"] == COSINE and not is_normalized(receipt["vector"]):
        refuse(f"{lines.where()}: the vector is not normalised")
    bytes_of_filter = lines.field(b"filter")
    receipt["filter"] = None
    if bytes_of_filter != b"none":
        decoder = Decoder(unbase64(bytes_of_filter, lines.where()), f"{lines.where()}, the filter")
        receipt["filter"] = filter_of(decoder, 1, [1024])
        decoder.end()
    threshold = lines.field(b"threshold")
    receipt["threshold"] = None if threshold == b"none" else signed_decimal(threshold, lines.where())
    receipt["k"] = number_between(lines, b"k", 1, 10000)
    if lines.field(b"algorithm") != b"exact":
        refuse(f"{lines.where()}: the algorithm is not known here")
    hits = receipt["hits"] = []
    for _ in range(number_between(lines, b"hits", 0, receipt["k"])):
        parts = lines.field(b"hit").split(b" ")
        if len(parts) != 3:
            refuse(f"{lines.where()}: it is not an id, a distance and a record commitment")
        record_id, distance = unbase64(parts[0], lines.where()), signed_decimal(parts[1], lines.where())
        if not 1 <= len(record_id) <= 256 or not is_utf8(record_id):
            refuse(f"{lines.where()}: it is not a record id")
        if hits and (distance, record_id) <= (hits[-1][1], hits[-1][0]):
            refuse(f"{lines.where()}: the hits are not in order of distance and id")
        if receipt["threshold"] is not None and distance > receipt["threshold"]:
            refuse(f"{lines.where()}: the hit is farther than the threshold")
        hits.append((record_id, distance, digest_of(parts[2], lines.where())))
    if lines.rest() or len({hit[0] for hit in hits}) != len(hits):
        refuse(f"{lines.where()}: a record is there twice, or something follows the hits")
    return receipt


def read_receipt(data, key):
    """The receipt in a file, its signature and its checkpoint checked."""
    what = "the receipt"
    note, empty, checkpoint = data, b"", b""
    end = data.find(b"\n\n")
    end = data.find(b"\n\n", end + 2) if end >= 0 else -1
    if end >= 0:
        note, empty, checkpoint = data[:end + 1], b"\n", data[end + 2:]
    text, signatures = read_note(note, what, 62 << 20)
    key_id = hashlib.sha256(key.name + b"\n\xff" + RECEIPT + key.public).digest()[:4]
    check_note(text, signatures, key, key_id, what)
    if len(signatures) != 1:
        refuse(f"{what}: it has more signatures than one")
    receipt = parse_receipt(text)
    if receipt["log"] != key.name:
        refuse(f"{what}, line 2: it is of another log than the key")
    if (receipt["checkpoint"] is None) != (empty == b""):
        refuse(f"{what}, line 7: a checkpoint is named exactly if one follows the signatures")
    if receipt["checkpoint"] is not None and read_checkpoint(checkpoint, key) != receipt["checkpoint"]:
        refuse(f"{what}, line 7: the checkpoint that follows is another one")
    return receipt


def distance_between(metric, a, b):
    if metric == DOT:
        return -sum(map(int.__mul__, a, b))
    return sum((x - y) * (x - y) for x, y in zip(a, b))


def search(collection, receipt):
    """The hits of the same search: every record of the collection that has content, in plain integers."""
    found = []
    for record_id, (_, vector, attributes, document, _, salt) in collection.records.items():
        if vector is None:
            continue
        if receipt["filter"] is not None and not receipt["filter"](dict(attributes_of(attributes, "attributes"))):
            continue
        distance = distance_between(receipt["metric"], receipt["vector"], vector)
        if receipt["threshold"] is None or distance <= receipt["threshold"]:
            found.append((distance, record_id, vector, attributes, document, salt))
    found.sort(key=lambda hit: hit[:2])
    return [(record_id, distance, record_commitment(record_id, vector, attributes, document, salt))
            for distance, record_id, vector, attributes, document, salt in found[:receipt["k"]]]


def search_again(receipt, machine):
    """Of records whose content was erased only their number is known: receipt["erased"]."""
    index = machine.next_index - 1
    if machine.state_root != receipt["state_root"]:
        refuse(f"the receipt, line 5: the state root after entry {index} is {machine.state_root.hex()}")
    if machine.state_index != receipt["state_index"]:
        refuse(f"the receipt, line 4: the state index after entry {index} is {machine.state_index}")
    collection = machine.collections.get(receipt["collection"])
    if collection is None:
        refuse(f"the receipt, line 8: after entry {index} there is no such collection")
    if collection.config[:2] != (receipt["dimension"], receipt["metric"]):
        refuse("the receipt, lines 9 and 10: the collection has another metric or dimension")
    erased = {record_id for record_id, record in collection.records.items() if record[1] is None}
    left = [hit for hit in receipt["hits"] if hit[0] not in erased]
    hits = search(collection, receipt)
    if len(receipt["hits"]) == receipt["k"]:
        hits = hits[:len(left)]  # each erased hit made room for one less
    for number in range(max(len(hits), len(left))):
        said, found = (part[number] if number < len(part) else None for part in (left, hits))
        if said != found:
            place = receipt["hits"].index(said) + 1 if said is not None else len(receipt["hits"]) + 1
            refuse(f"the receipt, hit {place}: it says {hit_text(said)}, the search on the state after entry "
                   f"{index} gives {hit_text(found)}")
    receipt["erased"] = (len(erased), len(receipt["hits"]) - len(left))


def hit_text(hit):
    return "nothing" if hit is None else f"{printable(hit[0])} at {hit[1]}, record {hit[2].hex()}"


def verify_receipt(data, key, log=None, snapshot=None, base_snapshot=None):
    """What was shown: the light check without a log or a snapshot, else the same search again."""
    receipt = read_receipt(data, key)
    if log is not None:
        verify_export(log, key, base_snapshot, receipt)
    elif snapshot is not None:
        machine, _, _, log_id = load_snapshot(snapshot)
        if key.name != b"stele/" + log_id.hex().encode():
            refuse("the receipt is of another log than the snapshot")
        search_again(receipt, machine)
    return receipt


# ---- The command line ---------------------------------------------------------------------------------------------

def printable(data):
    return ascii(data.decode("utf-8", "backslashreplace"))


def verify_text(data, key, options):
    first = data.split(b"\n", 1)[0]
    if first == b"c2sp.org/tlog-proof@v1":
        commit, size = verify_inclusion(data, key)
        return (f"entry {commit['index']} is in the log of {size} entries; outcome {commit['outcome']}, state root after "
                f"it {commit['state_root'].hex()}")
    if first == b"stele/log-consistency@v1":
        old, new = verify_consistency(data, key, read_file(options.old) if options.old else None)
        return f"the log of {new} entries begins with the {old} of the older checkpoint"
    if first == b"stele/record-proof@v1":
        found = verify_record(data, key, read_file(options.document) if options.document else None)
        says = "held" if found["exists"] else "did not hold"
        text = f"after entry {found['index']} collection {printable(found['collection'])} "
        text += f"{says} record {printable(found['id'])}" if found["collection_exists"] else "did not exist"
        if found["content"] is not None:
            text += f"\nvector, times 2^16: {list(found['content'][0])}\nattributes: " + ", ".join(
                f"{printable(n)}={v[1]!r}" for n, v in found["content"][1])
        return text
    if first == b"stele/erasure-certificate@v1":
        found = verify_certificate(data, key)
        return (f"the key states that what entry {found['entry']} marked of {len(found['records'])} records was "
                f"destroyed in {found['operations']} operations of the log and {found['snapshots']} snapshots, and "
                f"that entry {found['completed']} says so")
    if first == RECEIPT:
        log, snapshot, base = (getattr(options, name, None) for name in ("log", "snapshot", "base_snapshot"))
        receipt = verify_receipt(data, key, log, read_file(snapshot) if snapshot else None,
                                 read_file(base) if base else None)
        text = (f"{len(receipt['hits'])} hits in {printable(receipt['collection'])} after entry {receipt['index']}, "
                f"state root {receipt['state_root'].hex()}")
        if log is not None:
            text += f"; logged in entry {receipt['logged_in']}" if "logged_in" in receipt else "; not logged"
        if receipt.get("erased", (0, 0)) != (0, 0):
            return (f"PARTLY: {receipt['erased'][0]} records of the collection have been erased, {receipt['erased'][1]} of "
                    f"the hits among them; the same search on what is left gives the others of {text}")
        if log is not None or snapshot is not None:
            return f"the same search on that state gives the same {text}"
        return (f"SIGNATURE ONLY: the key signed a well-formed answer of {text}.\nNot shown: that the log had this "
                "state, that the distances are right, that no nearer record was left out. Give --log or --snapshot "
                "to search again")
    size, root = read_checkpoint(data, key)
    witnesses = [VerifierKey(text.encode(), 4) for text in getattr(options, "witness", None) or []]
    needed = getattr(options, "witnesses", None)
    found = check_witnesses(data, witnesses, len(witnesses) if needed is None else needed)
    return f"the checkpoint of {size} entries with root {root.hex()} is signed by the key" + "".join(
        f"\ncosigned by {printable(name)} at {time} seconds after 1970" for name, time in found)


def run(options):
    if os.path.isdir(options.path):
        base, size, root, machine = verify_export(
            options.path, options.key, read_file(options.snapshot) if options.snapshot else None)
        text = (f"entries {base}..{size - 1} were applied and give every commit record, the signed log root {root.hex()} "
                f"and the state root {machine.state_root.hex()}")
        if machine.given:
            text += f"; {machine.given} effects were taken from the log, since the content behind them was erased"
        return text
    data = read_file(options.path)
    if data.startswith(b"STELESNP"):
        machine, tree, snapshot_hash, _ = load_snapshot(data)
        return (f"the snapshot of entry {tree.size - 1} with hash {snapshot_hash.hex()}, log root {tree.root().hex()} and "
                f"state root {machine.state_root.hex()} is what it says of itself")
    return verify_text(data, options.key, options)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("path", help="a checkpoint, proof or snapshot, or the directory of an export")
    parser.add_argument("--key", help="the verifier key that you trust, or a file that holds it")
    parser.add_argument("--old", help="the older checkpoint, for a consistency proof")
    parser.add_argument("--document", help="a file to compare with the record's document, for a record proof")
    parser.add_argument("--snapshot", help="the snapshot that an exported log continues; for a receipt, one of its state")
    parser.add_argument("--witness", action="append", help="for a checkpoint: the key of a witness that must have "
                        "cosigned it; may be given several times")
    parser.add_argument("--witnesses", type=int, help="for a checkpoint: how many of them at least (default: all)")
    parser.add_argument("--log", help="for a receipt: an exported log to search again")
    parser.add_argument("--base-snapshot", help="for a receipt: the snapshot that the exported log continues")
    options = parser.parse_args(arguments)
    if options.log is not None and options.snapshot is not None:
        parser.error("give either --log or --snapshot")
    try:
        if options.key is not None:
            text = options.key.encode() if "+" in options.key else read_file(options.key).rstrip(b"\r\n")
            options.key = VerifierKey(text)
        elif os.path.isdir(options.path) or not read_file(options.path).startswith(b"STELESNP"):
            parser.error("--key is needed: what is signed proves nothing without a key that you trust")
        text = run(options)
        print(text if text.startswith(("SIGNATURE ONLY", "PARTLY")) else "VERIFIED: " + text)
        return 3 if text.startswith("PARTLY") else 0
    except Refused as refused:
        print(f"REFUSED: {options.path}: {refused}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
