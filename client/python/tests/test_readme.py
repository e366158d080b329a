"""If this fails, the first thing a newcomer types does not work."""

import pathlib
import re

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


def test_the_example_runs(fake, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "127.0.0.1:7420" in example
    exec(example.replace("127.0.0.1:7420", fake.address), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["a", "b"]
    assert lines[0].endswith("b'first'") and lines[-1].startswith("Position(log_index=2")
