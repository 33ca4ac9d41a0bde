// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints, Debit} from "../src/CarbonPoints.sol";
import {EvidenceAnchor} from "../src/EvidenceAnchor.sol";
import {Enactment} from "../src/IRuleRegistry.sol";
import {RuleRegistry} from "../src/RuleRegistry.sol";
import {City} from "./support/City.sol";
import {Vm} from "./support/Vm.sol";

/// @notice What each event says, topic by topic; and that a repetition says nothing.
contract EventsTest is City {
    function _requireOne(bytes32[4] memory topics, bytes memory data) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs.length == 1, "exactly one event");
        for (uint256 i = 0; i < logs[0].topics.length; ++i) {
            require(logs[0].topics[i] == topics[i], "topic differs");
        }
        require(keccak256(logs[0].data) == keccak256(data), "data differ");
    }

    function test_a_posted_batch_is_announced_once() public {
        Batch memory head = _batch(1, 40);
        bytes memory records = abi.encodePacked(_record(1, 100), _record(2, 50));
        vm.recordLogs();
        _post(head, records);
        _requireOne(
            [CarbonPoints.BatchPosted.selector, points.batchIdOf(head), CARBON, PROGRAMME],
            abi.encode(1, 0, 40, 50, 2, 150)
        );
        _post(head, records);
        require(vm.getRecordedLogs().length == 0, "a repetition is silent");
        head = _batch(3, 50);
        head.reason = 3;
        _post(head, _record(1, 7));
        _requireOne(
            [CarbonPoints.BatchPosted.selector, points.batchIdOf(head), CARBON, bytes32(0)],
            abi.encode(3, 3, 50, 60, 1, 7)
        );
    }

    function test_settings_are_announced() public {
        vm.recordLogs();
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, 5);
        _requireOne([CarbonPoints.BudgetSet.selector, PROGRAMME, 0, 0], abi.encode(5, 1_000_000));
        vm.prank(GOVERNMENT);
        points.setClass(CARBON, Debit.Nobody);
        _requireOne([CarbonPoints.ClassSet.selector, CARBON, 0, 0], abi.encode(Debit.Nobody));
        vm.prank(GOVERNMENT);
        registry.registerApprover(STRANGER);
        bytes32 stranger = bytes32(uint256(uint160(STRANGER)));
        _requireOne([RuleRegistry.ApproverRegistered.selector, stranger, 0, 0], "");
        vm.prank(GOVERNMENT);
        registry.removeApprover(STRANGER);
        _requireOne([RuleRegistry.ApproverRemoved.selector, stranger, 0, 0], "");
    }

    function test_a_checkpoint_is_announced() public {
        vm.recordLogs();
        vm.prank(SENDER, SENDER);
        anchors.anchor(5, keccak256("five"), 0);
        _requireOne(
            [EvidenceAnchor.CheckpointAnchored.selector, bytes32(uint256(5)), 0, 0],
            abi.encode(keccak256("five"), bytes32(0))
        );
    }

    function test_enactments_and_stops_name_approvers_in_ascending_order() public {
        (address low, address high) = (vm.addr(KEY_A), vm.addr(KEY_B));
        if (low > high) (low, high) = (high, low);
        Enactment memory e = _enactment();
        for (uint32 version = 2; version <= 3; ++version) {
            e.version = version;
            (bytes memory a, bytes memory b) = (_signed(KEY_A, e), _signed(KEY_B, e));
            vm.recordLogs();
            if (version == 2) registry.enact(e, a, b);
            else registry.enact(e, b, a);
            _requireOne(
                [RuleRegistry.VersionEnacted.selector, bytes32(uint256(1)), RULE, bytes32(uint256(version))],
                abi.encode(e.digest, e.dayFrom, e.dayTo, low, high)
            );
        }
        e.dayTo -= 1;
        (bytes memory c, bytes memory d) = (_signed(KEY_A, e), _signed(KEY_B, e));
        registry.stop(e, c, d);
        _requireOne(
            [RuleRegistry.VersionStopped.selector, bytes32(uint256(1)), RULE, bytes32(uint256(3))],
            abi.encode(e.dayTo, e.dayTo + 1, low, high)
        );
    }
}
