"""Tests of the script checks in tools/: each must find what it is there for."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


def run(check, files, *options):
    """Exit code and output of a check on a tree with these files."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        done = subprocess.run([sys.executable, "-B", TOOLS / f"check_{check}.py", root, *options], capture_output=True,
                              text=True, check=False)
        return done.returncode, done.stdout + done.stderr


class Layers(unittest.TestCase):
    def assert_forbidden(self, path, include, why):
        code, output = run("layers", {path: f"// first line\n#include {include}\n"})
        self.assertEqual(code, 1, output)
        self.assertIn(f"{path}:2: includes {include[1:-1]}: {why}", output)

    def test_upward_and_sideward_includes(self):
        self.assert_forbidden("core/base/a.cpp", '"core/event/event.h"', "base may not include event")
        self.assert_forbidden("core/train/a.h", '"core/eval/evaluator.h"', "train may not include eval")
        self.assert_forbidden("core/launch/a.h", '"core/run/run.h"', "launch may not include run")
        self.assert_forbidden("core/novel/a.h", '"core/base/error.h"', "module 'novel' is not in the table")

    def test_torch_where_it_must_not_be(self):
        self.assert_forbidden("core/report/a.cpp", "<ATen/ATen.h>", "this part is torch-free")
        self.assert_forbidden("tools/cli/light/a.cpp", "<c10/core/Device.h>", "this part is torch-free")
        self.assert_forbidden("tools/cli/light/a.cpp", '"core/model/batch.h"', "the program `mneme` may not use")
        self.assert_forbidden("core/model/a.cpp", "<torch/torch.h>", "torch/torch.h costs")

    def test_plugins_see_one_header(self):
        self.assert_forbidden("plugins/x/x.cpp", '"core/strategy/strategy.h"', "a plugin includes core/plugin.h")
        self.assert_forbidden("core/plugin.h", '"core/train/trainer.h"', "plugins may not see this module")

    def test_what_is_allowed(self):
        code, output = run("layers", {
            "core/run/a.cpp": '#include "core/train/trainer.h"\n#include "core/base/error.h"\n',
            "core/model/a.h": "#include <ATen/core/Tensor.h>\n",
            "plugins/x/x.cpp": '#include "core/plugin.h"\n#include <ATen/ATen.h>\n'})
        self.assertEqual(code, 0, output)


class Budgets(unittest.TestCase):
    def test_each_budget(self):
        body = "  work();\n" * 60
        code, output = run("budgets", {
            "core/a.cpp": f"int long_one(int a) {{\n{body}}}\n",
            "core/b.cpp": "void wide(int a, std::map<int, int> b, int c,\n          int d, int e, int f) {\n  work();\n}\n",
            "core/c.h": "// line\n" * 251,
            "core/d.cpp": "// line\n" * 400})
        self.assertEqual(code, 1)
        self.assertIn("core/a.cpp:1: long_one() has 62 lines, budget 60", output)
        self.assertIn("core/b.cpp:1: wide() has 6 parameters, budget 5", output)
        self.assertIn("core/c.h: 251 lines, budget 250", output)
        self.assertIn("4 files, 3 over budget, 0 allowed", output)

    def test_what_is_allowed_is_allowed_there_alone(self):
        wide = "void wide(int a, int b, int c, int d, int e, int f) {\n}\n"
        code, output = run("budgets", {"tests/speed/k.h": wide})
        self.assertEqual(code, 0, output)
        self.assertIn("0 over budget, 1 allowed", output)
        code, output = run("budgets", {"tests/speed/k.h": "// line\n" * 251, "core/model/k.h": wide})
        self.assertEqual(code, 1)
        self.assertIn("2 over budget, 0 allowed", output)


@unittest.skipUnless(shutil.which("clang-format-14"), "clang-format-14 is missing")
class Format(unittest.TestCase):
    STYLE = "BasedOnStyle: Google\nColumnLimit: 120\n"

    def test_what_is_laid_out_otherwise_is_named(self):
        files = {".clang-format": self.STYLE, "core/a.cpp": "int  a;\n", "core/b.h": "int b;\n", "tests/c.cpp": "int  c;\n"}
        code, output = run("format", files)
        self.assertEqual(code, 1)
        self.assertIn("core/a.cpp: is laid out otherwise", output)
        self.assertIn("tests/c.cpp", output)
        self.assertNotIn("core/b.h", output)

    def test_fix(self):
        with tempfile.TemporaryDirectory() as root:
            pathlib.Path(root, ".clang-format").write_text(self.STYLE)
            file = pathlib.Path(root, "core", "a.cpp")
            file.parent.mkdir()
            file.write_text("int  a;\n")
            subprocess.run([sys.executable, "-B", TOOLS / "check_format.py", root, "--fix"], check=True, capture_output=True)
            self.assertEqual(file.read_text(), "int a;\n")


class Tree(unittest.TestCase):
    def test_incomplete_plugin(self):
        code, output = run("tree", {"plugins/x/CMakeLists.txt": "", "plugins/x/x.cpp": "/// Source: a paper\n"})
        self.assertEqual(code, 1)
        for expected in ("x.yaml is missing", "x_test.cpp is missing", "no line '/// Deviations"):
            self.assertIn(expected, output)

    def test_large_file(self):
        code, output = run("tree", {"data.bin": "x" * 200_001})
        self.assertEqual(code, 1)
        self.assertIn("data.bin: 200001 bytes", output)


if __name__ == "__main__":
    unittest.main()
