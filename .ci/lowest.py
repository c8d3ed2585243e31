"""Write the lower bounds of pyproject.toml as pip constraints: what is promised to work has to be tried.

python .ci/lowest.py > lowest.txt && pip install -c lowest.txt ".[test]"
"""

import pathlib
import re
import tomllib

EXTRAS = ("medical",)  # beside what the package itself needs


def main() -> None:
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(each for name in EXTRAS for each in extras[name])]
    for each in wanted:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", each)
        if not found:
            raise SystemExit(f"pyproject.toml: {each!r} has no plain lower bound")
        print(f"{found[1]}=={found[2]}" + (".*" if found[2].count(".") == 1 else ""))


if __name__ == "__main__":
    main()
