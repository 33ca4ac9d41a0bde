// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints} from "../src/CarbonPoints.sol";
import {Model} from "./support/Model.sol";

/// @notice A city's life in random order: batches of every kind and class, repetitions, conflicts, budgets,
/// pauses. Each act is done to the contract and to the model (see `Model._postBoth`). One account of the
/// congestion class begins with its issued and retired lanes near their end, so that a sum that ran over
/// would be seen in the lane beside it.
contract Life is Model {
    uint64 private constant NEAR_FULL = type(uint64).max - 40_000_000_000;
    bytes32 private constant LOCATION = 0xb2fbccca299c6ebfd1809960144cf7303e7d46b9e5798a181c6e6384e7c76800;

    bytes32[] private pastHeads;
    mapping(bytes32 head => bytes) private pastInputs;
    uint64 private leaf;
    uint256 public fresh;
    uint256 public touched;
    /// @dev The lanes as last seen, and whether one was ever seen to go down.
    mapping(bytes32 class => mapping(uint160 id => uint256)) private seenLanes;
    bool private shrunk;
    bytes32 private atPause;

    function setUp() public override {
        super.setUp();
        account[CONGESTION][ACCOUNT_COUNT].issued = NEAR_FULL;
        account[CONGESTION][ACCOUNT_COUNT].retired = NEAR_FULL;
        total[CONGESTION].issued = NEAR_FULL;
        total[CONGESTION].retired = NEAR_FULL;
        bytes32 word = bytes32(uint256(NEAR_FULL) | uint256(NEAR_FULL) << 128);
        bytes32 ofClass = keccak256(abi.encode(CONGESTION, LOCATION));
        vm.store(address(points), keccak256(abi.encode(_id(ACCOUNT_COUNT), ofClass)), word);
        bytes32 class = keccak256(abi.encode(CONGESTION, uint256(LOCATION) + 2));
        vm.store(address(points), class, bytes32(uint256(vm.load(address(points), class)) | uint256(word)));
    }

    /// @dev Runs after every act: what the accounts say now against what they said before it.
    modifier watched() {
        _;
        for (uint256 c = 0; c < 2; ++c) {
            for (uint160 id = 0; id <= ACCOUNT_COUNT + 1; ++id) {
                (uint64 a, uint64 b, uint64 d, uint64 seq) = points.account(_class(c), bytes20(id));
                uint256 before = seenLanes[_class(c)][id];
                if (
                    a < uint64(before) || b < uint64(before >> 64) || d < uint64(before >> 128)
                        || seq < uint64(before >> 192)
                ) shrunk = true;
                seenLanes[_class(c)][id] =
                    uint256(a) | uint256(b) << 64 | uint256(d) << 128 | uint256(seq) << 192;
            }
        }
    }

    /// @dev Every number of every account and class in one word.
    function _picture() private view returns (bytes32 picture) {
        for (uint256 c = 0; c < 2; ++c) {
            for (uint160 id = 0; id <= ACCOUNT_COUNT + 1; ++id) {
                (uint64 a, uint64 b, uint64 d, uint64 seq) = points.account(_class(c), bytes20(id));
                picture = keccak256(abi.encode(picture, a, b, d, seq));
            }
            (uint64 issued, uint64 redeemed, uint64 retired) = points.totals(_class(c));
            picture = keccak256(abi.encode(picture, issued, redeemed, retired));
        }
    }

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

    function award(uint256 seed, uint256 mask, uint256 amounts) external watched {
        Batch memory head = _batch(1, 0);
        head.class = _class(seed);
        head.programme = (seed >> 8) % 2 == 0 ? PROGRAMME : PROGRAMME_B;
        _postNext(head, mask, amounts, (seed >> 16) % 8 == 0 ? type(uint32).max : 1_000);
    }

    function refund(uint256 seed, uint256 mask, uint256 amounts) external watched {
        Batch memory head = _refund(0);
        head.class = _class(seed);
        _postNext(head, mask, amounts, 100);
    }

    function redeem(uint256 mask, uint256 amounts) external watched {
        _postNext(_batch(2, 0), mask, amounts, 400);
    }

    function retire(uint256 seed, uint256 mask, uint256 amounts) external watched {
        Batch memory head = _batch(3, 0);
        head.class = _class(seed);
        head.reason = uint8((seed >> 8) % 3) + 1;
        _postNext(head, mask, amounts, 300);
    }

    /// @dev Sends an earlier batch again, as it was or with other records.
    function repeat(uint256 seed, bool changed) external watched {
        if (pastHeads.length == 0) return;
        (Batch memory head, bytes memory records) =
            abi.decode(pastInputs[pastHeads[seed % pastHeads.length]], (Batch, bytes));
        if (changed) records[records.length - 1] ^= 0x80;
        require(!_postBoth(head, records), "a batch had a second effect");
    }

    function setBudget(uint256 seed, uint64 newCap) external watched {
        bytes32 programme = seed % 2 == 0 ? PROGRAMME : PROGRAMME_B;
        uint64 wanted = (seed >> 8) % 4 == 0 ? newCap : newCap % 50_000;
        vm.prank(GOVERNMENT);
        (bool ok,) = address(points).call(abi.encodeCall(CarbonPoints.setBudget, (programme, wanted)));
        require(ok == (wanted >= spent[programme]), "cap accepted iff not below issued");
        if (ok) cap[programme] = wanted;
    }

    /// @dev Short pauses: one act in eight begins one, the next ends it.
    function pause(uint256 seed) external watched {
        if (!paused && seed % 8 != 0) return;
        vm.prank(AUDITOR);
        if (paused) points.unpause();
        else points.pause();
        paused = !paused;
        atPause = _picture();
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
            uint256(issuedA) + issuedB - NEAR_FULL == uint256(spentA) + spentB + backA + backB, "points without a budget or refund"
        );
    }

    function requireTotalsOnlyGrew() external view {
        require(!shrunk, "a total went down");
    }

    /// @dev Redemptions never overdraw; only reversals may leave a debt, and then nothing can be redeemed.
    function requireBalancesAreDifferences() external view {
        for (uint256 c = 0; c < 2; ++c) {
            int256 sum;
            for (uint160 id = 1; id <= ACCOUNT_COUNT; ++id) {
                (uint64 issued, uint64 redeemed, uint64 retired,) = points.account(_class(c), bytes20(id));
                Account storage a = account[_class(c)][id];
                int256 balance = int256(uint256(issued)) - int256(uint256(redeemed)) - int256(uint256(retired));
                require(balance == int256(a.issued) - int256(a.redeemed) - int256(a.retired), "balance differs");
                require(redeemed <= issued, "more was redeemed than ever issued");
                sum += balance;
            }
            (uint64 all, uint64 spentAll, uint64 goneAll) = points.totals(_class(c));
            require(sum == int256(uint256(all)) - int256(uint256(spentAll)) - int256(uint256(goneAll)), "class");
        }
    }

    function requireNothingMovedWhilePaused() external view {
        require(!paused || _picture() == atPause, "something moved while paused");
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

    function invariant_totals_only_grow() external view {
        life.requireTotalsOnlyGrew();
    }

    function invariant_balance_is_issued_less_redeemed_less_retired() external view {
        life.requireBalancesAreDifferences();
    }

    /// @dev The model keeps every number in a variable of its own, where nothing can carry.
    function invariant_packed_lanes_never_carry() external view {
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

    function invariant_nothing_moves_while_paused() external view {
        life.requireNothingMovedWhilePaused();
    }
}
