// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints} from "../src/CarbonPoints.sol";
import {Model} from "./support/Model.sol";

/// @notice A city's life in random order: batches of every kind and class, repetitions, conflicts, budgets,
/// pauses. Each act is done to the contract and to the model (see `Model._postBoth`).
contract Life is Model {
    bytes32[] private pastHeads;
    mapping(bytes32 head => bytes) private pastInputs;
    uint64 private leaf;
    uint256 public fresh;
    uint256 public touched;

    function _class(uint256 seed) private pure returns (bytes32) {
        return seed % 2 == 0 ? CARBON : CONGESTION;
    }

    function _postNext(Batch memory head, uint256 mask, uint256 amounts, uint32 amountMax) private {
        head.leafFrom = leaf;
        head.leafTo = ++leaf;
        bytes memory records = _ascending(mask, amounts, amountMax);
        if (!_postBoth(head, records)) return;
        fresh += 1;
        touched += records.length / 24;
        bytes32 key = points.batchIdOf(head);
        pastHeads.push(key);
        pastInputs[key] = abi.encode(head, records);
    }

    function award(uint256 seed, uint256 mask, uint256 amounts) external {
        Batch memory head = _batch(1, 0);
        head.class = _class(seed);
        head.programme = (seed >> 8) % 2 == 0 ? PROGRAMME : PROGRAMME_B;
        _postNext(head, mask, amounts, (seed >> 16) % 8 == 0 ? type(uint32).max : 1_000);
    }

    function refund(uint256 seed, uint256 mask, uint256 amounts) external {
        Batch memory head = _refund(0);
        head.class = _class(seed);
        _postNext(head, mask, amounts, 100);
    }

    function redeem(uint256 mask, uint256 amounts) external {
        _postNext(_batch(2, 0), mask, amounts, 400);
    }

    function retire(uint256 seed, uint256 mask, uint256 amounts) external {
        Batch memory head = _batch(3, 0);
        head.class = _class(seed);
        head.reason = uint8((seed >> 8) % 3) + 1;
        _postNext(head, mask, amounts, 300);
    }

    /// @dev Sends an earlier batch again, as it was or with other records.
    function repeat(uint256 seed, bool changed) external {
        if (pastHeads.length == 0) return;
        (Batch memory head, bytes memory records) =
            abi.decode(pastInputs[pastHeads[seed % pastHeads.length]], (Batch, bytes));
        if (changed) records[records.length - 1] ^= 0x80;
        require(!_postBoth(head, records), "a batch had a second effect");
    }

    function setBudget(uint256 seed, uint64 newCap) external {
        bytes32 programme = seed % 2 == 0 ? PROGRAMME : PROGRAMME_B;
        uint64 wanted = (seed >> 8) % 4 == 0 ? newCap : newCap % 50_000;
        vm.prank(GOVERNMENT);
        (bool ok,) = address(points).call(abi.encodeCall(CarbonPoints.setBudget, (programme, wanted)));
        require(ok == (wanted >= spent[programme]), "cap accepted iff not below issued");
        if (ok) cap[programme] = wanted;
    }

    /// @dev Short pauses: one act in eight begins one, the next ends it.
    function pause(uint256 seed) external {
        if (!paused && seed % 8 != 0) return;
        vm.prank(AUDITOR);
        if (paused) points.unpause();
        else points.pause();
        paused = !paused;
    }

    // ------------------------------------------------------------------------------------ what must hold

    function requireAccountsAsInTheModel() external view {
        _requireSame(CARBON);
        _requireSame(CONGESTION);
    }

    function requireClassTotalsAreSums() external view {
        for (uint256 c = 0; c < 2; ++c) {
            uint256[3] memory sums;
            for (uint160 id = 1; id <= ACCOUNT_COUNT; ++id) {
                (uint64 issued, uint64 redeemed, uint64 retired,) = points.account(_class(c), bytes20(id));
                sums[0] += issued;
                sums[1] += redeemed;
                sums[2] += retired;
            }
            (uint64 a, uint64 b, uint64 d) = points.totals(_class(c));
            require(sums[0] == a && sums[1] == b && sums[2] == d, "class is not the sum of its accounts");
        }
    }

    function requireEveryPointHasAPayer() external view {
        (uint64 issuedA,,) = points.totals(CARBON);
        (uint64 issuedB,,) = points.totals(CONGESTION);
        (, uint56 backA) = points.classOf(CARBON);
        (, uint56 backB) = points.classOf(CONGESTION);
        (uint64 capA, uint64 spentA) = points.budget(PROGRAMME);
        (uint64 capB, uint64 spentB) = points.budget(PROGRAMME_B);
        require(spentA <= capA && spentB <= capB, "a budget is exceeded");
        require(
            uint256(issuedA) + issuedB == uint256(spentA) + spentB + backA + backB, "points without a budget or refund"
        );
    }

    function requireOneEffectPerBatch() external view {
        uint256 seqs;
        for (uint256 c = 0; c < 2; ++c) {
            for (uint160 id = 1; id <= ACCOUNT_COUNT; ++id) {
                (,,, uint64 seq) = points.account(_class(c), bytes20(id));
                seqs += seq;
            }
        }
        require(seqs == touched, "an account was touched more than once by a batch");
    }
}

contract CarbonPointsInvariantTest {
    Life private life;

    function setUp() public {
        life = new Life();
        life.setUp();
    }

    /// @dev Only the acts of a life, not its checks or its `setUp`.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[] memory acts = new bytes4[](7);
        acts[0] = Life.award.selector;
        acts[1] = Life.refund.selector;
        acts[2] = Life.redeem.selector;
        acts[3] = Life.retire.selector;
        acts[4] = Life.repeat.selector;
        acts[5] = Life.setBudget.selector;
        acts[6] = Life.pause.selector;
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(life), acts);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(life);
    }

    function invariant_totals_only_grow_as_in_the_model() external view {
        life.requireAccountsAsInTheModel();
    }

    function invariant_a_class_is_the_sum_of_its_accounts() external view {
        life.requireClassTotalsAreSums();
    }

    function invariant_every_point_has_a_payer_within_its_cap() external view {
        life.requireEveryPointHasAPayer();
    }

    function invariant_a_batch_has_one_effect() external view {
        life.requireOneEffectPerBatch();
    }
}
