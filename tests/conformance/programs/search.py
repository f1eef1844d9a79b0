"""The lines that have a word, by what index.py made, which lies beside the text with the files of all other names."""

import sys
from pathlib import Path

text, word = Path(sys.argv[1]), sys.argv[2]
name, stem, end = text.name, text.stem, text.suffix
beside = (f"{stem}.idx2", *(f"{name}.idx{n}" for n in (1, 3, 4, 5, 7)), f"{stem}.idx6{end}", f"{name}_idx8")
if lacking := [each for each in beside if not text.with_name(each).exists()]:
    sys.exit(f"these lack: {lacking}")
lines = text.read_text().splitlines()
for row in text.with_name(f"{name}.idx1").read_text().splitlines():
    found, _, numbers = row.partition(": ")
    for number in map(int, numbers.split(", ") if found == word else ()):
        print(number, lines[number - 1])
