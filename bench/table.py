#!/usr/bin/env python3
# SPDX-License-Identifier: BSL-1.0
"""Turns Google Benchmark's JSON into the tables of docs/benchmarks.md and the data of plot.gp.

    bench/table.py RESULTS.json... [--avx2 RESULTS.json...]

rewrites the tables of docs/benchmarks.md for which there are cases and, with dense ones, writes
docs/dense.dat. Of several files the last that holds a case wins.
"""

import json
import pathlib
import re
import sys

docs = pathlib.Path(__file__).resolve().parent.parent / "docs"
peers = ["eigen", "openblas", "onednn", "torch", "ort_mha", "ort_attention", "ort_gqa"]
titles = {"eigen": "Eigen", "openblas": "OpenBLAS", "onednn": "oneDNN", "torch": "libtorch",
          "ort_mha": "ORT MHA", "ort_attention": "ORT Attention", "ort_gqa": "ORT GQA"}
variants = {"kv_half": "float", "kv_bfloat16": "float", "bias": "none", "alibi": "none", "lambda": "none",
            "rope": "plain", "blhd": "bhld", "scaling": "t1", "additive": "tanh"}


def load(files):
    cases, context = {}, {}
    for file in files:
        data = json.loads(pathlib.Path(file).read_text())
        context = data["context"]
        for case in data["benchmarks"]:
            cases[case["name"]] = case
    return cases, context


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def share(case, name):
    """Percent of peak; `~` where other processes took over a tenth of a processor meanwhile."""
    return ("~" if case.get("others", 0) > 0.1 else "") + f"{100 * case[name]:.0f}"


def ratio(case, name):
    value = case.get("vs_" + name)
    return "" if value is None else f"{value:.2f}"


def dense(cases, threads):
    chosen = {n: c for n, c in cases.items()
              if n.split("/")[1] not in [*variants, "small"] and n.startswith("dense/") and n.endswith(f"/t{threads}")}
    used = [p for p in peers if any("vs_" + p in c for c in chosen.values())]
    rows = []
    for name, case in chosen.items():
        rivals = [case["vs_" + p] for p in used if "vs_" + p in case]
        rows.append([f"`{name}`", f"{case['gflops']:.0f}", share(case, 'share'),
                     share(case, 'share_median'), f"**{min(rivals):.2f}**" if rivals else "",
                     *[ratio(case, p) for p in used]])
    return table(["case", "GFLOP/s", "% of peak, best", "median", "× best peer", *["× " + titles[p] for p in used]], rows)


def variant(cases):
    rows = []
    for name, case in cases.items():
        kind = name.split("/")[1]
        if kind in variants:
            rows.append([f"`{name}`", f"{case['gflops']:.0f}", share(case, 'share'), variants[kind],
                         f"{1 / case['vs_' + variants[kind]]:.3f}"])
    return table(["case", "GFLOP/s", "% of peak, best", "against", "time / time of that"], rows)


def small(cases):
    found = {}
    for name, case in cases.items():
        match = re.fullmatch(r"dense/small/h1/d(\d+)/n(\d+)/t1", name)
        if match:
            found[int(match[2]), int(match[1])] = case
    dims = sorted({d for _, d in found})
    rows = []
    for n in sorted({n for n, _ in found}):
        row = [str(n)]
        for d in dims:
            case = found.get((n, d))
            row.append(f"{case['best_us']:.2f} µs, {1 / case['vs_eigen']:.2f}" if case else "")
        rows.append(row)
    return table(["N", *[f"D = {d}" for d in dims]], rows)


def kernels(cases):
    rows = [[f"`{n}`", f"{c['gflops']:.0f} GFLOP/s" if "gflops" in c else f"{c['gbps']:.0f} GB/s",
             share(c, 'share') if "share" in c else ""]
            for n, c in cases.items() if n.startswith("kernels/")]
    return table(["kernel", "rate", "% of peak, best"], rows)


def decode(cases, threads):
    """Cases without a rival but peers, then those against another call of ours."""
    chosen = {n: c for n, c in cases.items() if n.startswith("decode/") and n.endswith(f"/t{threads}")}
    used = [p for p in peers if any("vs_" + p in c for c in chosen.values())]
    rows = []
    for name, case in chosen.items():
        rivals = [case["vs_" + p] for p in used if "vs_" + p in case]
        ours = [f"{1 / x:.2f} of {n[3:]}" for n, x in case.items() if n.startswith("vs_") and n[3:] not in peers]
        if "ns" in case:
            ours.append(f"{case['ns']:.0f} ns a token of a sequence")
        if "fma_share" in case:
            ours.append(f"{100 * case['fma_share']:.0f} % of multiply-adds")
        short = name.startswith("decode/short/") or "share" not in case  # reads no memory
        rows.append([f"`{name}`", f"{case['best_us']:.0f}", f"{case['gbps']:.1f}",
                     "" if short else share(case, 'share'), "" if short else share(case, 'share_median'),
                     f"**{min(rivals):.2f}**" if rivals else "", *[ratio(case, p) for p in used], ", ".join(ours)])
    return table(["case", "µs", "GB/s", "% of reads, best", "median", "× best peer", *["× " + titles[p] for p in used],
                  "time"], rows)


def whole(cases):
    """Recurrences over whole sequences."""
    rows = [[f"`{n}`", f"{c['gflops']:.0f}", share(c, 'share'), share(c, 'share_median'), f"{c['ns']:.0f}",
             ratio(c, "ort"), f"{1 / c['vs_n1024']:.2f}" if "vs_n1024" in c else ""]
            for n, c in cases.items() if n.startswith("recurrence/") and "fma_share" in c]
    return table(["case", "GFLOP/s", "% of peak, best", "median", "ns", "× ORT", "of 1 K"], rows)


def grids(cases):
    """Neighbourhoods and local mixing."""
    rows = [[f"`{n}`", f"{c['gflops']:.0f}", share(c, 'share'), share(c, 'share_median'), ratio(c, "natten"),
             f"{c['of_forward']:.2f}" if "of_forward" in c else ""]
            for n, c in cases.items() if n.startswith(("neighborhood", "local")) and "gflops" in c]
    return table(["case", "GFLOP/s", "% of peak, best", "median", "× one pixel at a time", "of the forward share"], rows)


def sparse(cases):
    """Few of the keys: blocks of a map, or what a selector chose."""
    rows = [[f"`{n}`", f"{100 * c['visited']:.1f}", f"{c['best_us'] / 1000:.1f}", share(c, 'share'),
             share(c, 'share_median'), f"{c['promise']:.2f}", f"{100 * c['selection']:.0f}" if "selection" in c else ""]
            for n, c in cases.items() if n.startswith("sparse/") and "visited" in c]
    return table(["case", "% of pairs", "ms", "% of peak, best", "median", "of the promise", "choosing, % of the rest"], rows)


def graphs(cases):
    """Edges of a graph, against reading the rows they name."""
    rows = [[f"`{n}`", f"{c['best_us'] / 1000:.1f}", f"{c['gbps']:.1f}", share(c, 'share'), share(c, 'share_uniform'),
             ratio(c, "eigen")] for n, c in cases.items() if n.startswith("segment/") and "share_uniform" in c]
    return table(["case", "ms", "GB/s", "% of reads in order", "% of reads at random", "× Eigen's rows"], rows)


def steps(cases):
    rows = [[f"`{n}`", f"{c['best_us']:.1f}", f"{c['gbps']:.1f}", "" if "/one/" in n else share(c, 'share'),
             f"{1 / c['vs_update']:.2f}" if "vs_update" in c else "", ratio(c, "ort")]
            for n, c in cases.items() if n.startswith("recurrence/step/")]
    return table(["case", "µs", "GB/s", "% of reads, best", "of an update", "× ORT"], rows)


def channels(cases):
    rows = [[f"`{n}`", f"{c['ns']:.0f}", f"{c['gbps']:.1f}", f"{c['gexp']:.2f}" if "gexp" in c else ""]
            for n, c in cases.items() if n.startswith(("recurrence/mamba/", "recurrence/short_conv/"))]
    return table(["case", "ns a token", "GB/s", "10⁹ exponentials a second"], rows)


def plot_data(cases):
    """One block a mask: length, then the share of peak of heed and of each peer (medians)."""
    blocks = []
    for mask in ["full", "causal"]:
        lines = ["# " + " ".join(["n", "heed", *peers])]
        for n in [512, 1024, 2048, 4096, 8192]:
            case = cases.get(f"dense/{mask}/h8/d64/n{n}/t2")
            if case:
                share = 100 * case["share_median"]
                values = [f"{share / case['vs_' + p]:.1f}" if "vs_" + p in case else "?" for p in peers]
                lines.append(" ".join([str(n), f"{share:.1f}", *values]))
        blocks.append("\n".join(lines))
    return "\n\n\n".join(blocks) + "\n"


def narrow(cases):
    rows = [[f"`{n}`", f"{c['gflops']:.0f}", share(c, 'share'), share(c, 'share_median')]
            for n, c in cases.items() if n.startswith("dense/") and not n.startswith("dense/small")]
    return table(["case", "GFLOP/s", "% of peak, best", "median"], rows)


def described(context):
    caches = ", ".join(f"L{c['level']} {c['type'].lower()} {c['size'] // 1024} KiB" for c in context["caches"])
    return (f"{context['num_cpus']} processors; {caches}. Built for {context['instructions']} by {context['compiler']}. "
            f"Multiply-add peak {float(context['fma_gflops_t1']):.0f} GFLOP/s on one processor, "
            f"{float(context['fma_gflops_t2']):.0f} on two.\n")


def main():
    words = sys.argv[1:]
    split = words.index("--avx2") if "--avx2" in words else len(words)
    if not words[:split] or any(word.startswith("-") for word in words[:split]):
        sys.exit(__doc__)
    cases, context = load(words[:split])
    families = {name.split("/")[0] for name in cases}
    parts = {"machine": described(context)}
    if "dense" in families:
        parts.update({"one thread": dense(cases, 1), "two threads": dense(cases, 2), "variants": variant(cases),
                      "small": small(cases)})
        (docs / "dense.dat").write_text("# SPDX-License-Identifier: BSL-1.0\n" + plot_data(cases))
    if "decode" in families:
        parts.update({"decode, one thread": decode(cases, 1), "decode, two threads": decode(cases, 2)})
    if "kernels" in families:
        parts["kernels"] = kernels(cases)
    if "recurrence" in families:
        parts.update({"recurrences": whole(cases), "steps": steps(cases), "channels": channels(cases)})
    if any(family.startswith("neighborhood") for family in families):
        parts["grids"] = grids(cases)
    if any(n.startswith("sparse/") and "visited" in c for n, c in cases.items()):
        parts["sparse"] = sparse(cases)
    if "segment" in families:
        parts["graphs"] = graphs(cases)
    if words[split + 1:]:
        cases_avx2, context_avx2 = load(words[split + 1:])
        if any(n.startswith("dense/") for n in cases_avx2):
            parts["avx2"] = described(context_avx2) + "\n" + narrow(cases_avx2)
        if any(n.startswith("recurrence/") for n in cases_avx2):
            parts["recurrences, avx2"] = whole(cases_avx2)
        if any(n.startswith("neighborhood") for n in cases_avx2):
            parts["grids, avx2"] = grids(cases_avx2)
        if any(n.startswith("sparse/") and "visited" in c for n, c in cases_avx2.items()):
            parts["sparse, avx2"] = sparse(cases_avx2)
    page = docs / "benchmarks.md"
    text = page.read_text()
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
        head, rest = text.split(begin)
        text = head + begin + part + end + rest.split(end, 1)[1]
    page.write_text(text)


if __name__ == "__main__":
    main()
