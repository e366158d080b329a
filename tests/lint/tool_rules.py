"""Rules that need a compiler or a tool. Same shape as those of rules.py, with the island's library where they
need it; a missing tool raises Missing."""

import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import tempfile

import source_text
from rules import ALL_FOLDERS

# What the island may leave to others: memory, SHA-256, and the runtime of the language.
SYMBOLS = re.compile(r"""
    operator\ (new|delete)(\[\])?\(.*
  | (memcpy|memmove|memset|memcmp|memchr|bcmp|strlen|strcmp|malloc|calloc|free|abort)
  | SHA256_(Init|Update|Final)
  | std::__throw_\w+\(.*\)
  | std::allocator<char>::.* | __cxa_throw_bad_array_new_length
  | std::__cxx11::basic_string.* | std::basic_string_view.* | std::__detail::_List_node_base.*
  | std::_Rb_tree_\w+\(.*
  | vtable\ for\ __cxxabiv1::.* | __cxa_(begin_catch|end_catch|rethrow|guard_\w+|pure_virtual)
  | __gxx_personality_v0 | _Unwind_Resume | std::terminate\(\) | __stack_chk_fail
  | mmap | munmap | madvise | __popcountdi2 | __libc_single_threaded | __cpu_model | __cpu_features2 | __cpu_indicator_init | _GLOBAL_OFFSET_TABLE_
  | __(memcpy|memmove|memset)_chk
  | stele::index::.* | (vtable|typeinfo|typeinfo\ name|guard\ variable)\ for\ stele::index::.*
  | __(asan|ubsan|tsan|sanitizer|gcov|llvm)_\w+ | __sanitizer_.* | __odr_asan.*
""", re.VERBOSE)


class Missing(Exception):
    pass


def need(tool):
    if shutil.which(tool) is None:
        raise Missing(f"{tool} is not installed")
    return tool


def _run_each(paths, command_of):
    """Violations: the first complaining lines of every command that fails."""

    def one(path):
        result = subprocess.run(command_of(path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        lines = [line for line in result.stdout.split("\n") if re.search(r"\b(error|warning):", line)]
        return [] if result.returncode == 0 else [f"{path}: " + " | ".join(lines[:3] or ["refused"])]

    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return [violation for found in pool.map(one, paths) for violation in found]


def check_format(root, _library):
    tool = need("clang-format-14")
    paths = source_text.files(root, *ALL_FOLDERS)
    return _run_each(paths, lambda path: [tool, "--dry-run", "-Werror", str(path)])


def check_shadow(root, _library):
    """The island compiles without floating-point registers."""
    compiler = need("g++")
    if "x86_64" not in subprocess.check_output([compiler, "-dumpmachine"], text=True):
        raise Missing("an x86-64 compiler")
    paths = [p for p in source_text.files(root, "index", suffixes=(".cc",))
             if not re.match(r"kernels_(avx2|avx512|neon)", p.name)]
    # O1: unoptimised code would also compile what is never called from inline functions of the library.
    return _run_each(paths, lambda path: [
        compiler, "-std=c++20", "-O1", "-mgeneral-regs-only", "-fno-exceptions", f"-I{root}", "-S", "-o",
        "/dev/null", str(path)])


def check_symbols(root, library):
    del root
    output = subprocess.check_output([need("nm"), "-uC", str(library)], text=True)
    violations = set()
    for line in output.split("\n"):
        match = re.match(r"\s+[Uw] (.*)", line)
        if match and not SYMBOLS.fullmatch(match.group(1)):
            violations.add(f"{library}: {match.group(1)}: the island must not need it")
    return sorted(violations)


def check_link(root, library):
    """A program of nothing but the island, SHA-256 and the language's runtime links."""
    del root
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "main.cc"
        source.write_text("int main() { return 0; }\n")
        command = [need("g++"), str(source), "-Wl,--whole-archive", str(library), "-Wl,--no-whole-archive",
                   "-lcrypto", "-lxxhash", "-o", str(source.with_suffix(""))]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [] if result.returncode == 0 else result.stdout.split("\n")[:5]


def check_tidy(root, _library):
    tool = need("clang-tidy-14")
    paths = [p for p in source_text.files(root, "index", suffixes=(".cc",))
             if not re.match(r"kernels_(avx2|avx512|neon)", p.name)]
    return _run_each(paths, lambda path: [
        tool, "--quiet", f"--config-file={root}/.clang-tidy", str(path), "--", "-std=c++20", f"-I{root}"])


TOOL_RULES = {
    "format": check_format,
    "shadow": check_shadow,
    "symbols": check_symbols,
    "link": check_link,
    "tidy": check_tidy,
}
