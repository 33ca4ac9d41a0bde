"""A partner's side of the door: files people have → signed CloudEvents → what became of each row.

Stands apart from the platform: it knows the outside faces (docs of the partner door), not our
tables, so that a partner's engineer can read it as an example.
"""

from backend.partner_client.checking import check_events
from backend.partner_client.credentials import Credentials, Subject, read_credentials
from backend.partner_client.door import PartnerDoor, UploadRefused
from backend.partner_client.events import Shift
from backend.partner_client.mapping import Mapping, MappingError, mapping_of, read_mapping
from backend.partner_client.parking import (
    ParkingCheck,
    check_parking_statement,
    sign_parking_statement,
)
from backend.partner_client.proposing import propose
from backend.partner_client.report import Report
from backend.partner_client.rows import Prepared, Progress, prepare
from backend.partner_client.sending import Journal, send_file
from backend.partner_client.statement import (
    Own,
    StatementCheck,
    check_statement,
    cosign_statement,
    own_digests,
    read_digests,
    read_events,
)

__all__ = [
    "Credentials",
    "Journal",
    "Mapping",
    "MappingError",
    "Own",
    "ParkingCheck",
    "PartnerDoor",
    "Prepared",
    "Progress",
    "Report",
    "Shift",
    "StatementCheck",
    "Subject",
    "UploadRefused",
    "check_events",
    "check_parking_statement",
    "check_statement",
    "cosign_statement",
    "mapping_of",
    "own_digests",
    "prepare",
    "propose",
    "read_credentials",
    "read_digests",
    "read_events",
    "read_mapping",
    "send_file",
    "sign_parking_statement",
]
