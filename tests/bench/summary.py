#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics for bench.sh.

summary.py header                   the TSV's first line
summary.py row TARGET ROUND SYSTEM WORKLOAD DAEMON_TICKS TARGET_TICKS <output of fio or rawbench
summary.py table TSV JSON           prints the tables, writes the JSON
"""
import collections
import json
import os
import statistics
import sys

COLUMNS = ["target", "round", "system", "workload", "iops", "mbps", "mean_us", "p99_us", "daemon_us_per_op",
           "target_core"]
BASE = "qsd"
OTHER_BASES = ("raw", "null", "nbdfuse")
TITLES = {
    "rr1": "4k random read, depth 1", "rr32": "4k random read, depth 32",
    "rw1": "4k random write, depth 1", "rw32": "4k random write, depth 32",
    "r8t": "4k random read, 8 threads", "w8t": "4k random write, 8 threads",
    "sr1": "1 MiB read, depth 1", "sr8": "1 MiB read, depth 8", "sr32": "1 MiB read, depth 32",
    "sw1": "1 MiB write, depth 1", "sw8": "1 MiB write, depth 8", "sw32": "1 MiB write, depth 32",
    "rw1f": "4k random write, depth 1, fsync at the end", "rw32f": "4k random write, depth 32, fsync at the end",
    "w8tf": "4k random write, 8 threads, fsync at the end", "sw8f": "1 MiB write, depth 8, fsync at the end",
    "cr1": "4k cached read, depth 1", "cr32": "4k cached read, depth 32",
    "br": "128k buffered read", "bw": "4k buffered random write, fsync at the end",
    "ws1": "4k write + fdatasync, 1 thread", "ws8": "4k write + fdatasync, 8 threads",
    "l4w": "loop: 4k random write, depth 32, fsync at the end",
    "lx": "loop, ext4: small files created", "lr": "loop, ext4: small files read cold",
}


def bases(workload):
    """what else than BASE the workload's numbers are compared with"""
    return [b for b in OTHER_BASES if b == "raw" or (b == "null" and workload.startswith("cr"))
            or (b == "nbdfuse" and workload[0] == "l")]


def from_fio(data):
    job = data["jobs"][0]
    if job["error"]:
        raise ValueError("fio error %d" % job["error"])
    side = job["read"] if job["read"]["total_ios"] else job["write"]
    lats = [side["clat_ns"]]
    if job["sync"]["total_ios"]:  # fdatasync after each write: an operation is both
        lats.append(job["sync"]["lat_ns"])
    # The runtime, and so the rates, include an fsync at the end.
    return (side["total_ios"], side["runtime"] / 1000, side["iops"], side["bw_bytes"] / 1e6,
            sum(lat["mean"] for lat in lats) / 1000, sum(lat["percentile"]["99.000000"] for lat in lats) / 1000)


def row(target, round_, system, workload, daemon_ticks, target_ticks):
    text = sys.stdin.read()
    data = json.loads(text[text.index("{"):])
    if "jobs" in data:
        ops, seconds, iops, mbps, mean, p99 = from_fio(data)
    else:  # rawbench, tree.py
        iops, mbps, mean, p99 = (data[k] for k in ("iops", "mbps", "mean_us", "p99_us"))
        ops, seconds = data["ops"], data["ops"] / data["iops"]
    daemon_us = data.get("cpu_us_per_op", int(daemon_ticks) / os.sysconf("SC_CLK_TCK") * 1e6 / max(ops, 1))
    core = int(target_ticks) / os.sysconf("SC_CLK_TCK") / max(seconds, 0.001)
    numbers = ["%.1f" % v for v in (iops, mbps, mean, p99)] + ["%.2f" % daemon_us, "%.2f" % core]
    print("\t".join([target, round_, system, workload] + numbers))


def load(path):
    with open(path, encoding="utf-8") as f:
        names = f.readline().rstrip("\n").split("\t")
        rows = [dict(zip(names, line.rstrip("\n").split("\t"))) for line in f]
    for r in rows:
        for k in COLUMNS[4:]:
            r[k] = float(r[k])
    return rows


def median_ratio(rounds, rows, base):
    """of the ratios to @base of the same round; None if it has no value there"""
    ratios = []
    for r in rows:
        other = rounds.get((r["target"], r["workload"], r["round"], base))
        if other:
            ratios.append(r["iops"] / other["iops"])
    return statistics.median(ratios) if ratios else None


def summarize(rows):
    """{(target, workload, system): medians and the medians of the ratios to BASE and bases() of the same round}"""
    groups = collections.defaultdict(list)
    rounds = {}
    for r in rows:
        groups[r["target"], r["workload"], r["system"]].append(r)
        rounds[r["target"], r["workload"], r["round"], r["system"]] = r
    result = {}
    for (target, workload, system), some in groups.items():
        entry = {k: statistics.median(r[k] for r in some) for k in COLUMNS[4:]}
        entry["rounds"] = len(some)
        entry["ratio"] = median_ratio(rounds, some, BASE)
        for base in bases(workload):
            entry["ratio_to_" + base] = median_ratio(rounds, some, base)
        result[target, workload, system] = entry
    return result


def unique(values):
    return list(dict.fromkeys(values))


def print_table(head, lines):
    widths = [max(len(line[i]) for line in [head] + lines) for i in range(len(head))]
    for line in [head] + lines:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))).rstrip())
    print()


def cell(summary, key, fmt):
    return fmt(summary[key]) if key in summary else "-"


def rate(entry, workload):
    return "%.0f MB/s" % entry["mbps"] if workload[0] == "s" or workload == "br" else "%.1f k" % (entry["iops"] / 1000)


def print_ratios(target, workloads, systems, summary):
    lines = []
    for w in workloads:
        for base in bases(w):
            values = [summary.get((target, w, s), {}).get("ratio_to_" + base) for s in systems]
            if any(v is not None for v in values):
                lines.append(["%s / %s" % (TITLES.get(w, w), base)] + ["-" if v is None else "%.2f" % v for v in values])
    if lines:
        print_table(["medians of the ratios to others of the same round"] + systems, lines)


def print_target(target, rows, summary):
    systems = unique(r["system"] for r in rows)
    workloads = unique(r["workload"] for r in rows)
    order = [s for s in systems if s == BASE] + [s for s in systems if s != BASE]
    rounds = max(e["rounds"] for (t, _, _), e in summary.items() if t == target)
    print("%s: medians of %d round(s); in brackets the median of the ratios to %s of the same round" % (
        target, rounds, BASE))
    lines = []
    for w in workloads:
        line = [TITLES.get(w, w)]
        for s in order:
            ratio = summary.get((target, w, s), {}).get("ratio")
            text = cell(summary, (target, w, s), lambda e, w=w: rate(e, w))
            line.append(text if ratio is None or s == BASE else "%s [%.2f]" % (text, ratio))
        lines.append(line)
    print_table(["IOPS or MB/s"] + order, lines)
    print_ratios(target, workloads, order, summary)
    lines = [[TITLES.get(w, w)] + [cell(summary, (target, w, s), lambda e: "%.0f / %.0f / %.2f" % (
        e["daemon_us_per_op"], e["p99_us"], e["target_core"])) for s in order] for w in workloads]
    print_table(["daemon's CPU us per op / p99 us / target's cores"] + order, lines)
    busy = unique(TITLES.get(w, w) + " (" + s + ")" for w in workloads for s in order
                  if target.startswith("tgtd") and summary.get((target, w, s), {}).get("target_core", 0) >= 0.9)
    if busy:
        print("the target was the limit (0.9 of a core or more): " + "; ".join(busy) + "\n")


def table(tsv, out):
    rows = load(tsv)
    if not rows:
        sys.exit("bench: nothing was measured")
    summary = summarize(rows)
    print()
    for target in unique(r["target"] for r in rows):
        print_target(target, [r for r in rows if r["target"] == target], summary)
    medians = [dict(target=t, workload=w, system=s, **e) for (t, w, s), e in summary.items()]
    with open(out, "w", encoding="utf-8") as f:
        json.dump({"base": BASE, "medians": medians, "rows": rows}, f, indent=1)
        f.write("\n")


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "header":
        print("\t".join(COLUMNS))
    elif verb == "row":
        row(*args)
    elif verb == "table":
        table(*args)


main()
