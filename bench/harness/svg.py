"""Pictures: bars with their spread, curves. Text in, text out; every number in them stands in a table beside them too."""
import math
from html import escape

COLOURS = {'sluice': '#1b66c9', 'again': '#7fa8dd', 'driver': '#a9c6ec', 'peer': '#8a8f98', 'bare': '#2f8f6b', 'limit': '#c8b26a', 'null': '#d5d8dd'}
CURVES = ('#1b66c9', '#c2571a', '#2f8f6b', '#7b4fa3', '#8a8f98', '#b3261e', '#0e7c86', '#6b4f1d')
LABEL, PLOT, NUMBER, ROW, TOP = 250, 480, 190, 21, 22


def nice_step(most, steps=5):
    """A step of 1, 2 or 5 times a power of ten, so that about `steps` of them reach most."""
    if most <= 0:
        return 1.0
    raw = most / steps
    power = 10 ** math.floor(math.log10(raw))
    return next(power * k for k in (1, 2, 5, 10) if raw <= power * k * 1.0001)


def ticks(most, steps=5):
    step = nice_step(most, steps)
    return [i * step for i in range(int(most / step + 1e-9) + 1)]


def text(x, y, words, **attributes):
    more = ''.join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour, width=1.0, dash=''):
    more = f' stroke-dasharray="{dash}"' if dash else ''
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"{more}/>'


def axis(most, height, scale):
    out = []
    for value in ticks(most):
        x = LABEL + value * scale
        out += [line(x, TOP - 4, x, height, '#e4e7eb'), text(x, TOP - 8, f'{value:g}', text_anchor='middle', fill='#6b7280')]
    return out


def bar(row, y, scale, most):
    """One row: a bar to the median, a broad line for the 95 % interval, a thin one from least to most, a dot for each sample."""
    e, colour, middle = row['estimate'], COLOURS[row['kind']], y + ROW / 2 - 2
    out = [text(LABEL - 8, middle + 4, row['label'], text_anchor='end', font_weight='600' if row['kind'] == 'sluice' else '400')]
    if not e:
        return out + [text(LABEL + 4, middle + 4, row['number'], fill='#9a3412')]
    cut = e['median'] > most
    width = min(e['median'], most) * scale
    out.append(f'<rect x="{LABEL}" y="{y + 2:.1f}" width="{max(width, 1):.1f}" height="{ROW - 8}" fill="{colour}"/>')
    if cut:
        out.append(text(LABEL + width - 14, middle + 4, '\N{RIGHTWARDS ARROW}', fill='#ffffff'))
    else:
        at = {name: LABEL + min(e[name], most) * scale for name in ('least', 'low', 'high', 'most')}
        out += [line(at['low'], middle, at['high'], middle, '#f3d9a4', 7), line(at['least'], middle, at['most'], middle, '#1f2937')]
        out += [f'<circle cx="{LABEL + min(v, most) * scale:.1f}" cy="{middle:.1f}" r="1.8" fill="#1f2937" fill-opacity="0.6"/>'
                for v in row['samples']]
    return out + [text(LABEL + PLOT + 12, middle + 4, row['number'], fill='#374151')]


def bars(rows, title, goals=()):
    """rows: label, kind, estimate (or None), samples, number (as text). goals: (value, words). Limits do not stretch the scale."""
    shown = [r['estimate']['most'] for r in rows if r['estimate'] and not r['label'].startswith('limit: ')]
    most = max(shown or [r['estimate']['most'] for r in rows if r['estimate']] or [1])
    near = [value for value, _ in goals if value <= most * 4]
    most = max([most] + near) * 1.03
    scale, height = PLOT / most, TOP + ROW * len(rows) + 4
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LABEL + PLOT + NUMBER} {height}" role="img" class="bars">',
           f'<title>{escape(title)}</title>']
    out += axis(most, height, scale)
    for i, row in enumerate(rows):
        out += bar(row, TOP + ROW * i, scale, most)
    for value, words in goals:
        x = LABEL + min(value, most) * scale
        out += [line(x, TOP - 4, x, height, '#b91c1c', 1.5, '5 3'),
                f'<circle cx="{x:.1f}" cy="{TOP - 2}" r="3" fill="#b91c1c"><title>{escape(words)}</title></circle>']
    return '\n'.join(out + ['</svg>'])


def curves(series, title, x_title, y_title, ideal=True):
    """series: name -> sorted (x, estimate), medians with their 95 % intervals. ideal: also what would be, did it scale."""
    width, height, left, bottom, right = 680, 300, 60, 40, 230
    xs = sorted({x for points in series.values() for x, _ in points})
    most_x, most_y = max(xs), max(e['high'] for points in series.values() for _, e in points) * 1.08
    least_x = min(0, min(xs))
    at_x = lambda x: left + (x - least_x) / (most_x - least_x or 1) * (width - left - right)
    at_y = lambda y: height - bottom - y / most_y * (height - bottom - 16)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" class="curves">', f'<title>{escape(title)}</title>']
    for y in ticks(most_y):
        out += [line(left, at_y(y), width - right, at_y(y), '#e4e7eb'), text(left - 6, at_y(y) + 4, f'{y:g}', text_anchor='end', fill='#6b7280')]
    out += [text(at_x(x), height - bottom + 16, f'{x:g}', text_anchor='middle', fill='#6b7280') for x in xs]
    out += [text((left + width - right) / 2, height - 6, x_title, text_anchor='middle'), text(4, 10, y_title)]
    for i, (name, points) in enumerate(series.items()):
        colour = CURVES[i % len(CURVES)]
        path = ' '.join(f'{at_x(x):.1f},{at_y(e["median"]):.1f}' for x, e in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, e in points:
            out += [line(at_x(x), at_y(e['low']), at_x(x), at_y(e['high']), colour, 1.2),
                    f'<circle cx="{at_x(x):.1f}" cy="{at_y(e["median"]):.1f}" r="3.5" fill="{colour}"/>']
        first_x, first = points[0]
        if ideal and len(points) > 1 and first_x > 0:
            straight = ' '.join(f'{at_x(x):.1f},{at_y(min(most_y, first["median"] * x / first_x)):.1f}' for x, _ in points)
            out.append(f'<polyline points="{straight}" fill="none" stroke="{colour}" stroke-width="1" stroke-dasharray="2 4"/>')
        out += [f'<rect x="{width - right + 14}" y="{16 + 20 * i}" width="12" height="12" fill="{colour}"/>',
                text(width - right + 32, 26 + 20 * i, name)]
    return '\n'.join(out + ['</svg>'])
