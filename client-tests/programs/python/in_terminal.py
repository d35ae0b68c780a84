"""Runs a program in a terminal until it has shown some texts: in_terminal.py SECONDS TEXT... -- COMMAND...

Ends with 0 once all of them were shown, else with 1 and what was shown last.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

ROWS, COLUMNS = 48, 160
# What moves the cursor or sets colours.
ESCAPES = re.compile(r"\x1b(\[[0-9;?<>=]*[ -/]*[@-~]|[@-Z\\-_])")


def main():
    arguments = sys.argv[1:]
    end = time.monotonic() + float(arguments[0])
    middle = arguments.index("--")
    texts, command = arguments[1:middle], arguments[middle + 1 :]
    process, terminal = pty.fork()
    if process == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    raw, shown = b"", ""
    while not all(text in shown for text in texts) and time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            raw += os.read(terminal, 65536)
        except OSError:
            break
        shown = ESCAPES.sub("", raw.decode(errors="replace"))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    missing = [text for text in texts if text not in shown]
    if missing:
        sys.exit(f"{missing} not shown, but: {shown[-4000:]}")


main()
