"""Write docs/paper-consistency.md from the published tables. Run: python docs/make_paper_consistency.py"""

import json
from pathlib import Path

from foldover.stats.paper import paper_consistency

ROOT = Path(__file__).parent.parent
FACTS = ROOT / "tests" / "stats" / "paper_tables.json"
PAGE = ROOT / "docs" / "paper-consistency.md"

if __name__ == "__main__":
    PAGE.write_text(paper_consistency(json.loads(FACTS.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
