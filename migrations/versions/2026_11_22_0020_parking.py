"""Shared parking: parties, lots, spaces, windows, tariffs, contracts, reservations, gates, stays.

Revision 0020, after 0019. No two live reservations and no two finished stays overlap in a space,
no two price or contract versions of a lot overlap in days: exclusion constraints hold it. A single
number is written as the range that holds only it, because ranges have a GiST operator class
without an extension and numbers do not.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

ASSETS = """
CREATE TABLE party (
    party_id text PRIMARY KEY CHECK (party_id ~ '^[a-z][a-z0-9.-]{0,31}$'),
    kind text NOT NULL
        CHECK (kind IN ('person', 'manager', 'public-body', 'operator', 'platform', 'city')),
    name text NOT NULL,
    partner_id text REFERENCES partner (partner_id),
    citizen_id uuid,
    merchant boolean NOT NULL,
    account bytea NOT NULL UNIQUE CHECK (octet_length(account) = 20),
    created_at timestamptz NOT NULL,
    UNIQUE (citizen_id)
);
CREATE INDEX party_partner_idx ON party (partner_id);

CREATE TABLE parking_lot (
    lot_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lot_id text NOT NULL UNIQUE CHECK (lot_id ~ '^[a-z][a-z0-9.-]{0,31}$'),
    operator_id text NOT NULL REFERENCES partner (partner_id),
    name text NOT NULL,
    latitude_udeg integer NOT NULL CHECK (latitude_udeg BETWEEN -90000000 AND 90000000),
    longitude_udeg integer NOT NULL CHECK (longitude_udeg BETWEEN -180000000 AND 180000000),
    capacity integer NOT NULL CHECK (capacity > 0),
    base_search_s integer NOT NULL CHECK (base_search_s BETWEEN 1 AND 486),
    created_at timestamptz NOT NULL
);
CREATE INDEX parking_lot_place_idx ON parking_lot (latitude_udeg, longitude_udeg);

CREATE TABLE window_policy (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    document bytea NOT NULL
);

CREATE TABLE parking_space (
    space_no bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id uuid NOT NULL UNIQUE,
    lot_no bigint NOT NULL REFERENCES parking_lot (lot_no),
    label text NOT NULL,
    class text NOT NULL CHECK (class IN ('standard', 'large', 'accessible', 'charging')),
    owner_id text NOT NULL REFERENCES party (party_id),
    policy bytea REFERENCES window_policy (digest),
    state text NOT NULL CHECK (state IN ('offered', 'suspended', 'withdrawn')),
    created_at timestamptz NOT NULL,
    UNIQUE (lot_no, label)
);
CREATE INDEX parking_space_owner_idx ON parking_space (owner_id);

CREATE TABLE occupancy (
    lot_no bigint NOT NULL REFERENCES parking_lot (lot_no),
    counted_at timestamptz NOT NULL,
    occupied integer NOT NULL,
    capacity integer NOT NULL,
    PRIMARY KEY (lot_no, counted_at)
);

CREATE TABLE vehicle (
    plate_hash bytea PRIMARY KEY CHECK (octet_length(plate_hash) = 32),
    plate_sealed bytea NOT NULL,
    class text NOT NULL CHECK (class IN ('small', 'large', 'motorcycle')),
    fuel text NOT NULL CHECK (fuel IN ('petrol', 'electric', 'hybrid')),
    seen_at timestamptz NOT NULL
);

CREATE TABLE vehicle_binding (
    citizen_id uuid NOT NULL,
    plate_hash bytea NOT NULL REFERENCES vehicle (plate_hash),
    bound_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (citizen_id, plate_hash, bound_at)
);
CREATE UNIQUE INDEX vehicle_binding_once ON vehicle_binding (plate_hash) WHERE ended_at IS NULL;
"""

TERMS = """
CREATE TABLE tariff (
    lot_no bigint NOT NULL REFERENCES parking_lot (lot_no),
    version integer NOT NULL CHECK (version > 0),
    document bytea NOT NULL,
    digest bytea NOT NULL,
    day_from date NOT NULL,
    day_to date,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (lot_no, version),
    CONSTRAINT tariff_in_turn EXCLUDE USING gist (
        int8range(lot_no, lot_no, '[]') WITH &&, daterange(day_from, day_to) WITH &&)
);

CREATE TABLE split_contract (
    lot_no bigint NOT NULL REFERENCES parking_lot (lot_no),
    version integer NOT NULL CHECK (version > 0),
    document bytea NOT NULL,
    digest bytea NOT NULL,
    merchant_id text NOT NULL REFERENCES party (party_id),
    without_space text NOT NULL REFERENCES party (party_id),
    day_from date NOT NULL,
    day_to date,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (lot_no, version),
    CONSTRAINT split_contract_in_turn EXCLUDE USING gist (
        int8range(lot_no, lot_no, '[]') WITH &&, daterange(day_from, day_to) WITH &&)
);

CREATE TABLE contract_share (
    lot_no bigint NOT NULL,
    version integer NOT NULL,
    n smallint NOT NULL,
    party_id text REFERENCES party (party_id),
    share_bp integer NOT NULL CHECK (share_bp BETWEEN 1 AND 10000),
    via text NOT NULL CHECK (via IN ('keep', 'split', 'payout')),
    PRIMARY KEY (lot_no, version, n),
    UNIQUE (lot_no, version, party_id),
    FOREIGN KEY (lot_no, version) REFERENCES split_contract (lot_no, version)
);
"""

USE = """
CREATE TABLE reservation (
    reservation_id uuid PRIMARY KEY,
    space_no bigint NOT NULL REFERENCES parking_space (space_no),
    lot_no bigint NOT NULL REFERENCES parking_lot (lot_no),
    citizen_id uuid NOT NULL,
    plate_hash bytea NOT NULL REFERENCES vehicle (plate_hash),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    state text NOT NULL
        CHECK (state IN ('held', 'confirmed', 'used', 'cancelled', 'expired', 'no-show')),
    held_until timestamptz NOT NULL,
    reserved_at timestamptz NOT NULL,
    arrived_at timestamptz,
    CHECK (starts_at < ends_at),
    CONSTRAINT reservation_one_at_a_time EXCLUDE USING gist (
        int8range(space_no, space_no, '[]') WITH &&, tstzrange(starts_at, ends_at) WITH &&)
        WHERE (state IN ('held', 'confirmed', 'used'))
);
CREATE INDEX reservation_citizen_idx ON reservation (citizen_id, reservation_id);
CREATE INDEX reservation_plate_idx ON reservation (lot_no, plate_hash, starts_at);
CREATE INDEX reservation_lot_idx ON reservation (lot_no, starts_at)
    WHERE state IN ('held', 'confirmed', 'used');
CREATE INDEX reservation_space_idx ON reservation (space_no, starts_at);
CREATE INDEX reservation_due_idx ON reservation (ends_at) WHERE state = 'confirmed';

CREATE TABLE gate_batch (
    batch_id uuid PRIMARY KEY,
    device_id text NOT NULL REFERENCES device (device_id),
    digest bytea NOT NULL,
    signature bytea NOT NULL,
    event_count integer NOT NULL,
    received_at timestamptz NOT NULL,
    UNIQUE (device_id, digest)
);

CREATE TABLE gate_event (
    event_id uuid PRIMARY KEY,
    batch_id uuid NOT NULL REFERENCES gate_batch (batch_id),
    device_id text NOT NULL,
    seq bigint NOT NULL,
    lot_no bigint NOT NULL,
    direction text NOT NULL CHECK (direction IN ('in', 'out')),
    occurred_at timestamptz NOT NULL,
    plate_hash bytea,
    space_label text,
    lifted boolean NOT NULL,
    UNIQUE (device_id, seq)
);
CREATE INDEX gate_event_car_idx ON gate_event (lot_no, plate_hash, occurred_at);

CREATE TABLE plate_correction (
    event_id uuid PRIMARY KEY REFERENCES gate_event (event_id),
    plate_hash bytea NOT NULL REFERENCES vehicle (plate_hash),
    corrected_by text NOT NULL,
    corrected_at timestamptz NOT NULL
);

CREATE TABLE stay (
    stay_id uuid PRIMARY KEY,
    order_id uuid NOT NULL UNIQUE,
    lot_no bigint NOT NULL REFERENCES parking_lot (lot_no),
    space_no bigint,
    reservation_id uuid REFERENCES reservation (reservation_id),
    citizen_id uuid,
    plate_hash bytea NOT NULL,
    entered_at timestamptz NOT NULL,
    left_at timestamptz,
    entry_lifted boolean NOT NULL,
    exit_lifted boolean NOT NULL,
    exit_event uuid,
    state text NOT NULL CHECK (state IN ('open', 'due', 'excepted', 'void')),
    tariff_version integer,
    overstay_s integer NOT NULL DEFAULT 0,
    displaced boolean NOT NULL DEFAULT false,
    charge_fen bigint CHECK (charge_fen >= 0),
    city_day date,
    CONSTRAINT stay_one_at_a_time EXCLUDE USING gist (
        int8range(space_no, space_no, '[]') WITH &&, tstzrange(entered_at, left_at) WITH &&)
        WHERE (space_no IS NOT NULL AND left_at IS NOT NULL AND state = 'due' AND NOT displaced)
        DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX stay_car_idx ON stay (lot_no, plate_hash, entered_at);
CREATE INDEX stay_citizen_idx ON stay (citizen_id, stay_id) WHERE citizen_id IS NOT NULL;
CREATE INDEX stay_day_idx ON stay (city_day, lot_no);
CREATE INDEX stay_open_idx ON stay (entered_at) WHERE state = 'open';
CREATE INDEX stay_space_idx ON stay (space_no, entered_at) WHERE space_no IS NOT NULL;

CREATE TABLE parking_exception (
    kind text NOT NULL,
    subject uuid NOT NULL,
    lot_no bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    detail text NOT NULL,
    opened_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolution text,
    PRIMARY KEY (kind, subject)
);
CREATE INDEX parking_exception_open_idx ON parking_exception (lot_no, occurred_at)
    WHERE resolved_at IS NULL;
"""

GRANTS = """
GRANT SELECT, INSERT ON party, parking_lot, window_policy, occupancy, vehicle, tariff,
    split_contract, contract_share, gate_batch, gate_event, plate_correction TO tanhui_app;
GRANT UPDATE (name, latitude_udeg, longitude_udeg, capacity, base_search_s) ON parking_lot
    TO tanhui_app;
GRANT UPDATE (occupied, capacity) ON occupancy TO tanhui_app;
GRANT UPDATE (class, fuel) ON vehicle TO tanhui_app;
GRANT UPDATE (day_to) ON tariff, split_contract TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (ended_at) ON vehicle_binding TO tanhui_app;
GRANT SELECT, DELETE ON vehicle_binding TO tanhui_eraser;
GRANT SELECT, INSERT, UPDATE (owner_id, policy, state) ON parking_space TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (state, held_until, arrived_at) ON reservation TO tanhui_app;
GRANT SELECT, INSERT, UPDATE ON stay TO tanhui_app;
GRANT SELECT, INSERT, UPDATE (detail, resolved_at, resolution) ON parking_exception TO tanhui_app;
"""

NAMES = (
    "parking_exception stay plate_correction gate_event gate_batch reservation contract_share"
    " split_contract tariff vehicle_binding vehicle occupancy parking_space window_policy"
    " parking_lot party"
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for sql in (ASSETS, TERMS, USE, GRANTS):
        op.execute(sql)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for name in NAMES.split():
        op.execute(f"DROP TABLE {name}")
