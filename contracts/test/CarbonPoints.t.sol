// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {PausableUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/PausableUpgradeable.sol";
import {Batch, CarbonPoints, Debit} from "../src/CarbonPoints.sol";
import {Governed} from "../src/Governed.sol";
import {Enactment} from "../src/IRuleRegistry.sol";
import {City} from "./support/City.sol";

/// @notice Calls `post` on behalf of whoever calls it: what `onlyDirect` refuses.
contract Relay {
    function relay(address target, bytes calldata input) external {
        (bool ok, bytes memory answer) = target.call(input);
        if (!ok) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
    }
}

contract CarbonPointsTest is City {
    // ------------------------------------------------------------------------------------ effects

    function test_selector_is_the_published_one() public pure {
        require(CarbonPoints.post.selector == 0xeb16267a);
    }

    function test_issue_redeem_retire_move_one_lane_each() public {
        require(_post(_batch(1, 0), abi.encodePacked(_record(1, 100), _record(2, 50))));
        _requireAccount(1, 100, 0, 0, 1);
        require(_post(_batch(2, 10), _record(1, 60)));
        _requireAccount(1, 100, 60, 0, 2);
        require(_post(_batch(3, 20), _record(1, 40)));
        _requireAccount(1, 100, 60, 40, 3);
        _requireAccount(2, 50, 0, 0, 1);
        (uint64 issued, uint64 redeemed, uint64 retired) = points.totals(CARBON);
        require(issued == 150 && redeemed == 60 && retired == 40, "totals");
        (uint64 cap, uint64 used) = points.budget(PROGRAMME);
        require(cap == 1_000_000 && used == 150, "budget");
    }

    function test_batch_is_recorded_with_its_content() public {
        Batch memory head = _batch(1, 0);
        bytes memory records = abi.encodePacked(_record(1, 100), _record(2, 50));
        _post(head, records);
        bytes32 id = keccak256(
            abi.encode(
                bytes32("tanhui-batch-v1"),
                block.chainid,
                address(points),
                head.kind,
                head.class,
                head.programme,
                head.rule,
                head.ruleVersion,
                head.reason,
                head.leafFrom,
                head.leafTo,
                head.accountFrom,
                head.accountTo
            )
        );
        require(points.batchIdOf(head) == id, "id");
        (bool known, bytes20 content, uint16 count, uint48 total, uint32 blockNumber) = points.batch(id);
        require(known && count == 2 && total == 150 && blockNumber == 77, "record");
        require(content == bytes20(keccak256(abi.encode(WINDOW_FROM, WINDOW_FROM + 1, records))), "content");
        (known, content, count, total, blockNumber) = points.batch(bytes32(uint256(1)));
        require(!known && content == 0 && count == 0 && total == 0 && blockNumber == 0, "unknown batch");
    }

    function test_batch_id_binds_chain_and_contract() public {
        bytes32 here = points.batchIdOf(_batch(1, 0));
        vm.chainId(999);
        require(points.batchIdOf(_batch(1, 0)) != here, "chain");
        vm.chainId(31_337);
        CarbonPoints other = CarbonPoints(
            _proxy(
                address(new CarbonPoints()), abi.encodeCall(CarbonPoints.initialize, (_holders(), registry))
            )
        );
        require(other.batchIdOf(_batch(1, 0)) != here, "contract");
    }

    function test_accounts_reads_in_bulk() public {
        _post(_batch(1, 0), abi.encodePacked(_record(1, 100), _record(2, 50)));
        uint256[] memory slots = points.accounts(CARBON, abi.encodePacked(_id(2), _id(9), _id(1)));
        require(slots.length == 3 && slots[0] == 50 + (1 << 192) && slots[1] == 0 && slots[2] == 100 + (1 << 192));
        _refused(
            abi.encodeCall(CarbonPoints.accounts, (CARBON, new bytes(21))),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRecordsLength.selector, 21)
        );
    }

    function test_same_batch_again_changes_nothing() public {
        require(_post(_batch(1, 0), _record(1, 100)), "first");
        require(!_post(_batch(1, 0), _record(1, 100)), "second");
        _requireAccount(1, 100, 0, 0, 1);
        (, uint64 used) = points.budget(PROGRAMME);
        require(used == 100);
    }

    function test_same_batch_again_is_harmless_after_the_rule_stopped() public {
        Batch memory head = _batch(1, 0);
        bytes memory input = _input(head, WINDOW_TO - 1, WINDOW_TO, _record(1, 1));
        vm.prank(SENDER, SENDER);
        (bool ok,) = address(points).call(input);
        require(ok);
        Enactment memory stop = _enactment();
        stop.dayTo = WINDOW_FROM + 1;
        registry.stop(stop, _signed(KEY_A, stop), _signed(KEY_B, stop));
        vm.prank(SENDER, SENDER);
        bytes memory answer;
        (ok, answer) = address(points).call(input);
        require(ok && !abi.decode(answer, (bool)));
    }

    function test_reversal_may_leave_a_debt_that_blocks_redeeming() public {
        _post(_batch(1, 0), _record(1, 10));
        _post(_batch(2, 10), _record(1, 10));
        require(_post(_batch(3, 20), _record(1, 10)));
        _requireAccount(1, 10, 10, 10, 3);
        _post(_batch(1, 30), _record(1, 10));
        _refused(
            _input(_batch(2, 40), _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRedemptionBeyondBalance.selector, _id(1))
        );
        _post(_batch(1, 50), _record(1, 1));
        require(_post(_batch(2, 40), _record(1, 1)));
    }

    function test_refund_is_issued_without_rule_or_budget() public {
        _post(_batch(1, 0), _record(1, 10));
        _post(_batch(2, 10), _record(1, 10));
        require(_post(_refund(20), _record(1, 4)));
        _requireAccount(1, 14, 10, 0, 3);
        (, uint64 used) = points.budget(PROGRAMME);
        (, uint56 refunded) = points.classOf(CARBON);
        require(used == 10 && refunded == 4);
    }

    function test_every_retire_reason_is_taken() public {
        _post(_batch(1, 0), _record(1, 10));
        for (uint8 reason = 1; reason <= 3; ++reason) {
            Batch memory head = _batch(3, 10);
            head.reason = reason;
            require(_post(head, _record(1, 1)));
        }
        _requireAccount(1, 10, 0, 3, 4);
    }

    function test_largest_batch_and_largest_amount_fit() public {
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, type(uint64).max);
        require(_post(_batch(1, 0), _records(2040, 0, 1, type(uint32).max)));
        (,, uint16 count, uint48 total,) = points.batch(points.batchIdOf(_batch(1, 0)));
        require(count == 2040 && total == 2040 * uint256(type(uint32).max));
    }

    function test_block_time_plays_no_part() public {
        vm.warp(type(uint64).max);
        require(_post(_batch(1, 0), _record(1, 1)));
    }

    // ------------------------------------------------------------------------------------ idempotency

    function test_same_id_with_other_records_is_refused() public {
        _post(_batch(1, 0), _record(1, 100));
        bytes memory conflict = abi.encodeWithSelector(
            CarbonPoints.CarbonPointsBatchConflict.selector, points.batchIdOf(_batch(1, 0))
        );
        _refused(_input(_batch(1, 0), _record(1, 101)), conflict);
        _refused(_input(_batch(1, 0), WINDOW_FROM, WINDOW_FROM + 2, _record(1, 100)), conflict);
    }

    // ------------------------------------------------------------------------------------ who

    function test_only_a_chain_sender_posts() public {
        _refused(
            address(points),
            STRANGER,
            _input(_batch(1, 0), _record(1, 1)),
            abi.encodeWithSelector(
                IAccessControl.AccessControlUnauthorizedAccount.selector, STRANGER, points.CHAIN_SENDER()
            )
        );
    }

    function test_only_government_sets_budget_and_class() public {
        bytes memory refusal = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, SENDER, points.GOVERNMENT()
        );
        _refused(abi.encodeCall(CarbonPoints.setBudget, (PROGRAMME, 1)), refusal);
        _refused(abi.encodeCall(CarbonPoints.setClass, (CARBON, Debit.Nobody)), refusal);
    }

    function test_only_the_auditor_pauses() public {
        bytes memory refusal = abi.encodeWithSelector(
            IAccessControl.AccessControlUnauthorizedAccount.selector, GOVERNMENT, points.AUDITOR()
        );
        _refused(address(points), GOVERNMENT, abi.encodeCall(Governed.pause, ()), refusal);
        _refused(address(points), GOVERNMENT, abi.encodeCall(Governed.unpause, ()), refusal);
    }

    function test_nothing_is_posted_while_paused() public {
        vm.prank(AUDITOR);
        points.pause();
        for (uint8 kind = 1; kind <= 3; ++kind) {
            _refused(
                _input(_batch(kind, 0), _record(1, 1)), _named(PausableUpgradeable.EnforcedPause.selector)
            );
        }
        vm.prank(AUDITOR);
        points.unpause();
        require(_post(_batch(1, 0), _record(1, 1)));
    }

    function test_a_post_through_another_contract_is_refused() public {
        Relay relay = new Relay();
        bytes32 role = points.CHAIN_SENDER();
        vm.prank(ADMIN);
        points.grantRole(role, address(relay));
        _refused(
            address(relay),
            SENDER,
            abi.encodeCall(Relay.relay, (address(points), _input(_batch(1, 0), _record(1, 1)))),
            abi.encodeWithSelector(Governed.GovernedIndirectCall.selector, address(relay))
        );
    }

    // ------------------------------------------------------------------------------------ header

    function test_unknown_kind_is_refused() public {
        for (uint256 kind = 0; kind < 256; kind += kind == 0 ? 4 : 63) {
            Batch memory head = _batch(uint8(kind), 0);
            _refused(
                _input(head, _record(1, 1)),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsKindUnknown.selector, kind)
            );
        }
    }

    function test_reason_must_fit_the_kind() public {
        for (uint8 kind = 1; kind <= 3; ++kind) {
            for (uint8 reason = 0; reason < 7; ++reason) {
                bool fits = (kind == 1 && (reason == 0 || reason == 4)) || (kind == 2 && reason == 0)
                    || (kind == 3 && reason >= 1 && reason <= 3);
                if (fits) continue;
                Batch memory head = _batch(kind, 0);
                head.reason = reason;
                _refused(
                    _input(head, _record(1, 1)),
                    abi.encodeWithSelector(CarbonPoints.CarbonPointsReasonMismatch.selector, kind, reason)
                );
            }
        }
    }

    function test_leaf_range_must_not_be_empty() public {
        Batch memory head = _batch(1, 5);
        for (uint64 leafTo = 4; leafTo <= 5; ++leafTo) {
            head.leafTo = leafTo;
            _refused(
                _input(head, _record(1, 1)),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsLeavesEmpty.selector, 5, leafTo)
            );
        }
    }

    function test_award_names_programme_rule_and_version() public {
        bytes memory missing = _named(CarbonPoints.CarbonPointsRuleMissing.selector);
        Batch memory head = _batch(1, 0);
        head.programme = 0;
        _refused(_input(head, _record(1, 1)), missing);
        head = _batch(1, 0);
        head.rule = 0;
        _refused(_input(head, _record(1, 1)), missing);
        head = _batch(1, 0);
        head.ruleVersion = 0;
        _refused(_input(head, _record(1, 1)), missing);
    }

    function test_other_acts_name_no_programme_rule_or_version() public {
        bytes memory unexpected = _named(CarbonPoints.CarbonPointsRuleUnexpected.selector);
        for (uint256 act = 0; act < 3; ++act) {
            for (uint256 field = 0; field < 3; ++field) {
                Batch memory head = act == 0 ? _refund(0) : _batch(uint8(act + 1), 0);
                if (field == 0) head.programme = PROGRAMME;
                if (field == 1) head.rule = RULE;
                if (field == 2) head.ruleVersion = 1;
                _refused(_input(head, _record(1, 1)), unexpected);
            }
        }
    }

    function test_days_must_fit_the_kind() public {
        _refused(
            _input(_batch(1, 0), WINDOW_FROM, WINDOW_FROM, _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsDaysInvalid.selector, WINDOW_FROM, WINDOW_FROM)
        );
        _refused(
            _input(_refund(0), 0, 0, _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsDaysInvalid.selector, 0, 0)
        );
        for (uint8 kind = 2; kind <= 3; ++kind) {
            _refused(
                _input(_batch(kind, 0), 0, 1, _record(1, 1)),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsDaysInvalid.selector, 0, 1)
            );
            _refused(
                _input(_batch(kind, 0), 1, 0, _record(1, 1)),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsDaysInvalid.selector, 1, 0)
            );
        }
    }

    function test_rule_must_be_enacted() public {
        Batch memory head = _batch(1, 0);
        head.ruleVersion = 2;
        _refused(
            _input(head, _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRuleNotEnacted.selector, RULE, 2)
        );
    }

    function test_an_enacted_method_is_not_a_rule() public {
        Enactment memory method = _enactment();
        method.what = 2;
        method.id = "metro";
        _enact(method);
        Batch memory head = _batch(1, 0);
        head.rule = "metro";
        _refused(
            _input(head, _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRuleNotEnacted.selector, bytes32("metro"), 1)
        );
    }

    function test_days_must_be_inside_the_rule_window() public {
        _refused(
            _input(_batch(1, 0), WINDOW_FROM - 1, WINDOW_FROM + 1, _record(1, 1)),
            abi.encodeWithSelector(
                CarbonPoints.CarbonPointsOutsideRuleWindow.selector,
                WINDOW_FROM - 1,
                WINDOW_FROM + 1,
                WINDOW_FROM,
                WINDOW_TO
            )
        );
        _refused(
            _input(_batch(1, 0), WINDOW_TO - 1, WINDOW_TO + 1, _record(1, 1)),
            abi.encodeWithSelector(
                CarbonPoints.CarbonPointsOutsideRuleWindow.selector,
                WINDOW_TO - 1,
                WINDOW_TO + 1,
                WINDOW_FROM,
                WINDOW_TO
            )
        );
        vm.prank(SENDER, SENDER);
        points.post(_batch(1, 0), WINDOW_FROM, WINDOW_TO, _record(1, 1));
    }

    function test_a_stopped_rule_pays_earlier_days_only() public {
        Enactment memory stop = _enactment();
        stop.dayTo = WINDOW_FROM + 1;
        registry.stop(stop, _signed(KEY_A, stop), _signed(KEY_B, stop));
        require(_post(_batch(1, 0), _record(1, 1)));
        _refused(
            _input(_batch(1, 10), WINDOW_FROM + 1, WINDOW_FROM + 2, _record(1, 1)),
            abi.encodeWithSelector(
                CarbonPoints.CarbonPointsOutsideRuleWindow.selector,
                WINDOW_FROM + 1,
                WINDOW_FROM + 2,
                WINDOW_FROM,
                WINDOW_FROM + 1
            )
        );
    }

    // ------------------------------------------------------------------------------------ class

    function test_unknown_class_is_refused() public {
        for (uint8 kind = 1; kind <= 3; ++kind) {
            Batch memory head = _batch(kind, 0);
            head.class = "gold";
            _refused(
                _input(head, _record(1, 1)),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsClassUnknown.selector, bytes32("gold"))
            );
        }
    }

    function test_a_class_nobody_may_debit_is_not_redeemed() public {
        Batch memory head = _batch(1, 0);
        head.class = CONGESTION;
        _post(head, _record(1, 10));
        head = _batch(2, 10);
        head.class = CONGESTION;
        _refused(
            _input(head, _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsClassNotRedeemable.selector, CONGESTION)
        );
        vm.prank(GOVERNMENT);
        points.setClass(CONGESTION, Debit.ChainSender);
        require(_post(head, _record(1, 1)));
    }

    function test_one_class_cannot_spend_another_class() public {
        Batch memory head = _batch(1, 0);
        head.class = CONGESTION;
        _post(head, _record(1, 10));
        _refused(
            _input(_batch(2, 10), _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRedemptionBeyondBalance.selector, _id(1))
        );
        _requireAccount(1, 0, 0, 0, 0);
        (uint64 issued,,) = points.totals(CONGESTION);
        require(issued == 10);
    }

    function test_class_settings_are_checked() public {
        _refused(
            address(points),
            GOVERNMENT,
            abi.encodeCall(CarbonPoints.setClass, (bytes32(0), Debit.Nobody)),
            _named(CarbonPoints.CarbonPointsIdMissing.selector)
        );
        _refused(
            address(points),
            GOVERNMENT,
            abi.encodeCall(CarbonPoints.setClass, (CARBON, Debit.Unknown)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsDebitMissing.selector, CARBON)
        );
        (Debit debit,) = points.classOf(CARBON);
        require(debit == Debit.ChainSender);
    }

    // ------------------------------------------------------------------------------------ budget

    function test_budget_is_a_hard_cap() public {
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, 100);
        _post(_batch(1, 0), _record(1, 99));
        _refused(
            _input(_batch(1, 10), _record(1, 2)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsBudgetExceeded.selector, PROGRAMME, 100, 99, 2)
        );
        require(_post(_batch(1, 10), _record(1, 1)));
    }

    function test_a_programme_without_budget_issues_nothing() public {
        Batch memory head = _batch(1, 0);
        head.programme = "other";
        _refused(
            _input(head, _record(1, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsBudgetExceeded.selector, bytes32("other"), 0, 0, 1)
        );
    }

    function test_cap_is_not_lowered_below_what_was_issued() public {
        _post(_batch(1, 0), _record(1, 100));
        _refused(
            address(points),
            GOVERNMENT,
            abi.encodeCall(CarbonPoints.setBudget, (PROGRAMME, 99)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsCapBelowIssued.selector, PROGRAMME, 99, 100)
        );
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, 100);
        _refused(
            address(points),
            GOVERNMENT,
            abi.encodeCall(CarbonPoints.setBudget, (bytes32(0), 1)),
            _named(CarbonPoints.CarbonPointsIdMissing.selector)
        );
    }
}
