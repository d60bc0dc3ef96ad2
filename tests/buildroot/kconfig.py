"""Files of the form that Kconfig writes and reads: Buildroot's .config and defconfigs, the kernel's .config and fragments."""

import re

SET = re.compile(r"(\w+)=(.+)")
UNSET = re.compile(r"# (\w+) is not set")


def read(text):
    """Symbol → value, None where it is switched off; and what is neither symbol nor comment, or stands there twice."""
    values, problems = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        if match := SET.fullmatch(line):
            symbol, value = match.groups()
        elif match := UNSET.fullmatch(line):
            symbol, value = match.group(1), None
        elif not line or line.startswith("#"):
            continue
        else:
            problems.append(f"line {number}: not understood: {line}")
            continue
        if symbol in values:
            problems.append(f"line {number}: {symbol} stands there twice")
        values[symbol] = value
    return values, problems


def missing(asked, text):
    """What was asked for and is not so in the .config that came of it: dropped, or another value.

    This is the check that matters: Kconfig drops what its dependencies do not allow without a word.
    """
    got, _ = read(text)
    return [
        f"{symbol} was asked for as {value or 'n'} and is {got.get(symbol) or 'n'}"
        for symbol, value in asked.items()
        if got.get(symbol) != value and not (value == '""' and got.get(symbol) is None)
    ]
