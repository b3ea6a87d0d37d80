"""A stand-in for the `aider` command: it takes the same options and does what the test says, for better or worse.

    command = stand_in(tmp_path, does='Path("words.py").write_text("x = 1\\n")')

The text of `does` runs in the project's folder with `options`, `files` (of --file), `message` and `ask(text)`, which
asks the lent model as a client of OpenAI's would. Like the real one it ends with 0 whatever happened.
"""

import sys
from pathlib import Path
from textwrap import indent

_PROGRAM = """#!{python}
import json, os, sys, time, subprocess, urllib.request
from pathlib import Path

words = sys.argv[1:]
files = [word.removeprefix("--file=") for word in words if word.startswith("--file=")]
options = dict(zip(words, words[1:]))
message = Path(options["--message-file"]).read_text()

def ask(text):
    body = {{"model": options["--model"].removeprefix("openai/"), "messages": [{{"role": "user", "content": text}}]}}
    request = urllib.request.Request(
        os.environ["OPENAI_API_BASE"] + "/chat/completions",
        data=json.dumps(body).encode(),
        headers={{"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"}},
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]

try:
{does}
except Exception as error:
    print("stand-in:", repr(error))
"""


def stand_in(folder: Path, *, does: str) -> Path:
    command = folder / "aider"
    command.write_text(_PROGRAM.format(python=sys.executable, does=indent(does.strip(), "    ")))
    command.chmod(0o755)
    return command
