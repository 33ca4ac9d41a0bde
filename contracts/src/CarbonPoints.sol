// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed, RoleHolders} from "./Governed.sol";
import {IRuleRegistry} from "./IRuleRegistry.sol";

/// @notice Header of a batch: which leaves of the log it sums up, for which accounts, under which rule.
/// @param kind 1 issue, 2 redeem, 3 retire
/// @param class points class; ids are ASCII, right-padded with zeros
/// @param programme programme that pays an award; zero in refunds, redeem and retire
/// @param rule rule that awarded; zero in refunds, redeem and retire
/// @param ruleVersion version of that rule; zero in refunds, redeem and retire
/// @param reason 0 award or redeem, 1 expire, 2 reverse, 3 erase, 4 refund
/// @param leafFrom first leaf index covered
/// @param leafTo index after the last leaf covered
/// @param accountFrom lowest account covered
/// @param accountTo highest account covered
struct Batch {
    uint8 kind;
    bytes32 class;
    bytes32 programme;
    bytes32 rule;
    uint32 ruleVersion;
    uint8 reason;
    uint64 leafFrom;
    uint64 leafTo;
    bytes20 accountFrom;
    bytes20 accountTo;
}

/// @notice Who may debit accounts of a points class. A class that was never set is `Unknown`.
enum Debit {
    Unknown,
    Nobody,
    ChainSender
}

/// @title CarbonPoints
/// @notice Citizens' points, posted in batches of sums per account. Points cannot be transferred: there is no
/// such function. Three totals per account only grow — issued, redeemed, retired — and the balance is
/// issued − redeemed − retired; after a reversal it may be negative, a debt that later awards repay.
/// @dev Accounts are kept per class, which makes two statements true by construction: a class's totals are the
/// sums over its accounts, and no account's lane can overflow while its class's lane does not.
contract CarbonPoints is Governed {
    /// @dev One word. `content` is the first 20 bytes of the content hash: enough to tell another content.
    struct BatchRecord {
        bytes20 content;
        uint16 accountCount;
        uint48 total;
        uint32 blockNumber;
    }

    /// @dev One word. `refunded` is the part of `issued` that no programme paid.
    struct ClassState {
        uint64 issued;
        uint64 redeemed;
        uint64 retired;
        uint56 refunded;
        Debit debit;
    }

    /// @dev One word. `issued` never exceeds `cap`.
    struct Budget {
        uint64 cap;
        uint64 issued;
    }

    /// @custom:storage-location erc7201:tanhui.storage.CarbonPoints
    struct CarbonPointsStorage {
        /// @dev issued u64 | redeemed u64 << 64 | retired u64 << 128 | seq u64 << 192
        mapping(bytes32 class => mapping(bytes20 account => uint256 slot)) accounts;
        mapping(bytes32 batchId => BatchRecord) batches;
        mapping(bytes32 class => ClassState) classes;
        mapping(bytes32 programme => Budget) budgets;
        IRuleRegistry ruleRegistry;
    }

    uint8 public constant ISSUE = 1;
    uint8 public constant REDEEM = 2;
    uint8 public constant RETIRE = 3;
    /// @notice Most records in one batch.
    uint256 public constant RECORD_COUNT_MAX = 2040;

    uint8 private constant REASON_NONE = 0;
    uint8 private constant REASON_ERASE = 3;
    uint8 private constant REASON_REFUND = 4;
    uint8 private constant WHAT_RULE = 1;
    uint256 private constant RECORD_BYTES = 24;
    bytes32 private constant BATCH_DOMAIN = "tanhui-batch-v1";

    /// @dev keccak256(abi.encode(uint256(keccak256("tanhui.storage.CarbonPoints")) - 1)) & ~bytes32(uint256(0xff))
    bytes32 private constant STORAGE_LOCATION = 0xb2fbccca299c6ebfd1809960144cf7303e7d46b9e5798a181c6e6384e7c76800;

    /// @notice A batch took effect: `total` points over `accountCount` accounts.
    event BatchPosted(
        bytes32 indexed batchId,
        bytes32 indexed class,
        bytes32 indexed programme,
        uint8 kind,
        uint8 reason,
        uint64 leafFrom,
        uint64 leafTo,
        uint256 accountCount,
        uint256 total
    );
    /// @notice A programme's cap was raised or lowered.
    event BudgetSet(bytes32 indexed programme, uint64 cap, uint64 capBefore);
    /// @notice A points class was registered, or who may debit it was changed.
    event ClassSet(bytes32 indexed class, Debit debit);

    error CarbonPointsRegistryMissing();
    error CarbonPointsIdMissing();
    /// @notice The input is not the one ABI encoding verifiers decode (offset, length or padding).
    error CarbonPointsInputNotCanonical();
    /// @notice This batch id was posted with other days or records.
    error CarbonPointsBatchConflict(bytes32 batchId);
    error CarbonPointsKindUnknown(uint8 kind);
    error CarbonPointsReasonMismatch(uint8 kind, uint8 reason);
    error CarbonPointsClassUnknown(bytes32 class);
    /// @notice The class's flag lets nobody debit its accounts.
    error CarbonPointsClassNotRedeemable(bytes32 class);
    /// @notice An award must name programme, rule and version.
    error CarbonPointsRuleMissing();
    /// @notice Refunds, redeem and retire name no programme, rule or version.
    error CarbonPointsRuleUnexpected();
    error CarbonPointsLeavesEmpty(uint64 leafFrom, uint64 leafTo);
    /// @notice An issue needs `dayFrom < dayTo`; redeem and retire need zeros.
    error CarbonPointsDaysInvalid(uint32 dayFrom, uint32 dayTo);
    error CarbonPointsRuleNotEnacted(bytes32 rule, uint32 ruleVersion);
    /// @notice The declared activity days are not inside the rule's window `[windowFrom, windowTo)`.
    error CarbonPointsOutsideRuleWindow(uint32 dayFrom, uint32 dayTo, uint32 windowFrom, uint32 windowTo);
    /// @notice Records are 24 bytes each, at least one and at most `RECORD_COUNT_MAX`.
    error CarbonPointsRecordsLength(uint256 length);
    /// @notice Accounts must strictly ascend; `index` is the offending record.
    error CarbonPointsAccountsNotAscending(uint256 index);
    error CarbonPointsAmountZero(uint256 index);
    error CarbonPointsAccountOutsideRange(uint256 index);
    error CarbonPointsRedemptionBeyondBalance(bytes20 account);
    error CarbonPointsTotalsFull(bytes32 class);
    error CarbonPointsBudgetExceeded(bytes32 programme, uint64 cap, uint64 issued, uint256 amount);
    error CarbonPointsCapBelowIssued(bytes32 programme, uint64 cap, uint64 issued);
    /// @notice A registered class cannot become unknown again.
    error CarbonPointsDebitMissing(bytes32 class);

    /// @custom:oz-upgrades-unsafe-allow constructor
    constructor() {
        _disableInitializers();
    }

    /// @notice Sets the role holders and the registry whose windows awards must keep to.
    /// @param holders see `RoleHolders`
    /// @param registry the proxy of `RuleRegistry`; fixed from here on
    function initialize(RoleHolders calldata holders, IRuleRegistry registry) external initializer {
        if (address(registry).code.length == 0) revert CarbonPointsRegistryMissing();
        _initGoverned(holders);
        _storage().ruleRegistry = registry;
    }

    // ---------------------------------------------------------------------------------- government

    /// @notice Raises or lowers a programme's cap, in points. Never below what was issued.
    function setBudget(bytes32 programme, uint64 cap) external onlyRole(GOVERNMENT) {
        if (programme == 0) revert CarbonPointsIdMissing();
        Budget storage found = _storage().budgets[programme];
        if (cap < found.issued) revert CarbonPointsCapBelowIssued(programme, cap, found.issued);
        emit BudgetSet(programme, cap, found.cap);
        found.cap = cap;
    }

    /// @notice Registers a points class, or changes who may debit it.
    function setClass(bytes32 class, Debit debit) external onlyRole(GOVERNMENT) {
        if (class == 0) revert CarbonPointsIdMissing();
        if (debit == Debit.Unknown) revert CarbonPointsDebitMissing(class);
        _storage().classes[class].debit = debit;
        emit ClassSet(class, debit);
    }

    // ---------------------------------------------------------------------------------- posting

    /// @notice Posts one head. Same id with the same content again changes nothing and returns false.
    /// @param head header, see `Batch`
    /// @param dayFrom first activity day of an issue, city days since 1970-01-01; 0 in redeem and retire
    /// @param dayTo day after the last activity day of an issue; 0 in redeem and retire
    /// @param records `account20 ‖ u32 amount`, accounts strictly ascending, amount at least 1
    /// @return fresh whether the batch took effect now
    function post(Batch calldata head, uint32 dayFrom, uint32 dayTo, bytes calldata records)
        external
        onlyRole(CHAIN_SENDER)
        whenNotPaused
        onlyDirect
        returns (bool fresh)
    {
        _requireCanonicalInput();
        bytes32 batchId = batchIdOf(head);
        bytes20 content = bytes20(keccak256(abi.encode(dayFrom, dayTo, records)));
        BatchRecord storage known = _storage().batches[batchId];
        if (known.accountCount != 0) {
            if (known.content != content) revert CarbonPointsBatchConflict(batchId);
            return false;
        }

        _requireHeader(head, dayFrom, dayTo);
        _take(batchId, content, head, records);
        return true;
    }

    /// @dev Applies a batch that was never seen and records it.
    function _take(bytes32 batchId, bytes20 content, Batch calldata head, bytes calldata records) private {
        uint256 accountCount = records.length / RECORD_BYTES;
        if (accountCount == 0 || accountCount > RECORD_COUNT_MAX || accountCount * RECORD_BYTES != records.length) {
            revert CarbonPointsRecordsLength(records.length);
        }
        uint256 total = _update(head, records);
        // 2,040 records of at most 2^32 − 1 stay below 2^43; block numbers fit 136 years of one-second blocks.
        _storage().batches[batchId] =
            BatchRecord(content, uint16(accountCount), uint48(total), uint32(block.number));
        emit BatchPosted(
            batchId,
            head.class,
            head.programme,
            head.kind,
            head.reason,
            head.leafFrom,
            head.leafTo,
            accountCount,
            total
        );
    }

    // ---------------------------------------------------------------------------------- views

    /// @notice The id this contract gives to a batch with that header.
    function batchIdOf(Batch calldata head) public view returns (bytes32) {
        return keccak256(abi.encode(BATCH_DOMAIN, block.chainid, address(this), head));
    }

    /// @notice Totals of one account and how many batches touched it. Balance = issued − redeemed − retired.
    function account(bytes32 class, bytes20 id)
        external
        view
        returns (uint64 issued, uint64 redeemed, uint64 retired, uint64 seq)
    {
        uint256 slot = _storage().accounts[class][id];
        return (uint64(slot), uint64(slot >> 64), uint64(slot >> 128), uint64(slot >> 192));
    }

    /// @notice Account words in bulk: issued | redeemed << 64 | retired << 128 | seq << 192.
    /// @param packed accounts of 20 bytes, one after the other
    function accounts(bytes32 class, bytes calldata packed) external view returns (uint256[] memory slots) {
        if (packed.length % 20 != 0) revert CarbonPointsRecordsLength(packed.length);
        mapping(bytes20 => uint256) storage ofClass = _storage().accounts[class];
        slots = new uint256[](packed.length / 20);
        for (uint256 i = 0; i < slots.length; ++i) {
            slots[i] = ofClass[bytes20(packed[i * 20:i * 20 + 20])];
        }
    }

    /// @notice What is known of a batch id; `known` false and zeros if it was never posted.
    /// @return known whether the batch took effect
    /// @return content first 20 bytes of keccak256(abi.encode(dayFrom, dayTo, records))
    /// @return accountCount records in it
    /// @return total points in it
    /// @return blockNumber block in which it took effect
    function batch(bytes32 batchId)
        external
        view
        returns (bool known, bytes20 content, uint16 accountCount, uint48 total, uint32 blockNumber)
    {
        BatchRecord storage found = _storage().batches[batchId];
        return (
            found.accountCount != 0, found.content, found.accountCount, found.total, found.blockNumber
        );
    }

    /// @notice Totals of a class: the sums over its accounts.
    function totals(bytes32 class) external view returns (uint64 issued, uint64 redeemed, uint64 retired) {
        ClassState storage found = _storage().classes[class];
        return (found.issued, found.redeemed, found.retired);
    }

    /// @notice Who may debit a class, and the part of `issued` that gave redeemed points back.
    function classOf(bytes32 class) external view returns (Debit debit, uint56 refunded) {
        ClassState storage found = _storage().classes[class];
        return (found.debit, found.refunded);
    }

    /// @notice A programme's cap and what was issued under it.
    function budget(bytes32 programme) external view returns (uint64 cap, uint64 issued) {
        Budget storage found = _storage().budgets[programme];
        return (found.cap, found.issued);
    }

    /// @notice The registry whose windows awards must keep to.
    function ruleRegistry() external view returns (IRuleRegistry) {
        return _storage().ruleRegistry;
    }

    // ---------------------------------------------------------------------------------- checks

    /// @dev Thirteen head words, then the length and the records padded with zeros to a whole word, and no
    /// byte more. The compiler's decoder checks the padding of every head word but lets the tail be loose.
    function _requireCanonicalInput() private pure {
        bool canonical;
        assembly ("memory-safe") {
            let length := calldataload(0x1a4)
            let padded := and(add(length, 31), not(31))
            canonical := and(eq(calldataload(0x184), 0x1a0), eq(calldatasize(), add(0x1c4, padded)))
            // The bits after the last record, shifted to the top; a full last word has none.
            let last := calldataload(sub(calldatasize(), 32))
            let spare := sub(padded, length)
            if spare { canonical := and(canonical, iszero(shl(sub(256, mul(8, spare)), last))) }
        }
        if (!canonical) revert CarbonPointsInputNotCanonical();
    }

    /// @dev What kind, reason, rule, days and class must have to do with each other, before any record is read.
    function _requireHeader(Batch calldata head, uint32 dayFrom, uint32 dayTo) private view {
        uint8 kind = head.kind;
        if (kind == 0 || kind > RETIRE) revert CarbonPointsKindUnknown(kind);
        if (!_reasonFits(kind, head.reason)) revert CarbonPointsReasonMismatch(kind, head.reason);
        if (head.leafFrom >= head.leafTo) revert CarbonPointsLeavesEmpty(head.leafFrom, head.leafTo);

        if (kind == ISSUE ? dayFrom >= dayTo : (dayFrom | dayTo) != 0) {
            revert CarbonPointsDaysInvalid(dayFrom, dayTo);
        }
        if (kind == ISSUE && head.reason == REASON_NONE) {
            if (head.programme == 0 || head.rule == 0 || head.ruleVersion == 0) revert CarbonPointsRuleMissing();
            _requireWindow(head.rule, head.ruleVersion, dayFrom, dayTo);
        } else if (head.programme != 0 || head.rule != 0 || head.ruleVersion != 0) {
            revert CarbonPointsRuleUnexpected();
        }
    }

    function _reasonFits(uint8 kind, uint8 reason) private pure returns (bool) {
        if (kind == ISSUE) return reason == REASON_NONE || reason == REASON_REFUND;
        if (kind == REDEEM) return reason == REASON_NONE;
        return reason != REASON_NONE && reason <= REASON_ERASE;
    }

    /// @dev Activity days against the rule's window. Block time plays no part: a late post of an early
    /// activity is judged by the activity.
    function _requireWindow(bytes32 rule, uint32 ruleVersion, uint32 dayFrom, uint32 dayTo) private view {
        (bytes32 digest, uint32 windowFrom, uint32 windowTo) =
            _storage().ruleRegistry.enacted(WHAT_RULE, rule, ruleVersion);
        if (digest == 0) revert CarbonPointsRuleNotEnacted(rule, ruleVersion);
        if (dayFrom < windowFrom || dayTo > windowTo) {
            revert CarbonPointsOutsideRuleWindow(dayFrom, dayTo, windowFrom, windowTo);
        }
    }

    // ---------------------------------------------------------------------------------- the one update

    /// @dev The only function that changes totals: accounts, class and budget, for all three kinds.
    function _update(Batch calldata head, bytes calldata records) private returns (uint256 total) {
        CarbonPointsStorage storage $ = _storage();
        ClassState storage class = $.classes[head.class];
        Debit debit = class.debit;
        if (debit == Debit.Unknown) revert CarbonPointsClassUnknown(head.class);

        if (head.kind == REDEEM && debit != Debit.ChainSender) revert CarbonPointsClassNotRedeemable(head.class);
        total = _addRecords($.accounts[head.class], head, records);

        if (head.kind == ISSUE) {
            class.issued = _grown(class.issued, total, head.class);
            if (head.reason == REASON_REFUND) {
                uint256 refunded = class.refunded + total;
                if (refunded > type(uint56).max) revert CarbonPointsTotalsFull(head.class);
                class.refunded = uint56(refunded);
            } else {
                Budget storage paying = $.budgets[head.programme];
                (uint64 cap, uint64 issued) = (paying.cap, paying.issued);
                if (issued + total > cap) revert CarbonPointsBudgetExceeded(head.programme, cap, issued, total);
                paying.issued = uint64(issued + total);
            }
        } else if (head.kind == REDEEM) {
            class.redeemed = _grown(class.redeemed, total, head.class);
        } else {
            class.retired = _grown(class.retired, total, head.class);
        }
    }

    function _grown(uint64 lane, uint256 total, bytes32 class) private pure returns (uint64) {
        uint256 grown = lane + total;
        if (grown > type(uint64).max) revert CarbonPointsTotalsFull(class);
        return uint64(grown);
    }

    /// @dev Adds every record's amount to its lane and names the fault if a record is not acceptable.
    function _addRecords(
        mapping(bytes20 => uint256) storage ofClass,
        Batch calldata head,
        bytes calldata records
    ) private returns (uint256 total) {
        uint256 taken;
        (total, taken) = head.kind == REDEEM
            ? _addRedeemed(ofClass, records, head.accountFrom)
            : _addGrown(ofClass, records, head.accountFrom, uint256(head.kind - 1) * 64);
        if (taken != records.length) _revertFault(head, records, taken);
        // Accounts ascend, so the last one is the highest.
        if (bytes20(records[records.length - RECORD_BYTES:records.length - 4]) > head.accountTo) {
            revert CarbonPointsAccountOutsideRange(records.length / RECORD_BYTES - 1);
        }
    }

    /// @dev Adds amounts to the lane at `laneShift` (0 issued, 128 retired) and one to seq, with one read and
    /// one write per account, up to the first faulty record. Assembly because this loop is the cost of the
    /// platform: what surrounds the two storage accesses stays near 200 gas. Two things to know:
    ///
    /// - `floor` is the whole word of the record before (account, amount and what follows). As its amount is at
    ///   least one, it lies above its own account and below every higher one: one comparison tells ascending
    ///   order, and starting from `lowest` also the lower end of the range.
    /// - Lanes are added as one word. They cannot carry into each other: an account's lane is at most its
    ///   class's lane, which `_grown` keeps below 2^64 in the same call; seq is the top lane.
    /// @return total sum of the amounts
    /// @return taken bytes of `records` that were accepted
    function _addGrown(
        mapping(bytes20 => uint256) storage ofClass,
        bytes calldata records,
        bytes20 lowest,
        uint256 laneShift
    ) private returns (uint256 total, uint256 taken) {
        assembly ("memory-safe") {
            // Scratch space holds account ‖ mapping slot; only the account changes from record to record.
            mstore(0x20, ofClass.slot)
            let floor := lowest
            let here := records.offset
            let end := add(here, records.length)
            for {} lt(here, end) { here := add(here, 24) } {
                let record := calldataload(here)
                let id := and(record, 0xffffffffffffffffffffffffffffffffffffffff000000000000000000000000)
                let amount := and(shr(64, record), 0xffffffff)
                if or(lt(id, floor), iszero(amount)) { break }
                floor := record
                total := add(amount, total)
                mstore(0, id)
                let slot := keccak256(0, 0x40)
                sstore(slot, add(add(shl(laneShift, amount), shl(192, 1)), sload(slot)))
            }
            taken := sub(here, records.offset)
        }
    }

    /// @dev The same for the redeemed lane; an amount beyond the balance is a fault.
    function _addRedeemed(mapping(bytes20 => uint256) storage ofClass, bytes calldata records, bytes20 lowest)
        private
        returns (uint256 total, uint256 taken)
    {
        assembly ("memory-safe") {
            mstore(0x20, ofClass.slot)
            let floor := lowest
            let here := records.offset
            let end := add(here, records.length)
            for {} lt(here, end) { here := add(here, 24) } {
                let record := calldataload(here)
                let id := and(record, 0xffffffffffffffffffffffffffffffffffffffff000000000000000000000000)
                let amount := and(shr(64, record), 0xffffffff)
                if or(lt(id, floor), iszero(amount)) { break }
                floor := record
                total := add(amount, total)
                mstore(0, id)
                let slot := keccak256(0, 0x40)
                let word := sload(slot)
                // redeemed + retired + amount > issued, written so that nothing can go below zero.
                let used := and(shr(64, word), 0xffffffffffffffff)
                used := add(add(and(shr(128, word), 0xffffffffffffffff), amount), used)
                if gt(used, and(word, 0xffffffffffffffff)) { break }
                sstore(slot, add(add(shl(64, amount), shl(192, 1)), word))
            }
            taken := sub(here, records.offset)
        }
    }

    /// @dev Names what is wrong with the record that starts at that byte.
    function _revertFault(Batch calldata head, bytes calldata records, uint256 start) private pure {
        uint256 index = start / RECORD_BYTES;
        bytes20 id = bytes20(records[start:start + 20]);
        if (uint32(bytes4(records[start + 20:start + 24])) == 0) revert CarbonPointsAmountZero(index);
        if (id < head.accountFrom) revert CarbonPointsAccountOutsideRange(index);
        if (index != 0 && id <= bytes20(records[start - RECORD_BYTES:start - 4])) {
            revert CarbonPointsAccountsNotAscending(index);
        }
        revert CarbonPointsRedemptionBeyondBalance(id);
    }

    function _storage() private pure returns (CarbonPointsStorage storage $) {
        assembly {
            $.slot := STORAGE_LOCATION
        }
    }
}
