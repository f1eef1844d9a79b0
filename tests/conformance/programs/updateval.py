import sys
from pathlib import Path

value = Path(sys.argv[1])
value.write_text(str(int(value.read_text()) + 1))
