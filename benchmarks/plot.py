"""Line plots as SVG."""
import html
import math

from .results import HERE

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 70, 130, 40, 50
COLOURS = ("#1f6fb4", "#d1602b", "#3f8f46", "#7a4fa3")


class Axis:
    """Values to pixels; from `low` to `high`."""

    def __init__(self, values, first, last, logarithmic):
        self.logarithmic, self.first, self.last = logarithmic, first, last
        self.low, self.high = (min(values), max(values)) if logarithmic else (0, max(values))
        if self.low == self.high:
            self.high = self.low + 1
        if not logarithmic:
            self.step = nice(self.high / 6)
            self.high = math.ceil(self.high / self.step) * self.step

    def __call__(self, value):
        scale = math.log if self.logarithmic else float
        part = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.first + part * (self.last - self.first)

    def ticks(self):
        if not self.logarithmic:
            return [self.step * n for n in range(round(self.high / self.step) + 1)]
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        wide = math.log10(self.high / self.low) > 4
        found = [factor * 10.0 ** power for power in powers for factor in ((1,) if wide else (1, 2, 5))]
        return [value for value in found if self.low * 0.999 <= value <= self.high * 1.001]


def nice(step):
    """A round number, not less than `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def lines(name, title, across, up, series, *, logarithmic=False, points=True):
    """Write HERE/`name`. series: {label: [(x, y), …]}; logarithmic: the axis across is."""
    every = [point for found in series.values() for point in found]
    x = Axis([x for x, _ in every], LEFT, WIDTH - RIGHT, logarithmic)
    y = Axis([y for _, y in every], HEIGHT - BOTTOM, TOP, False)
    parts = [text(WIDTH / 2, 22, title, "middle", 15), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle"),
             text(LEFT - 50, TOP - 14, up, "start")]
    for value in y.ticks():
        parts += [line(LEFT, y(value), WIDTH - RIGHT, y(value)), text(LEFT - 8, y(value) + 4, f"{value:g}", "end")]
    for value in x.ticks():
        parts += [line(x(value), TOP, x(value), HEIGHT - BOTTOM),
                  text(x(value), HEIGHT - BOTTOM + 18, f"{value:,g}", "middle")]
    for number, (label, found) in enumerate(series.items()):
        colour, path = COLOURS[number % len(COLOURS)], " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in found)
        height = TOP + 10 + 20 * number             # of its entry in the legend
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3" fill="{colour}"/>' for a, b in found if points]
        parts += [line(WIDTH - RIGHT + 12, height, WIDTH - RIGHT + 32, height, colour, 2),
                  text(WIDTH - RIGHT + 38, height + 4, label, "start")]
    with open(f"{HERE}/{name}", "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif">\n'
                f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def line(x1, y1, x2, y2, colour="#dddddd", width=1):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"/>')


def text(x, y, words, anchor, size=12):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(words)}</text>'
