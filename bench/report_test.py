#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Checks report.py on a made-up bench, and compare.py on two files whose changes are known."""

import json
import pathlib
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).resolve().parent
FAKE = """#!{python}
import json, sys
names = ["fake/full/n256/t1", "fake/full/n512/t1", "fake/full/n512/t2"]
tail = "/iterations:1/manual_time"
if "--benchmark_list_tests=true" in sys.argv:
    print("\\n".join(n + tail for n in names)); sys.exit()
out = [a[16:] for a in sys.argv if a.startswith("--benchmark_out=")][0]
count = {folder!r} + "/count"
times = len(open(count).read()) if __import__("os").path.exists(count) else 0
open(count, "a").write("x")
if times == 2: sys.exit(3)
cases = [dict(name=n + tail, real_time=10.0 * (i + 1) + times, time_unit="us", best_us=9.0, share=0.5, gflops=100.0,
              peak_gflops=200.0, vs_eigen=1.5, vs_torch=1.25, others=0.0) for i, n in enumerate(names)]
json.dump(dict(context=dict(compiler="g++", instructions="avx2", fma_gflops_t1="200"), benchmarks=cases), open(out, "w"))
"""


def call(script, *words):
    return subprocess.run([sys.executable, "-B", here / script, *words], capture_output=True, text=True, timeout=60)


def report_runs(folder):
    program = folder / "bench" / "bench.fake"
    program.parent.mkdir()
    program.write_text(FAKE.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    words = ["--build", str(folder), "--out", str(folder / "r.json"), "--rounds", "4"]
    first = call("report.py", *words)
    assert first.returncode == 1, first.stderr  # the third run fails
    assert (folder / "r.json").exists(), first.stderr + first.stdout
    half = json.loads((folder / "r.json").read_text())["families"]["fake"]
    assert half["rounds"] == 2 and half["problem"] == "ended with 3", half
    second = call("report.py", *words)
    assert second.returncode == 0, second.stderr
    whole = json.loads((folder / "r.json").read_text())
    entry = whole["families"]["fake"]
    assert whole["schema"] == 1 and entry["rounds"] == 4 and entry["problem"] == ""
    assert [r["us"] for r in entry["cases"]["fake/full/n512/t1"]] == [20, 21, 23, 24], entry
    text = (folder / "r.html").read_text()
    for part in ("1.25 torch", "50 %", "fake/full/n*/t1", "fake/full/n512/t*", "<td>22<"):
        assert part in text, part
    assert "http" not in text and str(folder) not in text + json.dumps(whole)
    program.write_text(program.read_text() + "# built anew\n")
    assert call("report.py", *words).returncode == 0
    anew = json.loads((folder / "r.json").read_text())["families"]["fake"]
    assert [r["us"] for r in anew["cases"]["fake/full/n512/t1"]] == [25, 26, 27, 28], anew
    assert call("report.py", *words[:4], "--rounds", "7").returncode != 0  # made otherwise
    assert call("report.py", *words, "--families", "none").returncode != 0


def compare_tells(folder):
    def write(name, cases, cpu="a"):
        rounds = {n: [{"us": t} for t in times] for n, times in cases.items()}
        data = {"schema": 1, "machine": {"cpu": cpu}, "settings": {}, "families": {"f": {"cases": rounds}}}
        (folder / name).write_text(json.dumps(data))
        return str(folder / name)

    base = [100, 101, 102, 103, 104]
    old = write("old.json", {"same": base, "up": base, "down": base, "noise": [90, 100, 110, 140, 95],
                             "slight": [x / 10 + 90 for x in base], "gone": base, "few": base[:3]})
    new = write("new.json", {"same": base, "up": [x * 1.1 for x in base], "down": [x * 0.8 for x in base],
                             "noise": [100, 150, 92, 115, 112], "slight": [x / 10 + 92 for x in base], "fresh": base,
                             "few": [200, 201, 202]}, "b")
    told = call("compare.py", old, new)
    assert told.returncode == 0, told.stderr
    words = {line.split(": ")[-1]: line.split()[0] for line in told.stdout.splitlines() if "f: " in line}
    assert words == {"up": "slower", "down": "faster", "gone": "missing", "fresh": "new", "few": "unsure"}, told.stdout
    assert "warning: cpu differ" in told.stdout
    assert "warning" not in call("compare.py", old, old).stdout
    assert call("compare.py", old, new, "--fail-on", "slower:5%").returncode == 1
    assert call("compare.py", old, new, "--fail-on", "slower:15%").returncode == 0
    assert call("compare.py", old, old, "--fail-on", "slower:0%").returncode == 0


for check in (report_runs, compare_tells):
    with tempfile.TemporaryDirectory() as place:
        check(pathlib.Path(place))
print("report and compare hold")
