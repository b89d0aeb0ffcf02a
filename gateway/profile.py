"""Pure: the profile of a destination as an operator gives it, checked as a whole.

Every field is a column of gateway.ledger.delivery_schema.Destination, which says what it means.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gateway import windows
from gateway.errors import ConfigurationError
from gateway.model import AuthKind, Carrier, Contents, DestinationKind, Truth

Port = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, Field(max_length=255)]
Path = Annotated[str, Field(max_length=400)]
NOT_AN_AE_TITLE = "{!r} is not an AE title: 1 to 16 printable ASCII characters, no backslash"
Count = Annotated[int, Field(ge=1)]


class Profile(BaseModel):
    """All that can be set of a destination but its name."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", str_strip_whitespace=True, use_attribute_docstrings=True
    )

    kind: DestinationKind = DestinationKind.DIMSE
    """dimse or dicomweb."""
    enabled: bool = True
    """no: nothing is sent there."""
    ae_title: str = ""
    """AE title of the destination; of a DICOMweb server it may be empty."""
    host: Text = ""
    """Its address."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Its DICOM port."""
    calling_ae_title: str = ""
    """Our AE title there, if not CAPSULE_AE_TITLE."""
    base_url: Annotated[str, Field(max_length=400, pattern=r"^$|^https?://[^\s?#]+$")] = ""
    """Of a DICOMweb server: the address that /studies is appended to."""
    use_tls: bool = False
    """DICOM TLS (PS3.15 B.12); a DICOMweb server says it by https."""
    tls_ca_file: Path = ""
    """PEM file of the authorities that vouch for it; empty: the system's."""
    tls_certificate_file: Path = ""
    """PEM file of our certificate, if it wants to know us by one."""
    tls_key_file: Path = ""
    """PEM file of its key."""
    tls_server_name: Text = ""
    """Name its certificate bears, if not the host."""
    auth: AuthKind = AuthKind.NONE
    """none, basic, bearer or oauth2 (DICOMweb)."""
    auth_user: Text = ""
    """User name, or client id."""
    auth_secret_file: Path = ""
    """File with the password, token or client secret."""
    token_url: Annotated[str, Field(max_length=400, pattern=r"^$|^https?://\S+$")] = ""
    """OAuth2 token endpoint."""
    token_scope: Text = ""
    """OAuth2 scope, if it asks for one."""
    green_at: Truth = Truth.COMMITTED
    """How far a delivery has to come to be done: acknowledged, committed or verified."""
    commitment: bool = True
    """Ask for Storage Commitment."""
    commitment_ae_title: str = ""
    """AE to ask for it, if another one."""
    commitment_host: Text = ""
    """Its address, if another one."""
    commitment_port: Port | None = None
    """Its port, if another one."""
    query_ae_title: str = ""
    """AE that answers queries (C-FIND), if another one."""
    query_host: Text = ""
    """Its address, if another one."""
    query_port: Port | None = None
    """Its port, if another one."""
    frames_max: Count | None = None
    """Frames per instance it takes; larger instances are not sent there."""
    instance_bytes_max: Annotated[int, Field(ge=1 << 10)] | None = None
    """Bytes per instance it takes."""
    pdu_bytes_max: Annotated[int, Field(ge=4096, le=1 << 20)] | None = None
    """Longest PDU we send, if shorter than what it offers to take."""
    charset: Annotated[str, Field(max_length=32)] = ""
    """Character set it reads; empty: as made, ISO_IR 192."""
    carrier: Carrier = Carrier.AUTOMATIC
    """Rung of the delivery ladder; automatic: the best that the probe found."""
    associations_max: Annotated[int, Field(ge=1, le=16)] = 2
    """Associations at once, over all transfers."""
    bandwidth_bytes_s: Annotated[int, Field(ge=1 << 10)] | None = None
    """Bytes per second, over all associations."""
    time_windows: Annotated[str, Field(max_length=400)] = ""
    """When it may be sent to, on its clock, e.g. Mon-Fri 19:00-06:00; Sat,Sun 00:00-24:00."""
    time_zone: Annotated[str, Field(max_length=64)] = "UTC"
    """Its time zone, e.g. Asia/Shanghai."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Higher goes first."""
    contents: Contents = Contents.EVERYTHING
    """everything, summary, or summary-first: the rest follows in the time windows."""
    deidentification_profile: Text = ""
    """De-identify for it; empty: no."""
    pseudonym_domain: Annotated[str, Field(max_length=64)] = ""
    """Destinations of one domain get the same pseudonyms."""

    @field_validator("ae_title", "calling_ae_title", "commitment_ae_title", "query_ae_title")
    @classmethod
    def _ae(cls, value: str) -> str:
        if value and not is_ae_title(value):
            raise ValueError(NOT_AN_AE_TITLE.format(value))
        return value

    @field_validator("time_windows")
    @classmethod
    def _windows(cls, value: str) -> str:
        windows.parse(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        windows.zone(value)
        return value

    @model_validator(mode="after")
    def _whole(self) -> "Profile":
        if self.kind is DestinationKind.DIMSE:
            if not self.ae_title or not self.host.strip() or not self.port:
                raise ValueError("a destination needs an AE title, a host and a port of 1 to 65535")
            if self.green_at is Truth.COMMITTED and not self.commitment:
                raise ValueError("green at committed: Storage Commitment has to be asked for")
        elif not self.base_url:
            raise ValueError("a DICOMweb destination needs a base URL")
        elif self.green_at is Truth.COMMITTED:
            raise ValueError("DICOMweb knows no Storage Commitment: say acknowledged or verified")
        if self.auth is AuthKind.OAUTH2 and not (self.token_url and self.auth_user):
            raise ValueError("OAuth2 needs a token URL and a client id")
        if self.auth is not AuthKind.NONE and not self.auth_secret_file:
            raise ValueError("name the file that holds the secret")
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise ValueError("a certificate and its key belong together")
        if self.green_at is Truth.SENT:
            raise ValueError("sent is no proof: say acknowledged, committed or verified")
        return self


FIELDS = tuple(Profile.model_fields)


def check(values: Mapping[str, Any]) -> Profile:
    """Return the profile of these values, text or typed; an empty text is a missing number.

    Raises ConfigurationError, naming the field.
    """
    optional = {name for name, field in Profile.model_fields.items() if field.default is None}
    given = {
        key: None if key in optional and value == "" else value for key, value in values.items()
    }
    try:
        return Profile.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]).replace("_", " ") + ": " if first["loc"] else ""
        words = str(first["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(f"{field}{words}.".replace("..", ".")) from error


def is_ae_title(text: str) -> bool:
    """Tell whether it is 1 to 16 printable ASCII characters (PS3.5 6.2, AE)."""
    return (
        text.isascii()
        and text.isprintable()
        and "\\" not in text
        and text.strip() == text
        and 1 <= len(text) <= 16
    )
