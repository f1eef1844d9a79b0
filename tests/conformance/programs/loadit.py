"""What a File says of itself in JSON, as far as it is the same everywhere."""

import json
import sys
from pathlib import Path

said = json.loads(Path(sys.argv[1]).read_text())
print(json.dumps({name: said[name] for name in ("basename", "class")}), end="")
