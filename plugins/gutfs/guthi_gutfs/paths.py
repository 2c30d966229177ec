"""Decides what a path of the tree is: names after slashes, none of which can lead anywhere else.

A tree path is text, the same on every system: "/" or "/photos/cat.png". It is no path of any disk; `exports.rooted`
goes from one to the other, name by name.
"""

from __future__ import annotations

from guthi_gutfs.errors import BadPath

__all__ = [
    "ROOT",
    "child_of",
    "is_name",
    "is_within",
    "joined",
    "name_of",
    "names_of",
    "parent_of",
    "parents_of",
    "tree_path",
]

ROOT = "/"
MOST_NAME_BYTES = 255
MOST_PATH_BYTES = 4096
MOST_NAMES = 64


def is_name(name: str) -> bool:
    """Whether a text can be one name of a path. What is no Unicode text on the disk of a node never can."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        return False
    try:
        return len(name.encode()) <= MOST_NAME_BYTES
    except UnicodeEncodeError:  # a lone surrogate: so Python shows the bytes of a name that is not UTF-8
        return False


def tree_path(text: str) -> str:
    """The path that a text means: it begins with a slash and ends without. Raises BadPath."""
    if not isinstance(text, str):
        raise BadPath(f"a path is text, not {text!r:.80}")
    names = [name for name in text.split("/") if name]
    for name in names:
        if not is_name(name):
            raise BadPath(f"{text!r:.200} is no path: {name!r:.80} cannot be the name of a file")
    path = ROOT + "/".join(names)
    if len(names) > MOST_NAMES or len(path.encode()) > MOST_PATH_BYTES:
        raise BadPath(f"{path[:80]}… is too long: a path has at most {MOST_NAMES} names and {MOST_PATH_BYTES} bytes")
    return path


def names_of(path: str) -> tuple[str, ...]:
    """The names from the root on; none for the root."""
    return tuple(path[1:].split("/")) if path != ROOT else ()


def joined(folder: str, name: str) -> str:
    """The path of what has that name in a folder; `name` may itself be several names. Raises BadPath."""
    return tree_path(f"{folder}/{name}")


def child_of(folder: str, name: str) -> str:
    """The same for a name that `is_name` has approved of."""
    return f"{folder}/{name}" if folder != ROOT else ROOT + name


def parent_of(path: str) -> str:
    """The folder that a path is in; the root is in itself."""
    return path.rpartition("/")[0] or ROOT


def parents_of(path: str) -> list[str]:
    """All folders that a path is in, from the root on."""
    names = names_of(path)
    return [ROOT + "/".join(names[:count]) for count in range(len(names))]


def name_of(path: str) -> str:
    """The last name; that of the root is empty."""
    return path.rpartition("/")[2]


def is_within(path: str, folder: str) -> bool:
    """Whether a path is a folder, or in it, or further below."""
    return folder == ROOT or path == folder or path.startswith(folder + "/")
