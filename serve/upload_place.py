"""Where the settings say that uploaded files lie."""

from serve.config import Settings
from storage.blobs import Blobs


def open_upload_place(settings: Settings) -> Blobs:
    """The place of uploads: in the data folder, unless the settings name another.

    Raises:
        InvalidRequest: The settings name none that can be used; the message shows no part of the URL.
    """
    url = settings.storage.blobs_url
    return Blobs.open(settings.data_dir / "uploads" if url is None else url.get_secret_value())
