// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PausableUpgradeable} from "@openzeppelin/contracts-upgradeable/utils/PausableUpgradeable.sol";
import {Space, SpaceRegistry, Standing} from "../src/SpaceRegistry.sol";
import {City} from "./support/City.sol";
import {Vm} from "./support/Vm.sol";

contract SpaceRegistryTest is City {
    bytes32 private constant BAY = keccak256("bay 7");
    bytes32 private constant LOT = keccak256("lot");
    bytes32 private constant POLICY = keccak256("weekday nights");
    bytes32 private constant POLICY_B = keccak256("weekends");
    bytes32 private constant PAPER = keccak256("what was signed");
    bytes20 private constant ANNA = bytes20(uint160(0xA11A));
    bytes20 private constant BORIS = bytes20(uint160(0xB0B0));

    function _space(bytes32 space) private pure returns (Space memory) {
        return Space(space, ANNA, LOT, POLICY);
    }

    function _one(Space memory entry) private pure returns (Space[] memory list) {
        list = new Space[](1);
        list[0] = entry;
    }

    function _register(Space[] memory list) private returns (uint256) {
        vm.prank(SENDER);
        return spaces.register(list);
    }

    function _do(bytes memory input) private returns (bool fresh) {
        vm.prank(SENDER);
        (bool ok, bytes memory answer) = address(spaces).call(input);
        _bubble(ok, answer);
        return abi.decode(answer, (bool));
    }

    function _suspend(uint32 seq) private pure returns (bytes memory) {
        return abi.encodeCall(SpaceRegistry.suspend, (BAY, seq, PAPER));
    }

    function _resume(uint32 seq) private pure returns (bytes memory) {
        return abi.encodeCall(SpaceRegistry.resume, (BAY, seq));
    }

    function _handOver(uint32 seq) private pure returns (bytes memory) {
        return abi.encodeCall(SpaceRegistry.handOver, (BAY, seq, ANNA, BORIS, PAPER));
    }

    function _setPolicy(uint32 seq) private pure returns (bytes memory) {
        return abi.encodeCall(SpaceRegistry.setPolicy, (BAY, seq, POLICY_B));
    }

    function _refusedBySpaces(bytes memory input, bytes memory refusal) private {
        _refused(address(spaces), SENDER, input, refusal);
    }

    function _requireRight(bytes20 owner, Standing standing, uint32 seq, bytes32 policy, uint32 blockNumber)
        private
        view
    {
        (bytes20 a, Standing b, uint32 c, bytes32 lot, bytes32 d, uint32 e) = spaces.rightOf(BAY);
        require(a == owner && b == standing && c == seq && lot == LOT && d == policy && e == blockNumber);
    }

    // ------------------------------------------------------------------------------------ what acts do

    function test_a_right_lives_from_registration_to_a_new_owner() public {
        require(_register(_one(_space(BAY))) == 1, "fresh");
        _requireRight(ANNA, Standing.Active, 1, POLICY, 77);
        vm.roll(78);
        require(_do(_suspend(2)));
        _requireRight(ANNA, Standing.Suspended, 2, POLICY, 78);
        require(_do(_handOver(3)), "a suspended right changes hands and stays suspended");
        _requireRight(BORIS, Standing.Suspended, 3, POLICY, 78);
        require(_do(_setPolicy(4)));
        require(_do(_resume(5)));
        _requireRight(BORIS, Standing.Active, 5, POLICY_B, 78);
        require(spaces.registered() == 1);
    }

    function test_an_unknown_space_reads_as_zeros() public view {
        (bytes20 owner, Standing standing, uint32 seq, bytes32 lot, bytes32 policy, uint32 mined) = spaces.rightOf(BAY);
        require(owner == 0 && standing == Standing.Unknown && seq == 0 && lot == 0 && policy == 0 && mined == 0);
    }

    function test_three_hundred_spaces_fit_and_one_more_does_not() public {
        Space[] memory list = new Space[](300);
        for (uint256 i = 0; i < 300; ++i) {
            list[i] = _space(keccak256(abi.encode(i)));
        }
        require(_register(list) == 300 && spaces.registered() == 300);
        list = new Space[](301);
        _refusedBySpaces(
            abi.encodeCall(SpaceRegistry.register, (list)),
            abi.encodeWithSelector(SpaceRegistry.SpaceRegistrySpaceCount.selector, 301)
        );
        list = new Space[](0);
        _refusedBySpaces(
            abi.encodeCall(SpaceRegistry.register, (list)),
            abi.encodeWithSelector(SpaceRegistry.SpaceRegistrySpaceCount.selector, 0)
        );
    }

    function test_what_stands_exactly_so_is_passed_over() public {
        Space[] memory list = new Space[](3);
        (list[0], list[1], list[2]) = (_space(BAY), _space(keccak256("bay 8")), _space(BAY));
        require(_register(list) == 2, "the third is the first again");
        vm.recordLogs();
        require(_register(list) == 0 && spaces.registered() == 2, "nothing new");
        require(vm.getRecordedLogs().length == 0, "a repetition is silent");
    }

    function test_the_last_act_again_changes_nothing() public {
        _register(_one(_space(BAY)));
        bytes[4] memory acts = [_suspend(2), _resume(3), _handOver(4), _setPolicy(5)];
        for (uint256 i = 0; i < 4; ++i) {
            require(_do(acts[i]), "first time");
            vm.recordLogs();
            require(!_do(acts[i]), "again");
            require(vm.getRecordedLogs().length == 0, "a repetition is silent");
            (,, uint32 seq,,,) = spaces.rightOf(BAY);
            require(seq == i + 2, "one act, one number");
        }
    }

    // ------------------------------------------------------------------------------------ refusals

    function test_every_field_of_a_registration_is_named() public {
        for (uint256 field = 0; field < 4; ++field) {
            Space[] memory list = new Space[](2);
            (list[0], list[1]) = (_space(BAY), _space(keccak256("bay 8")));
            if (field == 0) list[1].space = 0;
            if (field == 1) list[1].owner = 0;
            if (field == 2) list[1].lot = 0;
            if (field == 3) list[1].policy = 0;
            _refusedBySpaces(
                abi.encodeCall(SpaceRegistry.register, (list)),
                abi.encodeWithSelector(SpaceRegistry.SpaceRegistryFieldMissing.selector, 1)
            );
        }
        (, Standing standing,,,,) = spaces.rightOf(BAY);
        require(standing == Standing.Unknown, "a refused list registers none");
    }

    function test_a_registered_space_is_not_taken_by_another() public {
        _register(_one(_space(BAY)));
        for (uint256 field = 0; field < 3; ++field) {
            Space memory other = _space(BAY);
            if (field == 0) other.owner = BORIS;
            if (field == 1) other.lot = PAPER;
            if (field == 2) other.policy = POLICY_B;
            _refusedBySpaces(
                abi.encodeCall(SpaceRegistry.register, (_one(other))),
                abi.encodeWithSelector(SpaceRegistry.SpaceRegistryAlreadyRegistered.selector, BAY)
            );
        }
        _requireRight(ANNA, Standing.Active, 1, POLICY, 77);
    }

    function test_acts_need_a_registered_space() public {
        bytes memory unknown = abi.encodeWithSelector(SpaceRegistry.SpaceRegistrySpaceUnknown.selector, BAY);
        bytes[4] memory acts = [_suspend(1), _resume(1), _handOver(1), _setPolicy(1)];
        for (uint256 i = 0; i < 4; ++i) {
            _refusedBySpaces(acts[i], unknown);
        }
    }

    function test_an_act_has_the_next_number() public {
        _register(_one(_space(BAY)));
        uint32[4] memory wrong = [uint32(0), 1, 3, type(uint32).max];
        for (uint256 i = 0; i < 4; ++i) {
            bytes[3] memory acts = [_suspend(wrong[i]), _handOver(wrong[i]), _setPolicy(wrong[i])];
            for (uint256 j = 0; j < 3; ++j) {
                _refusedBySpaces(
                    acts[j],
                    abi.encodeWithSelector(SpaceRegistry.SpaceRegistrySeqMismatch.selector, BAY, wrong[i], 1)
                );
            }
        }
        _do(_suspend(2));
        bytes memory second = abi.encodeWithSelector(SpaceRegistry.SpaceRegistrySeqMismatch.selector, BAY, 2, 2);
        _refusedBySpaces(_setPolicy(2), second);
        _refusedBySpaces(_resume(2), second);
        bytes memory otherReason = abi.encodeCall(SpaceRegistry.suspend, (BAY, 2, POLICY));
        _refusedBySpaces(otherReason, second);
    }

    function test_only_what_is_active_is_suspended_and_what_is_suspended_resumed() public {
        _register(_one(_space(BAY)));
        _refusedBySpaces(
            _resume(2),
            abi.encodeWithSelector(SpaceRegistry.SpaceRegistryStandingMismatch.selector, BAY, Standing.Active)
        );
        _do(_suspend(2));
        _refusedBySpaces(
            _suspend(3),
            abi.encodeWithSelector(SpaceRegistry.SpaceRegistryStandingMismatch.selector, BAY, Standing.Suspended)
        );
        _requireRight(ANNA, Standing.Suspended, 2, POLICY, 77);
    }

    function test_only_the_owner_hands_over_and_to_somebody_else() public {
        _register(_one(_space(BAY)));
        _refusedBySpaces(
            abi.encodeCall(SpaceRegistry.handOver, (BAY, 2, BORIS, bytes20(uint160(9)), PAPER)),
            abi.encodeWithSelector(SpaceRegistry.SpaceRegistryNotTheOwner.selector, BAY, ANNA)
        );
        bytes memory invalid = abi.encodeWithSelector(SpaceRegistry.SpaceRegistryNewOwnerInvalid.selector, BAY);
        _refusedBySpaces(abi.encodeCall(SpaceRegistry.handOver, (BAY, 2, ANNA, ANNA, PAPER)), invalid);
        _refusedBySpaces(abi.encodeCall(SpaceRegistry.handOver, (BAY, 2, ANNA, bytes20(0), PAPER)), invalid);
        _requireRight(ANNA, Standing.Active, 1, POLICY, 77);
    }

    function test_reasons_agreements_and_policies_are_digests() public {
        _register(_one(_space(BAY)));
        bytes memory missing = abi.encodeWithSelector(SpaceRegistry.SpaceRegistryDigestMissing.selector, BAY);
        _refusedBySpaces(abi.encodeCall(SpaceRegistry.suspend, (BAY, 2, bytes32(0))), missing);
        _refusedBySpaces(abi.encodeCall(SpaceRegistry.handOver, (BAY, 2, ANNA, BORIS, bytes32(0))), missing);
        _refusedBySpaces(abi.encodeCall(SpaceRegistry.setPolicy, (BAY, 2, bytes32(0))), missing);
    }

    function test_nothing_happens_to_rights_while_paused() public {
        _register(_one(_space(BAY)));
        vm.prank(AUDITOR);
        spaces.pause();
        bytes memory paused = _named(PausableUpgradeable.EnforcedPause.selector);
        bytes memory another = abi.encodeCall(SpaceRegistry.register, (_one(_space(keccak256("bay 8")))));
        bytes[5] memory acts = [another, _suspend(2), _resume(2), _handOver(2), _setPolicy(2)];
        for (uint256 i = 0; i < 5; ++i) {
            _refusedBySpaces(acts[i], paused);
        }
        vm.prank(AUDITOR);
        spaces.unpause();
        require(_do(_suspend(2)));
    }

    // ------------------------------------------------------------------------------------ events

    function _requireEvent(bytes32[4] memory topics, bytes memory data) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        require(logs.length == 1 && keccak256(logs[0].data) == keccak256(data), "one event with these data");
        for (uint256 i = 0; i < logs[0].topics.length; ++i) {
            require(logs[0].topics[i] == topics[i], "topic differs");
        }
    }

    function test_every_act_is_announced() public {
        vm.recordLogs();
        _register(_one(_space(BAY)));
        _requireEvent([SpaceRegistry.SpaceRegistered.selector, BAY, bytes32(ANNA), LOT], abi.encode(POLICY));
        _do(_suspend(2));
        _requireEvent([SpaceRegistry.SpaceSuspended.selector, BAY, 0, 0], abi.encode(2, PAPER));
        _do(_resume(3));
        _requireEvent([SpaceRegistry.SpaceResumed.selector, BAY, 0, 0], abi.encode(3));
        _do(_handOver(4));
        _requireEvent(
            [SpaceRegistry.SpaceHandedOver.selector, BAY, bytes32(ANNA), bytes32(BORIS)], abi.encode(4, PAPER)
        );
        _do(_setPolicy(5));
        _requireEvent([SpaceRegistry.SpacePolicySet.selector, BAY, 0, 0], abi.encode(5, POLICY_B, POLICY));
    }

    // ------------------------------------------------------------------------------------ any history

    /// @dev Acts drawn from words, judged first by a plain record of the right.
    function testFuzz_any_history_is_as_in_a_plain_record(uint256[24] memory words) public {
        _register(_one(_space(BAY)));
        (bytes20 owner, bool active, uint32 seq, bytes32 policy) = (ANNA, true, uint32(1), POLICY);
        for (uint256 i = 0; i < words.length; ++i) {
            uint256 word = words[i];
            // Three numbers in four are the next one.
            uint32 number = word % 4 == 0 ? uint32(word >> 8) % 30 : seq + 1;
            bytes20 next = bytes20(uint160(word >> 16) % 3 + 1);
            bytes32 digest = keccak256(abi.encode(word));
            bytes memory input;
            bool takes = number == seq + 1;
            uint256 act = (word >> 4) % 4;
            if (act == 0) (input, takes) = (abi.encodeCall(SpaceRegistry.suspend, (BAY, number, digest)), takes && active);
            if (act == 1) (input, takes) = (abi.encodeCall(SpaceRegistry.resume, (BAY, number)), takes && !active);
            if (act == 2) {
                input = abi.encodeCall(SpaceRegistry.handOver, (BAY, number, owner, next, digest));
                takes = takes && next != owner;
            }
            if (act == 3) input = abi.encodeCall(SpaceRegistry.setPolicy, (BAY, number, digest));
            vm.prank(SENDER);
            (bool ok, bytes memory answer) = address(spaces).call(input);
            require((ok && abi.decode(answer, (bool))) == takes, "takes effect iff it fits");
            if (!takes) continue;
            seq += 1;
            if (act < 2) active = act == 1;
            if (act == 2) owner = next;
            if (act == 3) policy = digest;
        }
        _requireRight(owner, active ? Standing.Active : Standing.Suspended, seq, policy, 77);
    }
}
