#!/usr/bin/env python3
import json
import sys
from pathlib import Path

Path("cwl.output.json").write_text(json.dumps({"args": [Path(each).name for each in sys.argv[1:]]}))
