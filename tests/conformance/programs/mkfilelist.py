"""More than 64 KiB of outputs."""

import json
from pathlib import Path

names = [f"example_input_file{number}.txt" for number in range(1, 10_000)]
Path("cwl.output.json").write_text(json.dumps({"filelist": names, "bigstring": "\n".join(names)}))
