"""Open a folder by its path or URL."""

from __future__ import annotations

from pathlib import Path

from tabloop.config.local_path import is_url
from tabloop.storage.folder import Folder
from tabloop.storage.local_folder import LocalFolder


def open_folder(where: str) -> Folder:
    """Open a folder by its path or URL; it need not exist yet.

    Parameters
    ----------
    where : str
        A path of this machine, `s3://BUCKET/PATH`, `gs://BUCKET/PATH`, `az://CONTAINER/PATH`, or
        `https://HOST/PATH`, which is read only.

    Raises
    ------
    DataError
        If the URL is of another kind.
    MissingExtraError
        If it is a URL, and the extra `remote` is not installed.

    Examples
    --------
    >>> open_folder("scored").where
    'scored'
    """
    if is_url(where):
        # it brings a library that whoever stays on this machine does without
        from tabloop.storage.object_folder import ObjectFolder

        return ObjectFolder(where)
    return LocalFolder(Path(where))
