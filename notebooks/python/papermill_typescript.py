"""papermill for TypeScript notebooks: all that it lacks is how a parameter is written in TypeScript.

    python notebooks/python/papermill_typescript.py notebooks/02-sixty-seven.ipynb out.ipynb -p seed 3 -p quick true

Arguments are papermill's own. Needs `pip install papermill`; the kernel is the project's, and cells run in their notebook's folder.
"""

import json
import os
import re
import sys
from pathlib import Path

from papermill.cli import papermill
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

KERNELS = Path(__file__).resolve().parents[2] / ".jupyter"


class TypeScript(Translator):
    """Values are JSON; a name that is declared once more is the new one from there on."""

    @classmethod
    def translate(cls, val):
        return val if val in ("true", "false") else json.dumps(val)  # papermill's own are True and False

    @classmethod
    def comment(cls, cmt_str):
        return f"// {cmt_str}"

    @classmethod
    def assign(cls, variable_name, str_val):
        return f"let {variable_name} = {str_val};"

    @classmethod
    def inspect(cls, parameters_cell):
        declared = re.findall(r"^let (\w+) = (.*?);\s*(?://\s*(.*))?$", parameters_cell["source"], re.MULTILINE)
        return [Parameter(name=name, inferred_type_name="None", default=value, help=said) for name, value, said in declared]


papermill_translators.register("typescript", TypeScript)

if __name__ == "__main__":
    os.environ["JUPYTER_PATH"] = os.pathsep.join([str(KERNELS), *filter(None, [os.environ.get("JUPYTER_PATH")])])
    notebooks = [argument for argument in sys.argv[1:] if argument.endswith(".ipynb")]
    beside = ["--cwd", str(Path(notebooks[0]).resolve().parent)] if notebooks and "--cwd" not in sys.argv else []
    papermill(sys.argv[1:] + beside)
