# SPDX-License-Identifier: BSL-1.0
"""The page of a report: bars and lines as SVG inside one file that needs no other."""

import html
import math
import re
from statistics import median

STYLE = """body{font:15px/1.5 sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;font-size:13px}td,th{padding:2px 8px;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left;font-family:monospace}svg{display:block;margin:1em 0}
svg text{font:11px sans-serif;fill:#222}"""
COLOURS = ["#2a6f97", "#c8553d", "#588157", "#8d6a9f", "#bc8a2f", "#4a4e69", "#7f5539", "#5c946e"]


def middle(rounds, key):
    values = [r[key] for r in rounds if key in r and math.isfinite(r[key])]
    return median(values) if values else None


def best_peer(rounds):
    """The peer that is fastest by medians, as (times our time, name). Contenders of ours count too."""
    names = {k for r in rounds for k in r if k.startswith("vs_")}
    found = [(middle(rounds, k), k[3:]) for k in names]
    return min((f for f in found if f[0] is not None), default=None)


def bars(title, values, mark=None):
    """values: (label, number, text beside the bar)."""
    most = max([v for _, v, _ in values] + [mark or 0]) or 1
    height = 18 * len(values) + 8
    parts = []
    for i, (label, value, text) in enumerate(values):
        y, width = 18 * i + 4, max(0.0, 380 * value / most)
        parts.append(f'<text x="330" y="{y + 11}" text-anchor="end">{html.escape(label)}</text>'
                     f'<rect x="336" y="{y}" width="{width:.1f}" height="13" fill="{COLOURS[0]}"/>'
                     f'<text x="{341 + width:.1f}" y="{y + 11}">{html.escape(text)}</text>')
    if mark:
        x = 336 + 380 * mark / most
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="#c8553d"/>')
    return f"<h3>{title}</h3><svg width='860' height='{height}'>{''.join(parts)}</svg>"


def series(cases, letters):
    """{name without the parameter: [(its value, µs)]} for those with two values or more."""
    lines = {}
    for name, rounds in cases.items():
        words = name.split("/")
        for i, word in enumerate(words):
            found = re.fullmatch(f"({letters})(\\d+)", word)
            time = middle(rounds, "us")
            if found and int(found[2]) > 0 and time:
                key = "/".join(words[:i] + [found[1] + "*"] + words[i + 1:])
                lines.setdefault(key, []).append((int(found[2]), time))
    return {k: sorted(v) for k, v in lines.items() if len({x for x, _ in v}) > 1}


def scaling(title, lines):
    """Logarithmic both ways; y is time over that of the line's first point."""
    parts, all_lines = [], list(lines.items())
    for start in range(0, len(all_lines), len(COLOURS)):
        some = [(k, [(x, t / v[0][1]) for x, t in v]) for k, v in all_lines[start:start + len(COLOURS)]]
        xs = [math.log2(x) for _, v in some for x, _ in v]
        ys = [math.log2(y) for _, v in some for _, y in v]
        low, span_x = min(xs), max(xs) - min(xs) or 1
        floor, span_y = min(ys), max(ys) - min(ys) or 1
        drawn = []
        for x in sorted({x for _, v in some for x, _ in v}):
            at = 40 + 400 * (math.log2(x) - low) / span_x
            drawn.append(f'<text x="{at:.0f}" y="238" text-anchor="middle">{x}</text>')
        for value in (2 ** floor, 2 ** (floor + span_y)):
            y = 220 - 200 * (math.log2(value) - floor) / span_y
            drawn.append(f'<text x="34" y="{y:.0f}" text-anchor="end">{value:.2g}</text>')
        for i, (key, v) in enumerate(some):
            dots = " ".join(f"{40 + 400 * (math.log2(x) - low) / span_x:.1f},"
                            f"{220 - 200 * (math.log2(y) - floor) / span_y:.1f}" for x, y in v)
            drawn.append(f'<polyline points="{dots}" fill="none" stroke="{COLOURS[i]}" stroke-width="2"/>'
                         f'<text x="460" y="{20 + 18 * i}" style="fill:{COLOURS[i]}">{html.escape(key)}</text>')
        parts.append(f"<svg width='860' height='244'>{''.join(drawn)}</svg>")
    return f"<h3>{title}</h3>" + "".join(parts) if parts else ""


def section(family, entry):
    cases = entry["cases"]
    parts = [f"<h2>{html.escape(family)}</h2><p>{entry['rounds']} rounds. Built for "
             f"{html.escape(str(entry.get('instructions', '')))} by {html.escape(str(entry.get('compiler', '')))}."
             f" {html.escape(entry['problem'])}</p>"]
    shares = [(n, 100 * s, f"{100 * s:.0f} %") for n, r in cases.items() if (s := middle(r, "share")) is not None]
    rivals = [(n, p[0], f"{p[0]:.2f} {p[1]}") for n, r in cases.items() if (p := best_peer(r))]
    if shares:
        parts.append(bars("Share of peak or bandwidth", shares, 100))
    if rivals:
        parts.append(bars("Time of the best other contender over ours", rivals, 1))
    parts.append(scaling("Time over length, first point 1", series(cases, "n|l")))
    parts.append(scaling("Time over threads, first point 1", series(cases, "t")))
    rows = []
    for name, rounds in cases.items():
        times = [r["us"] for r in rounds]
        numbers = [f"{median(times):.4g}", f"{min(r.get('best_us', r['us']) for r in rounds):.4g}",
                   f"{100 * (max(times) - min(times)) / median(times):.0f}" if median(times) else ""]
        for key, form in (("gflops", "{:.1f}"), ("gbps", "{:.1f}"), ("peak_gflops", "{:.0f}"), ("read_gbps", "{:.1f}")):
            value = middle(rounds, key)
            numbers.append("" if value is None else form.format(value))
        rows.append(f"<tr><td>{html.escape(name)}</td>" + "".join(f"<td>{n}</td>" for n in numbers) + "</tr>")
    head = ["case", "µs, median", "best", "spread, %", "GFLOP/s", "GB/s", "peak, GFLOP/s", "reads, GB/s"]
    parts.append("<table><tr>" + "".join(f"<th>{h}</th>" for h in head) + "</tr>" + "".join(rows) + "</table>")
    return "".join(parts)


def of(report):
    facts = report["machine"]
    about = (f"heed {report['heed']}, {facts['cpu']}, {facts['cores']} processors, load {report['load_start']:.1f} at "
             f"the start, {report.get('load_end', report['load_start']):.1f} at the end. Medians over rounds; the "
             "spread is (slowest − fastest) / median.")
    body = "".join(section(f, e) for f, e in report["families"].items())
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>heed benches</title><style>{STYLE}</style>"
            f"<h1>heed benches</h1><p>{html.escape(about)}</p>{body}</html>\n")
