// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed, RoleHolders} from "./Governed.sol";

/// @notice Names a settlement: whose charges of which day are split between parties.
/// @param scope what is settled, for instance an operator; ASCII right-padded with zeros, or a digest
/// @param day city day of the charges, days since 1970-01-01
/// @param part 0 first; further parts and corrections of the same day count on
/// @param corrects the settlement that this one corrects; zero if it corrects none
struct Settlement {
    bytes32 scope;
    uint32 day;
    uint32 part;
    bytes32 corrects;
}

/// @notice Where a disputed line stands.
enum DisputeState {
    None,
    Open,
    Rejected,
    Upheld
}

/// @title ParkingSettlement
/// @notice Splits of parking money, settled once and for all to see: per party the net amount in fen and the
/// root of the party's statement. Nets of a settlement sum to zero, so no fen is made or lost between parties.
/// Within the dispute window a party may dispute single lines of its statement; what turns out wrong is set
/// right by a further settlement, never by editing. No money moves here and no personal data are kept.
/// @dev Roots and digests are SM3 and opaque here. The window is measured in block time, which is in seconds
/// (FISCO BCOS: feature_evm_timestamp), and is fixed for a settlement when it is settled.
contract ParkingSettlement is Governed {
    /// @dev Three words; the third only in corrections.
    /// @param content keccak256 of the records
    /// @param partyCount parties in it; zero if there is no such settlement
    /// @param settledAt block time of the settlement, seconds
    /// @param disputableUntil lines can be disputed before this block time, seconds
    /// @param blockNumber block in which it took effect
    /// @param disputesOpen disputed lines without a decision
    /// @param volume sum of the positive nets, fen
    /// @param corrects the settlement it corrects, or zero
    struct SettlementRecord {
        bytes32 content;
        uint16 partyCount;
        uint40 settledAt;
        uint40 disputableUntil;
        uint32 blockNumber;
        uint32 disputesOpen;
        uint96 volume;
        bytes32 corrects;
    }

    /// @dev Two words.
    /// @param root root over the statement's lines
    /// @param net fen; positive if the party receives
    /// @param lineCount lines of the statement, numbered from 0
    /// @param disputesOpen disputed lines without a decision
    struct Statement {
        bytes32 root;
        int64 net;
        uint32 lineCount;
        uint32 disputesOpen;
    }

    /// @param claim digest of the dispute that the party signed
    /// @param decision digest of the decision, zero while open
    /// @param correction the settlement that sets an upheld dispute right
    /// @param openedAt block time, seconds
    /// @param resolvedAt block time, seconds; zero while open
    struct Dispute {
        bytes32 claim;
        bytes32 decision;
        bytes32 correction;
        uint40 openedAt;
        uint40 resolvedAt;
        DisputeState state;
    }

    /// @custom:storage-location erc7201:tanhui.storage.ParkingSettlement
    struct ParkingSettlementStorage {
        mapping(bytes32 settlementId => SettlementRecord) settlements;
        mapping(bytes32 settlementId => mapping(bytes20 party => Statement)) statements;
        mapping(bytes32 lineId => Dispute) disputes;
        uint32 disputeWindowSeconds;
    }

    /// @notice Most parties in one settlement.
    uint256 public constant RECORD_COUNT_MAX = 700;

    uint256 private constant RECORD_BYTES = 64;
    bytes32 private constant SETTLEMENT_DOMAIN = "tanhui-settlement-v1";

    /// @dev keccak256(abi.encode(uint256(keccak256("tanhui.storage.ParkingSettlement")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0xaaab0b90a79e08c507f126aa84e233ca4a5a4e48f1b3ee2e6f2c5b46451e3800;

    /// @notice A settlement took effect: `volume` fen went from some of the parties to the others.
    event ChargesSettled(
        bytes32 indexed settlementId,
        bytes32 indexed scope,
        uint32 indexed day,
        uint32 part,
        bytes32 corrects,
        uint256 partyCount,
        uint256 volume
    );
    /// @notice A party disputed a line of its statement. `claim` is the digest of what it signed.
    event DisputeOpened(bytes32 indexed settlementId, bytes20 indexed party, uint32 indexed line, bytes32 claim);
    /// @notice A dispute was decided. `decision` is the digest of the decision.
    event DisputeResolved(
        bytes32 indexed settlementId,
        bytes20 indexed party,
        uint32 indexed line,
        DisputeState outcome,
        bytes32 decision,
        bytes32 correction
    );
    /// @notice Settlements from now on can be disputed for another time.
    event DisputeWindowSet(uint32 windowSeconds, uint32 windowSecondsBefore);

    error ParkingSettlementWindowMissing();
    error ParkingSettlementScopeMissing();
    /// @notice This settlement was settled with other records.
    error ParkingSettlementConflict(bytes32 settlementId);
    error ParkingSettlementUnknown(bytes32 settlementId);
    /// @notice Records are 64 bytes each, at least one and at most `RECORD_COUNT_MAX`.
    error ParkingSettlementRecordsLength(uint256 length);
    /// @notice Parties must strictly ascend and not be zero; `index` is the offending record.
    error ParkingSettlementPartiesNotAscending(uint256 index);
    /// @notice A statement has at least one line and a root.
    error ParkingSettlementStatementMissing(uint256 index);
    /// @notice The parties' nets do not sum to zero.
    error ParkingSettlementNotZeroSum(int256 sum);
    /// @notice The party has no statement in this settlement, or fewer lines.
    error ParkingSettlementLineUnknown(bytes32 settlementId, bytes20 party, uint32 line);
    error ParkingSettlementDisputeWindowClosed(bytes32 settlementId, uint40 disputableUntil);
    /// @notice A claim or a decision is the digest of a document and cannot be zero.
    error ParkingSettlementDigestMissing();
    /// @notice The line was disputed before, with another claim.
    error ParkingSettlementAlreadyDisputed(bytes32 settlementId, bytes20 party, uint32 line);
    error ParkingSettlementNotDisputed(bytes32 settlementId, bytes20 party, uint32 line);
    /// @notice The dispute was decided before, otherwise.
    error ParkingSettlementAlreadyResolved(bytes32 settlementId, bytes20 party, uint32 line);
    /// @notice An upheld dispute names a settlement that corrects this one; a rejected dispute names none.
    error ParkingSettlementCorrectionMismatch(bytes32 settlementId, bytes32 correction);

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets the role holders and how long settlements can be disputed.
    /// @param holders see `RoleHolders`
    /// @param windowSeconds at least 1
    function initialize(RoleHolders calldata holders, uint32 windowSeconds) external initializer {
        _initGoverned(holders);
        _setDisputeWindow(windowSeconds);
    }

    // ---------------------------------------------------------------------------------- government

    /// @notice Changes how long later settlements can be disputed; those settled keep their time.
    /// @param windowSeconds at least 1
    function setDisputeWindow(uint32 windowSeconds) external onlyRole(GOVERNMENT) {
        _setDisputeWindow(windowSeconds);
    }

    /// @notice Decides a disputed line.
    /// @param settlementId the settlement
    /// @param party the party whose statement has the line
    /// @param line number of the line, from 0
    /// @param upheld whether the party is right
    /// @param decision digest of the decision
    /// @param correction if upheld, a settlement that corrects this one; else zero
    /// @return fresh false if it was decided exactly so before (nothing changes)
    function resolveDispute(
        bytes32 settlementId,
        bytes20 party,
        uint32 line,
        bool upheld,
        bytes32 decision,
        bytes32 correction
    ) external onlyRole(GOVERNMENT) whenNotPaused returns (bool fresh) {
        if (decision == 0) revert ParkingSettlementDigestMissing();
        ParkingSettlementStorage storage $ = _storage();
        Dispute storage found = $.disputes[_lineId(settlementId, party, line)];
        DisputeState outcome = upheld ? DisputeState.Upheld : DisputeState.Rejected;
        if (found.state == DisputeState.None) revert ParkingSettlementNotDisputed(settlementId, party, line);
        if (found.state != DisputeState.Open) {
            if (found.state != outcome || found.decision != decision || found.correction != correction) {
                revert ParkingSettlementAlreadyResolved(settlementId, party, line);
            }
            return false;
        }
        if (upheld ? $.settlements[correction].corrects != settlementId : correction != 0) {
            revert ParkingSettlementCorrectionMismatch(settlementId, correction);
        }
        found.state = outcome;
        found.decision = decision;
        found.correction = correction;
        found.resolvedAt = uint40(block.timestamp);
        $.settlements[settlementId].disputesOpen -= 1;
        $.statements[settlementId][party].disputesOpen -= 1;
        emit DisputeResolved(settlementId, party, line, outcome, decision, correction);
        return true;
    }

    // ---------------------------------------------------------------------------------- settling

    /// @notice Settles one head. Same head with the same records again changes nothing and returns false.
    /// @param head see `Settlement`
    /// @param records per party `party20 ‖ lineCount u32 ‖ net int64 (fen, two's complement) ‖ root32`, parties
    /// strictly ascending, nets summing to zero; a party that receives has a positive net
    /// @return fresh whether the settlement took effect now
    function settle(Settlement calldata head, bytes calldata records)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (bool fresh)
    {
        bytes32 settlementId = settlementIdOf(head);
        bytes32 content = keccak256(records);
        SettlementRecord storage known = _storage().settlements[settlementId];
        if (known.partyCount != 0) {
            if (known.content != content) revert ParkingSettlementConflict(settlementId);
            return false;
        }
        _take(settlementId, content, head, records);
        return true;
    }

    /// @dev Applies a settlement that was never seen and records it.
    function _take(bytes32 settlementId, bytes32 content, Settlement calldata head, bytes calldata records) private {
        ParkingSettlementStorage storage $ = _storage();
        if (head.scope == 0) revert ParkingSettlementScopeMissing();
        if (head.corrects != 0 && $.settlements[head.corrects].partyCount == 0) {
            revert ParkingSettlementUnknown(head.corrects);
        }
        uint256 partyCount = records.length / RECORD_BYTES;
        if (partyCount == 0 || partyCount > RECORD_COUNT_MAX || partyCount * RECORD_BYTES != records.length) {
            revert ParkingSettlementRecordsLength(records.length);
        }
        uint256 volume = _addStatements($.statements[settlementId], records);
        SettlementRecord storage taken = $.settlements[settlementId];
        taken.content = content;
        taken.partyCount = uint16(partyCount);
        taken.settledAt = uint40(block.timestamp);
        taken.disputableUntil = uint40(block.timestamp + $.disputeWindowSeconds);
        taken.blockNumber = uint32(block.number);
        // 700 nets below 2^63 each stay below 2^73.
        taken.volume = uint96(volume);
        if (head.corrects != 0) taken.corrects = head.corrects;
        emit ChargesSettled(settlementId, head.scope, head.day, head.part, head.corrects, partyCount, volume);
    }

    /// @notice Disputes one line of a party's statement, within the window.
    /// @dev Parties hold no key of this chain: a sender carries the dispute that they signed.
    /// @param settlementId the settlement
    /// @param party whose statement
    /// @param line number of the line, from 0
    /// @param claim digest of the dispute that the party signed
    /// @return fresh false if the line is disputed with this very claim already (nothing changes)
    function openDispute(bytes32 settlementId, bytes20 party, uint32 line, bytes32 claim)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        returns (bool fresh)
    {
        if (claim == 0) revert ParkingSettlementDigestMissing();
        ParkingSettlementStorage storage $ = _storage();
        SettlementRecord storage settled = $.settlements[settlementId];
        Statement storage ofParty = $.statements[settlementId][party];
        if (line >= ofParty.lineCount) revert ParkingSettlementLineUnknown(settlementId, party, line);
        Dispute storage found = $.disputes[_lineId(settlementId, party, line)];
        if (found.state != DisputeState.None) {
            if (found.claim != claim) revert ParkingSettlementAlreadyDisputed(settlementId, party, line);
            return false;
        }
        if (block.timestamp >= settled.disputableUntil) {
            revert ParkingSettlementDisputeWindowClosed(settlementId, settled.disputableUntil);
        }
        found.claim = claim;
        found.openedAt = uint40(block.timestamp);
        found.state = DisputeState.Open;
        settled.disputesOpen += 1;
        ofParty.disputesOpen += 1;
        emit DisputeOpened(settlementId, party, line, claim);
        return true;
    }

    // ---------------------------------------------------------------------------------- views

    /// @notice The id this contract gives to a settlement with that head.
    function settlementIdOf(Settlement calldata head) public view returns (bytes32) {
        return keccak256(abi.encode(SETTLEMENT_DOMAIN, block.chainid, address(this), head));
    }

    /// @notice What is known of a settlement, see `SettlementRecord`; zeros if there is none.
    function settlement(bytes32 settlementId) external view returns (SettlementRecord memory) {
        return _storage().settlements[settlementId];
    }

    /// @notice A party's statement in a settlement, see `Statement`; zeros if it has none.
    function statementOf(bytes32 settlementId, bytes20 party) external view returns (Statement memory) {
        return _storage().statements[settlementId][party];
    }

    /// @notice What is known of a line's dispute, see `Dispute`; state `None` and zeros if it was never disputed.
    function disputeOf(bytes32 settlementId, bytes20 party, uint32 line) external view returns (Dispute memory) {
        return _storage().disputes[_lineId(settlementId, party, line)];
    }

    /// @notice Whether the window of a settlement is over and no disputed line waits for a decision.
    function isFinal(bytes32 settlementId) external view returns (bool) {
        SettlementRecord storage found = _storage().settlements[settlementId];
        return found.partyCount != 0 && block.timestamp >= found.disputableUntil && found.disputesOpen == 0;
    }

    /// @notice How long settlements from now on can be disputed.
    function disputeWindowSeconds() external view returns (uint32) {
        return _storage().disputeWindowSeconds;
    }

    // ---------------------------------------------------------------------------------- the books

    /// @dev Writes every party's statement and requires the nets to sum to zero.
    /// @return volume sum of the positive nets
    function _addStatements(mapping(bytes20 => Statement) storage ofSettlement, bytes calldata records)
        private
        returns (uint256 volume)
    {
        int256 sum;
        bytes20 before;
        for (uint256 i = 0; i * RECORD_BYTES < records.length; ++i) {
            uint256 start = i * RECORD_BYTES;
            bytes32 word = bytes32(records[start:start + 32]);
            bytes32 root = bytes32(records[start + 32:start + 64]);
            bytes20 party = bytes20(word);
            uint32 lineCount = uint32(uint256(word) >> 64);
            int64 net = int64(uint64(uint256(word)));
            if (party <= before) revert ParkingSettlementPartiesNotAscending(i);
            if (lineCount == 0 || root == 0) revert ParkingSettlementStatementMissing(i);
            before = party;
            sum += net;
            if (net > 0) volume += uint64(net);
            ofSettlement[party] = Statement(root, net, lineCount, 0);
        }
        if (sum != 0) revert ParkingSettlementNotZeroSum(sum);
    }

    function _setDisputeWindow(uint32 windowSeconds) private {
        if (windowSeconds == 0) revert ParkingSettlementWindowMissing();
        ParkingSettlementStorage storage $ = _storage();
        emit DisputeWindowSet(windowSeconds, $.disputeWindowSeconds);
        $.disputeWindowSeconds = windowSeconds;
    }

    /// @dev One word per line keeps the nesting of disputes flat.
    function _lineId(bytes32 settlementId, bytes20 party, uint32 line) private pure returns (bytes32) {
        return keccak256(abi.encode(settlementId, party, line));
    }

    function _storage() private pure returns (ParkingSettlementStorage storage $) {
        assembly {
            $.slot := STORAGE_LOCATION
        }
    }
}
