#!/usr/bin/env python3
"""Makes tests/data/demo: descriptions of Debian packages, embedded, with questions and answers.

    make_demo_data.py select APT_LISTS   the texts: records.jsonl, from Debian's package index
    make_demo_data.py embed MODEL        the vectors: records.npy, queries.npy, by the model
    make_demo_data.py expected [--check] the answers: expected.json, in exact integers
    make_demo_data.py show [N]           the questions with their N nearest, for reading

README.md in that folder has the commands that bring the package index and the model. `select` is a
function of the index alone, `expected` of the committed files alone (--check writes nothing and
fails on a difference); `embed` depends in its last bits on the machine's floating point, which is
why the vectors are committed. queries.jsonl is written by hand.
"""

import argparse
import hashlib
import json
import math
import pathlib
import re
import subprocess
import sys
from collections import Counter

import numpy as np

import exact_reference as exact

DEMO = pathlib.Path(__file__).resolve().parent / "demo"
K = 10
PARAGRAPH_BYTES_MAX = 300
TAGS_MAX = 8

# How many records of which section, 3,000 in all: what people look for, not what there is most of.
QUOTAS = {
    "utils": 306, "net": 245, "games": 205, "sound": 160, "graphics": 170, "science": 160,
    "admin": 165, "devel": 165, "text": 125, "misc": 75, "web": 90, "x11": 90, "mail": 67,
    "python": 95, "math": 67, "video": 75, "editors": 65, "gnome": 70, "kde": 65, "perl": 35,
    "database": 42, "java": 25, "javascript": 20, "fonts": 30, "hamradio": 30, "electronics": 45,
    "interpreters": 42, "otherosfs": 30, "comm": 28, "vcs": 38, "libdevel": 20, "httpd": 18,
    "tex": 25, "xfce": 12, "shells": 15, "embedded": 5, "education": 12, "news": 8, "ruby": 18,
    "gnu-r": 18, "lisp": 8, "haskell": 6, "kernel": 10,
}  # fmt: skip

SKIPPED_NAMES = re.compile(
    r"-(dbg|dbgsym|doc|docs|data|common|dev-bin|locales?|l10n|i18n|headers|source|udeb|legacy|"
    r"examples|tests?|libs|modules|core|base|extra|gtk[234]?|qt[456]?|nox|config|tasks|all|full|"
    r"linux-gnu.*|cross.*|mingw.*|menu|music|theme|defaults|helper|compat|perl)$"
    r"|^(lib(?!reoffice)|task-|linux-(image|headers)|gcc-|g\+\+-|gfortran-|cpp-|gdc-|gnat-|gm2-|"
    r"gobjc|gccgo|clang-|llvm-|hunspell-|aspell-|myspell-|mythes-|hyphen-|ispell|w[a-z]+ish$|"
    r"tesseract-ocr-.|debian-(edu|games)|education-|med-|science-|games-|gis-|"
    r"binutils-.|minetest-mod|texlive-lang|postgresql-\d|php\d|openjdk-\d|fcitx.*-table|"
    r"wesnoth-.*|drascula-.|kodi-.*-|ament-|gstreamer1\.0-|python3-oslo|python3-pyqt|"
    r"elpa-|vim-|xserver-|dh-|devhelp|qtcreator-|ctn-|multimedia-|neutron-|lib32|printer-driver)"
)
SKIPPED_SHORT = re.compile(
    r"transitional|dummy|metapackage|meta-package|meta package|debug symbols|\bdata files?\b|"
    r"shared library|common files|language pack|documentation|arch-indep|for the .* language$|"
    r"localization|development files|headers? files?|introspection|runtime files",
    re.IGNORECASE,
)
# Here the name is the library's, so the "lib" and "-dev" patterns above would take them all.
LIBRARY_SECTIONS = {"libdevel", "perl", "java", "javascript", "ruby", "gnu-r", "haskell", "python"}
TAG_FACETS = (
    "use", "interface", "works-with", "works-with-format", "field", "game", "protocol", "network",
    "security", "sound", "mail", "web", "admin", "hardware", "science", "biology", "office",
    "accessibility", "privacy", "devel", "implemented-in",
)  # fmt: skip


# ---- select ----------------------------------------------------------------------------------


def read_index(lists, suffix):
    """The decoded bytes of one file that `apt-get update` left in the folder `lists`."""
    name = re.compile(r"_debian_dists_[a-z]+_main_" + suffix)
    found = [path for path in lists.iterdir() if name.search(path.name)]
    if len(found) != 1:
        sys.exit(f"{lists}: expected one index *_main_{suffix}, found {len(found)}")
    return subprocess.run(
        ["/usr/lib/apt/apt-helper", "cat-file", str(found[0])], check=True, stdout=subprocess.PIPE
    ).stdout


def paragraphs(text):
    """deb822 paragraphs as dictionaries; continuation lines keep their newline."""
    for block in text.split("\n\n"):
        fields, name = {}, None
        for line in block.split("\n"):
            if line.startswith(" "):
                fields[name] += "\n" + line[1:]
            elif ":" in line:
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        if fields:
            yield fields


def debtags(field):
    """ "a::b, a::{c,d}" to ["a::b", "a::c", "a::d"]."""
    field = re.sub(r"\s+", "", field)
    tags = []
    for facet, braced, plain in re.findall(r"([a-z0-9-]+)::(?:\{([^}]*)\}|([^,]+))", field):
        tags += [f"{facet}::{value}" for value in (braced.split(",") if braced else [plain])]
    return tags


def short_tags(tags):
    kept = [t for t in tags if t.split("::")[0] in TAG_FACETS and not t.endswith("::TODO")]
    kept.sort(key=lambda t: (TAG_FACETS.index(t.split("::")[0]), t))
    return kept[:TAGS_MAX]


def trim(text, size_max):
    """At most size_max bytes of UTF-8, cut after a sentence if one ends late enough, or a word."""
    if len(text.encode("utf-8")) <= size_max:
        return text
    cut = text.encode("utf-8")[: size_max - 3].decode("utf-8", errors="ignore")
    end = max(cut.rfind(". "), cut.rfind("! "))
    if end >= size_max // 2:
        return cut[: end + 1]
    return cut[: cut.rfind(" ")].rstrip(",;:-(") + "..."


def document(name, description):
    """Name, short description and the first paragraph of the long one, without any list in it."""
    short, _, rest = description.partition("\n")
    lines, list_follows = [], False
    for line in rest.split("\n"):
        list_follows = line.startswith((" ", "* ", "- "))
        if lines and (list_follows or line == "."):
            break
        if not list_follows and line != ".":
            lines.append(line)
    paragraph = re.sub(r"\s+", " ", " ".join(lines)).strip()
    if (list_follows and paragraph[-1:] not in (".", "!", "?")) or paragraph.endswith(":"):
        paragraph = paragraph[: paragraph.rfind(". ") + 1]  # drops what leads to the list
    return f"{name}: {short}. {trim(paragraph, PARAGRAPH_BYTES_MAX)}".strip()


def references(packages):
    """How many other packages name a package: a measure of how well known it is."""
    counts = Counter()
    for package in packages:
        named = set()
        for field in ("Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances"):
            for part in re.split(r"[,|]", package.get(field, "")):
                named.add(re.split(r"[ (:]", part.strip())[0])
        counts.update(named)
    return counts


def is_wanted(package, description):
    name, section = package["Package"], package["Section"]
    short, _, rest = description.partition("\n")
    if section not in QUOTAS or SKIPPED_SHORT.search(short) or len(rest) < 80:
        return False
    if section in LIBRARY_SECTIONS:
        return not re.search(r"-(doc|dbg|data|common|tools|examples|tests?)$", name)
    return not SKIPPED_NAMES.search(name)


def select(lists):
    index = read_index(lists, "binary-amd64_Packages")
    translation = read_index(lists, "i18n_Translation-en")
    packages = list(paragraphs(index.decode("utf-8")))
    texts = {
        (t["Package"], t["Description-md5"]): t["Description-en"]
        for t in paragraphs(translation.decode("utf-8"))
    }
    known = references(packages)
    candidates = []
    for package in packages:
        name = package["Package"]
        description = texts.get((name, package["Description-md5"]), "")
        if not is_wanted(package, description):
            continue
        tags = debtags(package.get("Tag", ""))
        source = package.get("Source", name).split(" ")[0]
        rank = math.log1p(known[name]) + 2.0 * (name == source) + 0.5 * ("Homepage" in package)
        rank += 1.5 * ("role::program" in tags) + 0.25 * min(len(short_tags(tags)), 6)
        candidates.append((-rank, name, source, package, description, tags))
    candidates.sort(key=lambda c: c[:2])

    records, taken, sources, shorts = [], Counter(), Counter(), set()
    for _, name, source, package, description, tags in candidates:
        section, short = package["Section"], description.split("\n")[0].lower()
        if taken[section] == QUOTAS[section] or sources[source] == 1 or short in shorts:
            continue
        taken[section] += 1
        sources[source] += 1
        shorts.add(short)
        attributes = {
            "section": section,
            "installed_size_kb": int(package["Installed-Size"]),
            "priority": package["Priority"],
            "tags": short_tags(tags),
            "has_homepage": "Homepage" in package,
        }
        records.append(
            {"id": name, "attributes": attributes, "document": document(name, description)}
        )
    missing = {s: n - taken[s] for s, n in QUOTAS.items() if taken[s] < n}
    if missing:
        sys.exit(f"too few packages for the quotas: {missing}")
    records.sort(key=lambda r: r["id"].encode("utf-8"))
    with (DEMO / "records.jsonl").open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(f"{len(records)} records")
    print(f"Packages       sha256 {hashlib.sha256(index).hexdigest()}")
    print(f"Translation-en sha256 {hashlib.sha256(translation).hexdigest()}")


# ---- embed -----------------------------------------------------------------------------------


def read_jsonl(name):
    with (DEMO / name).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def embed(model_folder):
    import minilm

    weights = model_folder / "model.safetensors"
    print(f"model.safetensors sha256 {hashlib.sha256(weights.read_bytes()).hexdigest()}")
    model = minilm.MiniLM(model_folder)
    for name, field in (("queries", "text"), ("records", "document")):
        vectors = model.encode([line[field] for line in read_jsonl(name + ".jsonl")])
        np.save(DEMO / f"{name}.npy", vectors.astype("<f2"))
        print(f"{name}.npy: {vectors.shape[0]} x {vectors.shape[1]}")


# ---- expected --------------------------------------------------------------------------------


def answers():
    """The content of expected.json: every query's K nearest records under METRIC_COSINE."""
    ids = [record["id"] for record in read_jsonl("records.jsonl")]
    rows = [exact.normalize_float32(row) for row in np.load(DEMO / "records.npy")]
    lines = []
    for text, vector in zip(read_jsonl("queries.jsonl"), np.load(DEMO / "queries.npy")):
        hits = exact.knn("COSINE", exact.normalize_float32(vector), ids, rows, K)
        lines.append(json.dumps({"text": text["text"], "hits": hits}, ensure_ascii=False))
    head = f'{{"metric": "METRIC_COSINE", "k": {K}, "queries": [\n'
    return head + ",\n".join(lines) + "\n]}\n"


def expected(check):
    made = answers()
    path = DEMO / "expected.json"
    if not check:
        path.write_text(made, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != made:
        sys.exit(f"{path} does not follow from the files beside it")


def show(count):
    documents = {r["id"]: r["document"] for r in read_jsonl("records.jsonl")}
    for query in json.loads((DEMO / "expected.json").read_text(encoding="utf-8"))["queries"]:
        print(query["text"])
        for record_id, raw in query["hits"][:count]:
            print(f"  {exact.score('COSINE', raw):.3f}  {documents[record_id][:100]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("select").add_argument("lists", type=pathlib.Path)
    commands.add_parser("embed").add_argument("model", type=pathlib.Path)
    commands.add_parser("expected").add_argument("--check", action="store_true")
    commands.add_parser("show").add_argument("count", type=int, nargs="?", default=3)
    arguments = parser.parse_args()
    if arguments.command == "select":
        select(arguments.lists)
    elif arguments.command == "embed":
        embed(arguments.model)
    elif arguments.command == "expected":
        expected(arguments.check)
    else:
        show(arguments.count)


if __name__ == "__main__":
    main()
