"""Read-only SQL across tables: the one place from which doors read joins."""

from backend.views.account import MonthSum, balances_before, month_sums, ranking
from backend.views.activities import Activity, Award, activities_of, activity_of, states_of
from backend.views.batches import Batch, batch_of
from backend.views.cockpit import WINDOWS_DAYS, Cell, Cockpit, cockpit
from backend.views.deployment import DeployedContract, deployed_contracts
from backend.views.documents import DocumentEntry, What, document_entry, documents_listed
from backend.views.edges import Edges, edges
from backend.views.effects import Effect, effects
from backend.views.evidence_trail import (
    AwardRow,
    EvidenceFound,
    awards_on,
    corrections,
    search_evidence,
)
from backend.views.holdings import Holding, Movement, holdings_of, movements_of
from backend.views.leaf_fields import audit_fields, enactment_fields, transfer_fields
from backend.views.parking import (
    income_of_citizen,
    lot_timeline,
    money_path,
    parking_day,
    spaces_of_citizen,
    stays_of,
)
from backend.views.parking_board import lots_of_day, party_statements, stays_of_lot
from backend.views.partner_board import PartnerBoard, partner_board
from backend.views.people import (
    PartnerCard,
    Person,
    partner_cards,
    person_of,
    transfer_of_activity,
)
from backend.views.receipt_rows import AnchorRow, PostedRow, anchor_over, batch_over
from backend.views.sealable import rows_to_seal
from backend.views.statements import (
    DaySum,
    ReceivedEvent,
    day_sums,
    partners_to_close,
    received_event,
)
from backend.views.supply import LANES, LedgerSupply, batches_known, ledger_supply
from backend.views.workload import workload

__all__ = [
    "LANES",
    "WINDOWS_DAYS",
    "Activity",
    "AnchorRow",
    "Award",
    "AwardRow",
    "Batch",
    "Cell",
    "Cockpit",
    "DaySum",
    "DeployedContract",
    "DocumentEntry",
    "Edges",
    "Effect",
    "EvidenceFound",
    "Holding",
    "LedgerSupply",
    "MonthSum",
    "Movement",
    "PartnerBoard",
    "PartnerCard",
    "Person",
    "PostedRow",
    "ReceivedEvent",
    "What",
    "activities_of",
    "activity_of",
    "anchor_over",
    "audit_fields",
    "awards_on",
    "balances_before",
    "batch_of",
    "batch_over",
    "batches_known",
    "cockpit",
    "corrections",
    "day_sums",
    "deployed_contracts",
    "document_entry",
    "documents_listed",
    "edges",
    "effects",
    "enactment_fields",
    "holdings_of",
    "income_of_citizen",
    "ledger_supply",
    "lot_timeline",
    "lots_of_day",
    "money_path",
    "month_sums",
    "movements_of",
    "parking_day",
    "partner_board",
    "partner_cards",
    "partners_to_close",
    "party_statements",
    "person_of",
    "ranking",
    "received_event",
    "rows_to_seal",
    "search_evidence",
    "spaces_of_citizen",
    "states_of",
    "stays_of",
    "stays_of_lot",
    "transfer_fields",
    "transfer_of_activity",
    "workload",
]
