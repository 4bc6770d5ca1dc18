"""What may be said of a collection: its dimension, description, model and config."""

from collections.abc import Sequence

from serve.service.limits import CollectionDefaults, Limits
from vectoray.core.errors import InvalidRequest, LimitExceeded
from vectoray.embedding import ModelInfo

_MAX_DESCRIPTION_CHARS = 4000
_MAX_MODEL_CHARS = 255
# It goes along with every call to a shard.
_MAX_CONFIG_BYTES = 16 * 1024


def check_dimension(dimension: int, limits: Limits) -> int:
    """Return ``dimension`` if vectors may be so long.

    Raises:
        InvalidRequest: It is below 1.
        LimitExceeded: It is above the limit.
    """
    if dimension < 1:
        raise InvalidRequest("The dimension must be at least 1.", {"at": "dimension"})
    if dimension > limits.max_dimension:
        raise LimitExceeded(
            f"The dimension is {dimension}, at most {limits.max_dimension} are allowed.",
            {"at": "dimension", "limit": limits.max_dimension},
        )
    return dimension


def check_description(description: str) -> str:
    """Return ``description`` if it can be kept.

    Raises:
        InvalidRequest: It has a NUL.
        LimitExceeded: It is too long.
    """
    _check_text(description, _MAX_DESCRIPTION_CHARS, at="description")
    return description


def check_config(config: bytes | None) -> bytes | None:
    """Return ``config`` if it can be kept.

    Raises:
        LimitExceeded: It is too large.
    """
    if config is not None and len(config) > _MAX_CONFIG_BYTES:
        raise LimitExceeded(
            f"The config has {len(config)} bytes as JSON, at most {_MAX_CONFIG_BYTES} are allowed.",
            {"at": "config", "limit_bytes": _MAX_CONFIG_BYTES},
        )
    return config


def model_for(
    wanted: str | None, dimension: int, *, models: Sequence[ModelInfo], defaults: CollectionDefaults
) -> str | None:
    """The embedding model of a new collection.

    Args:
        wanted: What its creator says of its vectors. It may be a model that the server does not have: texts
            cannot search the collection then, vectors of that model can.
        dimension: The collection's.
        models: Those that the server has.
        defaults: Whose model is taken where nothing is wanted and the dimension is the model's.

    Raises:
        DimensionMismatch: The server has the model, and its vectors are of another dimension.
        InvalidRequest: No model can be called so.
    """
    if wanted is None:
        default = defaults.embedding_model
        return default.name if default is not None and default.dimension == dimension else None
    if not wanted.strip():
        raise InvalidRequest("'embedding_model' is empty; leave it out instead.", {"at": "embedding_model"})
    _check_text(wanted, _MAX_MODEL_CHARS, at="embedding_model")
    known = next((model for model in models if model.name == wanted), None)
    if known is not None:
        known.check_dimension(dimension)
    return wanted


def _check_text(text: str, most_chars: int, *, at: str) -> None:
    if "\0" in text:
        raise InvalidRequest(f"'{at}' has a NUL character.", {"at": at})
    if len(text) > most_chars:
        raise LimitExceeded(
            f"'{at}' has {len(text)} characters, at most {most_chars} are allowed.",
            {"at": at, "limit": most_chars},
        )
