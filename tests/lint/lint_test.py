"""Every rule must refuse what it is there to refuse: each test plants one violation in a small tree."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rules  # noqa: E402
import source_text  # noqa: E402
import tool_rules  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Planted(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for name in rules.ALL_FOLDERS:
            (self.root / name).mkdir()
        for name in (".clang-format", ".clang-tidy"):
            shutil.copy(ROOT / name, self.root / name)

    def plant(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def refused(self, rule, path, text):
        """That `rule` names `path` once `text` stands there, and nothing before."""
        check = rules.TEXT_RULES.get(rule)
        if check is None:
            def check(root):
                return tool_rules.TOOL_RULES[rule](root, None)
        try:
            self.assertEqual(check(self.root), [])
            self.plant(path, text)
            violations = check(self.root)
        except tool_rules.Missing as missing:
            self.skipTest(str(missing))
        self.assertTrue(any(path in violation for violation in violations), (rule, text, violations))
        (self.root / path).unlink()

    def accepted(self, rule, path, text):
        self.plant(path, text)
        self.assertEqual(rules.TEXT_RULES[rule](self.root), [])
        (self.root / path).unlink()

    def library_of(self, text):
        source = self.root / "planted.cc"
        source.write_text(text)
        target = self.root / "libplanted.a"
        target.unlink(missing_ok=True)
        subprocess.run(["g++", "-c", "-O1", str(source), "-o", str(source.with_suffix(".o"))], check=True)
        subprocess.run(["ar", "rcs", str(target), str(source.with_suffix(".o"))], check=True)
        return target

    def test_includes(self):
        for name in ('"storage/journal.h"', '"server/engine.h"', '"client/client.h"', "<rocksdb/db.h>",
                     "<grpcpp/grpcpp.h>", "<thread>", "<mutex>", "<random>", "<chrono>", "<iostream>",
                     "<fstream>", "<cmath>", "<unordered_map>", "<atomic>", "<openssl/sha.h>", "<ctime>",
                     "<absl/status/status.h>", "<immintrin.h>"):
            self.refused("includes", "index/planted.h", f"#include {name}\n")
        self.refused("includes", "storage/planted.cc", '#include "index/types.h"\n')
        self.refused("includes", "storage/planted.cc", '#include "server/engine.h"\n')
        self.refused("includes", "storage/planted.cc", "#include <grpcpp/grpcpp.h>\n")
        self.refused("includes", "server/planted.cc", '#include "client/client.h"\n')
        self.refused("includes", "server/planted.cc", '#include "tests/index/arithmetic_data.h"\n')
        self.refused("includes", "client/planted.cc", '#include "server/engine.h"\n')
        self.refused("includes", "client/planted.cc", '#include "rocksdb/db.h"\n')
        self.accepted("includes", "index/cell.h", "#include <atomic>\n")
        self.accepted("includes", "server/planted.cc", '#include "index/types.h"\n#include <thread>\n')

    def test_tokens(self):
        for code in ("float x;", "auto x = double{1};", "std::thread t;", "std::mutex m;", "int x = rand();",
                     "auto t = time(nullptr);", "std::chrono::seconds s;", "throw 1;", "try {", "__int128 x;",
                     "printf(x);", "std::snprintf(x);", "getenv(x);", "std::unordered_map<int, int> m;",
                     "std::atomic<int> a;", "std::cout << x;", "reinterpret_cast<uintptr_t>(p);",
                     "std::mt19937 r;", "std::lock_guard g;"):
            self.refused("tokens", "index/planted.cc", f"void F() {{ {code} }}\n")
        self.accepted("tokens", "index/planted.cc",
                      "// a double try, /* float */\n/* throw\n rand() */ const char* a = \"float\";\n"
                      "auto b = R\"x(double \" )x\"; int runtime(int); char c = '\"'; int d = 10'000;\n")
        self.accepted("tokens", "index/cell.h", "std::atomic<int> a;\n")

    def test_floats(self):
        self.refused("floats", "server/planted.cc", "float x;\n")
        self.refused("floats", "server/planted.h", "std::vector<double> x;\n")
        self.accepted("floats", "server/conversion.cc", "float x;\n")
        self.accepted("floats", "server/planted.cc", "// In double quotes.\n")

    def test_length(self):
        self.refused("length", "client/planted.cc", "\n" * 501)
        self.accepted("length", "client/planted.cc", "\n" * 500)

    def test_marks(self):
        self.refused("marks", "tests/planted.py", "# TO" + "DO: later\n")
        self.refused("marks", "bench/planted.cc", "// FIX" + "ME\n")

    def test_format(self):
        self.refused("format", "tests/planted.cc", "int  x ;\n")

    def test_shadow(self):
        self.refused("shadow", "index/planted.cc", "double F(double x) { return x * 2; }\n")

    def test_tidy(self):
        self.refused("tidy", "index/planted.cc",
                     "#include <string>\nint F(std::string s) { return s.empty() ? 1 : 2; }\n")

    def test_symbols(self):
        good = self.library_of("#include <cstdlib>\nvoid* F() { return std::malloc(9); }\n")
        self.assertEqual(tool_rules.check_symbols(self.root, good), [])
        for code in ("#include <cstdlib>\nint F() { return rand(); }\n",
                     "#include <cstdio>\nvoid F(FILE* f) { std::fputs(\"x\", f); }\n",
                     "#include <ctime>\nlong F() { return time(nullptr); }\n",
                     "namespace stele::storage { int G(); }\nint F() { return stele::storage::G(); }\n"):
            self.assertNotEqual(tool_rules.check_symbols(self.root, self.library_of(code)), [], code)

    def test_link(self):
        good = self.library_of("int F() { return 1; }\n")
        self.assertEqual(tool_rules.check_link(self.root, good), [])
        bad = self.library_of("namespace stele::storage { int G(); }\nint F() { return stele::storage::G(); }\n")
        self.assertNotEqual(tool_rules.check_link(self.root, bad), [])

    def test_line_numbers_survive_stripping(self):
        text = "a /* x\ny */ \"s\" R\"(\n\n)\" b\n// c\nd"
        self.assertEqual(source_text.strip(text).count("\n"), text.count("\n"))


if __name__ == "__main__":
    unittest.main()
