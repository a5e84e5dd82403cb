"""Mail loops: a message whose header already has our Delivered-To line has been here before."""


def has_line(line, pieces):
    """True if a header has this line, byte for byte; `line` ends with its only newline.

    pieces: the message. The header ends at the first empty line; a line with CR before its LF is not
    empty, a last line without a newline does not count. Of a header of any length, no more is kept
    than one piece and the length of the line.
    """
    wanted = b"\n" + line
    window = b"\n"                  # as if a line ended before the first one
    for piece in pieces:
        window += piece
        end = window.find(b"\n\n")
        if window.find(wanted, 0, len(window) if end < 0 else end + 1) >= 0:
            return True
        if end >= 0:
            return False
        window = window[-len(wanted):]
    return False
