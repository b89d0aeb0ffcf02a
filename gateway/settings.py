"""One frozen Settings, built in one place from a mapping: the only reader of the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gateway.errors import ConfigurationError

PREFIX = "CAPSULE_"

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """Every setting, with its default. The variable is the name in capitals after CAPSULE_.

    Any variable NAME may be given as NAME_FILE instead: the path of a file with the value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    home: Path = Path("capsule-data")
    """Data directory: packs, derived instances, ledger, broker, run files."""
    ae_title: Annotated[str, Field(min_length=1, max_length=16)] = "CAPSULEGW"
    """Our AE title, as called by sources and as calling destinations."""
    dicom_host: str = "0.0.0.0"  # noqa: S104 - hospitals reach us over the network; admission decides
    """Address the DICOM listener binds to."""
    dicom_port: Port = 11112
    """DICOM port; 0 takes a free one and writes it to HOME/run/scp.json."""
    web_host: str = "127.0.0.1"
    """Address the console binds to."""
    web_port: Port = 8080
    """Console port; 0 takes a free one and writes it to HOME/run/web.json."""
    database_url: str = ""
    """SQLAlchemy URL of the ledger; empty: SQLite in HOME/ledger.sqlite."""
    broker_url: str = ""
    """Celery broker URL; empty: `up` starts an embedded Valkey or Redis in HOME/broker."""
    secret_key: str = ""
    """Signs console sessions; empty: made once and kept in HOME/secret-key."""
    settle_s: Seconds = 5
    """Quiet seconds after all associations were released until a study counts as complete."""
    settle_aborted_s: Seconds = 300
    """The same after an association broke off."""
    sweep_interval_s: Seconds = 1
    """How often the sweep asks the ledger what is due."""
    lease_s: Seconds = 60
    """How long a claim holds without being renewed by its worker."""
    attempts_max: Annotated[int, Field(ge=1)] = 8
    """Attempts of a study step or a transfer until an operator is needed."""
    retry_base_s: Seconds = 5
    """First back-off of a transfer; doubles with each attempt, with jitter, up to retry_max_s."""
    retry_max_s: Seconds = 3600
    """Longest back-off of a transfer."""
    commitment_timeout_s: Seconds = 86400
    """How long a Storage Commitment result may take before it is asked for again."""
    associations_max: Annotated[int, Field(ge=1)] = 64
    """Associations accepted at once, over all processes of the listener."""
    source_associations_max: Annotated[int, Field(ge=1)] = 16
    """Of them, from one calling AE title; a source may have a number of its own."""
    scp_processes: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that receive; 0: one per core, at least 2 and at most 8."""
    negotiating_max: Annotated[int, Field(ge=8, le=512)] = 256
    """Connections held at once that have not associated yet; at more, the oldest is closed."""
    negotiating_per_address_max: Annotated[int, Field(ge=4, le=512)] = 64
    """The same from one address; raise it where all senders come through one proxy."""
    artim_timeout_s: Seconds = 30
    """From the connection to the last byte of the A-ASSOCIATE-RQ (PS3.8 9.1.5)."""
    dimse_timeout_s: Seconds = 60
    """Longest wait for the rest of a message, of which 1 KiB/s must come after that; and for a
    peer to read our answers."""
    idle_timeout_s: Seconds = 300
    """Associations without any traffic for this long are aborted."""
    pdu_bytes_max: Annotated[int, Field(ge=4096, le=1 << 20)] = 131072
    """Longest PDU we offer to receive."""
    instance_bytes_max: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    """Longest instance accepted."""
    pack_bytes_max: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    """Size at which a pack is sealed and the next one begun."""
    disk_warn_bytes: Annotated[int, Field(ge=0)] = 0
    """Free bytes below which log and console warn; 0: 10 % of the disk, at most 10 GiB."""
    disk_refuse_bytes: Annotated[int, Field(ge=0)] = 0
    """Free bytes below which instances are refused (A700); 0: 5 % of the disk, at most 2 GiB."""
    sync: bool = True
    """For benchmarks only: `false` answers Success before an instance is durable."""
    part_frames_max: Annotated[int, Field(ge=1, le=3854)] = 2000
    """Frames per multi-frame instance; 3854 is what a Frame Time Vector can always hold."""
    part_bytes_max: Annotated[int, Field(ge=1 << 20)] = 64 << 20
    """Bytes of pixel data per multi-frame instance."""
    keep_lossless: bool = False
    """Deliver uncompressed and losslessly compressed images as they came, not as JPEG frames."""
    key_frames: Annotated[int, Field(ge=1, le=800)] = 100
    """Key frames chosen per study."""
    inbox: str = ""
    """Folder whose sub-folders, ZIPs and videos are imported unattended; empty: none is watched."""
    inbox_quiet_s: Seconds = 30
    """How long something in the inbox must not change to count as complete, without a marker."""
    worklist: Annotated[str, Field(pattern=r"^$|^[^:\s]+:\d{1,5}:[^:\\]{1,16}$")] = ""
    """HOST:PORT:AE_TITLE of a Modality Worklist that imports ask for orders; empty: none."""
    query_matches_max: Annotated[int, Field(ge=1)] = 5000
    """Matches answered to one C-FIND; at more it ends with a warning (B001)."""
    query_received: bool = False
    """List received series of loose frames in queries, too; else only if asked for by their UID."""
    dicomweb_origins: str = ""
    """Origins of web pages that may use DICOMweb, with spaces between (CORS); empty: none."""
    tenant: str = "default"
    """Namespace of derived UIDs: two gateways with different tenants never make the same UID."""
    pseudonym_key: Annotated[str, Field(pattern=r"^$|^.{32,}$")] = ""
    """Secret the pseudonyms of every domain follow from, at least 32 characters; empty: a key of
    its own for each domain in HOME/pseudonym-keys."""
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that wrap, summarise and send under `up`."""
    log_format: Annotated[str, Field(pattern="^(console|json)$")] = "console"
    """console for people, json for log collectors."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("inbox")
    @classmethod
    def _absolute_if_any(cls, value: str) -> str:
        return str(Path(value).expanduser().absolute()) if value else ""

    @field_validator("ae_title")
    @classmethod
    def _ae_title(cls, value: str) -> str:
        if not value.isascii() or not value.isprintable() or "\\" in value or not value.strip():
            raise ValueError("an AE title is up to 16 printable ASCII characters, no backslash")
        return value.strip()

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Build the settings from CAPSULE_* variables (the process environment by default).

        Raises ConfigurationError, naming the variable, for an unknown one, a bad value,
        or a *_FILE that cannot be read.
        """
        given = os.environ if environ is None else environ
        values: dict[str, str] = {}
        for variable in sorted(given):
            if variable.startswith(PREFIX):
                name, value = _read(variable, given[variable])
                values[name] = value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            variable = PREFIX + str(first["loc"][0]).upper()
            raise ConfigurationError(f"{variable}: {first['msg']}") from error

    def as_environment(self) -> dict[str, str]:
        """Return the variables that make `load` build the same settings in a child process."""
        return {PREFIX + name.upper(): str(value) for name, value in self.model_dump().items()}

    @property
    def ledger_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'ledger.sqlite'}"

    @property
    def packs_dir(self) -> Path:
        return self.home / "packs"

    @property
    def derived_dir(self) -> Path:
        return self.home / "derived"

    @property
    def quarantine_dir(self) -> Path:
        return self.home / "quarantine"

    @property
    def run_dir(self) -> Path:
        return self.home / "run"


def _read(variable: str, value: str) -> tuple[str, str]:
    """Return (field name, value); follows *_FILE."""
    name = variable.removeprefix(PREFIX).lower()
    if name in Settings.model_fields:
        return name, value
    if name.endswith("_file") and name.removesuffix("_file") in Settings.model_fields:
        try:
            return name.removesuffix("_file"), Path(value).read_text().strip()
        except OSError as error:
            raise ConfigurationError(f"{variable}: cannot read {value!r}: {error}") from error
    raise ConfigurationError(f"{variable}: there is no such setting")
