"""Pure: which text of a document is our own. Only that is copied, line by line.

A line is ours if it is made of words this gateway uses in its documents, and of numbers. Names
are not among them.
"""

import re

_VOCABULARY = """
    a an and any are as at automatically begin blood bowel by capsule capsule-gateway
    chosen clock coded colon colour consecutive content correct corrected corrections
    could cover coverage decodable diagnosis do duodenum each end estimated first follow
    for frame frames from gateway identity ileum in incorrect instances is it jejunum key
    landmark landmarks last like looks min no not oesophagus of one ones organ outside
    part person places possible preliminary rare reading recording recordings
    representative score several small stands start stomach study summary surroundings
    that the them these this time times tissue to transit unless unlike usable use views
    was were what which whole with wrong
"""
_WORDS = frozenset(_VOCABULARY.split())
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ALLOWED = re.compile(r"[\w\s.,:;+#()%/-]*")
_NUMBER_DIGITS_MAX = 7
_LONG_NUMBER = re.compile(rf"\d{{{_NUMBER_DIGITS_MAX + 1},}}")
_WHO = re.compile(r"\bcorrected by .*")


def own_lines(text: str) -> str:
    """Return the lines that are ours; who corrected something becomes 'a person'."""
    lines = (_WHO.sub("corrected by a person", line) for line in text.splitlines())
    return "\n".join(line for line in lines if line and _is_ours(line))


def _is_ours(line: str) -> bool:
    if not _ALLOWED.fullmatch(line) or _LONG_NUMBER.search(line):
        return False
    return all(word.lower() in _WORDS for word in _WORD.findall(line))
