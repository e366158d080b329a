"""Rules about the text of the sources. Each takes the root of the tree and gives a list of violations,
"path:line: what is wrong, and what to do instead"."""

import re

import source_text

CODE_FOLDERS = ("index", "storage", "server", "client")
ALL_FOLDERS = CODE_FOLDERS + ("tests", "bench")

# DESIGN: index/ is a pure function of the log; storage/ knows bytes, not vectors; server/ introduces them.
INDEX_STANDARD = set("""algorithm array bit compare concepts cstddef cstdint cstdlib cstring deque functional
    initializer_list iterator limits map memory new numeric optional set span string string_view tuple
    type_traits utility variant vector""".split())
INDEX_LIBRARIES = {
    "xxhash.h": None,
    "openssl/sha.h": ("hash.cc",),
    "openssl/evp.h": ("hash.cc",),
    "roaring/roaring.hh": None,
    "immintrin.h": ("kernels_amx.cc", "kernels_avx2.cc", "kernels_avx512.cc"),
    "cpuid.h": ("kernels_amx.cc",),
    "arm_neon.h": ("kernels_neon.cc",),
    "sys/auxv.h": ("kernels_neon.cc",),
    "sys/mman.h": ("area.cc",),
    "atomic": ("cell.h",),
}
# Folder -> (folders of ours, libraries by the first part of their path) that it may include.
LAYERS = {
    "storage": ({"storage"}, {"absl", "rocksdb", "xxhash.h", "sys"}),
    "server": ({"server", "index", "storage", "stele"},
               {"absl", "grpc", "grpcpp", "google", "prometheus", "spdlog", "openssl", "sys", "arpa",
                "netinet", "nlohmann", "CLI", "toml.hpp", "civetweb.h", "xxhash.h"}),
    "client": ({"client", "index", "storage", "stele"},
               {"absl", "grpc", "grpcpp", "google", "CLI", "nlohmann", "openssl", "sys"}),
}
# docs/adr/0002: the command line answers with the server's exit codes, quotes names as it does, and its offline commands
# run the server's own recovery. The client library itself knows nothing of the server.
LAYER_EXCEPTIONS = {("client/cli", f"server/{name}.h") for name in ("conversion", "exit_code", "filter_wire", "offline", "query_wire", "quote",
                                                          "recovery", "signing")}
THIRD_PARTY = {"absl", "rocksdb", "grpc", "grpcpp", "google", "prometheus", "spdlog", "openssl", "nlohmann",
               "CLI", "toml.hpp", "civetweb.h", "xxhash.h", "sys", "arpa", "netinet", "gtest", "gmock"}

BANS = [
    (r"\b(float|double)\b", "use integers: raw Q16.16 and int64 (index/arithmetic.h)"),
    (r"\bstd::(thread|jthread|async|future|promise)\b", "index/ starts no threads; server/ does"),
    (r"\b(std::\w*mutex|std::\w*lock\w*|pthread_\w+|condition_variable)\b",
     "no locks: publish through index/cell.h"),
    (r"\b(rand|srand|random_device|mt19937\w*)\b", "no randomness: hash an id, or take it from the command"),
    (r"\b(time|clock|clock_gettime|gettimeofday)\s*\(|\bstd::chrono\b",
     "no clock: the command carries its time"),
    (r"\b(throw|try|catch)\b", "outcomes are data: return an Outcome, optional or bool"),
    (r"\b__int128\b", "use Uint128 (index/arithmetic.h): 32-bit targets have no native one"),
    (r"\b\w*printf\b|\bstd::(cout|cerr|clog|i?o?f?stream)\b|\b(fopen|fwrite|open|read|write)\s*\(",
     "no I/O and no logging: return bytes, or take a sink"),
    (r"\bgetenv\b", "no configuration: Apply reads state, command and index only"),
    (r"\bunordered_\w+", "use a sorted vector, std::map or SkipList: iteration order must be defined"),
    (r"\blong\s+double\b|\blocale\b", "use integers and bytes"),
]
# Rule -> files that may: with the reason.
ATOMIC_FILES = {"cell.h"}
POINTER_AS_INTEGER_FILES = {"area.cc"}  # aligns memory

# Floats outside the conversion file, each with its reason.
FLOAT_FILES = {
    "conversion.h": "the door",
    "conversion.cc": "the door",
    "commands.cc": "progress shown to people",
    "gate.cc": "seconds for a histogram",
    "logging.h": "a field of a log line",
    "logging.cc": "a field of a log line",
    "metrics.h": "Prometheus samples are doubles",
    "metrics.cc": "Prometheus samples are doubles",
    "process_metrics.h": "seconds for Prometheus",
    "process_metrics.cc": "seconds for Prometheus",
}
FILE_LINES_MAX = 500


def _index_include(path, name):
    inner = name[1:-1]
    if name[0] == '"':
        return None if inner.startswith("index/") else "index/ includes only index/ of ours"
    if inner in INDEX_STANDARD:
        return None
    if inner in INDEX_LIBRARIES:
        where = INDEX_LIBRARIES[inner]
        if where is None or path.name in where:
            return None
        return f"only {' and '.join(where)} may include it"
    return "not on the allow-list of index/ (tests/lint/rules.py)"


def _layer_include(root, path, name):
    folder = path.relative_to(root).parts[0]
    ours, libraries = LAYERS[folder]
    first = name[1:-1].split("/")[0]
    relative = str(path.relative_to(root).parent)
    if name[0] == '"' and (relative, name[1:-1]) in LAYER_EXCEPTIONS:
        return None
    if first in ALL_FOLDERS + ("stele",) and first not in ours:
        return f"{folder}/ must not know {first}/"
    if first in THIRD_PARTY and first not in libraries:
        return f"{folder}/ must not use {first}"
    return None


def check_includes(root):
    violations = []
    for path in source_text.files(root, *CODE_FOLDERS):
        if "python" in path.parts:
            continue
        in_index = path.relative_to(root).parts[0] == "index"
        for line, name in source_text.includes(source_text.read(path)):
            problem = _index_include(path, name) if in_index else _layer_include(root, path, name)
            if problem:
                violations.append(f"{path.relative_to(root)}:{line}: {name}: {problem}")
    return violations


def _matches(root, path, bans):
    violations = []
    for number, line in enumerate(source_text.strip(source_text.read(path)).split("\n"), 1):
        for pattern, instead in bans:
            match = re.search(pattern, line)
            if match:
                violations.append(f"{path.relative_to(root)}:{number}: {match.group(0).strip()}: {instead}")
    return violations


def check_tokens(root):
    violations = []
    for path in source_text.files(root, "index"):
        bans = list(BANS)
        if path.name not in ATOMIC_FILES:
            bans.append((r"\bstd::atomic\w*", "publish through index/cell.h"))
        if path.name not in POINTER_AS_INTEGER_FILES:
            bans.append((r"\bu?intptr_t\b", "addresses differ between runs: use slots, indices or keys"))
        violations += _matches(root, path, bans)
    return violations


def check_floats(root):
    violations = []
    ban = [(r"\b(float|double)\b", "floats end at the door, server/conversion.*: pass raw Q16.16 on")]
    for path in source_text.files(root, "server"):
        if path.name not in FLOAT_FILES:
            violations += _matches(root, path, ban)
    return violations


def check_length(root):
    violations = []
    for path in source_text.files(root, *ALL_FOLDERS):
        count = source_text.read(path).count("\n")
        if count > FILE_LINES_MAX:
            violations.append(
                f"{path.relative_to(root)}:{count}: longer than {FILE_LINES_MAX} lines: divide it")
    return violations


def check_marks(root):
    violations = []
    # Put together, so that this file does not name itself.
    mark = re.compile(r"(?<!::)\b(" + "TO" + "DO|FIX" + r"ME|XX" + r"X)\b")
    for path in source_text.files(root, *ALL_FOLDERS, "docs", "deploy", "cmake", "proto",
                                  suffixes=(".h", ".cc", ".py", ".md", ".sh", ".cmake", ".txt", ".proto")):
        for number, line in enumerate(source_text.read(path).split("\n"), 1):
            if mark.search(line):
                violations.append(f"{path.relative_to(root)}:{number}: finish it, or state it as a limit")
    return violations


TEXT_RULES = {
    "includes": check_includes,
    "tokens": check_tokens,
    "floats": check_floats,
    "length": check_length,
    "marks": check_marks,
}
