"""Public data sets: what is known about each (`data_manifests/*.toml`), and how it comes to this machine.

`get(name)` reads a manifest, `locate(name)` returns the folder of the data and fetches them where they are missing,
`verify(name)` audits what is there without a network.
"""

from medlab.manifests.audit import Audit, describe, table, verify
from medlab.manifests.manifest import File, Licence, Manifest, Split
from medlab.manifests.reading import get, manifest_folder, names, read
from medlab.manifests.store import data_folder, fetch, find, locate

__all__ = [
    "Audit",
    "File",
    "Licence",
    "Manifest",
    "Split",
    "data_folder",
    "describe",
    "fetch",
    "find",
    "get",
    "locate",
    "manifest_folder",
    "names",
    "read",
    "table",
    "verify",
]
