"""Which way of sending belongs to which kind of destination."""

from collections.abc import Mapping

from gateway.model import DestinationKind
from workers.deliver import dimse_channel
from workers.deliver.channel import OpenChannel

OPENERS: Mapping[DestinationKind, OpenChannel] = {
    DestinationKind.DIMSE: dimse_channel.open_channel,
}
