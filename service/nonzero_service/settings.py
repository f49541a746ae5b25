"""Settings: from flags, ``NONZERO_*`` in the environment, and a TOML file, in that order."""

from __future__ import annotations

import ipaddress
import os
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ByteSize,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from nonzero import Schema
from nonzero.batches.limits import MAX_WEIGHT
from nonzero.errors import SettingsError
from nonzero.features.interactions import check_declared
from nonzero.state.table import MAX_BITS
from nonzero_service.environment import service_links
from nonzero_service.faults import explained
from nonzero_service.impressions.rules import Keeping
from nonzero_service.models.learning_rules import InteractionNames, Optimizer, Said
from nonzero_service.models.slicing import MAX_FIELDS
from nonzero_service.storage.journal import Durability

__all__ = ["Bits", "LearningRate", "Retention", "Settings"]

PREFIX: Final = "NONZERO_"

NOT_SETTINGS: Final = frozenset({"NONZERO_DATA", "NONZERO_KERNELS"})
"""Variables with our prefix that others read: where machine code is kept, where tests find real data."""

HOST_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


def _no_truth(value: Any) -> Any:
    """Refuse true and false, which are numbers to Python."""
    if isinstance(value, bool):
        raise ValueError(f"it is {str(value).lower()}; give a number")
    return value


NoTruth: Final = BeforeValidator(_no_truth)

Bits = Annotated[int, NoTruth, Field(ge=1, le=MAX_BITS)]
"""log2 of the number of slots of a model's table."""

LearningRate = Literal["auto"] | Annotated[float, NoTruth, Field(gt=0, le=1000, allow_inf_nan=False)]
"""``"auto"`` is eight lanes, mixed; a number is one AdaGrad lane with that rate."""


def _positive(size: ByteSize) -> ByteSize:
    if size < 1024:
        raise ValueError("a size is at least 1KiB")
    return size


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_host(name: str) -> bool:
    """Whether it is a name or an address, without a port."""
    try:
        return bool(HOST_NAME.fullmatch(name) or ipaddress.IPv6Address(name.strip("[]")))
    except ValueError:
        return False


Retention = Literal["snapshots", "all"]
"""Which rows a journal keeps: those after the older of two snapshots, or all."""

Recalibrating = Literal["off", "shadow", "on"]
"""Whether a map of the predictions is learned, and whether it is used."""

Size = Annotated[ByteSize, AfterValidator(_positive)]


class Settings(BaseSettings):
    """What the service is told; sizes are bytes, or text such as ``64MiB``.

    Read them with :meth:`load`, whose error is one sentence a setting.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    config: Path | None = None
    """A TOML file of settings, named as here."""
    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(8000, ge=0, le=65535)
    """The port to listen on; 0 takes a free one, which the log names."""
    workers: int = Field(1, ge=1, le=64)
    """How many processes answer; one of them learns, the others predict from its memory."""
    data_dir: Path = Path("nonzero-data")
    """Where the models are kept; made where it does not exist."""
    bits: Bits = 22
    """Of models that are made without their own."""
    learning_rate: LearningRate = "auto"
    """Of models that are made without their own."""
    optimizer: Optimizer = "auto"
    """Of models that are made without their own: one update rule, or eight with spaces between, such as
    ftrl:alpha=0.1,l1=1. The rules: adagrad, ftrl, dual_averaging."""
    interactions: Annotated[InteractionNames, NoDecode] = ()
    """Of models that are made without their own: pairs of fields, such as site*hour,ad*user, whose features'
    products are features too."""
    # A model of pydantic has a method of the name that is meant.
    schema_: Annotated[Said, NoDecode] = Field(
        None, validation_alias=AliasChoices("schema", "schema_", f"{PREFIX}SCHEMA")
    )
    """Of models that are made without their own: what each field is, as the path of a JSON file, or as JSON
    such as {"fields": {"site": "category", "bid": "number"}, "default": "infer"}."""
    namespace_separator: Literal["=", "^"] = "="
    """Of models that are made without their own: what stands between a namespace of VW text and a feature in
    the feature's name."""
    durability: Durability = "full"
    """full: an acknowledged update survives a power cut. normal: a power cut can take the newest updates
    (kill -9 none)."""
    journal_retention: Retention = "snapshots"
    """snapshots: the journal keeps the rows after the older of two snapshots. all: every row, for ever."""
    snapshot_bytes: Size = ByteSize(1 << 30)
    """A snapshot is taken when so much was journalled after the last one."""
    snapshot_seconds: float = Field(900, gt=0)
    """A snapshot is taken when there are updates and the last one is so old."""
    impressions: Keeping = "buffered"
    """buffered: what was predicted with an id survives kill -9. durable: a power cut too, and a prediction
    with an id waits for the disk."""
    attribution_seconds: float = Field(3600, gt=0, le=1e8)
    """How long a prediction with an id waits for its label; then it is learned from as a negative."""
    correction_seconds: float = Field(86400, ge=0, le=1e8)
    """How long after that a click still corrects the negative."""
    negative_rate: float = Field(1, gt=0, le=1)
    """The share of the negatives among them that is learned from, each with the weight 1 / negative_rate."""
    breaker: Literal["on", "off"] = "on"
    """on: learning pauses, and updates are held, when what comes jumps beyond the bounds below."""
    breaker_click_odds: float = Field(3, gt=1)
    """The factor by which the odds of a click may rise or fall."""
    breaker_unseen: float = Field(0.3, gt=0)
    """By how much the share of features that were never seen may grow."""
    breaker_loss: float = Field(2, gt=1)
    """The multiple of what it was, and of what predictions promise, that the mean log loss may come to."""
    recalibration: Recalibrating = "off"
    """shadow: a monotone map of the predictions is learned, and its gain told. on: predictions are what it
    makes of them. off: no map is begun, and none is used."""
    slices: str = ""
    """Fields, separated by commas (at most 8), for each value of which calibration is told."""
    import_file: Path | None = None
    """At the first start, the model named default is made from this trained file."""
    queue_bytes: Size = ByteSize(64 << 20)
    """What may wait for one model's learner; beyond it an update is answered 503."""
    max_body_bytes: Size = ByteSize(64 << 20)
    """The largest JSON body, after decompression: it is held whole. Streams have no largest size."""
    max_decompressed_bytes: Size = ByteSize(1 << 30)
    """What a compressed stream may expand to."""
    max_line_bytes: Size = ByteSize(16 << 20)
    """The longest line of a stream."""
    max_features: int = Field(100_000, ge=1)
    """The most features of an example; one with more is a bad example."""
    max_weight: float = Field(1000, ge=1, le=MAX_WEIGHT, allow_inf_nan=False)
    """The largest importance weight of an example that is learned from, by an update or by its label."""
    max_examples: int = Field(100_000, ge=1)
    """The most examples of a JSON body. Streams have as many as you like."""
    max_upload_bytes: Size = ByteSize(16 << 30)
    """The largest trained model that may be uploaded."""
    token_file: Path | None = None
    """Who may do what, in lines `SCOPES TOKEN`. Without it the service listens on the loopback only."""
    allow_open: Literal["on", "off"] = "off"
    """on: listen on any address without a token file, because something else decides who may come."""
    allowed_hosts: str = ""
    """Names and addresses, separated by commas, under which browsers reach the service, beside the
    loopback's: those of a proxy, for example. Without tokens another Host is refused."""
    ssl_certfile: Path | None = None
    """The certificate, with those between it and the authority's: the service speaks TLS."""
    ssl_keyfile: Path | None = None
    """The certificate's key, where it is not in the same file."""
    max_requests: int = Field(256, ge=4)
    """Requests that are answered at once; further ones are answered 503. Updates and the like find three
    quarters of that."""
    max_requests_per_client: int = Field(128, ge=1)
    """Of them those of one token, or, without tokens, of one address; further ones are answered 429."""
    in_flight_bytes: Size = ByteSize(512 << 20)
    """What the bodies of these requests may hold; further ones are answered 503."""
    max_connections: int = Field(2048, ge=1)
    """Connections that are served at once."""
    max_header_bytes: Size = ByteSize(32 << 10)
    """The longest head of a request: its first line and its headers."""
    max_headers: int = Field(100, ge=1)
    """The most header lines of a request."""
    header_seconds: float = Field(5, gt=0)
    """How long the head of a request may take to arrive."""
    body_idle_seconds: float = Field(8, gt=0)
    """How long nothing may come of a body that is waited for."""
    min_body_rate: float = Field(100, gt=0)
    """Bytes of a body that must come a second, on an average, once body_idle_seconds have been waited."""
    keep_alive_seconds: float = Field(75, gt=0)
    """How long a connection may stay open between two requests."""
    answer_idle_seconds: float = Field(30, gt=0)
    """How long a client may take nothing of an answer."""
    answer_bytes: Size = ByteSize(4 << 20)
    """How much of one streamed answer waits in memory for its reader; more waits in a temporary file."""
    grace_seconds: float = Field(30, gt=0)
    """How long requests in flight may take to end when the service is told to stop."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Each request is logged: at debug, models made or deleted and refusals at info, failures at error."""
    log_format: Literal["json", "text"] = "json"
    """JSON lines, or text for people."""

    @property
    def allowed_host_names(self) -> list[str]:
        """The names of `allowed_hosts`, lower case, an IPv6 address without brackets."""
        return [name.strip().lower().strip("[]") for name in self.allowed_hosts.split(",") if name.strip()]

    @property
    def sliced_fields(self) -> list[str]:
        """The fields that have slices."""
        return [field.strip() for field in self.slices.split(",") if field.strip()]

    @property
    def said(self) -> Schema:
        """What the fields of models are that are made without their own schema."""
        return Schema.of(self.schema_, None, self.namespace_separator)

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: str) -> str:
        for name in hosts.split(","):
            if name.strip() and not _is_host(name.strip()):
                raise ValueError(
                    f"{name.strip()!r} is no name or address of a host, without scheme, port and path; "
                    "such are example.com, 10.0.0.5 and [fd00::5]"
                )
        return hosts

    @field_validator("slices")
    @classmethod
    def _few(cls, slices: str) -> str:
        if len(slices.split(",")) > MAX_FIELDS:
            raise ValueError(f"{slices!r} are {len(slices.split(','))} fields; name {MAX_FIELDS} at most")
        return slices

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        """Refuse to let just anybody in."""
        if self.token_file is None and self.allow_open == "off" and not _is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines, and without a token file anybody there "
                "could read, change and delete models; name one (--token-file, see docs/operations.md), "
                "listen on 127.0.0.1, or say --allow-open on where something else decides who may come"
            )
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is the key of a certificate: name that too (--ssl-certfile)")
        return self

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.learning_rate != "auto" and self.optimizer != "auto":
            raise ValueError("learning_rate: it is one lane of AdaGrad; give it or an optimizer, not both")
        return self

    @model_validator(mode="after")
    def _can_come(self) -> Self:
        check_declared(self.interactions, self.said)
        return self

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Read the settings; a flag that is None was not given.

        Raises
        ------
        SettingsError
            For an unknown key, a value out of its range and a file that cannot be read; it names every one.
        """
        known = _VARIABLES | NOT_SETTINGS | cls.passed_over()
        unknown = sorted(key for key in os.environ if key.startswith(PREFIX) and key not in known)
        if unknown:
            raise SettingsError(
                f"no setting is named {', '.join(map(_with_nearest, unknown))}; "
                f"the settings are {', '.join(sorted(_VARIABLES))}"
            )
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            raise SettingsError(
                explained(error.errors(), [name.strip("_") for name in cls.model_fields])
            ) from error

    @staticmethod
    def passed_over() -> frozenset[str]:
        """Return the variables that begin as settings do, but come from Kubernetes: they set nothing."""
        return service_links(os.environ, PREFIX)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put flags before the environment, and the environment before the file."""
        environment = cast(EnvSettingsSource, env_settings)
        links = {name.lower() for name in cls.passed_over()}
        # Without another name in it: an alias has no prefix of its own.
        environment.env_vars = {
            name: value
            for name, value in environment.env_vars.items()
            if name.lower() not in links and name.lower().startswith(PREFIX.lower())
        }
        named = cast(InitSettingsSource, init_settings).init_kwargs.get("config") or os.environ.get(
            f"{PREFIX}CONFIG"
        )
        if named is None:
            return init_settings, env_settings
        return init_settings, env_settings, _file_source(settings_cls, Path(named))


def _file_source(settings_cls: type[BaseSettings], path: Path) -> TomlConfigSettingsSource:
    if not path.is_file():
        raise SettingsError(f"there is no file of settings at {path}")
    try:
        return TomlConfigSettingsSource(settings_cls, toml_file=path)
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _with_nearest(variable: str) -> str:
    nearest = get_close_matches(variable, _VARIABLES, 1)
    return f"{variable} (did you mean {nearest[0]}?)" if nearest else variable


_VARIABLES: Final = frozenset(PREFIX + name.strip("_").upper() for name in Settings.model_fields)
