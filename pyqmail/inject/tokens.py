"""RFC 822 tokens of a header field, read and written.

A token is (kind, text). The kinds "." "," "@" "<" ">" ":" ";" stand for themselves; ATOM, QUOTED
("…"), LITERAL ([…]) and COMMENT ((…)) carry their text without delimiters and backslashes. Reading
and writing take time linear in the length, whatever the bytes are.
Source: RFC 822 section 3.3, notqmail as recorded.
"""
from ..base.errors import Permanent

ATOM, QUOTED, LITERAL, COMMENT = "atom", "quoted", "literal", "comment"
WORDS = frozenset((ATOM, QUOTED, LITERAL, COMMENT))
SPECIAL = {ord(character): (character, character.encode()) for character in ".,@<>:;"}
COMMA = SPECIAL[ord(",")]
LINE_LENGTH = 80            # columns after which an address list goes on in the next line

OPENING = {ord("("): (COMMENT, ord(")")), ord('"'): (QUOTED, ord('"')), ord("["): (LITERAL, ord("]"))}
DELIMITERS = {QUOTED: b'"%b"', LITERAL: b"[%b]", COMMENT: b"(%b)", ATOM: b"%b"}
WHITE = b" \t\r\n"
STRAY = b")]"               # closing what was not opened; behind the first byte of an atom they are part of it
BACKSLASH = ord("\\")
ENDS_ATOM = frozenset(WHITE + b'([".,@<>:;')
MARKS = bytes(0 if byte in ENDS_ATOM or byte in STRAY or byte == BACKSLASH else 1 for byte in range(256))
PLAIN = bytes(byte for byte in range(32, 127) if byte not in b")]\\")   # an atom of others is written quoted
ESCAPED = (b"\\", b'"', b"[", b"]", b"(", b")", b"\r", b"\n")           # backslash first: it escapes the others
HARMLESS = bytes(byte for byte in range(256) if byte not in b"".join(ESCAPED))


class Unparsable(Permanent):
    """The text is no list of tokens, or the tokens are no list of addresses. Its argument, where there
    is one, is what to tell the user, as bytes."""


def refuse(line):
    """The Unparsable for a line that must parse; it is shown as it is, with its newline or without."""
    return Unparsable(b"unable to parse this line:\n" + line)


def read(text):
    """The tokens of `text`, white space left out.
    Raises Unparsable for an unclosed comment, string or literal and for a ) or ] that starts a word."""
    marks = text.translate(MARKS)           # NUL where a byte may mean something
    tokens, at, end = [], 0, len(text)
    while at < end:
        byte = text[at]
        if byte in SPECIAL:
            tokens.append(SPECIAL[byte])
            at += 1
        elif byte in WHITE:
            at += 1
        elif byte in OPENING:
            token, at = _enclosed(text, marks, at)
            tokens.append(token)
        elif byte in STRAY:
            raise Unparsable
        else:
            token, at = _atom(text, marks, at)
            tokens.append(token)
    return tokens


def read_strictly(text):
    """As read; an Unparsable says which line it was."""
    try:
        return read(text)
    except Unparsable:
        raise refuse(text) from None


def _enclosed(text, marks, at):
    """The comment, quoted string or literal that starts at `at`, and where it ends. The parentheses of
    comments within comments are lost."""
    opening = text[at]
    kind, closing = OPENING[opening]
    pieces, depth, at = [], 1, at + 1
    while True:
        mark = marks.find(0, at)
        if mark < 0:
            raise Unparsable
        pieces.append(text[at:mark])
        byte, at = text[mark], mark + 1
        if byte == closing:
            depth -= 1
            if not depth:
                return (kind, b"".join(pieces)), at
        elif kind == COMMENT and byte == opening:
            depth += 1
        elif byte == BACKSLASH:
            if at == len(text):
                raise Unparsable
            pieces.append(text[at:at + 1])
            at += 1
        else:
            pieces.append(text[mark:at])


def _atom(text, marks, at):
    """The atom that starts at `at`, and where it ends. A backslash takes any byte into it."""
    pieces = []
    while True:
        mark = marks.find(0, at)
        if mark < 0:
            pieces.append(text[at:])
            at = len(text)
            break
        pieces.append(text[at:mark])
        at = mark
        if text[mark] == BACKSLASH:
            pieces.append(text[mark + 1:mark + 2])
            at = min(mark + 2, len(text))
        elif text[mark] in STRAY:
            pieces.append(text[mark:mark + 1])
            at = mark + 1
        else:
            break
    word = b"".join(pieces)
    return (QUOTED if word.translate(None, PLAIN) else ATOM, word), at


def write(tokens, width=LINE_LENGTH):
    """The field that `tokens` make, with its newline. Lines are broken behind commas only, where the
    next piece would not end before column `width`."""
    pieces = _pieces(tokens)
    written, start = bytearray(next(pieces)), 0     # start: of the line being written
    for piece in pieces:
        if len(written) - start + 2 + len(piece) > width:
            written += b"\n "
            start = len(written) - 1
        written += piece
    return bytes(written) + b"\n"


def _pieces(tokens):
    """The written tokens in pieces that end in a comma; the last one, maybe empty, does not."""
    piece, before = [], None
    for token in tokens:
        kind, text = token
        if _apart(before, kind):
            piece.append(b" ")
        piece.append(DELIMITERS[kind] % _escape(text) if kind in WORDS else text)
        before = kind
        if kind == ",":
            yield b"".join(piece)
            piece = []
    yield b"".join(piece)


def _apart(before, kind):
    """True if a space stands between tokens of these kinds."""
    if before is None:
        return False
    return before in (":", ",") or kind == "<" or (before in WORDS and kind in WORDS)


def _escape(text):
    if text.translate(None, HARMLESS):
        for byte in ESCAPED:
            text = text.replace(byte, b"\\" + byte)
    return text


def plain(tokens):
    """What `tokens` are in an envelope: no comments, no quotes, no blanks."""
    return b"".join(b"[%b]" % text if kind == LITERAL else text for kind, text in tokens if kind != COMMENT)
