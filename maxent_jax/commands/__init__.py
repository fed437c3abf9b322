"""The commands of the command line, one file a purpose; `cli.py` puts them together.

Each takes the words after its name: it parses, calls what does the work, and prints. The first pass over the words
finds AGENT, `--env` and `--preset`; the second knows their fields, so that `--help` shows them and a mistake is one
line that names what is allowed.
"""
