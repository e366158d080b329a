#!/usr/bin/env python3
"""Builds the deterministic island with one compiler and compares what roots_main prints with roots.txt.

    cross_build.py --compiler g++ --options=-O0 [--run qemu-s390x-static] [--portable] [--build DIR]

With --portable SHA-256 comes from shim/ and nothing is linked but the compiler's own runtime, so that any
target that the compiler knows will do. Exits with 77 (skipped) if the compiler or emulator is not installed.
The program runs once for each of ENVIRONMENTS, which must change nothing. With STELE_GOLDEN_UPDATE=1 the output becomes the golden file.
"""

import argparse
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77
# Time zone, locale and memory that is filled with other bytes; a program that looks at one of them prints another root.
ENVIRONMENTS = (
    {},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "MALLOC_PERTURB_": "85"},
    {"TZ": "America/St_Johns", "LANG": "tr_TR.UTF-8", "LC_NUMERIC": "de_DE.UTF-8", "MALLOC_PERTURB_": "170"},
)


def command_of(arguments, build):
    includes = ["-I" + str(SOURCE)]
    if arguments.portable:
        # xxhash.h is a header alone; the rest of the host's include folder must stay out of sight.
        headers = build / "include"
        headers.mkdir(exist_ok=True)
        header = headers / "xxhash.h"
        if not header.exists():
            shutil.copy("/usr/include/xxhash.h", header)
        includes += ["-I" + str(SOURCE / "tests/golden/shim"), "-I" + str(headers)]
    launcher = ["ccache"] if shutil.which("ccache") else []
    return launcher + [arguments.compiler, "-std=c++20", *arguments.options.split(), *includes]


def build_program(arguments, build):
    sources = sorted((SOURCE / "index").glob("*.cc")) + [SOURCE / "tests/golden/roots_main.cc"]
    command = command_of(arguments, build)

    def compile_one(source):
        target = build / (source.stem + ".o")
        subprocess.run([*command, "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compile_one, sources))
    program = build / "roots"
    libraries = ["-static"] if arguments.portable else ["-lcrypto"]
    subprocess.run([arguments.compiler, *arguments.options.split(), *objects, *libraries, "-o", str(program)],
                   check=True)
    return program


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--options", default="-O2")
    parser.add_argument("--run", default="")
    parser.add_argument("--portable", action="store_true")
    parser.add_argument("--build", required=True, type=pathlib.Path)
    arguments = parser.parse_args()
    for tool in filter(None, (arguments.compiler, arguments.run)):
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed")
            return SKIPPED
    arguments.build.mkdir(parents=True, exist_ok=True)
    program = build_program(arguments, arguments.build)
    # Addresses as they are dealt out, and the same ones each time.
    runs = [[arguments.run]] if arguments.run else [[], ["setarch", "-R"]]
    outputs = {subprocess.run([*run, str(program)], check=True, stdout=subprocess.PIPE,
                              env={**os.environ, **environment}).stdout
               for run in runs for environment in ENVIRONMENTS}
    if len(outputs) != 1:
        print("the output depends on the environment, or on addresses")
        return 1
    output = outputs.pop()
    golden = SOURCE / "tests/golden/roots.txt"
    if golden.exists() and golden.read_bytes() == output:
        return 0
    if os.environ.get("STELE_GOLDEN_UPDATE") == "1":
        golden.write_bytes(output)
        return 0
    sys.stdout.write(output.decode())
    print(f"the output differs from {golden}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
