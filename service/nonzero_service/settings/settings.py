"""The settings: from flags, ``NONZERO_*`` in the environment, and a TOML file, in that order."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import AliasChoices, ByteSize, Field, ValidationError, model_validator
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
from nonzero.model.interactions import check_declared
from nonzero_service.faults import explained
from nonzero_service.impressions.rules import Keeping, Negatives
from nonzero_service.journal.sqlite.journal import Durability
from nonzero_service.settings.kubernetes import service_links
from nonzero_service.settings.learning_rules import InteractionNames, Optimizer, Said
from nonzero_service.settings.source_url import SourceUrls
from nonzero_service.settings.types import (
    Bits,
    FieldNames,
    HostNames,
    JournalUrl,
    LearningRate,
    NodeAddress,
    NodeName,
    Recalibrating,
    Retention,
    Size,
    Switch,
    is_loopback,
    split,
)

PREFIX: Final = "NONZERO_"

NOT_SETTINGS: Final = frozenset({"NONZERO_CLICK_LOGS", "NONZERO_DATA", "NONZERO_KERNELS"})
"""Variables with our prefix that others read: which kernels to load, where tests and benchmarks find logs."""


class Settings(BaseSettings):
    """The settings of the service. A size is a number of bytes, or text such as ``64MiB``.

    Read them with :meth:`load`, whose error is one sentence a setting. The docstrings below are the help of
    the flags of ``nonzero serve``.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    config: Path | None = None
    """A TOML file with settings. A setting has the same name there as its flag, with underscores."""
    host: str = "127.0.0.1"
    """The address that the service listens on."""
    port: int = Field(8000, ge=0, le=65535)
    """The port that the service listens on. With 0 it takes a free port, and the log says which."""
    workers: int = Field(1, ge=1, le=64)
    """The number of processes that answer requests. One of them learns. The others predict from its
    memory."""
    data_dir: Path = Path("nonzero-data")
    """The directory that the models are stored in. It is created if it does not exist."""
    journal: JournalUrl | None = None
    """The address of a PostgreSQL database that several nodes keep their journals in, such as
    postgresql://user@host1,host2/database. One of the nodes learns, the others follow it and take its place
    when it fails. Without it the journals are in the data directory. A password stands better in the
    variable NONZERO_JOURNAL, or in a file that PGPASSFILE names, than in a flag."""
    node: NodeName | None = None
    """The name of this node among those that share the database of journal. No two have the same."""
    node_address: NodeAddress = "127.0.0.1:0"
    """Where this node listens for other nodes, which reach it there: HOST:PORT. Port 0 takes a free one."""
    lease_seconds: float = Field(4, ge=0.5, le=60)
    """When the node that learns has given no sign of life for this many seconds, another takes its place. It
    is the same for all nodes that share a database."""
    max_lag_seconds: float = Field(0, ge=0, le=3600)
    """When a node that follows is behind the one that learns by more than this many seconds, /readyz says so
    with status 503. With 0 there is no limit."""
    source: Annotated[SourceUrls, NoDecode] = ()
    """Where models learn from beside HTTP: topics of Kafka, such as kafka://broker:9092/clicks?model=ads. The
    flag may be repeated, once for each model. A model that does not exist is created. It needs the extra
    kafka."""
    source_config: Path | None = None
    """A file with properties of the Kafka client, such as those of TLS and SASL: lines of key=value, or
    TOML."""
    bits: Bits = 22
    """The size of a new model's table: it has 2 to the power of this many slots. A model that is created with
    bits of its own uses those instead."""
    learning_rate: LearningRate = "auto"
    """The learning rate of a new model that is created without one. auto: eight learning rates run side by
    side and their predictions are mixed, so that nothing needs tuning. A number: one AdaGrad learner with
    this rate, which needs an eighth of the memory."""
    optimizer: Optimizer = "auto"
    """The update rule of a new model that is created without one, such as ftrl:alpha=0.1,l1=1. Give one rule,
    or eight that are separated by spaces. The rules are adagrad, ftrl and dual_averaging. It takes the place
    of learning_rate."""
    interactions: Annotated[InteractionNames, NoDecode] = ()
    """The interactions of a new model that is created without any: pairs of fields, such as
    site*hour,ad*user. The model also learns from each combination of the two fields' features."""
    # A model of pydantic has a method of the name that is meant.
    schema_: Annotated[Said, NoDecode] = Field(
        None, validation_alias=AliasChoices("schema", "schema_", f"{PREFIX}SCHEMA")
    )
    """The schema of a new model that is created without one. It says which kind each field is. Give the path
    of a JSON file, or JSON such as {"fields": {"site": "category", "bid": "number"}, "default": "infer"}."""
    namespace_separator: Literal["=", "^"] = "="
    """The character between a namespace of VW text and a feature in the feature's name, for a new model that
    is created without one."""
    durability: Durability = "full"
    """full: an acknowledged update survives a power failure. normal: the newest updates can be lost in a
    power failure, but not when the process is killed."""
    journal_retention: Retention = "snapshots"
    """snapshots: the journal drops the rows that both of the last two snapshots contain. all: the journal
    keeps every row."""
    snapshot_bytes: Size = ByteSize(1 << 30)
    """A snapshot is taken when the journal has grown by this much since the last one."""
    snapshot_seconds: float = Field(900, gt=0)
    """A snapshot is taken when the last one is this many seconds old and there have been updates since."""
    impressions: Keeping = "buffered"
    """How safely a prediction with an id is stored until its label comes. buffered: it is answered at once,
    and stored a moment later; a process that is killed can lose the last of them. durable: it is answered
    only once it is on the disk."""
    negatives: Negatives = "at_once"
    """When predictions with an id are learned, for a new model that is created without it. at_once: as not
    clicked when they are predicted; a click that comes later takes that back. window: when the wait for their
    label ends, in the order of the predictions. at_end: clicks when they come, and the rest when the wait
    ends."""
    attribution_seconds: float = Field(3600, gt=0, le=1e8)
    """The number of seconds that a prediction with an id waits for its label, for a new model that is created
    without it. If no label comes, it was not clicked."""
    correction_seconds: float = Field(86400, ge=0, le=1e8)
    """The number of seconds after that wait in which a late click is still learned, for a new model that is
    created without it."""
    negative_rate: float = Field(1, gt=0, le=1)
    """The share of the predictions without a click that is learned from. To make up for the others, each of
    them has the weight 1 / negative_rate."""
    breaker: Switch = "on"
    """on: learning pauses when the incoming data suddenly changes by more than the three limits below.
    Examples that come during a pause are stored until somebody decides whether they are learned."""
    breaker_click_odds: float = Field(3, gt=1)
    """Learning pauses when the odds of a click rise or fall by more than this factor."""
    breaker_unseen: float = Field(0.3, gt=0)
    """Learning pauses when the share of features that the model has never seen grows by more than this."""
    breaker_loss: float = Field(2, gt=1)
    """Learning pauses when the mean log loss is more than this many times the usual one."""
    recalibration: Recalibrating = "off"
    """Whether predictions are corrected by a monotone function that is learned from the labels. off: there is
    none. shadow: it is learned and its benefit is reported, but predictions stay as they are. on: predictions
    are corrected by it."""
    slices: FieldNames = ""
    """The fields, separated by commas (8 at most), for which the metrics report the calibration of each
    value."""
    import_file: Path | None = None
    """A trained model's file. At the first start, the model named default is created from it."""
    queue_bytes: Size = ByteSize(64 << 20)
    """The size of the updates that may wait until one model has learned them. When more come they are
    answered with 503."""
    max_body_bytes: Size = ByteSize(64 << 20)
    """The largest JSON body, after decompression. Bodies of many lines are read as a stream and have no
    limit."""
    max_decompressed_bytes: Size = ByteSize(1 << 30)
    """The largest size that a compressed stream may have after decompression."""
    max_line_bytes: Size = ByteSize(16 << 20)
    """The longest line of a stream."""
    max_features: int = Field(100_000, ge=1)
    """The largest number of features of an example. An example with more is refused."""
    max_weight: float = Field(1000, ge=1, le=MAX_WEIGHT, allow_inf_nan=False)
    """The largest importance weight of an example. A heavier example is not learned from."""
    max_examples: int = Field(100_000, ge=1)
    """The largest number of examples in one JSON body. A stream may have any number."""
    max_upload_bytes: Size = ByteSize(16 << 30)
    """The largest file of a trained model that may be uploaded."""
    token_file: Path | None = None
    """A file that says which token allows what, one token a line: `SCOPES TOKEN`. Without it the service
    only listens on a loopback address such as 127.0.0.1, unless allow_open is on."""
    allow_open: Switch = "off"
    """on: the service may listen on any address without a token file. Use it only where something else, such
    as a proxy, decides who may send requests."""
    allowed_hosts: HostNames = ""
    """The host names and addresses under which browsers may use the service, separated by commas; for example
    those of a proxy. localhost is always allowed. Without tokens, a request for another host is refused."""
    ssl_certfile: Path | None = None
    """The TLS certificate, followed by any intermediate certificates. With it the service uses HTTPS."""
    ssl_keyfile: Path | None = None
    """The private key of the TLS certificate, unless it is in the same file."""
    min_sequence_seconds: float = Field(1, ge=0, le=60)
    """The number of seconds for which a request with the header Nonzero-Min-Sequence waits until the model
    has learned so many examples. After that it is answered with 503."""
    max_requests: int = Field(256, ge=4)
    """The number of requests that are answered at the same time. When more come they are answered with 503.
    Three quarters of the number are open to requests that do not predict."""
    max_requests_per_client: int = Field(128, ge=1)
    """The number of requests of one client that are answered at the same time. When more come they are
    answered with 429. A client is a token, or an address where there are no tokens."""
    in_flight_bytes: Size = ByteSize(512 << 20)
    """The size that the bodies of all requests in progress may have together. When more come they are
    answered with 503."""
    max_connections: int = Field(2048, ge=1)
    """The number of connections that are open at the same time."""
    max_header_bytes: Size = ByteSize(32 << 10)
    """The largest size of a request's first line and headers together."""
    max_headers: int = Field(100, ge=1)
    """The largest number of headers of a request."""
    header_seconds: float = Field(5, gt=0)
    """The number of seconds in which a request's headers must arrive."""
    body_idle_seconds: float = Field(8, gt=0)
    """The number of seconds for which a request's body may pause while it arrives."""
    min_body_rate: float = Field(100, gt=0)
    """The slowest rate at which a request's body may arrive, in bytes a second. It is an average, and counts
    after body_idle_seconds."""
    keep_alive_seconds: float = Field(75, gt=0)
    """The number of seconds for which a connection stays open without a request."""
    answer_idle_seconds: float = Field(30, gt=0)
    """The number of seconds for which a client may stop reading its answer."""
    answer_bytes: Size = ByteSize(4 << 20)
    """How much of one streamed answer is held in memory until the client reads it. What is more is held in a
    temporary file."""
    grace_seconds: float = Field(30, gt=0)
    """The number of seconds that requests in progress have to finish when the service stops."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe messages that are logged. At debug every request is logged, at info models that are
    created or deleted and requests that are refused, at error failures."""
    log_format: Literal["json", "text"] = "json"
    """The format of the log: lines of JSON, or text for people to read."""

    otel: Switch = "off"
    """on: a span is made of each request and of each commit, and sent to a collector of OpenTelemetry. The
    variables OTEL_* of the environment say where that is, and which requests are recorded. It needs the extra
    otel."""

    @property
    def allowed_host_names(self) -> list[str]:
        """The names of `allowed_hosts`, lower case, an IPv6 address without brackets."""
        return [name.lower().strip("[]") for name in split(self.allowed_hosts)]

    @property
    def sliced_fields(self) -> list[str]:
        """The fields that have slices."""
        return split(self.slices)

    @property
    def said(self) -> Schema:
        """What the fields of models are that are made without their own schema."""
        return Schema.of(self.schema_, None, self.namespace_separator)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Refuse settings that do not go together."""
        if self.token_file is None and self.allow_open == "off" and not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines, and without a token file anybody there "
                "could read, change and delete models; name one (--token-file, see docs/operations.md), "
                "listen on 127.0.0.1, or say --allow-open on where something else decides who may come"
            )
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is the key of a certificate: name that too (--ssl-certfile)")
        if self.learning_rate != "auto" and self.optimizer != "auto":
            raise ValueError("learning_rate: it is one lane of AdaGrad; give it or an optimizer, not both")
        check_declared(self.interactions, self.said)
        self._check_source()
        self._check_cluster()
        return self

    def _check_source(self) -> None:
        """Refuse properties of a client that nothing uses."""
        if self.source_config is not None and not self.source:
            raise ValueError(
                f"source_config is {str(self.source_config)!r}, and there is no source to use it; name one "
                "(--source kafka://...), or leave source_config out"
            )

    def _check_cluster(self) -> None:
        """Refuse what does not go with a journal that nodes share, or without one."""
        if self.journal is None:
            if self.node is not None:
                raise ValueError(
                    f"node is {self.node!r}, which is one of those that share a database: name that too "
                    "(--journal postgresql://...), or leave node out"
                )
            return
        if self.node is None:
            raise ValueError("journal is shared by nodes: name this one too, as by --node a")
        if self.workers > 1:
            raise ValueError(
                f"workers is {self.workers}, and with journal each node is one process; start more nodes"
            )
        if self.import_file is not None:
            raise ValueError(
                "import_file makes a model of a service with a journal of its own; with journal send the "
                "file to any node, by PUT /v1/models/default"
            )
        if self.durability != "full":
            raise ValueError(
                f"durability is {self.durability!r}, which is of a journal of its own; with journal the "
                "database's synchronous_commit says what an acknowledged update survives"
            )

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
