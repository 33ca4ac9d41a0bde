// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints} from "../../src/CarbonPoints.sol";
import {City} from "./City.sol";

/// @notice Points kept a second time, the plain way, with one variable per number. Every batch is judged here
/// first; the contract must judge it alike, with the same named error, and end with the same numbers.
contract Model is City {
    struct Account {
        uint256 issued;
        uint256 redeemed;
        uint256 retired;
        uint256 seq;
    }

    /// @dev Accounts 1…ACCOUNT_COUNT of each class are the ones that batches of these tests touch.
    uint160 internal constant ACCOUNT_COUNT = 6;
    bytes32 internal constant PROGRAMME_B = "home-energy";

    mapping(bytes32 class => mapping(uint160 id => Account)) internal account;
    mapping(bytes32 class => Account) internal total;
    mapping(bytes32 class => uint256) internal refunded;
    mapping(bytes32 programme => uint256) internal spent;
    mapping(bytes32 programme => uint256) internal cap;
    mapping(bytes32 batchId => bytes32 content) internal seen;
    bool internal paused;

    function setUp() public virtual override {
        super.setUp();
        cap[PROGRAMME] = 1_000_000;
    }

    /// @dev Records that a fuzzer's words stand for: each word one record of an account and an amount; faults
    /// (order, zero amount) are kept, so that refusals are met too.
    function _recordsOf(uint256[] memory words, uint32 amountMax) internal pure returns (bytes memory made) {
        for (uint256 i = 0; i < words.length && i < 8; ++i) {
            made = bytes.concat(
                made, _record(uint160(words[i] % ACCOUNT_COUNT) + 1, uint32((words[i] >> 32) % (uint256(amountMax) + 1)))
            );
        }
    }

    /// @dev Turns most lists into acceptable ones: ascending accounts, amounts of at least one.
    function _ascending(uint256 mask, uint256 amounts, uint32 amountMax) internal pure returns (bytes memory made) {
        for (uint160 id = 1; id <= ACCOUNT_COUNT; ++id) {
            if ((mask >> id) & 1 == 0) continue;
            uint32 amount = uint32(uint256(keccak256(abi.encode(amounts, id))) % amountMax) + 1;
            made = bytes.concat(made, _record(id, amount));
        }
        if (made.length == 0) made = _record(1, 1);
    }

    /// @dev Posts to the contract and to the model and requires the same outcome.
    function _postBoth(Batch memory head, bytes memory records) internal returns (bool taken) {
        bytes memory expected = _expected(head, records);
        vm.prank(SENDER, SENDER);
        (bool ok, bytes memory answer) = address(points).call(_input(head, records));
        if (expected.length != 0) {
            require(!ok, "the contract took what the model refuses");
            if (keccak256(answer) != keccak256(expected)) _bubble(false, answer);
            return false;
        }
        _bubble(ok, answer);
        bytes32 id = points.batchIdOf(head);
        taken = seen[id] == 0;
        require(abi.decode(answer, (bool)) == taken, "fresh differs");
        if (taken) _apply(head, records, id);
    }

    function _slice(bytes memory records, uint256 i) internal pure returns (uint160 id, uint32 amount) {
        assembly ("memory-safe") {
            let word := mload(add(add(records, 32), mul(i, 24)))
            id := shr(96, word)
            amount := and(shr(64, word), 0xffffffff)
        }
    }

    /// @dev The error the contract must answer with, empty if it must take the batch. Headers here are well
    /// formed; what varies is records, balances, budgets, repetition and pause.
    function _expected(Batch memory head, bytes memory records) private view returns (bytes memory) {
        if (paused) return _named(bytes4(keccak256("EnforcedPause()")));
        bytes32 batchId = points.batchIdOf(head);
        if (seen[batchId] != 0) {
            if (seen[batchId] == keccak256(records)) return "";
            return abi.encodeWithSelector(CarbonPoints.CarbonPointsBatchConflict.selector, batchId);
        }
        uint256 count = records.length / 24;
        if (count == 0) return abi.encodeWithSelector(CarbonPoints.CarbonPointsRecordsLength.selector, 0);
        uint160 before;
        uint256 sum;
        for (uint256 i = 0; i < count; ++i) {
            (uint160 id, uint32 amount) = _slice(records, i);
            if (amount == 0) return abi.encodeWithSelector(CarbonPoints.CarbonPointsAmountZero.selector, i);
            if (i > 0 && id <= before) {
                return abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountsNotAscending.selector, i);
            }
            Account storage a = account[head.class][id];
            if (head.kind == 2 && int256(a.issued) - int256(a.redeemed) - int256(a.retired) < int256(uint256(amount))) {
                return abi.encodeWithSelector(
                    CarbonPoints.CarbonPointsRedemptionBeyondBalance.selector, bytes20(id)
                );
            }
            before = id;
            sum += amount;
        }
        Account storage t = total[head.class];
        uint256 lane = head.kind == 1 ? t.issued : head.kind == 2 ? t.redeemed : t.retired;
        if (lane + sum > type(uint64).max) {
            return abi.encodeWithSelector(CarbonPoints.CarbonPointsTotalsFull.selector, head.class);
        }
        if (head.programme != 0 && spent[head.programme] + sum > cap[head.programme]) {
            return abi.encodeWithSelector(
                CarbonPoints.CarbonPointsBudgetExceeded.selector,
                head.programme,
                cap[head.programme],
                spent[head.programme],
                sum
            );
        }
        return "";
    }

    function _apply(Batch memory head, bytes memory records, bytes32 batchId) private {
        seen[batchId] = keccak256(records);
        uint256 sum;
        for (uint256 i = 0; i < records.length / 24; ++i) {
            (uint160 id, uint32 amount) = _slice(records, i);
            _grow(account[head.class][id], head.kind, amount);
            sum += amount;
        }
        _grow(total[head.class], head.kind, sum);
        if (head.programme != 0) spent[head.programme] += sum;
        if (head.reason == 4) refunded[head.class] += sum;
    }

    function _grow(Account storage a, uint8 kind, uint256 amount) private {
        if (kind == 1) a.issued += amount;
        if (kind == 2) a.redeemed += amount;
        if (kind == 3) a.retired += amount;
        a.seq += 1;
    }

    /// @dev Every number of the contract against the model's.
    function _requireSame(bytes32 class) internal view {
        for (uint160 id = 0; id <= ACCOUNT_COUNT + 1; ++id) {
            (uint64 issued, uint64 redeemed, uint64 retired, uint64 seq) = points.account(class, bytes20(id));
            Account storage a = account[class][id];
            require(
                issued == a.issued && redeemed == a.redeemed && retired == a.retired && seq == a.seq,
                "account differs"
            );
        }
        (uint64 issuedAll, uint64 redeemedAll, uint64 retiredAll) = points.totals(class);
        Account storage t = total[class];
        require(issuedAll == t.issued && redeemedAll == t.redeemed && retiredAll == t.retired, "totals differ");
        (, uint56 back) = points.classOf(class);
        require(back == refunded[class], "refunded differs");
    }

    function _requireSameBudget(bytes32 programme) internal view {
        (uint64 capNow, uint64 issued) = points.budget(programme);
        require(capNow == cap[programme] && issued == spent[programme], "budget differs");
    }
}
