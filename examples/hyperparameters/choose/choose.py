"""The model that does best on what it has not seen: choose.py MODEL.json…"""

import json
import sys
from pathlib import Path

models = [json.loads(Path(path).read_text()) for path in sys.argv[1:]]
with open("best.json", "w") as file:
    json.dump(min(models, key=lambda model: model["fit"]["loss"]), file)
