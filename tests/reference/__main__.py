"""`make reference`: writes every page that is made of code, and says which ones became different."""

from __future__ import annotations

from tests.reference.pages import DOCS, generated, stale

if __name__ == "__main__":
    for path in stale():
        print(f"wrote {path.relative_to(DOCS.parent)}" if path in generated() else f"removed {path.name}")
        if path in generated():
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path], encoding="utf-8")
        else:
            path.unlink()
