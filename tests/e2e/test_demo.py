"""If this fails, the first thing a newcomer types does not end as the README says."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def test_the_demo_ends_with_the_root_of_the_readme():
    build = pathlib.Path(os.environ["STELE_SERVER"]).parent.parent
    done = subprocess.run([str(ROOT / "deploy" / "demo.sh"), str(build)], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    roots = re.findall(r"^    ([0-9a-f]{64})$", (ROOT / "README.md").read_text(), re.M)
    assert roots == [last]
