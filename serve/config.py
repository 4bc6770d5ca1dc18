"""The root of the settings: one section a package, read once by an entry point and passed on.

Order of precedence: command line, environment (``VECTORAY_SERVE__PORT=8001``), the YAML file, defaults.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from cluster.settings import ClusterSettings
from pipelines.settings import PipelineSettings
from serve.account_settings import AccountSettings
from serve.settings import ServeSettings
from storage.catalog import sqlite_url, with_driver
from storage.events import EventSettings
from storage.settings import StorageSettings
from vectoray.core.errors import InvalidRequest
from vectoray.embedding import EmbeddingSettings

ENV_PREFIX = "VECTORAY_"


class Settings(BaseSettings):
    """Every setting of a server. Unknown keys are refused."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_parse_none_str="null",
        frozen=True,
        extra="forbid",
    )

    data_dir: Path = Field(
        default=Path("vectoray-data"),
        description="Folder of the catalog, shards, logs and secrets, used by one server at a time.",
    )
    catalog_url: SecretStr | None = Field(
        default=None,
        description="Database of the catalog, such as postgresql://user:password@host/name. Without it, an "
        "SQLite file in `data_dir`.",
    )
    serve: ServeSettings = Field(default=ServeSettings(), description="The HTTP side.")
    accounts: AccountSettings = Field(default=AccountSettings(), description="Passwords and tokens.")
    storage: StorageSettings = Field(default=StorageSettings(), description="How shards keep their points.")
    events: EventSettings = Field(
        default=EventSettings(), description="How what happens is told, and for how long it is kept."
    )
    embedding: EmbeddingSettings = Field(
        default=EmbeddingSettings(), description="What turns texts into vectors."
    )
    cluster: ClusterSettings = Field(default=ClusterSettings(), description="What runs on Ray.")
    pipelines: PipelineSettings = Field(
        default=PipelineSettings(), description="How documents become chunks."
    )

    @property
    def database_url(self) -> str:
        """The catalog's database, an SQLAlchemy URL. It may hold a password."""
        if self.catalog_url is None:
            return sqlite_url(self.data_dir / "catalog.db")
        return with_driver(self.catalog_url.get_secret_value())

    @field_validator("catalog_url")
    @classmethod
    def _is_of_a_known_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            with_driver(value.get_secret_value())
        return value

    @property
    def events_url(self) -> str:
        """The event log's database, an SQLAlchemy URL. It may hold a password.

        The catalog's, but for SQLite, where each commit to that file empties every gateway's memory of it.
        """
        of_catalog = self.database_url
        return sqlite_url(self.data_dir / "events.db") if of_catalog.startswith("sqlite") else of_catalog

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (pydantic passes it by name)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line beats the environment, which beats the file (`_FileSource` is the last)."""
        return (init_settings, env_settings, _FileSource(settings_cls))


class _FileSource(PydanticBaseSettingsSource):
    """The values of the YAML file that `load_settings` has read."""

    values: dict[str, Any] = {}  # noqa: RUF012  (set around one load, see `load_settings`)

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The whole mapping is given at once by `__call__`."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The file's values."""
        return self.values


def load_settings(config: Path | None, overrides: dict[str, Any]) -> Settings:
    """Read the settings.

    Args:
        config: A YAML file, or None for the defaults.
        overrides: Values from the command line, nested as the sections are; None means not given.

    Raises:
        InvalidRequest: The file cannot be read, or a key or variable is unknown, or a value out of bounds.
            The message names the key, not its value: it might be a secret.
    """
    _refuse_unknown_variables()
    _FileSource.values = _read_yaml(config) if config else {}
    try:
        return Settings(**_given(overrides))
    except SettingsError as error:
        raise InvalidRequest(f"The settings are not valid: {error}. A list is written as JSON.") from None
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {_sentence(problem['type'], problem['msg'])}"
            for problem in error.errors(include_input=False, include_url=False)
        )
        raise InvalidRequest(f"The settings are not valid: {problems}.") from None
    finally:
        _FileSource.values = {}


def _refuse_unknown_variables() -> None:
    """Pydantic looks for the variables it knows; a misspelt section would be passed over in silence."""
    ours = sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX))
    for name in ours:
        if name[len(ENV_PREFIX) :].lower().split("__")[0] not in Settings.model_fields:
            raise InvalidRequest(f"The environment variable {name} is no setting; see configs/local.yaml.")


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key"
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not given, at any depth."""
    nested = {key: _given(value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


class _UniqueKeyLoader(yaml.SafeLoader):
    """Refuses a key that is given twice; YAML's own loader would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """As the base class, after the check."""
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for at, key in enumerate(keys):
            if key in keys[:at]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", node.value[at][0].start_mark
                )
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(), Loader=_UniqueKeyLoader)  # noqa: S506  (a safe loader)
    except OSError as error:
        raise InvalidRequest(f"The configuration file {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place is not None else ""
        raise InvalidRequest(f"The configuration file {path} is not valid YAML{where}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InvalidRequest(f"The configuration file {path} must hold a mapping of sections.")
    return values
