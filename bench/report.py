#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Runs every bench of a build, one after the other, and writes what it found as JSON and as a page.

    bench/report.py --build build/native --out report.json [--page report.html]
                    [--rounds 5] [--seconds 0.1] [--families dense,decode] [--quick] [--ort FOLDER]

A round runs all cases of a family once, against all peers found; rounds follow one another, so that
a drift of the machine falls on all cases. The file is written after each round. Called again with
the same settings it goes on where it stopped, but for programs that were built anew; other settings
need another file, or --fresh.
`--quick` takes at most eight cases a family, four rounds, and stops after five minutes.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

import page

SCHEMA = 1
SUFFIX = re.compile(r"/(iterations:\d+|manual_time|real_time)")
UNTIMED = {"deviation", "peak"}  # their times mean nothing; every case takes the peak itself
MICROSECONDS = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6}
STANDARD = {"name", "run_name", "run_type", "family_index", "per_family_instance_index", "repetitions",
            "repetition_index", "threads", "iterations", "real_time", "cpu_time", "time_unit"}


def machine():
    """Facts that decide what times mean; nothing that names the machine."""
    facts = {"cpu": platform.machine(), "flags": [], "cores": len(os.sched_getaffinity(0))}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = (word.strip() for word in line.partition(":"))
        if key == "model name":
            facts["cpu"] = value
        if key in ("flags", "Features"):
            facts["flags"] = sorted(value.split())
    return facts


def version():
    text = (pathlib.Path(__file__).resolve().parent.parent / "include/heed/version.hpp").read_text()
    return ".".join(re.findall(r"define HEED_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text))


def programs(build):
    found = {}
    for file in sorted((build / "bench").glob("bench.*")):
        family = file.name.removeprefix("bench.")
        if file.is_file() and os.access(file, os.X_OK) and "." not in family and family not in UNTIMED:
            found[family] = file.resolve()
    return found


def listed(program):
    out = subprocess.run([program, "--benchmark_list_tests=true"], capture_output=True, text=True, timeout=120,
                         check=True).stdout
    return [line.strip() for line in out.splitlines() if line.strip()]


def spread_out(names, most):
    """At most so many of the names, evenly."""
    if len(names) <= most:
        return names
    return [names[i * (len(names) - 1) // (most - 1)] for i in range(most)]


def run_once(program, names, settings, limit):
    """One round: the context and {case: numbers}. Raises where the program fails or takes too long."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "out.json"
        words = [program, f"--benchmark_out={file}", "--benchmark_out_format=json", "--peers",
                 f"--seconds={settings['seconds']}"]
        if names is not None:
            words.append("--benchmark_filter=^(" + "|".join(re.escape(n).replace(r"\-", "-") for n in names) + ")$")
        if settings["ort"]:
            words.append(f"--ort={settings['ort']}")
        subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=limit, check=True)
        data = json.loads(file.read_text())
    cases = {}
    for case in data["benchmarks"]:
        numbers = {k: v for k, v in case.items() if k not in STANDARD and isinstance(v, (int, float))}
        numbers["us"] = case["real_time"] * MICROSECONDS[case["time_unit"]]
        cases[SUFFIX.sub("", case["name"])] = numbers
    return data["context"], cases


def save(report, file):
    """Whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    part.replace(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/native"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("report.json"))
    parser.add_argument("--page", type=pathlib.Path)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--families", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--ort", default=os.environ.get("HEED_ORT", ""))
    given = parser.parse_args()
    settings = {"seconds": given.seconds or (0.02 if given.quick else 0.1),
                "rounds": given.rounds or (4 if given.quick else 5), "quick": given.quick}
    deadline = time.monotonic() + (300 if given.quick else math.inf)
    found = programs(given.build)
    wanted = [f for f in given.families.split(",") if f] or list(found)
    missing = [f for f in wanted if f not in found]
    if missing or not found:
        sys.exit(f"report: no bench of {', '.join(missing) or 'any family'} in the build")
    report = {"schema": SCHEMA, "heed": version(), "machine": machine(), "settings": settings, "load_start":
              os.getloadavg()[0], "families": {}}
    if given.out.exists() and not given.fresh:
        old = json.loads(given.out.read_text())
        if any(old.get(k) != report[k] for k in ("schema", "heed", "machine", "settings")):
            sys.exit("report: the file was made otherwise or elsewhere; take another, or --fresh")
        report = old
    failed = False
    for i, family in enumerate(wanted):
        program = hashlib.sha256(found[family].read_bytes()).hexdigest()[:16]
        entry = report["families"].get(family, {})
        if entry.get("program") != program:  # built anew: what was measured is of another program
            entry = {"program": program, "rounds": 0, "cases": {}}
        report["families"][family] = entry
        entry["problem"] = ""
        share = time.monotonic() + (deadline - time.monotonic()) / (len(wanted) - i)
        try:
            names = spread_out(listed(found[family]), 8) if given.quick else None
            while entry["rounds"] < settings["rounds"]:
                left = share - time.monotonic()
                if left < 1:
                    raise subprocess.TimeoutExpired(family, 0)
                context, cases = run_once(found[family], names, {**settings, "ort": given.ort},
                                          left if math.isfinite(left) else None)
                for key in ("compiler", "instructions", "fma_gflops_t1", "fma_gflops_t2"):
                    entry[key] = context.get(key, "")
                for name, numbers in cases.items():
                    entry["cases"].setdefault(name, []).append(numbers)
                entry["rounds"] += 1
                report["load_end"] = os.getloadavg()[0]
                save(report, given.out)
                print(f"{family}: round {entry['rounds']} of {settings['rounds']}, {len(cases)} cases", flush=True)
        except subprocess.TimeoutExpired:
            entry["problem"] = "out of time"
        except subprocess.CalledProcessError as error:
            entry["problem"], failed = f"ended with {error.returncode}", True
        if entry["problem"]:
            print(f"{family}: {entry['problem']} after {entry['rounds']} rounds", flush=True)
    save(report, given.out)
    (given.page or given.out.with_suffix(".html")).write_text(page.of(report))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
