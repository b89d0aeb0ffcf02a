"""Write the table of settings in docs/operations.md from gateway.settings.

python docs/settings_table.py            print it
python docs/settings_table.py --write    put it between the two marks in operations.md
python docs/settings_table.py --check    fail if operations.md holds another one
"""

import re
import sys
from pathlib import Path

from gateway.settings import PREFIX, Settings

PAGE = Path(__file__).with_name("operations.md")
BEGIN = "<!-- settings: made by docs/settings_table.py, do not edit -->"
END = "<!-- settings end -->"


def table() -> str:
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = str(field.default)
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(
            f"| `{PREFIX}{name.upper()}` | {f'`{default}`' if default else ''} | {meaning} |"
        )
    return "\n".join(rows)


def page_with(rows: str) -> str:
    """Return operations.md with these rows between its marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    text, count = pattern.subn(lambda _: f"{BEGIN}\n{rows}\n{END}", PAGE.read_text())
    if count != 1:
        sys.exit(f"{PAGE.name} must hold the two marks once, it holds them {count} times")
    return text


def main(arguments: list[str]) -> None:
    if arguments == ["--write"]:
        PAGE.write_text(page_with(table()))
    elif arguments == ["--check"]:
        if PAGE.read_text() != page_with(table()):
            sys.exit("docs/operations.md is not what gateway.settings says: run make docs")
    else:
        sys.stdout.write(table() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
