#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks OpenMetrics 1.0 text, strictly.   openmetrics.py FILE            0: it is right; else says what is not
   openmetrics.py --classic FILE  the same in the older text format of Prometheus, which "promtool check metrics" reads"""
import re
import sys

SUFFIXES = {
    "counter": {"_total"}, "gauge": {""}, "info": {"_info"}, "histogram": {"_bucket", "_count", "_sum"},
}
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL}(?:,{LABEL})*)?)\}})? (\S+)")


def fail(number, line, why):
    sys.exit(f"line {number}: {why}: {line}")


def histogram(number, line, series, suffix, labels, value):
    """Buckets in order, growing, and as many in the last one as there are."""
    key = tuple(pair for pair in labels if pair[0] != "le")
    state = series.setdefault(key, {"le": float("-inf"), "n": 0})
    if suffix == "_bucket":
        le = float(dict(labels)["le"])
        if le <= state["le"] or value < state["n"]:
            fail(number, line, "a bucket out of order")
        state.update(le=le, n=value)
    elif state["le"] != float("inf"):
        fail(number, line, "no bucket +Inf before it")
    elif suffix == "_count" and value != state["n"]:
        fail(number, line, "not what bucket +Inf has")


def check(lines):
    families, seen, family, meta, series = {}, set(), None, {}, {}
    if not lines or lines.pop() != "# EOF":
        sys.exit("no # EOF at the end")
    for number, line in enumerate(lines, 1):
        match = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)", line)
        if match:
            kind, name, text = match.groups()
            if name != family:
                if kind != "TYPE" or name in families or any(name == f + s for f in families for s in SUFFIXES[families[f]]):
                    fail(number, line, "a family that has been, or does not begin with its type")
                family, meta, series = name, {}, {}
                families[name] = text
            if kind in meta or "sample" in meta:
                fail(number, line, "twice, or behind a sample")
            meta[kind] = text
            if kind == "TYPE" and text not in SUFFIXES:
                fail(number, line, "a type that is not known")
            if kind == "UNIT" and not name.endswith("_" + text):
                fail(number, line, "the name does not end with the unit")
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            fail(number, line, "not a sample")
        name, labels = match.group(1), re.findall(LABEL, match.group(2) or "")
        suffix = name[len(family):] if family and name.startswith(family) else None
        if suffix not in SUFFIXES[families[family]] or "HELP" not in meta:
            fail(number, line, "not of the family that is described above")
        meta["sample"] = True
        value = float(match.groups()[-1])
        key = (name, tuple(sorted(labels)))
        if key in seen or len({label for label, _ in labels}) != len(labels):
            fail(number, line, "a series or a label twice")
        seen.add(key)
        if families[family] in ("counter", "histogram") and value < 0:
            fail(number, line, "below zero")
        if families[family] == "info" and value != 1:
            fail(number, line, "an info is 1")
        if families[family] == "histogram":
            histogram(number, line, series, suffix, labels, value)
    return families


def classic(lines, families):
    for line in lines:
        match = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.+)", line)
        if not match:
            print(line)
        elif match.group(1) != "UNIT":
            kind, name, text = match.groups()
            suffix = {"counter": "_total", "info": "_info"}.get(families[name], "")
            print(f"# {kind} {name}{suffix} {'gauge' if text == 'info' else text}")


with open(sys.argv[-1], encoding="utf-8", newline="") as file:
    body = file.read()
if not body.endswith("\n"):
    sys.exit("the last line does not end")
body = body[:-1].split("\n")
found = check(body)
if sys.argv[1] == "--classic":
    classic(body, found)
