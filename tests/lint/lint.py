#!/usr/bin/env python3
"""Checks one rule of the house over a source tree.

    lint.py RULE [--root DIR] [--library libstele_index.a]

Prints every violation and exits with 1 if there is one, with 77 (skipped) if a tool is missing.
"""

import argparse
import pathlib
import sys

import rules
import tool_rules


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rule", choices=sorted({**rules.TEXT_RULES, **tool_rules.TOOL_RULES}))
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--library", type=pathlib.Path)
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    try:
        if arguments.rule in rules.TEXT_RULES:
            violations = rules.TEXT_RULES[arguments.rule](root)
        else:
            violations = tool_rules.TOOL_RULES[arguments.rule](root, arguments.library)
    except tool_rules.Missing as missing:
        print(f"skipped: {missing}")
        return 77
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
