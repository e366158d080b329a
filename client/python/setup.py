"""Build steps beyond pyproject.toml: protobuf modules are generated, never committed."""

import importlib.metadata
import pathlib
import shutil
import sys

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import generate  # noqa: E402


def run_time_requirements():
    """Generated code runs with its generator's releases or newer ones, and refuses older ones."""
    tools = generate.bundled_protoc()
    if tools is None or tuple(int(part) for part in tools.split(".")[:2]) < (1, 63):
        # These generators emit no check of the runtime.
        return ["grpcio>=1.51", "protobuf>=4.21", "numpy>=1.21"]
    return [
        f"grpcio>={tools}",
        f"protobuf>={importlib.metadata.version('protobuf')}",
        "numpy>=1.21",
    ]


class GenerateThenBuild(build_py):
    """Generates into the build tree, or into the source tree for an editable installation."""

    def run(self):
        super().run()
        in_place = getattr(self, "editable_mode", False)
        generate.generate(HERE if in_place else pathlib.Path(self.build_lib).resolve())


class SelfContainedSdist(sdist):
    """A source distribution carries the wire contract, which lies outside this folder."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for stale in (pathlib.Path(base_dir) / "stele" / "v1").glob("*_pb2*"):
            stale.unlink()
        shutil.copytree(
            generate.proto_root() / "stele",
            pathlib.Path(base_dir) / "proto" / "stele",
            ignore=shutil.ignore_patterns("CMakeLists.txt"),
            dirs_exist_ok=True,
        )


setup(
    cmdclass={"build_py": GenerateThenBuild, "sdist": SelfContainedSdist},
    install_requires=run_time_requirements(),
)
