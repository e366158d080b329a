#!/usr/bin/env python3
"""Makes the protobuf modules of the package from the wire contract.

    python3 generate.py [OUTPUT_DIR]

Reads stele/v1/*.proto from proto/ beside this file (a source distribution) or from proto/ at the
top of the repository, and writes stele/v1/*_pb2.py, *_pb2.pyi and *_pb2_grpc.py below OUTPUT_DIR
(default: this folder, so that the package runs from the tree). Uses grpcio-tools
1.51 or newer or, without it, protoc and grpc_python_plugin from PATH (Debian: protobuf-compiler and
protobuf-compiler-grpc). The modules run with the protobuf release that made them or a newer one.
"""

import importlib.metadata
import pathlib
import shutil
import subprocess
import sys
from typing import List, Optional

HERE = pathlib.Path(__file__).resolve().parent


def proto_root() -> pathlib.Path:
    """The folder that holds stele/v1/*.proto."""
    for candidate in (HERE / "proto", HERE.parent.parent / "proto"):
        if (candidate / "stele" / "v1" / "types.proto").is_file():
            return candidate
    raise FileNotFoundError(
        f"no stele/v1/types.proto below {HERE / 'proto'} or {HERE.parent.parent / 'proto'}: "
        "build from the repository or from a source distribution"
    )


def bundled_protoc() -> Optional[str]:
    """The version of grpcio-tools, or None where it is absent or too old to read the contract."""
    try:
        version = importlib.metadata.version("grpcio-tools")
    except importlib.metadata.PackageNotFoundError:
        return None
    major, minor = (int(part) for part in version.split(".")[:2])
    return version if (major, minor) >= (1, 51) else None


def run_protoc(arguments: List[str]) -> int:
    """Runs protoc from grpcio-tools or, where that is absent, the one in PATH with its plugin."""
    if bundled_protoc():
        import grpc_tools
        from grpc_tools import protoc

        well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        return int(protoc.main(["protoc", f"--proto_path={well_known}"] + arguments))
    compiler, plugin = shutil.which("protoc"), shutil.which("grpc_python_plugin")
    if compiler is None or plugin is None:
        raise SystemExit(
            "generate.py needs a protobuf compiler: apt-get install protobuf-compiler "
            "protobuf-compiler-grpc, or pip install grpcio-tools"
        )
    command = [compiler, f"--plugin=protoc-gen-grpc_python={plugin}"] + arguments
    return subprocess.run(command, check=False).returncode


def generate(output: pathlib.Path) -> List[pathlib.Path]:
    """Writes the modules below `output` and returns their paths."""
    root = proto_root()
    sources = sorted((root / "stele" / "v1").glob("*.proto"))
    output.mkdir(parents=True, exist_ok=True)
    arguments = [f"--proto_path={root}"]
    arguments += [f"--{kind}_out={output}" for kind in ("python", "pyi", "grpc_python")]
    arguments += [str(source.relative_to(root)) for source in sources]
    if run_protoc(arguments) != 0:
        raise SystemExit("protoc failed: " + " ".join(arguments))
    return sorted((output / "stele" / "v1").glob("*_pb2*"))


if __name__ == "__main__":
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        raise SystemExit(__doc__)
    for path in generate(pathlib.Path(sys.argv[1]).resolve() if sys.argv[1:] else HERE):
        print(path)
